"""The revisions of MCP and which era a message of an HTTP client belongs to.

Source: the versioning page of revision 2026-07-28. A server that speaks both eras decides per request, from the version
header, the reserved key in `_meta` and the method; nothing is remembered about a client.
"""

from enum import Enum

LEGACY_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_REVISIONS = ("2026-07-28",)
NEWEST_LEGACY = LEGACY_REVISIONS[-1]
NEWEST_MODERN = MODERN_REVISIONS[-1]
BATCH_REVISION = "2025-03-26"
PRIMED_REVISIONS = frozenset({"2025-11-25"})
"""Whose clients know events that have an id and no data."""

META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
META_LOG_LEVEL = "io.modelcontextprotocol/logLevel"
META_SERVER_INFO = "io.modelcontextprotocol/serverInfo"
PROGRESS_KEY = "progressToken"
META_SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
MODERN_REQUEST_META = frozenset({META_VERSION, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL})


LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""The levels of RFC 5424, most talkative first."""


class Era(Enum):
    """The two families of revisions: with a handshake and sessions, or stateless."""

    LEGACY = "legacy"
    MODERN = "modern"


def era_of_post(*, version_header: str | None, session_header: bool, method: str | None, meta_version: bool) -> Era:
    """Tell the era of one POST.

    An unknown version header is judged by the modern rules, so that its sender learns the supported versions (-32022).
    """
    if version_header is not None:
        return Era.LEGACY if version_header in LEGACY_REVISIONS else Era.MODERN
    if method == "initialize" or session_header:
        return Era.LEGACY
    return Era.MODERN if meta_version else Era.LEGACY


def era_of_stream(*, version_header: str | None, session_header: bool) -> Era:
    """Tell the era of a GET or DELETE: only a legacy client has a use for them."""
    if version_header is not None:
        return Era.LEGACY if version_header in LEGACY_REVISIONS else Era.MODERN
    return Era.LEGACY if session_header else Era.MODERN


def negotiate(*, requested: object, offered: str) -> str:
    """The legacy version to answer with on a shared upstream that itself negotiated `offered`.

    An older known version is granted, because every legacy revision only adds to the one before it; anything else gets
    what the upstream speaks, which the client may refuse by disconnecting.
    """
    if isinstance(requested, str) and requested in LEGACY_REVISIONS:
        return min(requested, offered)
    return offered
