"""What the Machines API can answer with, classed by what the reconciler does about it.

    Unavailable
    ├── MachinesUnavailable     5xx or no answer to a read: nothing happened, try again
    ├── AnswerLost              408, 5xx or no answer to a write: it may have happened, look before repeating
    ├── WaitExpired             the state was not reached in time; wait again
    ├── Throttled               (RateLimited) too many calls; nothing happened
    ├── ImageNotVisible         a pushed image is not visible yet
    └── NoCapacity              the host, the region or the volume's host is full
    Conflict
    ├── NotFound                the machine or app is not there (or not yet: reads lag behind writes)
    ├── AlreadyExists           the name is taken by the machine whose id it carries: adopt it
    ├── LeaseHeld               somebody else holds the machine
    ├── VersionChanged          the machine is no longer at the version that was read
    ├── NotReady                the machine is in a state that forbids this now
    └── UnexplainedConflict     a 409 that does not say which; never a ground for replacing a machine
    Refused
    ├── Forbidden               out of the token's scope, or of another organization
    ├── NameTaken               the app name belongs to somebody
    ├── NotOurs                 the thing exists and carries another owner's mark: it is never touched
    └── LimitReached            the organization may not have more
    EnvironmentFault
    ├── Unauthorized            the token is wrong, expired, or sent in the wrong form
    └── WrongAddress            whatever answers at the configured address is not the Machines API
    SourceError
    ├── InvalidRequest          the config is refused as written
    └── MachineFailed           the machine was started and ended

Messages quote the API's text cut short and name the request id that Fly's support asks for. They never quote the answer
to a call that carried secrets.
"""

from enum import StrEnum

from reconciler.errors import Conflict, EnvironmentFault, RateLimited, Refused, SourceError, Unavailable


class MachinesUnavailable(Unavailable):
    """A read got no usable answer."""


class AnswerLost(Unavailable):
    """A write got no usable answer: whether it happened is unknown, which is not the same as "did not happen"."""


class NotSent(Unavailable):
    """No connection was made, so that nothing can have happened: safe to repeat whatever the call does."""


class WaitExpired(Unavailable):
    """The awaited state was not reached within the wait."""


class Throttled(RateLimited):
    """429. The call was refused before it did anything (notes: no Retry-After is sent, one is honoured)."""


class ImageNotVisible(Unavailable):
    """`MANIFEST_UNKNOWN`: the registry does not show a just-pushed image yet; seen for up to some tens of seconds."""


class CapacityScope(StrEnum):
    """What is full, which decides where a machine may go instead."""

    HOST = "host"
    REGION = "region"
    VOLUME = "volume"


class NoCapacity(Unavailable):
    """There is no room for the machine where it is asked for."""

    scope: CapacityScope = CapacityScope.REGION


class NotFound(Conflict):
    """404. Within a minute of a create it may only mean that the answer came from a lagging replica."""


class AlreadyExists(Conflict):
    """A live machine holds the name. `machine_id` is empty where the text does not name it."""

    machine_id: str = ""


class LeaseHeld(Conflict):
    """A lease of somebody else locks the machine."""


class VersionChanged(Conflict):
    """`current_version` does not match, or a concurrent update won."""


class NotReady(Conflict):
    """412: the current state of the machine forbids the call."""


class UnexplainedConflict(Conflict):
    """409 without a known text: lease, version and capacity cannot be told apart."""


class Forbidden(Refused):
    """403."""


class NameTaken(Refused):
    """App names are global on Fly; this one is used already."""


class NotOurs(Refused):
    """A thing in the way does not carry the mark of this fleet."""


class LimitReached(Refused):
    """A limit of the organization, which billing lifts and waiting does not."""


class Unauthorized(EnvironmentFault):
    """401."""


class WrongAddress(EnvironmentFault):
    """The plain-text 404 of an unknown route, or a redirect: the base address is wrong."""


class InvalidRequest(SourceError):
    """400 or 422 for what the request says."""


class MachineFailed(SourceError):
    """The machine reached `failed`, or its process ended by itself while it was awaited."""
