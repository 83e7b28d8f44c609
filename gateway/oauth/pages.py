"""The metadata documents of the gateway's addresses (RFC 9728 section 3), for clients that look for a place to sign in.

They are public by nature, so that a web page of any origin may read them, and there is one for every name that a server
could have: who has no token learns nothing from them about which servers exist.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from litestar import Request, Response, route
from litestar.enums import HttpMethod, MediaType
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from gateway.oauth.providers import AGGREGATE
from gateway.oauth.resource import WELL_KNOWN
from gateway.problems import ProblemKind, refusal

Metadata = Callable[[str], Mapping[str, object] | None]
"""The document of a server's address, or of the common one for `AGGREGATE`; None where nobody issues tokens."""

_SERVER: Final = f"{WELL_KNOWN}/servers/{{name:str}}/mcp"
_COMMON: Final = f"{WELL_KNOWN}/mcp"
_METHODS: Final = [HttpMethod.GET, HttpMethod.OPTIONS]
_AnyRequest = Request[Any, Any, Any]
_HEADERS: Final = {"access-control-allow-origin": "*", "cache-control": "public, max-age=60"}
_PREFLIGHT: Final = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET",
    "access-control-allow-headers": "mcp-protocol-version",
    "access-control-max-age": "600",
}


def metadata_handlers(metadata: Metadata) -> list[ControllerRouterHandler]:
    """Handlers that show the documents of now, whatever the rules are by then."""

    def answer(request: _AnyRequest, name: str) -> Response[Any]:
        if request.method == HttpMethod.OPTIONS:
            return Response(None, status_code=204, headers=_PREFLIGHT)
        document = metadata(name)
        if document is None:
            raise refusal(ProblemKind.NOT_FOUND, "No identity provider issues tokens for this address.")
        return Response(document, headers=_HEADERS)

    @route(_SERVER, http_method=_METHODS, media_type=MediaType.JSON, sync_to_thread=False, include_in_schema=False)
    def of_server(request: _AnyRequest, name: FromPath[str]) -> Response[Any]:
        if not name.isascii() or not name.replace("-", "").isalnum():
            raise refusal(ProblemKind.NOT_FOUND, "No server can have that name.")
        return answer(request, name)

    @route(_COMMON, http_method=_METHODS, media_type=MediaType.JSON, sync_to_thread=False, include_in_schema=False)
    def of_all(request: _AnyRequest) -> Response[Any]:
        return answer(request, AGGREGATE)

    return [of_server, of_all]
