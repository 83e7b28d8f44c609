"""A raw stdio MCP server that misbehaves on command. Standard library only, so that any interpreter runs it."""

import json
import os
import subprocess
import sys
import threading

CANCELLED = []
HELD = {}
ANSWERS = {}
CAPABILITIES = {}
LOCK = threading.Lock()


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
    with LOCK:
        key = f"ask-{len(ANSWERS)}"
        ANSWERS[key] = [done, None]
    write({"jsonrpc": "2.0", "id": key, "method": params["method"], "params": params["params"]})
    done.wait(20)
    return json.dumps(ANSWERS[key][1])


def ask_twice(params):
    answers = []
    asking = [threading.Thread(target=lambda: answers.append(json.loads(ask(params)))) for _ in range(2)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    return json.dumps(answers)


def hold(name):
    HELD.setdefault(name, threading.Event()).wait(20)
    return "held " + name


def release(arguments, _):
    HELD.setdefault(arguments["name"], threading.Event()).set()
    return "released"


def nap(arguments, _):
    HELD["nap"] = threading.Event()
    HELD["nap"].wait(arguments["seconds"])
    return "rested"


def progress(arguments, meta):
    for step in range(arguments["count"]):
        notify("notifications/progress", {"progressToken": meta.get("progressToken"), "progress": step + 1})
    return "x" * arguments.get("bytes", 0) or "done"


def crash(_, __):
    sys.stderr.write("crashing on command\n")
    sys.stderr.flush()
    os._exit(3)


def noise(_, __):
    for text in ("this is not JSON", "[1, 2", "{}"):
        write_raw(text)
    return "quiet again"


def log(arguments, _):
    notify("notifications/message", {"level": "info", "data": arguments["text"]})
    return "logged"


def change(_, __):
    notify("notifications/tools/list_changed", {})
    return "changed"


def resource_changed(arguments, _):
    notify("notifications/resources/updated", {"uri": arguments["uri"]})
    return "changed"


def helper(_, __):
    return str(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)


def needs_page(arguments, _):
    HELD["page"] = HELD.get("page", 0) + 1
    return None if HELD["page"] % 2 else "the page was seen"


def burst(arguments, meta):
    for step in range(arguments["count"]):
        notify("notifications/progress", {"progressToken": meta.get("progressToken"), "progress": step + 1})
        if step + 1 == arguments["pause_after"]:
            hold(arguments["name"])
    return "all sent"


def flood(arguments, meta):
    for step in range(arguments["count"]):
        params = {"progressToken": meta.get("progressToken"), "progress": step + 1, "message": "x" * 500}
        notify("notifications/progress", params)
    return "flooded"


def say(arguments, _):
    notify("notifications/message", {"level": arguments["level"], "data": arguments["level"]})
    return "said"


TOOLS = {
    "echo": lambda arguments, _: arguments["text"],
    "hold": lambda arguments, _: hold(arguments["name"]),
    "holding": lambda _, __: json.dumps(sorted(HELD)),
    "release": release,
    "nap": nap,
    "progress": progress,
    "crash": crash,
    "noise": noise,
    "big": lambda arguments, _: "x" * arguments["bytes"],
    "ask": lambda arguments, _: ask(arguments),
    "ask_twice": lambda arguments, _: ask_twice(arguments),
    "log": log,
    "change": change,
    "resource_changed": resource_changed,
    "cancelled": lambda _, __: json.dumps(CANCELLED),
    "pid": lambda _, __: str(os.getpid()),
    "helper": helper,
    "needs_page": needs_page,
    "burst": burst,
    "flood": flood,
    "say": say,
    "capabilities": lambda _, __: json.dumps(CAPABILITIES),
    "number": None,
}


def handle(message):
    method, params, request_id = message.get("method"), message.get("params", {}), message.get("id")
    if method == "tools/call" and params["name"] == "number":
        exact = '{"content": [], "exact": 1.10, "large": 1e400}'
        write_raw(f'{{"jsonrpc": "2.0", "result": {exact}, "id": {json.dumps(request_id)}}}')
        return
    if method == "tools/call":
        text = TOOLS[params["name"]](params.get("arguments", {}), params.get("_meta", {}))
        if text is None:
            page = {"mode": "url", "elicitationId": "e1", "url": "https://example.com/page", "message": "Please look"}
            error = {"code": -32042, "message": "a page must be opened", "data": {"elicitations": [page]}}
            write({"jsonrpc": "2.0", "id": request_id, "error": error})
            return
        write({"jsonrpc": "2.0", "id": request_id, "result": text_result(text)})
    elif method == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
        tools[0]["execution"] = {"taskSupport": "optional"}
        tools.append(
            {"name": "only_as_task", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "required"}}
        )
        write({"jsonrpc": "2.0", "id": request_id, "result": {"tools": tools}})
    elif method == "resources/read":
        error = {"code": -32002, "message": "Resource not found", "data": {"uri": params["uri"]}}
        write({"jsonrpc": "2.0", "id": request_id, "error": error})
    elif method in ("ping", "resources/subscribe", "resources/unsubscribe", "logging/setLevel"):
        write({"jsonrpc": "2.0", "id": request_id, "result": {}})
    else:
        write({"jsonrpc": "2.0", "id": request_id, "error": {"code": -32601, "message": "Method not found"}})


def initialize(message):
    CAPABILITIES.update(message["params"]["capabilities"])
    result = {
        "protocolVersion": message["params"]["protocolVersion"],
        "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "logging": {}},
        "serverInfo": {"name": "faulty", "version": "1"},
        "instructions": json.dumps(message["params"]["capabilities"]),
    }
    write({"jsonrpc": "2.0", "id": message["id"], "result": result})


def answer_probe(message, way):
    if way == "exit":
        sys.stderr.write("the first message must be initialize\n")
        raise SystemExit(1)
    if way == "old":
        write({"jsonrpc": "2.0", "id": message["id"], "result": {"supportedVersions": ["2025-11-25"]}})
    elif way != "silent":
        write({"jsonrpc": "2.0", "id": message["id"], "error": {"code": int(way), "message": "no"}})


def main():
    if "--die" in sys.argv:
        sys.stderr.write(sys.argv[sys.argv.index("--die") + 1] + "\n")
        raise SystemExit(int(sys.argv[sys.argv.index("--die") + 2]))
    if "--noise-first" in sys.argv:
        write_raw("Welcome to the server!")
    for line in sys.stdin:
        message = json.loads(line)
        method = message.get("method")
        if method == "server/discover" and "--on-probe" in sys.argv:
            answer_probe(message, sys.argv[sys.argv.index("--on-probe") + 1])
        elif method == "initialize":
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
