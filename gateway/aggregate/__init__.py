"""`/mcp`: all servers that the caller may use, as one MCP server, for clients of both eras.

The aggregate is a client of the gateway's own addresses, `/servers/{name}/mcp`, inside the same process. So whatever
holds there holds here: who may call what, sessions, memory, breakers, metrics and the audit line. What it adds is names
(`time__now`), merged lists, and messages of several servers on one stream. Its entry is `endpoint.AggregateEndpoint`.
"""
