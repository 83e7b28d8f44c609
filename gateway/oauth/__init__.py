"""OAuth, on both sides: the gateway as a resource server for its callers, and as a client of remote servers.

As a resource server (MCP authorization, 2025-11-25 and 2026-07-28; RFC 6750, 8707, 9068, 9728) it only checks tokens.
It issues none, registers nobody and shows no login: that is the identity provider's work. A caller's token ends here.
As a client it uses the client credentials grant (RFC 6749 section 4.4) with a token of its own.
"""
