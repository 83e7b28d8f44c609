// The official TypeScript client against one MCP server: everything that has to be translated between the eras.
// Prints what it saw as JSON: node translations.mjs URL legacy|modern
import { Client, LOG_LEVEL_META_KEY, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const [url, era] = process.argv.slice(2);
const WATCHED = "test://watched-resource";
const seen = { asked: [], progress: [], lines: [], notices: [] };
let wake = () => {};
const noticed = (name) => {
  seen.notices.push(name);
  wake();
};

const mode = era === "modern" ? { pin: "2026-07-28" } : "legacy";
const client = new Client(
  { name: "catwalk-test", version: "1.0.0" },
  { capabilities: { elicitation: {}, sampling: {}, roots: {} }, versionNegotiation: { mode } },
);
client.setRequestHandler("elicitation/create", async (request) => {
  seen.asked.push(request.params.message);
  return { action: "accept", content: { name: "Ada", response: "yes", color: "red" } };
});
client.setRequestHandler("sampling/createMessage", async (request) => {
  seen.asked.push(`sampling ${request.params.maxTokens}`);
  return { role: "assistant", content: { type: "text", text: "Paris" }, model: "a model" };
});
client.setRequestHandler("roots/list", async () => {
  seen.asked.push("roots");
  return { roots: [{ uri: "file:///a" }, { uri: "file:///b" }] };
});
client.setNotificationHandler("notifications/message", (notice) => void seen.lines.push(notice.params.level));
client.setNotificationHandler("notifications/tools/list_changed", () => noticed("tools"));
client.setNotificationHandler("notifications/prompts/list_changed", () => noticed("prompts"));
client.setNotificationHandler("notifications/resources/updated", (notice) => noticed(notice.params.uri));

const call = async (name, args = {}, options = {}, meta = undefined) => {
  const result = await client.callTool({ name, arguments: args, ...(meta ? { _meta: meta } : {}) }, options);
  return result.content[0]?.text;
};

const hears = async (count) => {
  while (seen.notices.length < count) await new Promise((resolve) => (wake = resolve));
};

await client.connect(new StreamableHTTPClientTransport(new URL(url)));
seen.era = client.getProtocolEra();
seen.version = client.getNegotiatedProtocolVersion();
seen.tools = (await client.listTools()).tools.length;
seen.elicited = await call("test_input_required_result_elicitation");
seen.sampled = await call("test_input_required_result_sampling");
seen.rooted = await call("test_input_required_result_list_roots");
seen.several = await call("test_input_required_result_multiple_inputs");
await call("test_tool_with_progress", {}, { onprogress: (notice) => void seen.progress.push(notice.progress) });

if (era === "modern") {
  await call("test_logging_tool", {}, {}, { [LOG_LEVEL_META_KEY]: "info" });
} else {
  await client.setLoggingLevel("info");
  await call("test_tool_with_logging");
}

let subscription;
if (era === "modern") {
  subscription = await client.listen({ toolsListChanged: true, promptsListChanged: true, resourceSubscriptions: [WATCHED] });
} else {
  await client.subscribeResource({ uri: WATCHED });
}
await call("test_trigger_tool_change");
await hears(1);
await call("test_trigger_prompt_change");
await hears(2);
await call("test_trigger_resource_update", { uri: WATCHED });
await hears(3);
await (subscription ? subscription.close() : client.unsubscribeResource({ uri: WATCHED }));

const held = `typescript-${era}-${process.pid}`;
const giving = new AbortController();
const hold = call("test_hold", { name: held }, { signal: giving.signal }).catch((error) => (seen.givenUp = error.name));
setTimeout(() => giving.abort(), 500);
await hold;
do {
  seen.closed = (await call("test_closed")).includes(held);
} while (!seen.closed);

console.log(JSON.stringify(seen));
await client.close();
process.exit(0);
