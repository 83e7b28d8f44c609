"""What can be wrong with a change to a SOPS file, beyond what can be wrong with reading one.

    SourceError
    ├── InvalidRecipient             somebody to encrypt to is no age recipient
    ├── CannotEdit                   the file is valid, and this change to it is not one that Catwalk makes
    └── InvalidCreationRules         `.sops.yaml` is missing, broken, or asks for what Catwalk does not write
    EnvironmentFault
    └── NotWritten                   the disk refused; the file is as it was
    Conflict
    └── ChangedMeanwhile             somebody else wrote the file since it was read; it is as they left it

As with reading, no message holds a plaintext, a ciphertext or key text.
"""

from reconciler.errors import Conflict, EnvironmentFault, SourceError


class InvalidRecipient(SourceError):
    """Not an age recipient. Code `sops-invalid-recipient`; a secret key in its place is never repeated."""


class CannotEdit(SourceError):
    """The file holds something that this change would have to guess about. Code `sops-cannot-edit`."""


class InvalidCreationRules(SourceError):
    """No usable rule for a file. Codes `sops-no-rules`, `sops-no-rule-matches`, `sops-bad-rules`."""


class NotWritten(EnvironmentFault):
    """The file system refused, or did not give back what was written. Code `sops-not-written`."""


class ChangedMeanwhile(Conflict):
    """The file on disk is no longer the one that was edited. Code `sops-changed-meanwhile`."""
