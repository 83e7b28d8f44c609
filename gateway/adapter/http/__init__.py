"""The HTTP side of the adapter: one endpoint for both eras of MCP, and health."""
