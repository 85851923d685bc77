// The files of a sandbox as the documentation of the TypeScript SDK shows them, by the version that is named.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';

const { Daytona } = await import(process.argv[2]);
const daytona = new Daytona();
const local = await mkdtemp(join(tmpdir(), 'files-'));
const sandbox = await daytona.create({ language: 'typescript' });
const { fs } = sandbox;
const big = randomBytes(3_000_000);
const odd = ['work/naïve "café".txt', 'work/日本語 🎉', 'work/a;b%41+c'];

await fs.createFolder('work/deep/er', '755');
await fs.uploadFile(Buffer.from('Hello, World!'), 'work/hello.txt');
assert.equal((await fs.downloadFile('work/hello.txt')).toString(), 'Hello, World!');
await writeFile(join(local, 'big'), big);
await fs.uploadFile(join(local, 'big'), 'work/big.bin');
await fs.downloadFile('work/big.bin', join(local, 'back'));
assert.ok((await readFile(join(local, 'back'))).equals(big));

await fs.uploadFiles([
  { source: Buffer.from('one TODO\ntwo\nTODO three'), destination: 'work/deep/er/a.txt' },
  { source: join(local, 'big'), destination: 'work/deep/b.bin' },
  { source: Buffer.alloc(0), destination: 'work/empty' },
  ...odd.map((name) => ({ source: Buffer.from(name), destination: name })),
]);
const got = await fs.downloadFiles([
  { source: 'work/deep/er/a.txt' }, { source: 'work/deep/b.bin', destination: join(local, 'b') },
  { source: 'work/missing' }, { source: 'work/empty' }, { source: 'work/deep' }, ...odd.map((source) => ({ source })),
]);
assert.equal(got[0].result.toString(), 'one TODO\ntwo\nTODO three');
assert.ok((await readFile(join(local, 'b'))).equals(big));
assert.match(got[2].error, /No such file/);
assert.doesNotMatch(got[2].error, /[{}]/);
assert.ok(got[3].error === undefined ? got[3].result.length === 0 : /No data/.test(got[3].error));
assert.match(got[4].error, /folder|directory/);
odd.forEach((name, i) => assert.equal(got[5 + i].result.toString(), name));
await assert.rejects(fs.uploadFiles([{ source: Buffer.from('x'), destination: '/proc/nothing/x' }]));

const listed = await fs.listFiles('work');
assert.deepEqual(listed.map((f) => f.name), ['a;b%41+c', 'big.bin', 'deep', 'empty', 'hello.txt', 'naïve "café".txt', '日本語 🎉']);
const info = await fs.getFileDetails('work/hello.txt');
assert.deepEqual([info.name, info.isDir, info.size, info.permissions, info.mode], ['hello.txt', false, 13, '0644', '-rw-r--r--']);
assert.ok(Math.abs(new Date(info.modifiedAt) - Date.now()) < 600_000);
await assert.rejects(fs.getFileDetails('work/missing'), /No such file/);

assert.deepEqual(await fs.findFiles('work', 'TODO'), [
  { file: 'work/deep/er/a.txt', line: 1, content: 'one TODO' }, { file: 'work/deep/er/a.txt', line: 3, content: 'TODO three' }]);
assert.deepEqual((await fs.searchFiles('work', '*.txt')).files, ['work/deep/er/a.txt', 'work/hello.txt', odd[0]]);
assert.deepEqual((await fs.searchFiles('work', '*.none')).files, []);
const replaced = await fs.replaceInFiles(['work/deep/er/a.txt', 'work/missing'], 'TODO', 'DONE');
assert.deepEqual(replaced.map((r) => [r.file, r.success]), [['work/deep/er/a.txt', true], ['work/missing', false]]);
assert.match(replaced[1].error, /No such file/);
assert.equal((await fs.downloadFile('work/deep/er/a.txt')).toString(), 'one DONE\ntwo\nDONE three');

await fs.setFilePermissions('work/hello.txt', { mode: '600' });
assert.equal((await fs.getFileDetails('work/hello.txt')).permissions, '0600');
await fs.moveFiles('work/hello.txt', 'work/moved.txt');
await assert.rejects(fs.moveFiles('work/moved.txt', 'work/empty'), /already exists/);
await assert.rejects(fs.deleteFile('work'), /recursive/);

if (fs.downloadFileStream) {
  const parts = [];
  for await (const part of await fs.downloadFileStream('work/big.bin')) parts.push(part);
  assert.ok(Buffer.concat(parts).equals(big));
  await fs.uploadFileStream(Readable.from([big.subarray(0, 1000), big.subarray(1000)]), 'work/streamed');
  assert.ok((await fs.downloadFile('work/streamed')).equals(big));
  await assert.rejects(fs.downloadFileStream('work/missing'), /No such file/);
}
if (sandbox.rotateSigningKey) {
  const tree = await fs.listFiles('work/deep', { depth: 2 });
  assert.deepEqual(tree.map((f) => f.path.split('/work/')[1]), ['deep/b.bin', 'deep/er', 'deep/er/a.txt']);
  const name = odd[0];
  const link = await sandbox.downloadUrl(name, 60);
  assert.equal(await (await fetch(link)).text(), name);
  assert.equal((await fetch(await sandbox.downloadUrl(name, 0))).status, 200);
  const form = new FormData();
  form.append('file', new Blob(['signed']), 'ignored');
  const sent = await fetch(await sandbox.uploadUrl('work/signed'), { method: 'POST', body: form });
  assert.deepEqual(await sent.json(), { name: 'signed', path: (await fs.listFiles('work', { depth: 1 })).find((f) => f.name === 'signed').path, type: 'file' });
  assert.equal((await fs.downloadFile('work/signed')).toString(), 'signed');
  await sandbox.rotateSigningKey();
  assert.equal((await fetch(link)).status, 401);
  assert.equal((await fetch(await sandbox.downloadUrl(name))).status, 200);
}
if (sandbox.updateEnv) {
  await sandbox.updateEnv({ FILES_TEST: 'set' });
  assert.equal((await sandbox.process.executeCommand('echo $FILES_TEST')).result.trim(), 'set');
  await sandbox.updateEnv({}, { unset: ['FILES_TEST'] });
  assert.equal((await sandbox.process.executeCommand('echo -$FILES_TEST-')).result.trim(), '--');
}
if (sandbox.getMetricsLatest) {
  const m = await sandbox.getMetricsLatest();
  assert.ok(m.cpuUsedPct >= 0 && m.cpuUsedPct <= 100, JSON.stringify(m));
  assert.ok(m.memUsed > 0 && m.memUsed < m.memTotal && m.diskUsed > 0 && m.diskUsed < m.diskTotal, JSON.stringify(m));
  assert.equal(m.memTotal, sandbox.memory * 2 ** 30);
}
await fs.deleteFile('work/moved.txt');
await fs.deleteFile('work', true);
await assert.rejects(fs.listFiles('work'), /No such file/);
await sandbox.delete();
await rm(local, { recursive: true });
console.log('ok');
process.exit(0); // the newest SDK keeps its socket open
