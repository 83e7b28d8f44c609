"""A raw stdio MCP server that misbehaves on command. Standard library only, so that any interpreter runs it."""

import json
import os
import subprocess
import sys
import threading

CANCELLED = []
HELD = {}
ANSWERS = {}
LOCK = threading.Lock()
TOOLS = (
    "echo", "hold", "release", "progress", "crash", "noise", "big", "ask", "log", "change", "cancelled", "pid", "helper",
    "environment", "number", "resource_changed", "holding",
)


def write(message):
    with LOCK:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def write_raw(text):
    with LOCK:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def text_result(text):
    return {"content": [{"type": "text", "text": text}]}


def notify(method, params):
    write({"jsonrpc": "2.0", "method": method, "params": params})


def ask(params):
    done = threading.Event()
    key = f"ask-{len(ANSWERS)}"
    ANSWERS[key] = [done, None]
    write({"jsonrpc": "2.0", "id": key, "method": params["method"], "params": params["params"]})
    done.wait(20)
    return json.dumps(ANSWERS[key][1])


def hold(name):
    HELD.setdefault(name, threading.Event()).wait(20)
    return "held " + name


def call(name, arguments, meta, request_id):
    if name == "echo":
        return arguments["text"]
    if name == "hold":
        return hold(arguments["name"])
    if name == "holding":
        return json.dumps(sorted(HELD))
    if name == "release":
        HELD.setdefault(arguments["name"], threading.Event()).set()
        return "released"
    if name == "progress":
        for step in range(arguments["count"]):
            notify("notifications/progress", {"progressToken": meta.get("progressToken"), "progress": step + 1})
        return "done"
    if name == "crash":
        sys.stderr.write("crashing on command\n")
        sys.stderr.flush()
        os._exit(3)
    if name == "noise":
        write_raw("this is not JSON")
        write_raw("[1, 2")
        write_raw("{}")
        return "quiet again"
    if name == "big":
        return "x" * arguments["bytes"]
    if name == "ask":
        return ask(arguments)
    if name == "log":
        notify("notifications/message", {"level": "info", "data": arguments["text"]})
        return "logged"
    if name == "change":
        notify("notifications/tools/list_changed", {})
        return "changed"
    if name == "resource_changed":
        notify("notifications/resources/updated", {"uri": arguments["uri"]})
        return "changed"
    if name == "cancelled":
        return json.dumps(CANCELLED)
    if name == "pid":
        return str(os.getpid())
    if name == "helper":
        return str(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
    if name == "environment":
        return os.environ.get(arguments["name"], "")
    raise ValueError(name)


def handle(message):
    method, params, request_id = message.get("method"), message.get("params", {}), message.get("id")
    if method == "tools/call" and params["name"] == "number":
        write_raw('{"jsonrpc": "2.0", "result": {"content": [], "exact": 1.10, "large": 1e400}, "id": %s}' % json.dumps(request_id))
        return
    if method == "tools/call":
        text = call(params["name"], params.get("arguments", {}), params.get("_meta", {}), request_id)
        write({"jsonrpc": "2.0", "id": request_id, "result": text_result(text)})
    elif method == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
        write({"jsonrpc": "2.0", "id": request_id, "result": {"tools": tools}})
    elif method == "resources/read":
        error = {"code": -32002, "message": "Resource not found", "data": {"uri": params["uri"]}}
        write({"jsonrpc": "2.0", "id": request_id, "error": error})
    elif method in ("ping", "resources/subscribe", "resources/unsubscribe", "logging/setLevel"):
        write({"jsonrpc": "2.0", "id": request_id, "result": {}})
    else:
        write({"jsonrpc": "2.0", "id": request_id, "error": {"code": -32601, "message": "Method not found"}})


def initialize(message):
    result = {
        "protocolVersion": message["params"]["protocolVersion"],
        "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "logging": {}},
        "serverInfo": {"name": "faulty", "version": "1"},
        "instructions": json.dumps(message["params"]["capabilities"]),
    }
    write({"jsonrpc": "2.0", "id": message["id"], "result": result})


def main():
    if "--die" in sys.argv:
        sys.stderr.write(sys.argv[sys.argv.index("--die") + 1] + "\n")
        raise SystemExit(int(sys.argv[sys.argv.index("--die") + 2]))
    if "--noise-first" in sys.argv:
        write_raw("Welcome to the server!")
    for line in sys.stdin:
        message = json.loads(line)
        method = message.get("method")
        if method == "initialize":
            initialize(message)
        elif method == "notifications/cancelled":
            CANCELLED.append(message["params"].get("reason"))
        elif method is None:
            done = ANSWERS[message["id"]]
            done[1] = message.get("result", message.get("error"))
            done[0].set()
        elif "id" in message:
            threading.Thread(target=handle, args=(message,), daemon=True).start()


main()
