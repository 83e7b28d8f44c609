"""One secret in a file of its own, bound to its place: made, or made anew, with public recipients alone.

The reader's half is `reconciler.sops.secret_file`, which refuses the file anywhere else.
"""

from datetime import datetime

from reconciler.core.problems import Location
from reconciler.core.secret import SecretValue
from reconciler.sops.writing.creation import Encryption, encrypt
from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.yaml_text import double_quoted


def new_secret_file(
    value: SecretValue, place: str, encryption: Encryption, *, file: str, last_modified: datetime
) -> bytes:
    """The content of a file for one secret at `place` (`fleet/server/NAME`).

    Everything in it is encrypted and under the MAC, whatever the rule of `encryption` says about other files.

    Raises:
        CannotEdit: the value is empty.
        InvalidRecipient: a recipient is none.
    """
    if not value.reveal():
        message = "the secret is empty, and SOPS does not protect empty values"
        raise CannotEdit("sops-cannot-edit", message, hint="give it a value", location=Location(file=file))
    plain = f"value: {double_quoted(value.reveal())}\nfor: {double_quoted(place)}\n"
    whole = Encryption(keys=encryption.keys, services=encryption.services)
    return encrypt(plain.encode("utf-8"), whole, file=file, last_modified=last_modified)
