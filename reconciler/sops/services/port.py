"""What every key service can do, and the ways in which it can fail.

A wrapped key comes from a file, so everything in it (address, key name, region, role) was written by whoever can push:
a service checks all of it against what this process was configured with before it sends a credential anywhere.
"""

from typing import Final, Protocol

from reconciler.errors import EnvironmentFault, Refused, Unavailable
from reconciler.sops.master_keys import MasterKey
from reconciler.sops.metadata import KeyService, WrappedKey

TIMEOUT_S: Final = 15.0
"""For one call to a service, connecting included."""
MAXIMUM_ANSWER_BYTES: Final = 64 * 1024
"""No answer is larger than a few kilobytes: a data key has 32 bytes."""


class NotForUsError(ValueError):
    """The service holds no key that opens this wrapped key."""


class DamagedKeyError(ValueError):
    """The service has the key, and the wrapped key does not open with it: it was changed or cut short."""


class KeyServiceUnavailable(Unavailable):
    """The service does not answer now. Code `sops-key-service-unavailable`."""


class KeyServiceDenied(Refused):
    """The service knows the key and does not let us use it. Code `sops-key-service-denied`."""


class KeyServiceNotAllowed(EnvironmentFault):
    """The file names a service or a key that is not on the allow-list. Code `sops-key-service-not-allowed`."""


class DataKeyService(Protocol):
    """Something outside this process that wraps and unwraps data keys. Implementations are called from threads."""

    @property
    def kind(self) -> KeyService:
        """Which entries of the metadata it understands."""
        ...

    def unwrap(self, key: WrappedKey) -> bytes:
        """The data key, or the share of it, that `key` holds.

        Raises:
            NotForUsError: no key here opens it.
            DamagedKeyError: it is not what the service wrapped.
            KeyServiceUnavailable: no answer in time.
            KeyServiceDenied: the credentials do not suffice.
            KeyServiceNotAllowed: the file names what is not on the allow-list.
        """
        ...

    def wrap(self, key: MasterKey, secret: bytes) -> str:
        """`secret`, a data key or a share of one, as the metadata holds it for `key`.

        Raises:
            KeyServiceUnavailable: no answer in time.
            KeyServiceDenied: there is no such key, or the credentials do not suffice.
            KeyServiceNotAllowed: `key` is not on the allow-list.
        """
        ...
