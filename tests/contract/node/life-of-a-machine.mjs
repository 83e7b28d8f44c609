// A machine's whole life, as a client that others wrote asks for it: argv is the base URL, the token and the organization.
// Prints what it was answered, as one JSON object. An answer that is no success ends it with the client's own error.
import fly from "fly-admin/dist/client.js";

const [apiUrl, token, organization, config] = process.argv.slice(2);
const app = { app_name: "from-node" };
// The package's createClient takes no address; its class does.
const client = new fly.default(token, { apiUrl });

await client.App.createApp({ ...app, org_slug: organization });
const created = await client.Machine.createMachine({ ...app, name: "one", config: JSON.parse(config) });
const machine = { ...app, machine_id: created.id };
const started = await client.Machine.waitMachine({ ...machine, state: "started", timeout: "30" });
const listed = await client.Machine.listMachines(app.app_name);
const lease = await client.Machine.acquireLease({ ...machine, ttl: 1 });
const held = await client.Machine.getLease(machine);
await client.Machine.stopMachine({ ...machine, timeout: "5s" });
const stopped = await client.Machine.waitMachine({
  ...machine,
  instance_id: created.instance_id,
  state: "stopped",
  timeout: "30",
});
const events = await client.Machine.listEvents(machine);
const versions = await client.Machine.listVersions(machine);
const read = await client.Machine.getMachine(machine);
await client.Machine.deleteMachine({ ...machine, force: true });
const destroyed = await client.Machine.waitMachine({ ...machine, state: "destroyed", timeout: "30" });
const apps = await client.App.listApps(organization);
await client.App.deleteApp(app.app_name);
const missing = await client.App.getApp(app.app_name).catch((error) => error.message);

console.log(
  JSON.stringify({ created, started, listed, lease, held, stopped, events, versions, read, destroyed, apps, missing }),
);
