"""A server with everything MCP has, for conformance and translation tests.

python tests/servers/everything                                        stdio, both eras
python tests/servers/everything --era legacy                           stdio, only with a handshake
python tests/servers/everything --transport streamable-http --port N   http://127.0.0.1:N/mcp
"""

import argparse
import os
import warnings

from mcp.server.mcpserver import MCPServer, RequestStateSecurity
from mcp.shared.exceptions import MCPDeprecationWarning
from offers import add_completions, add_legacy_requests, add_prompts, add_resources
from tools import add_tools
from transports import run

_KEY = b"the everything server's key is no secret"


def build() -> MCPServer:
    server = MCPServer(
        name="everything",
        version="1.0.0",
        instructions="Use whatever you like.",
        request_state_security=RequestStateSecurity(keys=[_KEY]),
        log_level="WARNING",
    )
    add_tools(server)
    add_resources(server)
    add_prompts(server)
    add_completions(server)
    add_legacy_requests(server)
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transport", choices=["stdio", "streamable-http"], default="stdio")
    parser.add_argument("--era", choices=["both", "legacy", "modern"], default="both")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "3001")))
    options = parser.parse_args()
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    run(build(), transport=options.transport, era=options.era, port=options.port)


if __name__ == "__main__":
    main()
