// Code, charts and the interpreter as the documentation of the TypeScript SDK shows them, by the version named.
import assert from 'node:assert/strict';

const { Daytona } = await import(process.argv[2]);
const server = /-0\.1[9]|-0\.2/.test(process.argv[2]); // these have the server run the code
const daytona = new Daytona();
const left = [];
const make = async (language) => {
  const sandbox = await daytona.create({ language });
  left.push(sandbox);
  return sandbox;
};

const CHARTS = `
import matplotlib.pyplot as plt
plt.plot([1, 2, 3], [1, 4, 9], label='squares'); plt.title('Line'); plt.xlabel('x'); plt.ylabel('y'); plt.show()
plt.scatter([1, 2, 3], [3, 1, 2]); plt.show()
plt.bar(['a', 'b'], [1, 2.5]); plt.show()
plt.pie([1, 3], labels=['quarter', 'rest'], autopct='%1.0f%%'); plt.show()
plt.boxplot([[1, 2, 3, 4, 50]]); plt.show()
figure, (left, right) = plt.subplots(1, 2); left.plot([1, 2], [3, 4]); right.scatter([1], [2]); plt.show()
print('drawn')
`;

async function python() {
  const { process } = await make('python');
  const hello = await process.codeRun('import sys\nprint("Hello", *sys.argv[1:])', { argv: ['a', 'b'], env: { X: '1' } });
  assert.deepEqual([hello.exitCode, hello.result.trimEnd()], [0, 'Hello a b']);
  assert.equal((await process.codeRun('import os; print(os.environ["X"])', { env: { X: '1 2' } })).result.trimEnd(), '1 2');
  const failed = await process.codeRun('print("on stdout")\nraise ValueError("told")');
  assert.equal(failed.exitCode, 1);
  assert.match(failed.result, /on stdout[^]*ValueError: told/);
  await assert.rejects(process.codeRun('import time; time.sleep(60)', undefined, 1), /timeout|timed out/i);

  const drawn = await process.codeRun(CHARTS);
  assert.deepEqual([drawn.exitCode, drawn.result.trim()], [0, 'drawn']);
  const charts = drawn.artifacts.charts;
  // The older ones read the figures themselves, and do not know the boxes of today's matplotlib.
  const box = server ? 'box_and_whisker' : charts[4].type;
  assert.deepEqual(charts.map((c) => c.type), ['line', 'scatter', 'bar', 'pie', box, 'composite_chart']);
  for (const chart of charts) assert.match(chart.png, /^iVBOR/);
  assert.deepEqual([charts[0].title, charts[0].x_label, charts[0].y_label], ['Line', 'x', 'y']);
  assert.equal(charts[0].elements[0].label, 'squares');
  assert.deepEqual(charts[0].elements[0].points, [[1, 1], [2, 4], [3, 9]]);
  assert.deepEqual(charts[2].elements.map((e) => [e.label, Number(e.value)]), [['a', 1], ['b', 2.5]]);
  assert.deepEqual(charts[3].elements.map((e) => Math.round(e.angle)), [90, 270]);
  assert.deepEqual(charts[5].elements.map((e) => e.type), ['line', 'scatter']);
  assert.deepEqual(charts[5].elements[0].elements[0].points, [[1, 3], [2, 4]]);
}

async function javascript() {
  const { process } = await make('javascript');
  const done = await process.codeRun('console.log(1 + 1, ...process.argv.slice(1))', { argv: ['a', 'b'] });
  assert.deepEqual([done.exitCode, done.result.trimEnd()], [0, '2 a b']);
  if (server) assert.equal((await process.codeRun('process.exit(3)')).exitCode, 3);
}

async function typescript() {
  const { process } = await make('typescript');
  const code = 'interface A { n: number }\nconst a: A = { n: 41 }\nfunction next(x: A): number { return x.n + 1 }\nconsole.log(next(a))';
  const done = await process.codeRun(code, { argv: ['a'] });
  assert.deepEqual([done.exitCode, done.result.trimEnd()], [0, '42']);
  const hello = 'console.log(`Hello, ${process.argv[2]}!`);\nconsole.log(`FOO: ${process.env.FOO}`);';
  assert.equal((await process.codeRun(hello, { argv: ['Daytona'], env: { FOO: 'BAR' } })).result.trimEnd(), 'Hello, Daytona!\nFOO: BAR');
  if (!server) return;
  assert.equal((await process.codeRun('console.log(process.argv.slice(2))', { argv: ['a b'] })).result, "[ 'a b' ]\n");
  const failed = await process.codeRun('const x: number = 1\n\nfunction f(): never { throw new Error("told") }\nf()');
  assert.equal(failed.exitCode, 1);
  assert.match(failed.result, /Error: told\n.*\[stdin\]\.ts:3:/);
  assert.equal((await process.codeRun('import * as fs from "fs"\nawait Promise.resolve(1)\nconsole.log(typeof fs.readFileSync)')).result, 'function\n');
}

async function interpreter() {
  const { codeInterpreter } = await make('python');
  if (!codeInterpreter) return;
  const seen = [];
  const result = await codeInterpreter.runCode('import sys\nfor i in range(3): print(i)\nprint("e", file=sys.stderr)\n1 / 0', {
    onStdout: (m) => seen.push(m.output), onStderr: (m) => seen.push(`stderr ${m.output}`),
    onError: (e) => seen.push(`${e.name}: ${e.value}`), timeout: 30,
  });
  assert.deepEqual([result.stdout, result.stderr, result.error.name], ['0\n1\n2\n', 'e\n', 'ZeroDivisionError']);
  assert.match(result.error.traceback, /File "<stdin>", line 4/);
  assert.equal(seen.filter((s) => !/^(stderr|Zero)/.test(s)).join(''), '0\n1\n2\n');
  assert.ok(seen.includes('ZeroDivisionError: division by zero'));
  await codeInterpreter.runCode('x = 1', { envs: { A: 'b' } });
  const context = await codeInterpreter.createContext('/tmp');
  assert.equal((await codeInterpreter.runCode('import os; print(os.getcwd())', { context })).stdout, '/tmp\n');
  assert.equal((await codeInterpreter.runCode('print(x)', { context })).error.name, 'NameError');
  assert.equal((await codeInterpreter.runCode('print(x)')).stdout, '1\n');
  assert.deepEqual((await codeInterpreter.listContexts()).map((c) => c.id), [context.id]);
  await assert.rejects(codeInterpreter.runCode('import time; time.sleep(60)', { context, timeout: 1 }), /timed out/i);
  await codeInterpreter.deleteContext(context);
  assert.deepEqual(await codeInterpreter.listContexts(), []);
  await assert.rejects(codeInterpreter.runCode('1', { context }), /context not found/);
  const died = await codeInterpreter.runCode('import os; os._exit(0)');
  assert.match(died.error.value, /exit status 0/);
  assert.equal((await codeInterpreter.runCode('print("again")')).stdout, 'again\n');
}

for (const part of [python, javascript, typescript, interpreter]) await part();
for (const sandbox of left) await sandbox.delete();
console.log('ok');
process.exit(0); // the newest SDK keeps its socket open
