// A Node MCP server of the official SDK with one tool that does nothing, written as the SDK's
// documentation writes one: the peer of tools/call.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import * as z from 'zod/v4';

const server = new McpServer({ name: 'idle', version: '1' });
server.registerTool(
  'nothing',
  {
    title: 'Nothing',
    description: 'Does nothing.',
    inputSchema: { id: z.string() },
    outputSchema: { id: z.string() },
  },
  async ({ id }) => {
    const output = { id };
    return { content: [{ type: 'text', text: JSON.stringify(output) }], structuredContent: output };
  },
);
await server.connect(new StdioServerTransport());
