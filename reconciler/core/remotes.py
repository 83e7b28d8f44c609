"""A server that somebody else runs, as the manifest states it. Values name secrets; none is in here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.core.secret import SecretValue

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientGrant:
    """How the gateway gets a token for it: the client credentials grant. `method` is `basic` or `post`."""

    token_url: str
    client_id: str
    client_secret: str
    scopes: tuple[str, ...] = ()
    method: str = "basic"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteProgram:
    """It has no machine: the gateway relays to its address."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    """Names and values, sorted; `${NAME}` in a value is a secret of the server."""
    grant: ClientGrant | None = None

    def __str__(self) -> str:
        """Without the query, which may say more than is anybody's business."""
        return f"remote:{self.url.partition('?')[0]}"


def filled(template: str, secrets: Mapping[str, SecretValue]) -> SecretValue:
    """A value with the secrets that it names.

    Raises:
        KeyError: it names one that is not there, which the manifest's checks have ruled out.
    """
    return SecretValue(_REFERENCE.sub(lambda match: secrets[match[1]].reveal(), template))
