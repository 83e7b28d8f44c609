"""The pure rules of MCP that the adapter and the gateway share: revisions, messages, headers and error codes.

Nothing here reads a socket, a clock or a file, and nothing outside the standard library is imported, so both sides
decide alike and every rule can be tested as a table.
"""
