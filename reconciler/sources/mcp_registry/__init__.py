"""The door to the MCP registry: what servers there are, and what each says about how it is started.

An entry of the registry is a `server.json` (schema 2025-12-11). It names packages that live elsewhere, the variables
and arguments that they want, and remote addresses. It is written by strangers, so that nothing of it is believed to be
well-formed, nothing of it is ever run, and what it asks for is shown before it is used.
"""
