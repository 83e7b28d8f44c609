"""The data path below ASGI: the calls that need nothing but carrying, carried on the connection they came in on.

A uvicorn protocol that looks at the bytes before uvicorn does. A request for a server's address in the plainest form of
HTTP, whose decision is known and whose upstream has an idle connection, goes straight through; every other byte goes
to uvicorn and so to the ASGI application, which carries the same calls by the same rules. The edge refuses nothing and
answers nothing of its own but the failure of an exchange that it began: whoever is to be refused is refused by ASGI.
"""

from gateway.edge.protocol import edge_protocol

__all__ = ["edge_protocol"]
