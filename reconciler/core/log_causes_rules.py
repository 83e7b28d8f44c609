"""What the logs of failing servers look like, as data: for each cause its patterns, and what to do about it.

Each rule carries a real line as its example, taken from a run of the failing thing itself: npm 11, uv, Node 20, Python
3.11 and MCP servers from the registries. Rules stand in the order in which they win: what a person can mend at once
comes before what only says that something broke. Patterns are RE2's, whose time grows with the text alone.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class LogCause(StrEnum):
    """Root causes that a log shows. The words are those of `reconciler.core.types.Cause`, where it has the cause."""

    PACKAGE_NOT_FOUND = "package-not-found"
    VERSION_NOT_FOUND = "version-not-found"
    NO_EXECUTABLE = "no-executable"
    RUNTIME_UNAVAILABLE = "runtime-unavailable"
    """A wrong version of Node or Python, or a missing system library."""
    INTEGRITY_MISMATCH = "integrity-mismatch"
    REGISTRY_UNAVAILABLE = "registry-unavailable"
    INSTALL_FAILED = "install-failed"
    PORT_IN_USE = "port-in-use"
    OUT_OF_MEMORY = "out-of-memory"
    BAD_TOKEN = "bad-token"  # noqa: S105  # The name of a cause.
    MISSING_VARIABLE = "missing-variable"
    MISSING_ARGUMENTS = "missing-arguments"
    TIMEOUT = "timeout"
    NOT_AN_MCP_SERVER = "not-an-mcp-server"
    CRASH_LOOP = "crash-loop"


FIXES: Final = {
    LogCause.PACKAGE_NOT_FOUND: "Correct the name in `package`, or give the registry that has it",
    LogCause.VERSION_NOT_FOUND: "Pin a version that the registry has",
    LogCause.NO_EXECUTABLE: "Name an executable of the package in `entrypoint`, or choose the package that has one",
    LogCause.RUNTIME_UNAVAILABLE: "Pin a version of the package that fits this runtime and its system libraries",
    LogCause.INTEGRITY_MISMATCH: "Ask the publisher why a published file changed before you run `catwalk lock` again",
    LogCause.REGISTRY_UNAVAILABLE: "Wait, or check the registry's address; it is tried again by itself",
    LogCause.INSTALL_FAILED: "Pin a version with prebuilt files, because the runner has no compilers",
    LogCause.PORT_IN_USE: "Let the server speak on standard input and output, or listen on the port in `PORT`",
    LogCause.OUT_OF_MEMORY: "Give the server more `memory`",
    LogCause.BAD_TOKEN: "Set the credential anew with `catwalk secrets set`; the service behind it refuses this one",
    LogCause.MISSING_VARIABLE: "Declare the variable in `env`, or set it with `catwalk secrets set`",
    LogCause.MISSING_ARGUMENTS: "Add what is missing to `args`",
    LogCause.TIMEOUT: "Check that what the server calls can be reached from its machine",
    LogCause.NOT_AN_MCP_SERVER: "Check that the package is an MCP server and writes nothing but MCP to standard output",
    LogCause.CRASH_LOOP: "Run the same package and version on your machine; the line names where it fails",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRule:
    """One way in which a cause shows."""

    cause: LogCause
    pattern: str
    example: str
    """A real line that the pattern finds."""
    newest: bool = False
    """Whether the last such line tells most: a traceback ends with the error that the reader can act on."""


def _rule(cause: LogCause, pattern: str, example: str, *, newest: bool = False) -> LogRule:
    return LogRule(cause=cause, pattern=pattern, example=example, newest=newest)


_VARIABLE: Final = r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b"
_NEED: Final = (
    r"(?i:required|missing|not (?:been )?set\b|must be|undefined|not provided|not defined|environment variable"
    r"|please (?:set|provide))"
)

RULES: Final = (
    _rule(
        LogCause.PACKAGE_NOT_FOUND,
        r"The requested resource '.+' could not be found|was not found in the package registry",
        "npm error 404  The requested resource 'catwalk-no-such-package-4711@*' could not be found or you do not have "
        "permission to access it.",
    ),
    _rule(LogCause.PACKAGE_NOT_FOUND, r"npm (?:error|ERR!) code E404", "npm error code E404"),
    _rule(
        LogCause.VERSION_NOT_FOUND,
        r"No matching version found for|there is no version of \S+==",
        "npm error notarget No matching version found for @modelcontextprotocol/server-filesystem@99.0.0.",
    ),
    _rule(
        LogCause.NO_EXECUTABLE,
        r"could not determine executable to run|does not provide any executables|executable named .+ is not provided",
        "Package `six` does not provide any executables.",
    ),
    _rule(
        LogCause.RUNTIME_UNAVAILABLE,
        r"npm (?:error|ERR!) .*Not compatible with your version of node"
        r"|current Python version \(.+\) does not satisfy|does not provide an export named",
        "npm error notsup Not compatible with your version of node/npm: native-demo@1.0.0",
    ),
    _rule(
        LogCause.RUNTIME_UNAVAILABLE,
        r"cannot open shared object file",
        "OSError: libodbc.so.2: cannot open shared object file: No such file or directory",
    ),
    _rule(
        LogCause.INTEGRITY_MISMATCH,
        r"Hash mismatch for `",
        "  cause: Hash mismatch for `mcp-server-time==2026.10.19`",
    ),
    _rule(
        LogCause.REGISTRY_UNAVAILABLE,
        r"npm (?:error|ERR!) code (?:ECONNREFUSED|ENOTFOUND|ETIMEDOUT|EAI_AGAIN)|cause: Failed to fetch",
        "npm error code ECONNREFUSED",
    ),
    _rule(
        LogCause.INSTALL_FAILED,
        r"error: Failed to build |gyp ERR! stack Error",
        "npm error gyp ERR! stack Error: `make` failed with exit code: 2",
    ),
    _rule(LogCause.INSTALL_FAILED, r"npm (?:error|ERR!) command failed", "npm error command failed"),
    _rule(
        LogCause.PORT_IN_USE,
        r"EADDRINUSE|(?i:address already in use)",
        "Error: listen EADDRINUSE: address already in use 127.0.0.1:18089",
    ),
    _rule(
        LogCause.OUT_OF_MEMORY,
        r"heap out of memory|\bMemoryError\b|Cannot allocate memory|^.{0,80}\bKilled\b",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
    ),
    _rule(
        LogCause.BAD_TOKEN,
        r"\b401\b.*Unauthorized|Unauthorized.*\b401\b|\b403 Forbidden|Bad credentials|status code 40[13]\b"
        r"|(?i:(?:incorrect|invalid) (?:api[ _-]?key|token|credentials))|AuthenticationError",
        "httpx.HTTPStatusError: Client error '401 Unauthorized' for url 'http://127.0.0.1:18089/401'",
    ),
    _rule(
        LogCause.MISSING_VARIABLE,
        rf"{_VARIABLE}.*{_NEED}|{_NEED}.*{_VARIABLE}|KeyError: '[A-Z][A-Z0-9_]+'",
        "Error: BRAVE_API_KEY environment variable is required",
    ),
    _rule(
        LogCause.MISSING_VARIABLE,
        r"Field required \[type=missing"
        r"|(?i:(?:api[ _-]?key|access token|credentials?)\b.*(?:required|missing|not set))",
        "  Field required [type=missing, input_value={}, input_type=dict]",
    ),
    _rule(
        LogCause.MISSING_ARGUMENTS,
        r"(?i:arguments? (?:is|are) required|as a command-line argument)",
        "mcp-server-sqlite: error: the following arguments are required: --db-path",
    ),
    _rule(
        LogCause.MISSING_ARGUMENTS,
        r"^\s*(?i:usage:)",
        "Usage: mcp-server-filesystem [allowed-directory] [additional-directories...]",
    ),
    _rule(
        LogCause.TIMEOUT,
        r"TimeoutError|(?:Read|Connect)Timeout\b|ETIMEDOUT|Request timed out",
        "httpx.ReadTimeout: timed out",
        newest=True,
    ),
    _rule(
        LogCause.CRASH_LOOP,
        r"^(?:\w+\.)*(?:ImportError|ModuleNotFoundError)\b|ERR_MODULE_NOT_FOUND\]|Error: Cannot find module",
        "ModuleNotFoundError: No module named 'fastmcp_not_there'",
        newest=True,
    ),
    _rule(
        LogCause.CRASH_LOOP,
        r"^(?:\w+\.)*\w*(?:Error|Exception)(?: \[\w+\])?(?:: |$)",
        "ZeroDivisionError: division by zero",
        newest=True,
    ),
    _rule(
        LogCause.CRASH_LOOP,
        r"Segmentation fault",
        'bash: line 1:  6414 Segmentation fault      python3 -c "import os;os.kill(os.getpid(),11)"',
    ),
    _rule(
        LogCause.NOT_AN_MCP_SERVER,
        r'^\{"catwalk": ?"stdout-noise"',
        '{"catwalk": "stdout-noise", "line": "Hello from my server", "why": "an object is expected"}',
    ),
)
