"""Asks a registry that speaks the official API (version v0.1): one server, or those whose name holds a text.

Any registry with that API will do, the official one by default; it makes no promise of being up, so that an answer is
kept and used again when it is not. Only what is active is offered.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

import httpx

from reconciler.core.digests import JSON
from reconciler.errors import SourceError, Unavailable
from reconciler.sources.mcp_registry.documents import ServerDocument, document_of
from reconciler.sources.packages.fetch import Page, Request
from reconciler.sources.packages.session import Session

LARGEST_ANSWER_BYTES: Final = 8 * 1024 * 1024
MOST_FOUND: Final = 100
_OFFICIAL: Final = "io.modelcontextprotocol.registry/official"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One entry with what the registry itself says about it."""

    document: ServerDocument
    status: str = ""
    """`active`, `deprecated` or `deleted`; empty where the registry does not say."""
    published_at: str = ""


class MCPRegistry:
    """One registry. `url` is its address without `/v0.1`."""

    def __init__(self, session: Session, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    @property
    def host(self) -> str:
        """For messages."""
        return httpx.URL(self._url).host

    async def find(self, name: str, version: str = "latest") -> Listed:
        """The entry of one server.

        Args:
            name: its full name, such as `io.github.owner/name`.
            version: an exact version, or `latest`.

        Raises:
            SourceError: there is none, it was deleted, or it is malformed.
            Unavailable: the registry does not answer.
        """
        path = f"/v0.1/servers/{quote(name, safe='')}/versions/{quote(version, safe='')}"
        answer = await self._answer(path)
        if answer is None:
            raise SourceError(
                "server-not-listed",
                f"the MCP registry at {self.host} has no server {name} in version {version}",
                hint=f"look for it with: catwalk search {name.rpartition('/')[2]}",
            )
        listed = _listed(answer, f"the entry of {name} at {self.host}")
        if listed.status == "deleted":
            raise SourceError("server-deleted", f"{name} was deleted from the MCP registry at {self.host}")
        return listed

    async def search(self, text: str, limit: int) -> tuple[Listed, ...]:
        """The newest versions of the active servers whose name holds a text, in the registry's order.

        Args:
            text: part of a name; upper and lower case are the same.
            limit: at most so many, 1 to 100.

        Raises:
            SourceError: the answer is none of this API.
            Unavailable: the registry does not answer.
        """
        query = urlencode({"search": text, "version": "latest", "limit": max(1, min(limit, MOST_FOUND))})
        answer = await self._answer(f"/v0.1/servers?{query}")
        entries = cast("Mapping[str, object]", answer).get("servers") if isinstance(answer, dict) else None
        if not isinstance(entries, list):
            raise SourceError("bad-registry-answer", f"{self.host} does not speak the MCP registry's API (v0.1)")
        found = list(_readable(cast("Sequence[object]", entries), self.host))
        return tuple(each for each in found if each.status != "deleted")[:limit]

    async def _answer(self, path: str) -> JSON:
        url = f"{self._url}{path}"
        request = Request(url=url, headers={"Accept": "application/json"}, most_bytes=LARGEST_ANSWER_BYTES)
        return await self._session.answer(("mcp-registry", url), request, self._read)

    def _read(self, page: Page) -> JSON:
        try:
            return cast("JSON", json.loads(page.body))
        except (ValueError, RecursionError) as error:
            raise Unavailable("registry-unavailable", f"{self.host} answers with something else than JSON") from error


def _listed(answer: object, origin: str) -> Listed:
    entry: dict[str, Any] = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    document = document_of(entry.get("server"), origin)
    meta: Any = entry.get("_meta")
    official: Any = cast("dict[str, Any]", meta).get(_OFFICIAL) if isinstance(meta, dict) else None
    said = cast("dict[str, Any]", official) if isinstance(official, dict) else {}
    return Listed(
        document=document, status=str(said.get("status") or ""), published_at=str(said.get("publishedAt") or "")
    )


def _readable(entries: Sequence[object], host: str) -> Sequence[Listed]:
    """Entries that are malformed are left out: one bad entry must not hide all others."""
    found: list[Listed] = []
    for entry in entries:
        try:
            found.append(_listed(entry, f"an entry at {host}"))
        except SourceError:
            continue
    return found
