"""Which key services this process may use, by its environment."""

from collections.abc import Callable, Mapping
from typing import Final

from reconciler.sops.services.aws_kms import aws_kms
from reconciler.sops.services.gcp_kms import google_kms
from reconciler.sops.services.gnupg import gnupg
from reconciler.sops.services.port import DataKeyService
from reconciler.sops.services.vault import vault

_FACTORIES: Final[tuple[Callable[[Mapping[str, str]], DataKeyService | None], ...]] = (
    gnupg,
    aws_kms,
    vault,
    google_kms,
)


def load_services(environment: Mapping[str, str]) -> tuple[DataKeyService, ...]:
    """The services that `environment` configures, in the order in which they are asked."""
    return tuple(service for make in _FACTORIES if (service := make(environment)) is not None)
