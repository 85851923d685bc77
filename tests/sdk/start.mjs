// The first pages of the documentation with the TypeScript SDK: what a new sandbox may be given, and previews.
import assert from 'node:assert/strict';

const { Daytona } = await import(process.argv[2]);
const daytona = new Daytona();

async function visit(url, headers = {}) {
  const answer = await fetch(url, { headers });
  return [answer.status, await answer.text()];
}
async function serve(sandbox) {
  await sandbox.fs.uploadFile(Buffer.from('the page'), 'www/index.html');
  await sandbox.process.createSession('server');
  await sandbox.process.executeSessionCommand('server', { command: 'cd www; python -m http.server 3000', async: true });
  const link = await sandbox.getPreviewLink(3000);
  for (let i = 0; i < 200 && (await visit(link.url, { 'x-daytona-preview-token': link.token }))[0] === 502; i++)
    await new Promise((done) => setTimeout(done, 100));
  return link;
}

const sandbox = await daytona.create({ language: 'python' });
const sum = await sandbox.process.codeRun('print("Sum of 3 and 4 is " + str(3 + 4))');
assert.deepEqual([sum.exitCode, sum.result.trim()], [0, 'Sum of 3 and 4 is 7']);
assert.equal(sandbox.name, sandbox.id);
assert.deepEqual([sandbox.autoStopInterval, sandbox.autoArchiveInterval, sandbox.target], [15, 10080, 'us']);
const link = await serve(sandbox);
assert.deepEqual(await visit(link.url, { 'x-daytona-preview-token': link.token }), [200, 'the page']);
assert.equal((await visit(link.url))[0], 401);
if (sandbox.getSignedPreviewUrl) {
  const signed = await sandbox.getSignedPreviewUrl(3000, 600);
  assert.deepEqual(await visit(signed.url), [200, 'the page']);
  await sandbox.expireSignedPreviewUrl(3000, signed.token);
  assert.equal((await visit(signed.url))[0], 401);
  const before = sandbox.lastActivityAt;
  await sandbox.refreshActivity();
  await sandbox.refreshData();
  assert.ok(sandbox.lastActivityAt > before);
}
await daytona.delete(sandbox);

const given = await daytona.create({
  language: 'typescript', envVars: { DEBUG: "a 'b' $c" }, user: 'root', public: true, autoStopInterval: 0, autoArchiveInterval: 60,
  autoDeleteInterval: 120, networkAllowList: '208.80.154.232/32,192.168.1.0/24',
}, { timeout: 100 });
assert.deepEqual([given.env, given.user, given.public], [{ DEBUG: "a 'b' $c" }, 'root', true]);
assert.deepEqual([given.autoStopInterval, given.autoArchiveInterval, given.autoDeleteInterval], [0, 60, 120]);
assert.equal(given.networkAllowList, '208.80.154.232/32,192.168.1.0/24');
assert.deepEqual([await (given.getUserHomeDir ?? given.getUserRootDir).call(given), await given.getWorkDir()], ['/root', '/home/daytona']);
assert.equal((await given.process.executeCommand('echo "$DEBUG"')).result.trim(), "a 'b' $c");
assert.equal((await given.process.codeRun('console.log(process.env.DEBUG)')).result.trim(), "a 'b' $c");
assert.deepEqual(await visit((await serve(given)).url), [200, 'the page']);
assert.equal((await visit((await given.getPreviewLink(22222)).url))[0], 401); // its terminal is for its owners
await given.delete();

const brief = await daytona.create({ ephemeral: true, autoStopInterval: 5 });
assert.equal(brief.autoDeleteInterval, 0);
await brief.stop();
await assert.rejects(daytona.get(brief.id), (e) => e.constructor.name === 'DaytonaNotFoundError');
await assert.rejects(daytona.create({ snapshot: 'none' }), /none not found/);
await assert.rejects(new Daytona({ apiKey: 'YOUR_API_KEY' }).create(), /Invalid/);
console.log('ok');
process.exit(0); // the newest SDK keeps its socket open
