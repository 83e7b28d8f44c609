"""What a person pastes into an MCP client so that it reaches servers of the fleet.

Formats: Claude Code `.mcp.json` and Cursor `mcp.json` share `mcpServers`; VS Code's `.vscode/mcp.json` calls it
`servers`. All three take `type: http` for Streamable HTTP. No token is ever part of a snippet.
"""

from collections.abc import Mapping


def mcp_servers(urls: Mapping[str, str]) -> dict[str, object]:
    """`{"mcpServers": {name: {"type": "http", "url": …}}}` for the given address of each server."""
    return {"mcpServers": {name: _entry(url) for name, url in sorted(urls.items())}}


def vscode_servers(urls: Mapping[str, str]) -> dict[str, object]:
    """The same, as VS Code wants it."""
    return {"servers": {name: _entry(url) for name, url in sorted(urls.items())}}


def _entry(url: str) -> dict[str, str]:
    return {"type": "http", "url": url}
