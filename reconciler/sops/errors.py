"""Everything that can be wrong with a SOPS file, told apart by what the reader has to do next.

    SourceError
    ├── NotEncrypted                 the file carries no SOPS metadata: encrypt it
    ├── MalformedSops                the file or its metadata cannot be read: repair or re-create it
    │   └── MergeDamage              git left conflict markers: resolve them, or take one side whole
    ├── UnsupportedSops              valid SOPS that Catwalk does not read: the message names what it needs
    ├── Tampered                     authentic content was changed: restore it from a commit that you trust
    ├── WrongPlace                   a secret file was copied to a server it was not made for
    └── UnusableSecret               it decrypts, but no environment variable can be made of it
    EnvironmentFault
    ├── NoKeyConfigured              no identity here at all
    ├── KeyMismatch                  identities, but none that these recipients wrapped the key for
    └── KeyUnreadable                the configured key file cannot be read

No message may hold a plaintext, a ciphertext or key text: users of other tools found their secrets in logs that way.
Messages name the file, the place, the key path and public recipients, nothing else; library errors that quote the file
are dropped (`raise … from None`), because a traceback prints them.
"""

from reconciler.errors import EnvironmentFault, SourceError


class NotEncrypted(SourceError):
    """The file has no `sops` metadata. Code `sops-not-encrypted`."""


class MalformedSops(SourceError):
    """The file, its metadata or one of its values is not in the SOPS format, or is beyond a limit. Codes
    `sops-malformed`, `sops-too-large`.
    """


class MergeDamage(MalformedSops):
    """Git conflict markers stand in the file. Code `sops-merge-conflict`."""


class UnsupportedSops(SourceError):
    """A key service or rule that Catwalk does not read. Codes `sops-unsupported-key-service`,
    `sops-unsupported-rule`.
    """


class Tampered(SourceError):
    """Something authenticated does not verify. Codes `sops-value-tampered`, `sops-mac-missing`, `sops-mac-mismatch`,
    `sops-key-tampered`.
    """


class WrongPlace(SourceError):
    """A secret file says that it belongs elsewhere. Code `sops-wrong-place`."""


class UnusableSecret(SourceError):
    """A value under `secrets` is in plain text, empty, or no text. Code `sops-unusable-secret`."""


class NoKeyConfigured(EnvironmentFault):
    """The file is encrypted and nothing is configured that could open it. Code `sops-no-key`."""


class KeyMismatch(EnvironmentFault):
    """No configured identity opens the data key. Code `sops-key-mismatch`; the recipients are in the message."""


class KeyUnreadable(EnvironmentFault):
    """`SOPS_AGE_KEY_FILE` names a file that cannot be read. Code `sops-key-file-unreadable`."""
