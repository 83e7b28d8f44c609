"""One secret in a file of its own: `{value: ENC[…], for: ENC[…]}`.

Nothing in the SOPS format binds a file to its place, so that a copied file decrypts anywhere. `for` holds the place the
file was made for, `fleet/server/NAME`, encrypted and under the MAC with the value; another place is refused.
"""

from typing import Final, NoReturn

from reconciler.core.problems import Location
from reconciler.core.secret import SecretValue
from reconciler.sops.document import Decrypted, decrypt
from reconciler.sops.errors import UnusableSecret, WrongPlace
from reconciler.sops.identities import Identities

_VALUE: Final = "value"
_PLACE: Final = "for"


def read_secret_file(text: bytes, identities: Identities, *, file: str, place: str) -> SecretValue:
    """The secret in `text`, if the file was made for `place` (`fleet/server/NAME`).

    Raises:
        WrongPlace: the file was made for another place.
        UnusableSecret: the two values are not there, not encrypted, or not strings; or there is something else.
        CatwalkError: whatever `decrypt` raises.
    """
    return secret_of(decrypt(text, identities, file=file), file=file, place=place)


def secret_of(decrypted: Decrypted, *, file: str, place: str) -> SecretValue:
    """The secret in a file that has been opened.

    Raises:
        WrongPlace, UnusableSecret: as `read_secret_file`.
    """
    if any(leaf.document != 0 for leaf in decrypted.leaves()):
        _refuse_shape(file)
    values = decrypted.values_under(())
    if set(values) != {_VALUE, _PLACE}:
        _refuse_shape(file)
    if values[_PLACE] != SecretValue(place):
        message = f"this secret file was made for another place than {place}"
        hint = f"create a file for this place: its `for` must be {place} when it is encrypted"
        raise WrongPlace("sops-wrong-place", message, hint=hint, location=Location(file=file))
    return values[_VALUE]


def _refuse_shape(file: str) -> NoReturn:
    message = f"a secret file holds exactly the encrypted values {_VALUE} and {_PLACE}, and nothing else"
    hint = "write a file with these two strings, and encrypt the whole of it"
    raise UnusableSecret("sops-unusable-secret", message, hint=hint, location=Location(file=file))
