"""What `/health` says about the machine."""

import json
from dataclasses import dataclass
from enum import Enum

from gateway.adapter.causes import AdapterFailure, Cause


class State(Enum):
    """Where the machine stands. The value is the public name."""

    INSTALLING = "installing"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


@dataclass(slots=True, kw_only=True)
class Status:
    """The current state; one writer (the life of the machine), many readers (health checks, the MCP endpoint).

    `detail` on a ready machine names a weakness: no tools, an error of `tools/list`; while it installs, how far it is.
    """

    state: State = State.INSTALLING
    was_ready: bool = False
    cause: Cause | None = None
    detail: str | None = None

    @property
    def is_ready(self) -> bool:
        """What a health check wants to know."""
        return self.state is State.READY

    @property
    def serves(self) -> bool:
        """Whether calls are taken: from the first proof on, also while the server is restarted, until the final
        failure.
        """
        return self.was_ready and self.state is not State.FAILED

    def enter(self, state: State, detail: str | None = None) -> None:
        """Move to a state that is not a failure."""
        self.state, self.cause, self.detail = state, None, detail
        self.was_ready = self.was_ready or state is State.READY

    def fail(self, failure: AdapterFailure) -> None:
        """Move to the final state."""
        self.state, self.cause, self.detail = State.FAILED, failure.cause, failure.detail

    def body(self) -> bytes:
        """The JSON body of `/health`."""
        cause = self.cause.value if self.cause else None
        return json.dumps({"state": self.state.value, "cause": cause, "detail": self.detail}).encode()
