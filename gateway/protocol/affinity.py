"""What a gateway and the machines behind it say to each other about a caller and about where a call went on.

A gateway that authenticates names the caller to the adapter in a header of its own; clients cannot set it, because a
gateway forwards no header that it does not know. A call that waits for its client's input lives in one machine, which
the state that the client brings back names.
"""

import re

PRINCIPAL_HEADER = "catwalk-principal"
"""Who calls: an opaque text, the same for every call of one caller. Absent where nobody is told apart."""

SCOPE_HEADER = "catwalk-sessions"
"""Of an answer to `initialize`: `isolated` where the session has a server process of its own, else `shared`. A gateway
may open a lost session anew only where nothing was kept for it alone.
"""

NAME_HEADER = "catwalk-session-name"
"""Of a request to `initialize`: a gateway's own name for the session, which brings back the one that has it already."""

STATE_PREFIX = "cw1"
_MACHINE = re.compile(rf"{STATE_PREFIX}\.([A-Za-z0-9_-]{{1,64}})\.")


def machine_of_state(state: str) -> str | None:
    """The machine that a `requestState` names, None when it is not the adapter's or names none.

    Only a hint for routing: the machine itself judges whether the state is genuine.
    """
    match = _MACHINE.match(state)
    return None if match is None or match[1] == "-" else match[1]
