// A Node MCP server of the official SDK with one tool that does nothing: the peer of tools/call.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';

const server = new McpServer({ name: 'idle', version: '1' });
server.registerTool('nothing', { description: 'Does nothing.' }, async () => ({ content: [{ type: 'text', text: 'ok' }] }));
await server.connect(new StdioServerTransport());
