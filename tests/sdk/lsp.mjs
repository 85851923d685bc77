// Language servers as the documentation of the TypeScript SDK shows them, by the version that is named.
import assert from 'node:assert/strict';

const { Daytona, LspLanguageId } = await import(process.argv[2]);
const daytona = new Daytona();
const sandbox = await daytona.create();
const files = {
  'project/a.py': 'class Greeter:\n    def hello(self):\n        return 1\n\n\ngreeter = Greeter()\ngreeter.\n',
  'project/sub/b.py': 'def greet_all():\n    return 2\n',
  'project/a.ts': 'class Greeter { hello() { return 1 } }\nconst greeter = new Greeter();\ngreeter.\n',
  'project/a.js': 'class Greeter { hello() { return 1 } }\nconst greeter = new Greeter();\ngreeter.\n',
};
const made = await sandbox.process.executeCommand('mkdir -p project/sub');
assert.equal(made.exitCode, 0, made.result);
for (const [path, text] of Object.entries(files)) await sandbox.fs.uploadFile(Buffer.from(text), path);

for (const [language, path, line] of [['python', 'a.py', 6], ['typescript', 'a.ts', 2], ['javascript', 'a.js', 2]]) {
  const project = language === 'python' ? 'project' : '/home/daytona/project';
  const server = await sandbox.createLspServer(LspLanguageId[language.toUpperCase()], project);
  await server.start();
  await server.didOpen(`${project}/${path}`);
  const list = await server.completions(`${project}/${path}`, { line, character: 8 });
  assert.equal(list.isIncomplete, false);
  assert.ok(list.items.some((item) => item.label.startsWith('hello')), JSON.stringify(list));
  assert.ok((await server.completions(`${project}/${path}`, { line: 0, character: 0 })).items.length > 10);
  const symbols = await server.documentSymbols(`${project}/${path}`);
  const greeter = symbols.find((symbol) => symbol.name === 'Greeter');
  assert.equal(greeter.kind, 5);
  assert.equal(greeter.location.uri, `file:///home/daytona/project/${path}`);
  assert.deepEqual(greeter.location.range.start, { line: 0, character: 0 });
  for (const method of ['sandboxSymbols', 'workspaceSymbols']) {
    const found = (await server[method]('greet')).map((symbol) => symbol.name);
    assert.ok(found.includes(language === 'python' ? 'greet_all' : 'Greeter'), JSON.stringify(found));
  }
  assert.deepEqual(await server.sandboxSymbols('no such symbol'), []);
  await assert.rejects(server.didOpen(`${project}/missing`), /missing cannot be read/);
  await server.didClose(`${project}/${path}`);
  await server.stop();
  await server.stop();
  await assert.rejects(server.documentSymbols(`${project}/${path}`), /server not initialized/);
}
await sandbox.delete();
console.log('ok');
process.exit(0); // the newest SDK keeps its socket open
