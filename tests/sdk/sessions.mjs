// Sessions and log streaming as the documentation of the TypeScript SDK shows them, by the version that is named.
import assert from 'node:assert/strict';

const { Daytona } = await import(process.argv[2]);
const minor = Number(process.argv[2].split('.')[1]);
const daytona = new Daytona();
const sandbox = await daytona.create({ language: 'typescript' });
const process_ = sandbox.process;
const id = 'exec-session-1';

// The shell stays.
await process_.createSession(id);
await assert.rejects(process_.createSession(id), /already exists/);
const run = (command, more = {}) => process_.executeSessionCommand(id, { command, ...more });
const first = await run('export GREETING="hi there" && cd /tmp');
assert.equal(first.exitCode, 0);
const second = await run('echo "$GREETING from $PWD"; echo oops >&2; false');
assert.equal(second.exitCode, 1);
assert.equal(second.stdout, 'hi there from /tmp\n');
assert.equal(second.stderr, 'oops\n');
const session = await process_.getSession(id);
assert.equal(session.sessionId, id);
assert.deepEqual(session.commands.map((c) => c.exitCode), [0, 1]);
const command = await process_.getSessionCommand(id, second.cmdId);
assert.equal(command.command, 'echo "$GREETING from $PWD"; echo oops >&2; false');
assert.ok((await process_.listSessions()).some((s) => s.sessionId === id));
const heredoc = await run("cat <<'EOF'\nit's \"quoted\" $HOME\nEOF");
assert.equal(heredoc.stdout, 'it\'s "quoted" $HOME\n');

// Logs, whole.
const logs = await process_.getSessionCommandLogs(id, second.cmdId);
assert.equal(logs.stdout, 'hi there from /tmp\n');
assert.equal(logs.stderr, 'oops\n');

// Logs, as they come.
async function streamed(text, more = {}) {
  const got = { out: '', err: '', id: (await run(text, { runAsync: true, ...more })).cmdId };
  got.done = process_.getSessionCommandLogs(id, got.id, (chunk) => { got.out += chunk; }, (chunk) => { got.err += chunk; });
  return got;
}
const counter = await streamed('counter=1; while (( counter <= 3 )); do echo "Count: $counter"; until [ -e /tmp/go-$counter ]; do sleep 0.05; done; ((counter++)); done; echo "ümläut ☃" >&2');
assert.equal((await process_.getSessionCommand(id, counter.id)).exitCode, undefined);
for (let i = 1; i <= 3; i++) { // each comes while the command waits
  while (!counter.out.includes(`Count: ${i}`)) await new Promise((done) => setTimeout(done, 50));
  await process_.executeCommand(`touch /tmp/go-${i}`);
}
await counter.done;
assert.equal(counter.out, 'Count: 1\nCount: 2\nCount: 3\n');
assert.equal(counter.err, 'ümläut ☃\n');

assert.equal((await process_.getSessionCommand(id, counter.id)).exitCode, 0);
const big = await streamed('seq 1 200000; echo "last" >&2');
await big.done;
assert.equal(big.out.length, 1288895);
assert.equal(big.err, 'last\n');
const evil = await streamed("printf '\\001\\001\\001a\\002\\002\\002'; printf '\\002\\001\\001\\001' >&2");
await evil.done;
assert.equal(evil.out, '\x01\x01\x01a\x02\x02\x02');
assert.equal(evil.err, '\x02\x01\x01\x01');

// Input to a command that runs.
if (process_.sendSessionCommandInput) {
  const asking = await streamed('read -r name; echo "hello $name"; exit_code=3; (exit $exit_code)', { suppressInputEcho: true });
  await process_.sendSessionCommandInput(id, asking.id, 'world');
  await asking.done;
  assert.equal(asking.out, 'hello world\n');
  assert.equal((await process_.getSessionCommand(id, asking.id)).exitCode, 3);
  await assert.rejects(process_.sendSessionCommandInput(id, asking.id, 'late'), /already completed/);
}
if (process_.getEntrypointSession) await assert.rejects(process_.getEntrypointSession(), /entrypoint/);
assert.equal(Boolean(process_.sendSessionCommandInput), minor >= 190);

// Its end.
assert.equal((await run('echo bye; exit 4')).exitCode, 4);
await assert.rejects(run('true'), /ended/);
await process_.deleteSession(id);
await assert.rejects(process_.getSession(id), /session not found/);
await assert.rejects(run('true'), /session not found/);

// Commands without a session, in each version's own encoding.
const plain = await process_.executeCommand('echo "$A $B"; pwd; exit 5', '/tmp', { A: 'a "b" $c', B: "it's" });
assert.equal(plain.exitCode, 5);
assert.equal(plain.result, 'a "b" $c it\'s\n/tmp\n');
assert.equal((await process_.executeCommand('no-such-program')).exitCode, 127);
await assert.rejects(process_.executeCommand('sleep 60', undefined, undefined, 1), /timeout/);
assert.equal((await process_.executeCommand('sleep 300 & echo now')).result, 'now\n');

await sandbox.delete();
console.log('ok');
process.exit(0); // what the SDKs still have open or look up is of no interest
