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
    SERVICE_UNREACHABLE = "service-unreachable"
    """What the server calls does not answer: no such name, nobody there, no certificate that counts."""
    PERMISSION_DENIED = "permission-denied"
    """The system does not let the server read, write or run something."""
    DISK_FULL = "disk-full"
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
    LogCause.SERVICE_UNREACHABLE: "Check the address that the server is given, and that its machine can reach it",
    LogCause.PERMISSION_DENIED: "Let the server write below its home only, and run nothing that needs other rights",
    LogCause.DISK_FULL: "Let the server keep less on its disk, or outside its machine",
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
    r"(?i:required|missing|not (?:been )?set\b|unset\b|must be|undefined|not provided|not defined|not "
    r"configured|is empty"
    r"|cannot be empty|environment variable|please (?:set|provide)|fehlt|nicht gesetzt|manquant|falta\b"
    r"|(?:non|pas) d[ée]fini"
    r"|no (?:está )?definid|não definid|не задан|не установлен|отсутствует|未设置|未配置|缺少|設定されていません|필요)"
)
_CREDENTIAL: Final = (
    r"(?:api[ _-]?keys?|(?:access |bot |auth )?tokens?|credentials?|passwords?|secrets?|connection string)"
)

RULES: Final = (
    _rule(
        LogCause.PACKAGE_NOT_FOUND,
        r"The requested resource '.+' could not be found|was not found in the package registry",
        "npm error 404  The requested resource 'catwalk-no-such-package-4711@*' could not be found or you do "
        "not have "
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
        r"SyntaxError: f-string|ERR_UNKNOWN_BUILTIN_MODULE|NODE_MODULE_VERSION|version `GLIBC(?:XX)?_[0-9.]+' not found"
        r"|(?i:requires (?:at least )?(?:python|node(?:\.js)?) ?(?:version )?v?(?:[<>=~^]+ ?)?[0-9]"
        r"|(?:python|node(?:\.js)?) v?[0-9.]+ (?:or (?:newer|higher|later|above|greater)|is required|is not "
        r"supported))",
        "Error [ERR_UNKNOWN_BUILTIN_MODULE]: No such built-in module: node:sqlite",
    ),
    _rule(
        LogCause.RUNTIME_UNAVAILABLE,
        r"cannot open shared object file|(?i:unable to find \w+ shared library|\blibrar(?:y|ies)\b.*not found"
        r"|(?:cannot|could not|unable to|failed to) (?:find|load|locate) (?:\S+ ){0,3}librar(?:y|ies)\b)",
        "OSError: libodbc.so.2: cannot open shared object file: No such file or directory",
    ),
    _rule(
        LogCause.INTEGRITY_MISMATCH,
        r"Hash mismatch for `|npm (?:error|ERR!) code EINTEGRITY",
        "  cause: Hash mismatch for `mcp-server-time==2026.10.19`",
    ),
    _rule(
        LogCause.BAD_TOKEN,
        r"\bE40[13]\b|package index answers 40[13]\b",
        "npm error code E401",
    ),
    _rule(
        LogCause.REGISTRY_UNAVAILABLE,
        r"npm (?:error|ERR!) code (?:ECONNREFUSED|ENOTFOUND|ETIMEDOUT|EAI_AGAIN|DEPTH_ZERO\w*|\w*SELF_SIGNED\w*)"
        r"|cause: Failed to fetch",
        "npm error code ECONNREFUSED",
    ),
    _rule(
        LogCause.INSTALL_FAILED,
        r"error: Failed to build |gyp ERR! stack Error|npm (?:error|ERR!) code (?:ERESOLVE|EUSAGE)\b"
        r"|\berror TS[0-9]+: |Could not locate the bindings file|No native build was found for",
        "npm error gyp ERR! stack Error: `make` failed with exit code: 2",
    ),
    _rule(
        LogCause.INSTALL_FAILED,
        r"npm (?:error|ERR!) command failed|error: No solution found when resolving",
        "npm error command failed",
    ),
    _rule(
        LogCause.PORT_IN_USE,
        r"EADDRINUSE|(?i:address already in use|port [0-9]+ is (?:already )?(?:in use|taken|occupied))",
        "Error: listen EADDRINUSE: address already in use 127.0.0.1:18089",
    ),
    _rule(
        LogCause.OUT_OF_MEMORY,
        r"heap out of memory|\bMemoryError\b|Cannot allocate memory|^.{0,80}\bKilled\b|Unable to allocate .+ "
        r"for an array"
        r"|Array buffer allocation failed|std::bad_alloc|ERR_MEMORY_ALLOCATION_FAILED",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
    ),
    _rule(
        LogCause.DISK_FULL,
        r"\bENOSPC\b|(?i:no space left on device|disk is full|disk quota exceeded)",
        "OSError: [Errno 28] No space left on device",
    ),
    _rule(
        LogCause.BAD_TOKEN,
        r"\b401[:,]? (?:[^ ]+ ){0,2}\(?Unauthorized|Unauthorized.*\b401\b|\b403 Forbidden|Bad credentials"
        r"|AuthenticationError"
        r"|(?i:(?:status|response)(?: code)?:? 40[13]\b|(?:Error|error):? 40[13]\b|\b40[13],? message=)"
        r"|(?i:(?:incorrect|invalid|expired|revoked|wrong) (?:\w+ )?(?:api[ _-]?key|token|credentials|password)\b)",
        "httpx.HTTPStatusError: Client error '401 Unauthorized' for url 'http://127.0.0.1:18089/401'",
    ),
    _rule(
        LogCause.BAD_TOKEN,
        r"(?i:authentication failed|failed to authenticate|(?:^|[^'])\bunauthorized\b(?:[^']|$)|invalid_auth"
        r"|not_authed|invalid_grant|WRONGPASS|NOAUTH"
        r"|access denied for user|(?:token|key) (?:has |is )?(?:expired|revoked|invalid))",
        "[fatal] Authentication failed. Check your API token and try again.",
    ),
    _rule(
        LogCause.MISSING_VARIABLE,
        rf"{_VARIABLE}.*{_NEED}|{_NEED}.*{_VARIABLE}|KeyError: '[A-Z][A-Z0-9_]+'|UndefinedValueError: [A-Z]"
        rf"|(?i:\bset (?:the )?){_VARIABLE}",
        "Error: BRAVE_API_KEY environment variable is required",
    ),
    _rule(
        LogCause.MISSING_VARIABLE,
        r"Field required \[type=missing|\"message\": ?\"(?:Required\"|Invalid input: expected \w+, received "
        r"undefined)"
        r"|(?i:missing (?:required )?env(?:ironment)?\b|no ?credentials ?error|default credentials were not found"
        r"|\b(?:url|host|endpoint|region)\b.{0,20}(?:cannot be empty|is required|must be (?:set|provided|specified)))",
        "  Field required [type=missing, input_value={}, input_type=dict]",
    ),
    _rule(
        LogCause.MISSING_VARIABLE,
        rf"(?i:\b{_CREDENTIAL}\b.{{0,60}}(?:required|missing|not (?:been )?(?:set|found|provided|configured"
        rf"|specified)|is empty|undefined)"
        rf"|\b(?:no|missing|please provide|must provide|provide|requires?|need) (?:\w+ ){{0,4}}{_CREDENTIAL}\b)",
        "Error: HubSpot access token is required.",
    ),
    _rule(
        LogCause.MISSING_ARGUMENTS,
        r"(?i:arguments? (?:is|are) required|as a command-line argument|unrecognized arguments|no such option"
        r"|missing (?:required )?(?:option|argument|parameter)s?\b|required option|not enough (?:non-option "
        r")?arguments"
        r"|unknown (?:option|argument|transport|flag)|unexpected (?:extra )?argument|invalid choice|too many "
        r"arguments)",
        "mcp-server-sqlite: error: the following arguments are required: --db-path",
    ),
    _rule(
        LogCause.MISSING_ARGUMENTS,
        r"^\s*(?i:usage:)",
        "Usage: mcp-server-filesystem [allowed-directory] [additional-directories...]",
    ),
    _rule(
        LogCause.PERMISSION_DENIED,
        r"\b(?:EACCES|EPERM|EROFS|PermissionError)\b|(?i:permission denied|read-only file system|operation not "
        r"permitted)",
        "Error: EACCES: permission denied, open '/etc/shadow'",
    ),
    _rule(
        LogCause.TIMEOUT,
        r"TimeoutError|(?:Read|Connect)Timeout\b|ETIMEDOUT|UND_ERR_\w+_TIMEOUT"
        r"|(?i:request timed out|timeout of [0-9]+ ?ms exceeded|\btimed out\b|deadline exceeded)",
        "httpx.ReadTimeout: timed out",
        newest=True,
    ),
    _rule(
        LogCause.SERVICE_UNREACHABLE,
        r"\b(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ECONNRESET|EHOSTUNREACH|ENETUNREACH|DEPTH_ZERO_SELF_SIGNED_CERT)\b"
        r"|CERTIFICATE_VERIFY_FAILED|UNABLE_TO_VERIFY_LEAF|NameResolutionError|(?:Connect|Connection)Error\b"
        r"|(?i:self[- ]signed certificate|certificate has expired|connection refused|name or service not known"
        r"|temporary failure in name resolution|network is unreachable|no route to host|server has gone away"
        r"|(?:can't|cannot|could not|unable to|failed to) connect to)",
        "Error: connect ECONNREFUSED 127.0.0.1:37531",
        newest=True,
    ),
    _rule(
        LogCause.RUNTIME_UNAVAILABLE,
        r"\bspawn \S+ ENOENT|: command not found$|No such file or directory: '[a-z][a-z0-9._-]*'$"
        r"|(?i:executable (?:\S+ )?(?:doesn't exist|not found))",
        "Error: spawn ffmpeg ENOENT",
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

ASIDE: Final = (
    r"(?i:\b(?:warn(?:ing)?s?|optional(?:ly)?|disabled|deprecat\w*|opt[- ]out|not required|fall(?:ing|s)? ?back"
    r"|using default"
    r'|skipp(?:ed|ing)|telemetry|license|licence)\b|"level": ?"(?:info|debug)"|^\s*\'[^\']*\',?$)'
)
"""Lines that only remark something, or list a word of many. Where anything else shows a cause, they do not."""
