// The notification socket with clients that we did not write: Socket.IO's own, and the SDK that waits on it.
import assert from 'node:assert/strict';
import { io } from 'socket.io-client';

const { Daytona } = await import('daytona-sdk-0.218.0');
const origin = new URL(process.env.DAYTONA_API_URL).origin;
const events = ['sandbox.created', 'sandbox.state.updated', 'sandbox.desired-state.updated', 'volume.created'];

function open(token, query) {
  const socket = io(origin, { path: '/api/socket.io/', transports: ['websocket'], forceNew: true, auth: { token }, query, reconnection: false });
  const seen = [];
  for (const name of events) socket.on(name, (data) => seen.push([name, data]));
  return { socket, seen };
}
const once = (socket, name) => new Promise((done) => socket.once(name, done));
async function soon(what, message) {
  for (let i = 0; i < 600; i++) {
    if (what()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail(message);
}

// Socket.IO's client: refused with a reason, accepted, told.
const refused = open('dtn_nobody');
const error = await once(refused.socket, 'connect_error');
assert.equal(error.message, 'Invalid API key');
assert.equal(refused.socket.connected, false);
const listener = open(process.env.DAYTONA_API_KEY, { source: 'test', sdkVersion: '0' });
await once(listener.socket, 'connect');
assert.ok(listener.socket.id);

// The SDK: connected in its constructor. Then its requests show nothing new any more, so that only an event can
// end its waiting.
const daytona = new Daytona();
await soon(() => daytona.eventDispatcher.isConnected, 'the SDK does not get on the socket');
const sandbox = await daytona.create({ name: `told-${process.pid}` });
await soon(() => listener.seen.some(([n, d]) => n === 'sandbox.state.updated' && d.newState === 'started'), 'no event of the start');
assert.deepEqual(listener.seen[0][0], 'sandbox.created');
assert.equal(listener.seen[0][1].id, sandbox.id);
const read = sandbox.refreshData.bind(sandbox);
const readSafe = sandbox.refreshDataSafe.bind(sandbox);
let polls = 0;
sandbox.refreshData = async () => { polls++; };
sandbox.refreshDataSafe = async () => { polls++; return false; };
await sandbox.stop(60);
assert.equal(sandbox.state, 'stopped');
await sandbox.start(60);
assert.equal(sandbox.state, 'started');
assert.ok(polls > 0); // it would have polled
sandbox.refreshData = read;
sandbox.refreshDataSafe = readSafe;
const stopped = listener.seen.filter(([n, d]) => n === 'sandbox.state.updated' && d.newState === 'stopped');
assert.equal(stopped.length, 1);
assert.equal(stopped[0][1].sandbox.id, sandbox.id);
await sandbox.delete(60, true);
assert.equal(sandbox.state, 'destroyed');
await soon(() => listener.seen.at(-1)[1].newState === 'destroyed', 'no event of the end');
listener.socket.close();
console.log('ok');
// The SDK's socket is still open: it must not keep the program.
