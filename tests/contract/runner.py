"""Stands for the runner image in contract tests: a health page and a small legacy MCP server, on the standard library.

Run as `python runner.py PORT -- PACKAGE ARGUMENTS…`. The package `fail:CODE@1` ends at once with that code. It writes
its secret to its log, as careless servers do.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INITIALIZED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "runner", "version": "1"},
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(200, {"state": "ready", "cause": None, "detail": None})

    def do_DELETE(self) -> None:
        self.answer(200, {})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "id" not in request:
            return self.answer(202, None)
        tools = {"tools": [{"name": "arguments"}, {"name": "environment"}]}
        result = INITIALIZED if request["method"] == "initialize" else tools
        return self.answer(200, {"jsonrpc": "2.0", "id": request["id"], "result": result})

    def answer(self, status: int, body: object) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.send_header("mcp-session-id", "s-1")
        self.send_header("catwalk-machine", os.environ.get("FLY_MACHINE_ID", ""))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    port, package = int(sys.argv[1]), sys.argv[sys.argv.index("--") + 1]
    print(f"arguments {sys.argv[2:]} token {os.environ.get('TOKEN', 'none')}", flush=True)
    if package.startswith("fail:"):
        sys.exit(int(package.removeprefix("fail:").partition("@")[0]))
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


main()
