"""The data plane: one URL per MCP server, relayed without loss."""
