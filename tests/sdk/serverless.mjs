// Where the TypeScript SDK believes to be serverless it sends forms with fetch() and takes answers apart itself, by
// names that it cannot read with a quote or a semicolon in them.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

const { Daytona } = await import(process.argv[2]);
const { DAYTONA_API_KEY: apiKey, DAYTONA_API_URL: apiUrl, DAYTONA_TARGET: target } = process.env;
const daytona = new Daytona({ apiKey, apiUrl, target }); // old ones do not look into the environment there
const sandbox = await daytona.create({ language: 'typescript' });
const { fs } = sandbox;
const big = randomBytes(3_000_000);
const files = { 'work/a.txt': Buffer.from('one'), 'work/deep/big': big, 'work/日本 é 🎉.txt': Buffer.from('two') };

await fs.uploadFile(Buffer.from('Hello, World!'), 'work/hello.txt');
assert.equal((await fs.downloadFile('work/hello.txt')).toString(), 'Hello, World!');
await fs.uploadFiles(Object.entries(files).map(([destination, source]) => ({ source, destination })));
for (const [name, content] of Object.entries(files)) {
  const wrote = await sandbox.process.executeCommand(`sha256sum < '${name}' | cut -c1-64; wc -c < '${name}'`);
  assert.match(wrote.result, new RegExp(`^[0-9a-f]{64}\\n${content.length}\\n?$`), name);
}
const got = await fs.downloadFiles([...Object.keys(files), 'work/missing'].map((source) => ({ source })));
Object.values(files).forEach((content, i) => assert.ok(Buffer.from(got[i].result).equals(content), got[i].source));
assert.match(got[3].error, /No such file/);

const id = 'serverless';
await sandbox.process.createSession(id);
const { cmdId } = await sandbox.process.executeSessionCommand(id, { command: 'echo out; echo err >&2', runAsync: true });
const logs = { out: '', err: '' };
await sandbox.process.getSessionCommandLogs(id, cmdId, (chunk) => { logs.out += chunk; }, (chunk) => { logs.err += chunk; });
assert.deepEqual(logs, { out: 'out\n', err: 'err\n' });

await sandbox.delete();
console.log('ok');
process.exit(0);
