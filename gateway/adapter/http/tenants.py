"""Who holds a server process of its own, and how many there may be, in the machine and for one principal."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_EVICTABLE_S = 60.0


class NoRoom(Exception):
    """A limit is reached and nothing idle can make room."""


class Tenant(Protocol):
    """A legacy session, or the server process of modern clients that can be asked."""

    principal: str
    last_used_s: float

    @property
    def is_busy(self) -> bool:
        """Whether it may not be closed now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many tenants of a kind there may be in all, and of one known principal."""

    total: int
    per_principal: int


class Tenancy:
    """The tenants of one kind. `evict` closes one that has been idle for a minute when room is needed."""

    def __init__(self, limit: Limit, evict: Callable[[Tenant], None]) -> None:
        self._limit = limit
        self._evict = evict
        self._tenants: list[Tenant] = []

    def add(self, tenant: Tenant) -> None:
        """Make room and take one more. Raises NoRoom."""
        self._make_room(self._tenants, self._limit.total)
        if tenant.principal:
            alike = [each for each in self._tenants if each.principal == tenant.principal]
            self._make_room(alike, self._limit.per_principal)
        self._tenants.append(tenant)

    def remove(self, tenant: Tenant) -> None:
        """One that is closed."""
        if tenant in self._tenants:
            self._tenants.remove(tenant)

    def _make_room(self, alike: list[Tenant], limit: int) -> None:
        if len(alike) < limit:
            return
        oldest = min(alike, key=lambda tenant: (tenant.is_busy, tenant.last_used_s))
        if oldest.is_busy or time.monotonic() - oldest.last_used_s < _EVICTABLE_S:
            raise NoRoom
        self._evict(oldest)
