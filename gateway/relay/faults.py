"""How an exchange with an upstream can fail, classed by what the caller can do about it.

RelayFault                 carries `cause`, a sentence fragment without secrets and without the client's data
├── UpstreamUnreachable    no connection came about: nothing was sent, another try is safe
│   └── UpstreamForbidden  its address is one that may not be reached: the configuration has to change
├── UpstreamBusy           our own limit of connections is reached: nothing was sent, wait
├── UpstreamTimeout        it did not accept, read or answer in time
├── UpstreamBroken         it answered something that is not HTTP, or stopped in the middle
└── ExchangeAborted        we ended it ourselves, because the client went away or the gateway shuts down
"""


class RelayFault(Exception):
    """Any failure of an exchange."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class UpstreamUnreachable(RelayFault):
    """No connection could be made."""

    def __init__(self, cause: str, *, refused: bool = False) -> None:
        super().__init__(cause)
        self.refused = refused
        """Whether the address answered that nobody listens, as against an address that cannot be found or reached."""


class UpstreamForbidden(UpstreamUnreachable):
    """The address is not one that the gateway may connect to."""


class UpstreamBusy(RelayFault):
    """As many connections to this upstream are open as the limits allow."""


class UpstreamTimeout(RelayFault):
    """The upstream let a time limit pass."""


class UpstreamBroken(RelayFault):
    """The upstream broke the rules of HTTP, or the connection in the middle of an answer."""


class ExchangeAborted(RelayFault):
    """Ended from our side."""
