// The program of the image, by the version of the TypeScript SDK that is named; old ones know it as any session.
import assert from 'node:assert/strict';

const { Daytona } = await import(process.argv[2]);
const minor = Number(process.argv[2].split('.')[1]);
const daytona = new Daytona();
const sandbox = await daytona.create({ snapshot: 'program' });
const process_ = sandbox.process;
const ids = ['entrypoint', 'entrypoint_command'];
assert.equal(Boolean(process_.getEntrypointSession), minor >= 190);
const session = () => (process_.getEntrypointSession ? process_.getEntrypointSession() : process_.getSession(ids[0]));
const logs = (...streams) => (process_.getEntrypointLogs ? process_.getEntrypointLogs(...streams) : process_.getSessionCommandLogs(...ids, ...streams));

async function followed() {
  const got = { out: '', err: '' };
  await logs((chunk) => { got.out += chunk; }, (chunk) => { got.err += chunk; });
  return got;
}

const first = await session();
assert.equal(first.sessionId, 'entrypoint');
assert.equal(first.commands[0].command.slice(0, 10), 'sh -c \'ech');
assert.equal(first.commands[0].exitCode, undefined);
const live = followed();
await process_.executeCommand('echo x > /go');
assert.deepEqual(await live, { out: 'hello wörld\nwent\n', err: 'to stderr\n' });
assert.equal((await session()).commands[0].exitCode, 7);
const whole = await logs();
assert.deepEqual([whole.stdout, whole.stderr], ['hello wörld\nwent\n', 'to stderr\n']);
assert.deepEqual(await process_.listSessions(), []);
await assert.rejects(process_.executeSessionCommand('entrypoint', { command: 'true' }), /entrypoint/);
await assert.rejects(process_.deleteSession('entrypoint'), /entrypoint/);
await assert.rejects(process_.createSession('entrypoint'), /entrypoint/);

// It runs again.
await sandbox.stop();
await sandbox.start();
assert.deepEqual(await followed(), { out: 'hello wörld\nwent\n', err: 'to stderr\n' });

await sandbox.delete();
console.log('ok');
process.exit(0);
