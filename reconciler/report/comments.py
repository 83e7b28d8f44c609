"""One comment on a pull request that is kept up to date, however often there is something new to say.

The comment is found by a hidden mark and by its author: a mark alone could be pasted by anybody who may comment, and
Catwalk would then write into a stranger's comment. Nothing is written where the text already stands, because every
write notifies people.
"""

import re
from typing import Final, Protocol

from pydantic import BaseModel, TypeAdapter, ValidationError

from reconciler.report.answers import unreadable
from reconciler.report.connection import read
from reconciler.report.details import cut_markdown
from reconciler.report.github import GitHub
from reconciler.report.pace import Pace
from reconciler.report.repository import Repository

MOST_BYTES: Final = 60_000
"""GitHub refuses more than 65,536 characters ("Body is too long"); the rest is left for the mark."""
PAGE_SIZE: Final = 100
MOST_PAGES: Final = 30
"""Comments that are looked through: 3000. A pull request with more gets a new comment."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _User(BaseModel):
    login: str


class _Comment(BaseModel):
    """The members of a comment that are read (REST docs, "List issue comments"); `user` is null for a gone account."""

    id: int
    user: _User | None = None
    body: str | None = None


_PAGE: Final = TypeAdapter(list[_Comment])


class Author(Protocol):
    """Whoever writes the comments."""

    async def login(self) -> str:
        """The name that GitHub shows beside them.

        Raises:
            CatwalkError: it cannot be found out now.
        """
        ...


class TokenOwner:
    """The person or the bot that a token belongs to."""

    def __init__(self, github: GitHub) -> None:
        self._github = github
        self._login = ""

    async def login(self) -> str:
        """As `Author.login` (REST docs, "Get the authenticated user")."""
        if not self._login:
            self._login = read(_User, await self._github.call("GET", "/user")).login
        return self._login


class StickyComment:
    """The comment of one fleet on pull requests of one repository."""

    def __init__(self, github: GitHub, repository: Repository, author: Author, pace: Pace, *, fleet: str) -> None:
        """`fleet` tells the comments of several fleets of one repository apart: letters, digits, dots and dashes."""
        if not _NAME.fullmatch(fleet):
            raise ValueError("the name of the fleet would break out of the hidden mark")
        self._github, self._author, self._pace = github, author, pace
        self._path = f"/repos/{repository.full_name}/issues"
        self._mark = f"<!-- catwalk:plan:{fleet} -->"

    async def say(self, pull_request: int, markdown: str) -> None:
        """Makes `markdown` what the comment says. Doing it twice changes nothing, also after a lost answer.

        Raises:
            CatwalkError: see `GitHub.create_status`; the App needs `Pull requests: write`.
        """
        body = f"{self._mark}\n{cut_markdown(markdown, most_bytes=MOST_BYTES)}"
        found = await self._find(pull_request)
        if found is None:
            await self._write("POST", f"{self._path}/{pull_request}/comments", body)
        elif (found.body or "").replace("\r\n", "\n") != body:
            await self._write("PATCH", f"{self._path}/comments/{found.id}", body)

    async def _write(self, method: str, path: str, body: str) -> None:
        async with self._pace.turn():
            await self._github.call(method, path, body={"body": body})

    async def _find(self, pull_request: int) -> _Comment | None:
        """Ours; the oldest where a lost answer made two."""
        own = await self._author.login()
        for page in range(1, MOST_PAGES + 1):
            query = f"per_page={PAGE_SIZE}&page={page}"
            listed = _read_page(await self._github.call("GET", f"{self._path}/{pull_request}/comments?{query}"))
            for comment in listed:
                if (comment.body or "").startswith(self._mark) and comment.user and comment.user.login == own:
                    return comment
            if len(listed) < PAGE_SIZE:
                break
        return None


def _read_page(content: bytes) -> list[_Comment]:
    try:
        return _PAGE.validate_json(content)
    except ValidationError as fault:
        raise unreadable(fault) from fault
