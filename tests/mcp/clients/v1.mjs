// The official TypeScript SDK 1.x, at the protocol revision of the environment.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { scenario } from './scenario.mjs';

const setup = JSON.parse(process.env.SETUP);

/** Asks for an older revision than the newest that the SDK knows. */
class OldTransport extends StdioClientTransport {
  send(message) {
    if (message.method === 'initialize') message.params.protocolVersion = setup.revision;
    return super.send(message);
  }
}

const client = new Client({ name: 'tests', version: '1' });
await client.connect(new OldTransport({ command: setup.command, args: ['mcp', 'start'], env: setup.env }));
const call = (name, args, options) => client.callTool({ name, arguments: args }, undefined, options);
await scenario(client, call, setup);
await client.close();
console.log('ok');
