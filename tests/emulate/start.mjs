import { createEmulator } from "emulate";

const [port, seed] = process.argv.slice(2);
const emulator = await createEmulator({ service: "github", port: Number(port), seed: JSON.parse(seed) });
console.log(emulator.url);
