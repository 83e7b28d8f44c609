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


_NAMES: Final = frozenset({"HOME", "PATH", "GNUPGHOME", "XDG_RUNTIME_DIR"})
_PREFIXES: Final = ("SOPS_", "AWS_", "VAULT_", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN")


def key_environment(environment: Mapping[str, str]) -> Mapping[str, str]:
    """What `load_identities` reads of `environment`: all that has to be passed on to this room, and nothing else."""
    return {name: value for name, value in environment.items() if name in _NAMES or name.startswith(_PREFIXES)}


def load_services(environment: Mapping[str, str]) -> tuple[DataKeyService, ...]:
    """The services that `environment` configures, in the order in which they are asked."""
    return tuple(service for make in _FACTORIES if (service := make(environment)) is not None)
