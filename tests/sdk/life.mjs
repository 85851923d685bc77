// The life of a sandbox as the documentation of the TypeScript SDK shows it, by the version that is named.
import assert from 'node:assert/strict';

const { Daytona } = await import(process.argv[2]);
const daytona = new Daytona();
const name = `my-sandbox-${process.pid}`;

async function state(sandbox, wanted) {
  for (let i = 0; i < 600; i++) {
    await sandbox.refreshData();
    if (sandbox.state === wanted) return;
    assert.notEqual(sandbox.state, 'error', sandbox.errorReason);
    await new Promise((done) => setTimeout(done, 100));
  }
  assert.fail(`${sandbox.state} instead of ${wanted}`);
}
const run = async (sandbox, command) => {
  const done = await sandbox.process.executeCommand(command);
  assert.equal(done.exitCode, 0, done.result);
  return done.result.trim();
};
async function all(labels) {
  if (Daytona.prototype.list.constructor.name === 'AsyncGeneratorFunction' || !daytona.findOne) {
    const found = [];
    for await (const sandbox of daytona.list({ labels })) found.push(sandbox);
    return found;
  }
  return (await daytona.list(labels)).items;
}

const sandbox = await daytona.create({ name, language: 'typescript', labels: { SOME_LABEL: name }, autoStopInterval: 30 });
assert.equal(sandbox.state, 'started');
assert.equal((await daytona.get(name)).id, sandbox.id);
if (daytona.findOne) assert.equal((await daytona.findOne({ labels: { SOME_LABEL: name } })).id, sandbox.id);
assert.deepEqual((await all({ SOME_LABEL: name })).map((s) => s.id), [sandbox.id]);
assert.deepEqual(await all({ SOME_LABEL: 'none of these' }), []);
await sandbox.setLabels({ SOME_LABEL: name, public: 'false' });
await sandbox.setAutostopInterval(60);
await sandbox.setAutoArchiveInterval(60);
await sandbox.setAutoDeleteInterval(120);
await sandbox.refreshData();
assert.deepEqual([sandbox.autoStopInterval, sandbox.autoArchiveInterval, sandbox.autoDeleteInterval], [60, 60, 120]);

await run(sandbox, 'sh -c "echo kept > kept; ln kept hard; chmod 640 kept"');
const look = 'stat -c "%n %a %u %g %h %s %y" kept hard';
const before = await run(sandbox, look);
await sandbox.stop();
assert.equal(sandbox.state, 'stopped');
await sandbox.start();
assert.equal(await run(sandbox, look), before);
await assert.rejects(sandbox.archive(), /not stopped/);

await sandbox.stop();
await sandbox.archive();
await state(sandbox, 'archived');
assert.deepEqual((await all({ SOME_LABEL: name })).map((s) => s.state), ['archived']);
await sandbox.start();
assert.equal(sandbox.state, 'started');
assert.equal(await run(sandbox, look), before);

if (sandbox.pause) {
  await sandbox.pause();
  assert.equal(sandbox.state, 'paused');
  await sandbox.start();
  assert.equal(await run(sandbox, look), before);
  await sandbox.resize({ cpu: 2, memory: 2 });
  assert.deepEqual([sandbox.cpu, sandbox.memory, sandbox.state], [2, 2, 'started']);
  await assert.rejects(sandbox.resize({ disk: 5 }), /while the sandbox is stopped/);
  await sandbox.stop();
  await sandbox.resize({ disk: 5 });
  assert.equal(sandbox.disk, 5);
  await sandbox.start();
  assert.equal(await run(sandbox, look), before);
  const fork = await sandbox._experimental_fork({ name: `${name}-fork` });
  assert.equal(fork.state, 'started');
  assert.equal(await run(fork, look), before);
  await run(fork, 'rm kept');
  assert.equal(await run(sandbox, look), before);
  await fork.delete();
  await sandbox.updateNetworkSettings({ networkBlockAll: true });
  assert.equal(sandbox.networkBlockAll, true);
}

await sandbox.delete();
await assert.rejects(daytona.get(name), (e) => /not found/.test(e.message));
console.log('ok');
process.exit(0); // the newest SDK keeps its socket open
