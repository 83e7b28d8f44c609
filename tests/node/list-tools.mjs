// Connects to an MCP server with the official TypeScript client and prints the names of its tools as JSON.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url] = process.argv.slice(2);
const client = new Client({ name: "catwalk-test", version: "1.0.0" });
const transport = new StreamableHTTPClientTransport(new URL(url));
await client.connect(transport);
const { tools } = await client.listTools();
console.log(JSON.stringify({ server: client.getServerVersion()?.name, tools: tools.map((tool) => tool.name) }));
await transport.terminateSession();
await client.close();
