// What a sandbox used, as the TypeScript SDK tells it.
import assert from 'node:assert/strict';

const { Daytona } = await import(process.argv[2]);
const daytona = new Daytona();
const sandbox = await daytona.create();
const busy = 'sh -c "i=0; while [ \\$i -lt 300000 ]; do i=\\$((i+1)); done; head -c 20000000 /dev/zero > big"';

function check(sample) {
  assert.equal(sample.cpuCount, sandbox.cpu);
  assert.equal(sample.memTotal, sandbox.memory * 2 ** 30);
  assert.ok(sample.cpuUsedPct >= 0 && sample.cpuUsedPct <= 100);
  assert.ok(sample.memUsed > 0 && sample.memUsed < sample.memTotal && sample.memCache >= 0);
  assert.ok(sample.diskTotal > 0 && sample.diskTotal <= sandbox.disk * 2 ** 30 && sample.diskUsed < sample.diskTotal);
  assert.ok(Math.abs(sample.timestamp - Date.now()) < 60000);
}

const first = await sandbox.getMetrics();
assert.equal(first.length, 1);
check(first[0]);
assert.equal((await sandbox.process.executeCommand(busy)).exitCode, 0);
await new Promise((done) => setTimeout(done, 1100));
const second = await sandbox.getMetrics();
assert.equal(second.length, 2);
second.forEach(check);
assert.ok(second[1].timestamp > second[0].timestamp);
assert.ok(second[1].cpuUsedPct > 1);
assert.ok(second[1].diskUsed - second[0].diskUsed >= 20e6);
assert.deepEqual(await sandbox.getMetrics(new Date(0), new Date(Date.now() - 60000)), []);
const latest = await sandbox.getMetricsLatest();
check(latest);
assert.equal(latest.diskTotal, second[1].diskTotal);
await assert.rejects(sandbox.getMetrics(new Date(), new Date(0)), /from must not be after to/);
await sandbox.delete();
console.log('ok');
