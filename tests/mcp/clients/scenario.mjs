// What every TypeScript client does: a day in a sandbox. Throws on the first surprise.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');

/** `call(name, args, options)` is the SDK's tools/call; `client` its client. */
export async function scenario(client, call, { repository, head }) {
  const ok = async (name, args, options) => {
    const result = await call(name, args, options);
    assert.ok(!result.isError, `${name}: ${JSON.stringify(result.content)}`);
    return result.structuredContent;
  };
  const { tools } = await client.listTools();
  assert.ok(tools.length >= 16);
  assert.ok(JSON.stringify(tools).length <= 20000);
  for (const name of ['create_sandbox', 'destroy_sandbox', 'execute_command', 'git_clone', 'preview_link'])
    assert.ok(tools.some((t) => t.name === name), name);

  const { id } = await ok('create_sandbox', { labels: { by: 'scenario' }, env: { GREETING: 'hello there' } });
  try {
    await inside(client, ok, call, id, { repository, head });
  } finally {
    await ok('destroy_sandbox', { id });
  }
  const gone = await call('get_sandbox', { id });
  assert.equal(gone.isError, true);
  assert.match(gone.content[0].text, /not found/);
}

async function inside(client, ok, call, id, { repository, head }) {
  await ok('git_clone', { id, url: repository, path: 'repo' });
  const log = await ok('execute_command', { id, cwd: 'repo', command: 'git rev-parse HEAD; echo oops >&2; exit 3' });
  assert.equal(log.stdout.trim(), head);
  assert.equal(log.stderr, 'oops\n');
  assert.equal(log.exitCode, 3);
  const env = await ok('execute_command', { id, command: 'echo "$GREETING $EXTRA"; whoami; pwd', env: { EXTRA: 'x y' } });
  assert.equal(env.stdout, 'hello there x y\ndaytona\n/home/daytona\n');

  await ok('file_upload', { id, file_path: 'a/b/c.txt', content: 'grüße\n', encoding: 'text', overwrite: false });
  const again = await call('file_upload', { id, file_path: 'a/b/c.txt', content: 'x', encoding: 'text', overwrite: false });
  assert.equal(again.isError, true);
  const text = await call('file_download', { id, filePath: 'a/b/c.txt' });
  assert.equal(text.content[0].text, 'grüße\n');
  await ok('upload_file', { id, file_path: 'dot.png', content: PNG.toString('base64'), encoding: 'base64', overwrite: true });
  const image = await call('download_file', { id, file_path: 'dot.png' });
  const block = image.content.find((c) => c.type === 'image');
  assert.equal(block.mimeType, 'image/png');
  assert.deepEqual(Buffer.from(block.data, 'base64'), PNG);
  assert.equal(image.structuredContent, undefined);

  await ok('create_folder', { id, folder_path: 'made' });
  await ok('move_file', { id, source_path: 'a/b/c.txt', dest_path: 'made/d.txt' });
  const info = await ok('get_file_info', { id, file_path: 'made/d.txt' });
  assert.equal(info.size, Buffer.byteLength('grüße\n'));
  const listing = JSON.stringify(await ok('list_files', { id, path: 'made' }));
  assert.match(listing, /d\.txt/);
  await ok('delete_file', { id, file_path: 'made' });
  assert.equal((await call('get_file_info', { id, file_path: 'made/d.txt' })).isError, true);

  const progress = [];
  await ok('execute_command', { id, command: 'sleep 7; echo done' }, { onprogress: (p) => progress.push(p.progress) });
  assert.ok(progress.length >= 1, 'a progress notification within 7 s');

  const abort = new AbortController();
  setTimeout(() => abort.abort(), 500);
  await assert.rejects(call('execute_command', { id, command: 'sleep 4242' }, { signal: abort.signal }));
  const rest = await ok('execute_command', {
    id, command: 'for i in $(seq 600); do pgrep -f "sleep 424[2]" >/dev/null || exit 0; sleep 0.1; done; exit 1' });
  assert.equal(rest.exitCode, 0, 'the cancelled command still runs');

  const many = await ok('execute_command', { id, command: 'seq 1 100000' });
  assert.ok(JSON.stringify(many).length < 20000);
  await background(ok, call, id);
  await resources(client, id);
  await preview(ok, id);
  await ok('stop_sandbox', { id });
  const stopped = await call('execute_command', { id, command: 'true' });
  assert.equal(stopped.isError, true);
  assert.match(stopped.content[0].text, /start_sandbox/);
  await ok('start_sandbox', { id });
  const kept = await ok('execute_command', { id, command: 'cat repo/README.md | head -n 1' });
  assert.equal(kept.stdout, '# guestbook\n');
}

async function background(ok, call, id) {
  const { commandId, output, running } = await ok('start_command', {
    id, cwd: 'repo', command: 'echo ready; read answer; echo "got $answer"; sleep 4343' });
  assert.deepEqual([['', 'ready\n'].includes(output), running], [true, true]);
  await ok('send_input', { id, command_id: commandId, input: 'grüße' });
  let text = '';
  for (let cursor = 0; !text.includes('grüße\n');) {
    const got = await ok('read_command', { id, command_id: commandId, cursor, wait: 20 });
    text += got.output;
    cursor = got.cursor;
  }
  assert.equal(text, 'ready\ngot grüße\n');
  await ok('stop_command', { id, command_id: commandId });
  const rest = await ok('execute_command', { id, command: 'pgrep -f "sleep 434[3]"' });
  assert.equal(rest.exitCode, 1);

  const code = 'import matplotlib.pyplot as plt\nplt.plot([1, 2], [3, 4])\nplt.show()\nprint("drawn")';
  const chart = await call('run_code', { id, code });
  assert.deepEqual(chart.content.map((c) => c.type), ['text', 'image']);
  assert.equal(chart.structuredContent, undefined);
  assert.equal(chart.content[1].mimeType, 'image/png');
  const png = Buffer.from(chart.content[1].data, 'base64');
  assert.equal(png.subarray(1, 4).toString(), 'PNG');
  const told = JSON.parse(chart.content[0].text);
  assert.equal(told.output, 'drawn\n');
  assert.deepEqual(told.charts[0].elements[0].points, [[1, 3], [2, 4]]);
}

async function resources(client, id) {
  const { resourceTemplates } = await client.listResourceTemplates();
  assert.ok(resourceTemplates.some((t) => t.uriTemplate.startsWith('sandbox://{id}/')));
  const read = await client.readResource({ uri: `sandbox://${id}/home/daytona/repo/README.md` });
  assert.match(read.contents[0].text, /^# guestbook/);
  const completed = await client.complete({
    ref: { type: 'ref/resource', uri: 'sandbox://{id}/{+path}' }, argument: { name: 'id', value: id.slice(0, 8) } });
  assert.deepEqual(completed.completion.values, [id]);
  await assert.rejects(client.readResource({ uri: `sandbox://${id}/no/such/file` }));
}

async function preview(ok, id) {
  const nothing = await ok('preview_link', { id, port: 3000, description: 'app', check_server: true });
  assert.equal(nothing.listening, false);
  await ok('execute_command', { id, cwd: 'repo',
    command: 'nohup python3 app.py 3000 >/tmp/log 2>&1 & for i in $(seq 1000); do curl -sf localhost:3000 >/dev/null && exit; sleep 0.05; done; exit 1' });
  const { url, listening } = await ok('preview_link', { id, port: 3000, description: 'app', check_server: true });
  assert.equal(listening, true);
  assert.match(execFileSync('curl', ['-sS', '--fail', '--max-time', '120', url], { encoding: 'utf8' }), /Guestbook/);
}
