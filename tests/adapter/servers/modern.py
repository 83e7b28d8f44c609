"""A raw modern stdio MCP server: tasks, listen streams, log lines, headers, state. Standard library only."""

import json
import os
import sys
import threading
import time

LOCK = threading.Lock()
META = "io.modelcontextprotocol/"
HEARD = []
HELD = {}
SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "deep": {"type": "object", "properties": {"flag": {"type": "boolean", "x-mcp-header": "Flag"}}},
    },
}


def write(message):
    with LOCK:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def complete(message, **result: object):
    info = {META + "serverInfo": {"name": "modern", "version": "2"}}
    write({"jsonrpc": "2.0", "id": message["id"], "result": {"resultType": "complete", "_meta": info, **result}})


def text(message, value):
    complete(message, content=[{"type": "text", "text": value}])


def fail(message, code, why, **more: object):
    write({"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": why, **more}})


def task(status):
    fields = {"taskId": "t1", "status": status, "createdAt": "2026-11-24T10:00:00Z", "ttlMs": 60000}
    return {**fields, "lastUpdatedAt": "2026-11-24T10:00:00Z", "pollIntervalMs": 10}


def task_tool(message, _):
    if META + "tasks" not in message["params"]["_meta"][META + "clientCapabilities"].get("extensions", {}):
        fail(message, -32021, "tasks", data={"requiredCapabilities": {"extensions": {META + "tasks": {}}}})
        return
    write({"jsonrpc": "2.0", "id": message["id"], "result": {"resultType": "task", **task("working")}})


def state_only(message, _):
    if message["params"].get("requestState") == "again":
        text(message, "came back")
        return
    result = {"resultType": "input_required", "requestState": "again"}
    write({"jsonrpc": "2.0", "id": message["id"], "result": result})


def open_page(message, _):
    answers = message["params"].get("inputResponses")
    if answers:
        text(message, json.dumps(answers))
        return
    page = {"mode": "url", "url": "https://example.com/page", "message": "Please look"}
    asked = {"page": {"method": "elicitation/create", "params": page}}
    result = {"resultType": "input_required", "inputRequests": asked, "requestState": "s"}
    write({"jsonrpc": "2.0", "id": message["id"], "result": result})


def log(message, arguments):
    params = {"level": "info", "data": arguments["text"]}
    write({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
    text(message, "logged")


def hold(message, arguments):
    HELD.setdefault(arguments["name"], threading.Event()).wait(20)
    text(message, "held")


def release(message, arguments):
    HELD.setdefault(arguments["name"], threading.Event()).set()
    text(message, "released")


def change(message, _):
    for subscription, wanted in LISTENS.items():
        if wanted.get("toolsListChanged"):
            notice = {"_meta": {META + "subscriptionId": subscription}}
            write({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": notice})
    text(message, "changed")


def end_listens(message, arguments):
    for subscription in list(LISTENS):
        del LISTENS[subscription]
        if arguments["way"] == "notice":
            params = {"requestId": subscription, "reason": "tired"}
            write({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
        else:
            complete({"id": subscription})
    text(message, "ended")


TOOLS = {
    "meta": lambda message, _: text(message, json.dumps(message["params"]["_meta"])),
    "task": task_tool,
    "state_only": state_only,
    "open_page": open_page,
    "log": log,
    "hold": hold,
    "release": release,
    "array": lambda message, _: complete(message, content=[{"type": "text", "text": "[1]"}], structuredContent=[1]),
    "heard": lambda message, _: text(message, json.dumps(HEARD)),
    "change": change,
    "end_listens": end_listens,
    "listeners": lambda message, _: text(message, str(len(LISTENS))),
    "crash": lambda _, __: os._exit(3),
    "echo": lambda message, arguments: text(message, json.dumps(arguments)),
}


LISTENS = {}


def listen(message):
    wanted = message["params"]["notifications"]
    LISTENS[message["id"]] = wanted
    params = {"notifications": wanted, "_meta": {META + "subscriptionId": message["id"]}}
    write({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params})


def discover(message):
    if "--slow" in sys.argv:
        time.sleep(2.5)
    changing = {"listChanged": True}
    capabilities = {"tools": changing, "resources": {"subscribe": True}, "extensions": {META + "tasks": {}}}
    complete(
        message,
        supportedVersions=["2026-07-28"],
        capabilities=capabilities,
        instructions="Be modern.",
        ttlMs=60000,
        cacheScope="public",
    )


def handle(message):
    method = message["method"]
    HEARD.append(method)
    if method == "tools/call":
        TOOLS[message["params"]["name"]](message, message["params"].get("arguments", {}))
    elif method == "tools/list":
        names = ("echo", "meta", "task", "log", "change")
        tools = [{"name": name, "inputSchema": SCHEMA if name == "echo" else {"type": "object"}} for name in names]
        tools.append({"name": "array", "inputSchema": {"type": "object"}, "outputSchema": {"type": "array"}})
        complete(message, tools=tools, ttlMs=60000, cacheScope="public")
    elif method in ("tasks/get", "tasks/update", "tasks/cancel"):
        done = {"content": [{"type": "text", "text": "done"}]}
        complete(message, **task("completed"), result=done)
    elif method == "subscriptions/listen":
        listen(message)
    elif method == "resources/read":
        fail(message, -32602, "no such resource", data={"uri": message["params"]["uri"]})
    else:
        fail(message, -32601, "Method not found")


def main():
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            HEARD.append(message["method"])
            LISTENS.pop(message["params"].get("requestId"), None)
        elif message["method"] == "initialize":
            data = {"supported": ["2026-07-28"], "requested": message["params"]["protocolVersion"]}
            fail(message, -32022, "unsupported protocol version", data=data)
        elif message["method"] == "server/discover":
            discover(message)
        else:
            threading.Thread(target=handle, args=(message,), daemon=True).start()


main()
