// PTYs as the documentation of the TypeScript SDK shows them, by the version that is named.
import assert from 'node:assert/strict';

const { Daytona } = await import(process.argv[2]);
const daytona = new Daytona();
const sandbox = await daytona.create();

function screen() {
  const decoder = new TextDecoder();
  const s = {
    text: '',
    onData: (data) => {
      s.text += decoder.decode(data, { stream: true });
    },
    async until(what) {
      for (let i = 0; i < 5000; i++) {
        if (what.test(s.text)) return;
        await new Promise((done) => setTimeout(done, 20));
      }
      assert.fail(`no ${what} in ${JSON.stringify(s.text)}`);
    },
  };
  return s;
}

// interactive commands
const first = screen();
const id = 'interactive-session';
let handle = await sandbox.process.createPty({ id, cols: 300, rows: 100, envs: { GREETING: 'hé' }, cwd: '/tmp', onData: first.onData });
await handle.waitForConnection();
assert.equal(handle.isConnected(), true);
await first.until(/\$ /);
await handle.sendInput('printf "Are you accepting the terms and conditions? (y/%s): " n && read confirm && if [ "$confirm" = "y" ]; then echo "You accepted"; else echo "You did not accept"; fi\n');
await first.until(/\(y\/n\): /);
await handle.sendInput('y\n');
await first.until(/You accepted\r\n/);
const resized = await sandbox.process.resizePtySession(id, 210, 110);
assert.deepEqual([resized.cols, resized.rows, resized.id], [210, 110, id]);
await handle.resize(211, 111);
await handle.sendInput('echo =$GREETING=$(pwd)=$(stty size)=\n');
await first.until(/=hé=\/tmp=111 211=/);

const info = await sandbox.process.getPtySessionInfo(id);
assert.deepEqual([info.id, info.cwd, info.cols, info.rows, info.active], [id, '/tmp', 211, 111, true]);
assert.deepEqual(info.envs, { GREETING: 'hé' });
assert.deepEqual((await sandbox.process.listPtySessions()).map((s) => s.id), [id]);
await assert.rejects(async () => {
  const again = await sandbox.process.createPty({ id, onData: () => {} });
  await again.waitForConnection();
}, /already exists/);

// another viewer, which finds what was printed; the first one leaves
const second = screen();
const other = await sandbox.process.connectPty(id, { onData: second.onData });
await other.waitForConnection();
await second.until(/You accepted/);
await handle.disconnect();
await other.sendInput('exit 3\n');
let result = await other.wait();
assert.deepEqual(result, { exitCode: 3, error: 'non-zero exit' });
assert.equal(other.exitCode, 3);
assert.deepEqual(await sandbox.process.listPtySessions(), []);

// a normal end
handle = await sandbox.process.createPty({ id: 'normal', onData: () => {} });
await handle.waitForConnection();
await handle.sendInput('exit\n');
result = await handle.wait();
assert.equal(result.exitCode, 0);
assert.equal(result.error, undefined);

// long-running processes
const third = screen();
handle = await sandbox.process.createPty({ id: 'long-running-session', cols: 120, rows: 30, onData: third.onData });
await handle.waitForConnection();
await handle.sendInput('while true; do echo "Running... $(date)"; sleep 0.1; done\n');
await third.until(/\nRunning[^]*\nRunning/);
await handle.kill();
result = await handle.wait();
assert.deepEqual(result, { exitCode: 137, error: 'SIGKILL' });
await assert.rejects(sandbox.process.getPtySessionInfo('long-running-session'), /not found/);
await assert.rejects(async () => {
  const gone = await sandbox.process.connectPty('long-running-session', { onData: () => {} });
  await gone.waitForConnection();
});

await sandbox.delete();
console.log('ok');
process.exit(0); // the newest SDK keeps its socket open
