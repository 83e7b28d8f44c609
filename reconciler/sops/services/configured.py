"""Which key services this process may use, by its environment."""

from collections.abc import Callable, Mapping
from typing import Final

from reconciler.sops.services.gnupg import gnupg
from reconciler.sops.services.port import DataKeyService

_FACTORIES: Final[tuple[Callable[[Mapping[str, str]], DataKeyService | None], ...]] = (gnupg,)


def load_services(environment: Mapping[str, str]) -> tuple[DataKeyService, ...]:
    """The services that `environment` configures, in the order in which they are asked."""
    return tuple(service for make in _FACTORIES if (service := make(environment)) is not None)
