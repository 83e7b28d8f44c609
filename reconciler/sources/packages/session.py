"""Asking registries with a memory: fresh answers are not asked for, known ones by ETag, and a registry that is down is
left alone for a while.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import anyio
import httpx

from reconciler.core.digests import JSON
from reconciler.core.problems import Problem
from reconciler.errors import Unavailable
from reconciler.sources.packages.cache import AnswerCache, Kept, fresh_for
from reconciler.sources.packages.fetch import Page, Request, fetch

FAILURES_IN_A_ROW: Final = 3
"""After so many a host is not asked for a while: fifty packages must not wait fifty timeouts."""
LEFT_ALONE_FOR: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class _Trouble:
    failures: int
    last: Unavailable
    until: datetime


class Session:
    """Connections, cache and clock of one catalog."""

    def __init__(
        self,
        client: httpx.AsyncClient | Callable[[], Awaitable[httpx.AsyncClient]],
        cache: AnswerCache,
        now: Callable[[], datetime],
    ) -> None:
        """`client` may be what opens one, so that answers out of the cache do not wait for certificates to be read."""
        self.now = now
        self._client = client
        self._cache = cache
        self._asking: defaultdict[tuple[str, ...], anyio.Lock] = defaultdict(anyio.Lock)
        self._trouble: dict[str, _Trouble] = {}
        self._outdated: dict[str, Problem] = {}

    @property
    def outdated(self) -> tuple[Problem, ...]:
        """One problem for each registry that did not answer although an earlier answer could stand in for it."""
        return tuple(problem for _, problem in sorted(self._outdated.items()))

    async def answer(self, key: tuple[str, ...], request: Request, read: Callable[[Page], JSON]) -> JSON:
        """What `read` makes of the page: from the cache, or asked for now; None when the registry has no such page.

        Raises:
            Unavailable: the registry does not answer, and no earlier answer is kept.
        """
        async with self._asking[key]:
            kept = self._cache.get(*key)
            if kept is not None and kept.fresh:
                return kept.facts
            try:
                page = await self.page(_conditional(request, kept))
            except Unavailable as error:
                if kept is None:
                    raise
                self.note(request.url, error.problem)
                return kept.facts
            return self._keep(key, kept, page, read)

    async def page(self, request: Request) -> Page | None:
        """One page, never from the cache.

        Raises:
            Unavailable: the registry does not answer.
        """
        host = httpx.URL(request.url).host
        trouble = self._trouble.get(host)
        if trouble is not None and trouble.failures >= FAILURES_IN_A_ROW and self.now() < trouble.until:
            raise Unavailable(trouble.last.problem.code, trouble.last.problem.message, hint=trouble.last.problem.hint)
        try:
            client = self._client if isinstance(self._client, httpx.AsyncClient) else await self._client()
            page = await fetch(client, request)
        except Unavailable as error:
            failures = trouble.failures + 1 if trouble else 1
            self._trouble[host] = _Trouble(failures, error, self.now() + LEFT_ALONE_FOR)
            raise
        self._trouble.pop(host, None)
        return page

    def keep(self, key: tuple[str, ...], facts: JSON, lasting: timedelta) -> None:
        """Keeps what was found out in another way than by one page."""
        self._cache.put(*key, facts=facts, fresh_for=lasting)

    def kept(self, key: tuple[str, ...]) -> JSON:
        """What is kept and fresh under a key; None where nothing is."""
        kept = self._cache.get(*key)
        return kept.facts if kept is not None and kept.fresh else None

    def note(self, url: str, problem: Problem) -> None:
        """Remembers that a registry could not be asked, and that the answer was given without it."""
        self._outdated[httpx.URL(url).host] = problem

    def _keep(self, key: tuple[str, ...], kept: Kept | None, page: Page | None, read: Callable[[Page], JSON]) -> JSON:
        if page is None:
            return None
        facts = kept.facts if page.unchanged and kept is not None else read(page)
        lasting = fresh_for(page.headers.get("cache-control", ""))
        if lasting is not None:
            etag = page.headers.get("etag", "") or (kept.etag if page.unchanged and kept else "")
            self._cache.put(*key, facts=facts, etag=etag, fresh_for=lasting)
        return facts


def _conditional(request: Request, kept: Kept | None) -> Request:
    if kept is None or not kept.etag:
        return request
    return replace(request, headers={**request.headers, "If-None-Match": kept.etag})
