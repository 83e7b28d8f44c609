"""The keys of one issuer, fetched when they are needed and kept for as long as that is right.

Verifying is decided on without waiting; fetching is not. So a token whose key is not here makes `key_for` raise
`Undecided`, whoever can wait awaits that, and asks again. Any number of waiting callers share one fetch.

- Keys are read again after ten minutes, so that a key that the issuer withdraws is withdrawn here.
- A key that is not known is looked for once more (the issuer has rotated), but not more often than every ten seconds,
  whatever callers make up.
- An issuer that is down does not stop the gateway: its keys count for a day longer, and it is asked again ever more
  rarely, up to every five minutes. Without keys there is no verdict: callers get 503, not 401.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from gateway.access import Undecided
from gateway.oauth.discovery import BadMetadata, keys_url, metadata_urls
from gateway.oauth.fetching import Fetcher, FetchFault
from gateway.oauth.keys import BadKeys, KeySet, VerifyingKey, read_keys
from gateway.oauth.providers import Provider
from gateway.oauth.tokens import BadToken, TokenHead

REFRESH_S: Final = 600.0
STALE_S: Final = 24 * 3600.0
RETRY_S: Final = 10.0
MAX_RETRY_S: Final = 300.0
FETCH_S: Final = 10.0
"""For metadata and keys together: callers wait for it."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("gateway.oauth")


class KeysUnavailable(Exception):
    """The issuer's keys are not here and cannot be had now; `retry_s` says when it is asked again."""

    def __init__(self, retry_s: float) -> None:
        super().__init__("the keys of the issuer cannot be had")
        self.retry_s = retry_s


class Issuer:
    """The keys of one provider. `clock` counts seconds and never goes back."""

    def __init__(self, provider: Provider, fetcher: Fetcher, clock: Callable[[], float]) -> None:
        self.provider = provider
        self._fetcher = fetcher
        self._clock = clock
        self._keys: KeySet | None = None
        self._read_at_s = 0.0
        self._next_fetch_s = clock()
        self._failures = 0
        self._lock = asyncio.Lock()
        self.generation = 0
        """Grows whenever the keys have changed: what was verified with the old ones has to be verified again."""

    @property
    def looks_again_in_s(self) -> float:
        """For how long the keys that are here count without another look at the issuer."""
        return max(self._read_at_s + REFRESH_S, self._next_fetch_s) - self._clock()

    def check(self) -> None:
        """Make sure that the keys have been looked at lately.

        Raises:
            Undecided: they have to be fetched first.
            KeysUnavailable: there are none.
        """
        if self._keys is not None and self._age_s() <= REFRESH_S:
            return
        if self._may_fetch() and not (self._lock.locked() and self._usable() is not None):
            raise Undecided(self.refresh)
        if self._usable() is None:
            raise KeysUnavailable(max(1.0, self._next_fetch_s - self._clock()))

    def key_for(self, head: TokenHead) -> VerifyingKey:
        """The key that a token names.

        Raises:
            Undecided: the keys have to be fetched first.
            KeysUnavailable: there are none.
            BadToken: the issuer has no such key.
        """
        self.check()
        assert self._keys is not None
        key = self._keys.find(head.key_id, head.algorithm)
        if key is not None:
            return key
        if self._may_fetch():
            raise Undecided(self.refresh)
        raise BadToken("The token is signed with a key that its issuer does not have.")

    async def refresh(self) -> None:
        """Fetch the keys, unless that has just been done. A failure leaves the old ones and is logged."""
        async with self._lock:
            if not self._may_fetch():
                return
            try:
                async with asyncio.timeout(FETCH_S):
                    keys = await self._fetch()
            except TimeoutError:
                self._failed(FetchFault(f"no keys within {FETCH_S:g} s"))
            except (FetchFault, BadMetadata, BadKeys) as error:
                self._failed(error)
            else:
                self._take(keys)

    def _may_fetch(self) -> bool:
        return self._clock() >= self._next_fetch_s

    def _age_s(self) -> float:
        return self._clock() - self._read_at_s

    def _usable(self) -> KeySet | None:
        return self._keys if self._age_s() <= STALE_S else None

    def _take(self, keys: KeySet) -> None:
        if self._keys is None or not keys.same_as(self._keys):
            self.generation += 1
            _log.info("issuer_keys_read", provider=self.provider.name, keys=len(keys.keys))
        self._keys, self._read_at_s = keys, self._clock()
        self._failures, self._next_fetch_s = 0, self._clock() + RETRY_S

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        pause_s = min(RETRY_S * 2 ** min(self._failures - 1, 10), MAX_RETRY_S)
        self._next_fetch_s = self._clock() + pause_s
        if self._keys is not None and self._usable() is None:
            self._keys = None
            self.generation += 1
        _log.warning("issuer_keys_unavailable", provider=self.provider.name, cause=str(error), retry_s=pause_s)

    async def _fetch(self) -> KeySet:
        url = self.provider.jwks_url or await self._discover()
        return read_keys(await self._fetcher.get(url))

    async def _discover(self) -> str:
        """Where the keys are. A document that is there and wrong ends the search: another one must not outvote it."""
        *first, last = metadata_urls(self.provider.issuer)
        for url in first:
            try:
                return keys_url(await self._fetcher.get(url), self.provider.issuer)
            except FetchFault as fault:
                if not 400 <= fault.status < 500:
                    raise
        return keys_url(await self._fetcher.get(last), self.provider.issuer)
