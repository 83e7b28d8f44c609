"""Whether the signature of a commit is one of a key that is trusted: SSH in process, OpenPGP by the `gpg` program.

Only the newest commit is looked at, as it is what is applied; its parents are covered by its hash and are as trusted as
whoever signed it. Certificates of SSH authorities and X.509 are refused, not ignored.
"""

from reconciler.sources.signatures.gnupg import GnuPGSignatures
from reconciler.sources.signatures.ssh import SSHSignatures

__all__ = ["GnuPGSignatures", "SSHSignatures"]
