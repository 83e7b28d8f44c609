"""A raw legacy HTTP server that forgets its sessions on command. Standard library only."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SESSIONS = set()
COUNT = {"sessions": 0, "echo": 0}
SUBSCRIBED = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object):
        pass

    def answer(self, status, body=b"", **headers: str):
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(405)

    def do_DELETE(self):
        SESSIONS.discard(self.headers.get("mcp-session-id"))
        self.answer(200)

    def do_POST(self):
        if self.path == "/mcp":
            self.rfile.read(int(self.headers["content-length"]))
            self.answer(307, location="/mcp/")
            return
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if message["method"] == "server/discover":
            self.answer(400, b"what is this?", content_type="text/plain")
        elif message["method"] == "initialize":
            COUNT["sessions"] += 1
            session = f"s{COUNT['sessions']}"
            SESSIONS.add(session)
            capabilities = {"tools": {}, "resources": {"subscribe": True}}
            result = {"protocolVersion": "2025-06-18", "capabilities": capabilities}
            result["serverInfo"] = {"name": "forgetful", "version": "1"}
            self.result(message, result, mcp_session_id=session)
        elif self.headers.get("mcp-session-id") not in SESSIONS:
            self.answer(404, b"Session not found", content_type="text/plain")
        elif "id" not in message:
            self.answer(202)
        else:
            self.result(message, self.carry_out(message))

    def carry_out(self, message):
        params = message.get("params", {})
        if message["method"] == "tools/list":
            return {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
        if message["method"] == "resources/subscribe":
            SUBSCRIBED.append(params["uri"])
            return {}
        if message["method"] != "tools/call":
            return {}
        COUNT["echo"] += 1
        if params["name"] == "forget":
            SESSIONS.clear()
        said = {**COUNT, "subscribed": SUBSCRIBED}
        return {"content": [{"type": "text", "text": json.dumps(said)}]}

    def result(self, message, result, **headers: str):
        self.answer(200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode(), **headers)


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
