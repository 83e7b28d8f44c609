"""The Authorization header of a Fly token.

Fly has two kinds of token and two schemes, and refuses one in the scheme of the other (fly-go `tokens/tokens.go`):
macaroons (`fm1r_`, `fm1a_`, `fm2_`, several joined by commas) go under `FlyV1`, OAuth tokens under `Bearer`. People
store tokens with a scheme in front, because that is what `fly tokens create` prints, so prefixes are stripped first. A
list that mixes both kinds, which is what `fly auth token` prints, is answered 401: the macaroons win, as in fly-go.
"""

from typing import Final

from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault

_MACAROON_PREFIXES: Final = ("fm1r_", "fm1a_", "fm2_")
_SCHEMES: Final = ("flyv1", "bearer")


def authorization(token: SecretValue) -> str:
    """The header value for `token`.

    Raises:
        EnvironmentFault: the text holds no token, or a character that no header may carry.
    """
    parts = [part for part in (_bare(part) for part in token.reveal().split(",")) if part]
    if not parts or not all(_is_header_safe(part) for part in parts):
        raise EnvironmentFault(
            "fly-token-unusable",
            "the Fly token is empty or holds a blank or a character that no token has",
            hint="copy it again from `fly tokens create org`",
        )
    macaroons = [part for part in parts if part.startswith(_MACAROON_PREFIXES)]
    return f"FlyV1 {','.join(macaroons)}" if macaroons else f"Bearer {','.join(parts)}"


def _bare(part: str) -> str:
    """One token without scheme names, also where they are stacked or not separated: `Bearer FlyV1fm2_…`."""
    bare = part.strip()
    while scheme := next((scheme for scheme in _SCHEMES if _has_scheme(bare, scheme)), ""):
        bare = bare[len(scheme) :].strip()
    return bare


def _has_scheme(text: str, scheme: str) -> bool:
    if not text.lower().startswith(scheme):
        return False
    rest = text[len(scheme) :]
    return not rest or rest[0].isspace() or rest.startswith(_MACAROON_PREFIXES)


def _is_header_safe(part: str) -> bool:
    return part.isascii() and part.isprintable() and " " not in part
