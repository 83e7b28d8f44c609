"""The HTTP face of the engine: Fly's Machines API under `/v1`, and the log service under `/api/v1`.

A raw ASGI application with a table of routes instead of a framework, because the order of refusals is part of the
contract: an unknown route or method is a plain-text 404 before anybody looks at the token, and each of the two services
behind the one host has its own error envelope.
"""
