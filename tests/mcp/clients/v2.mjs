// The official TypeScript SDK 2.x: legacy by default, negotiated, or pinned to 2026-07-28.
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { scenario } from './scenario.mjs';

const setup = JSON.parse(process.env.SETUP);
const mode = { legacy: undefined, auto: { mode: 'auto' }, modern: { mode: { pin: '2026-07-28' } } }[setup.era];
const client = new Client({ name: 'tests', version: '1' }, mode ? { versionNegotiation: mode } : {});
await client.connect(new StdioClientTransport({ command: setup.command, args: ['mcp', 'start'], env: setup.env }));
await scenario(client, (name, args, options) => client.callTool({ name, arguments: args }, options), setup);
await client.close();
console.log('ok');
