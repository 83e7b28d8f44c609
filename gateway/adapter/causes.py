"""Why a machine cannot serve: a closed set of causes, each with the exit code that the engine and Fly see."""

from enum import Enum


class Cause(Enum):
    """A permanent reason for failure. The value is the public name in `/health` and in the log."""

    PACKAGE_NOT_FOUND = "package-not-found"
    VERSION_NOT_FOUND = "version-not-found"
    NO_EXECUTABLE = "no-executable"
    RUNTIME_UNAVAILABLE = "runtime-unavailable"
    INSTALL_FAILED = "install-failed"
    MISSING_VARIABLE = "missing-variable"
    MISSING_ARGUMENTS = "missing-arguments"
    PORT_IN_USE = "port-in-use"
    OUT_OF_MEMORY = "out-of-memory"
    CRASH_LOOP = "crash-loop"
    NOT_AN_MCP_SERVER = "not-an-mcp-server"
    TIMEOUT = "timeout"
    REGISTRY_UNAVAILABLE = "registry-unavailable"
    INTEGRITY_MISMATCH = "integrity-mismatch"


_FIRST_EXIT_CODE = 70
_EXIT_CODES = {cause: _FIRST_EXIT_CODE + place for place, cause in enumerate(Cause)}


def exit_code(cause: Cause) -> int:
    """The exit code of the adapter for a cause: 70 to 83 in the order of the enumeration."""
    return _EXIT_CODES[cause]


class AdapterFailure(Exception):
    """The machine cannot serve until somebody changes its configuration or its surroundings.

    `detail` is one sentence for a person: what is wrong, the line that shows it, what is available instead.
    """

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail
