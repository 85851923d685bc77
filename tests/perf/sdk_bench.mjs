// Time to interactive with the TypeScript SDK: create() to the result of the first executeCommand(), one after the
// other, create() alone, and a burst. Prints {"first": [ms], "create": [ms], "burst": [ms]}.
import { Daytona } from 'daytona-sdk-0.218.0';

const [rounds, burst] = process.argv.slice(2).map(Number);
const daytona = new Daytona();
const since = (start) => performance.now() - start;

async function first() {
  const start = performance.now();
  const sandbox = await daytona.create();
  const created = since(start);
  const done = await sandbox.process.executeCommand('echo hi');
  const total = since(start);
  if (done.result.trim() !== 'hi') throw new Error(JSON.stringify(done));
  return { sandbox, created, total };
}

const out = { first: [], create: [], burst: [] };
for (let i = 0; i < 10 + rounds; i++) {
  const { sandbox, created, total } = await first();
  if (i >= 10) { // before, both sides warm up
    out.first.push(total);
    out.create.push(created);
  }
  await sandbox.delete();
  await new Promise((done) => setTimeout(done, 50));
}
const start = performance.now();
const boxes = await Promise.all(Array.from({ length: burst }, async () => {
  const sandbox = await daytona.create();
  out.burst.push(since(start));
  return sandbox;
}));
for (const sandbox of boxes) await sandbox.delete();
console.log(JSON.stringify(out));
