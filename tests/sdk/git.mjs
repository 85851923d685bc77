// Git as the documentation of the TypeScript SDK shows it: git.mjs SDK OPEN-URL SECRET-URL URL-WITH-A-SUBMODULE
import assert from 'node:assert/strict';

const [sdk, open, secret, modules] = process.argv.slice(2);
const { Daytona, ...exported } = await import(sdk);
const daytona = new Daytona();
const [username, password] = [process.env.GIT_USER, process.env.GIT_PASSWORD];
const newest = typeof exported.DaytonaGitAuthFailedError === 'function';

const sandbox = await daytona.create({ language: 'typescript' });
const git = sandbox.git;
const run = async (command) => {
  const done = await sandbox.process.executeCommand(command);
  assert.equal(done.exitCode, 0, done.result);
  return done.result.trim();
};

// Clone: whole, one branch, one commit, with a password, without it.
await git.clone(open, 'open');
const head = await run('git -C open rev-parse HEAD');
await git.clone(open, 'deep/feature', 'feature');
assert.equal((await git.status('deep/feature')).currentBranch, 'feature');
await git.clone(open, 'commit', undefined, head);
assert.equal((await git.status('commit')).currentBranch, 'HEAD');
await assert.rejects(git.clone(secret, 'repo'), (e) => !newest || e instanceof exported.DaytonaGitAuthFailedError);
await git.clone(secret, 'repo', undefined, undefined, username, password);

// Status and branches.
const clean = await git.status('repo');
assert.deepEqual([clean.currentBranch, clean.fileStatus, clean.branchPublished, clean.ahead, clean.behind], ['main', [], true, 0, 0]);
assert.deepEqual((await git.branches('repo')).branches, ['main']);
const name = `branch/new-feature-${process.pid}-${Date.now()}`;
await git.createBranch('repo', name);
assert.deepEqual((await git.branches('repo')).branches, [name, 'main']);
await git.checkoutBranch('repo', 'main');
await git.checkoutBranch('repo', name);

// Add, commit, push, pull.
await run('sh -c "cd repo && echo one > file1.txt && echo two > file2.txt && echo three > file3.txt"');
await git.add('repo', ['file1.txt', 'file2.txt']);
const changed = Object.fromEntries((await git.status('repo')).fileStatus.map((f) => [f.name, [f.staging, f.worktree]]));
assert.deepEqual(changed, { 'file1.txt': ['Added', 'Unmodified'], 'file2.txt': ['Added', 'Unmodified'], 'file3.txt': ['Untracked', 'Untracked'] });
const made = await git.commit('repo', 'feat: add new feature', 'John Doe', 'john@example.com');
assert.equal(made.sha, await run('git -C repo rev-parse HEAD'));
await git.add('repo', ['.']);
await git.commit('repo', 'all of it', 'John Doe', 'john@example.com');
await assert.rejects(git.commit('repo', 'nothing', 'John Doe', 'john@example.com'), /empty commit/);
await assert.rejects(git.push('repo', username, 'wrong'));
await git.push('repo', username, password);
await git.pull('repo', username, password);
await git.clone(secret, 'again', name, undefined, username, password);
assert.equal(await run('cat again/file3.txt'), 'three');
await git.commit('again', 'later', 'Jane Doe', 'jane@example.com', true);
await git.push('again', username, password);
await git.pull('repo', username, password);
assert.equal(await run('git -C repo log -1 --format=%s'), 'later');

// A submodule comes along.
await git.clone(modules, 'modules');
assert.notEqual(await run('ls modules/sub'), '');

// The end of a branch.
await git.checkoutBranch('repo', 'main');
await git.deleteBranch('repo', name);
assert.deepEqual((await git.branches('repo')).branches, ['main']);
await assert.rejects(git.status('nowhere'), (e) => !newest || e instanceof exported.DaytonaGitRepoNotFoundError);

if (git.remoteAdd) {
  await git.init('made', false, 'trunk');
  await git.configureUser('Ada', 'ada@example.com', 'local', 'made');
  assert.equal(await git.getConfig('user.name', 'local', 'made'), 'Ada');
  assert.equal(await git.getConfig('user.nothing'), undefined);
  await git.setConfig('pull.rebase', 'true');
  assert.equal(await git.getConfig('pull.rebase'), 'true');
  await git.remoteAdd('made', 'origin', open, true);
  assert.equal(await git.remoteGet('made', 'origin'), open);
  assert.deepEqual((await git.remotes('made')).remotes, [{ name: 'origin', url: open }]);
  await git.pull('made', undefined, undefined, 'main');
  await git.checkoutBranch('made', 'feature');
  const status = await git.status('made');
  assert.deepEqual([status.upstream, status.detached], ['origin/feature', false]);
  await run('sh -c "cd made && echo x > FEATURE && git add FEATURE"');
  await git.reset('made', 'mixed', undefined, ['FEATURE']);
  await git.restore('made', ['FEATURE']);
  assert.deepEqual((await git.status('made')).fileStatus, []);
  await git.reset('made', 'hard', 'HEAD~1');
  await assert.rejects(git.checkoutBranch('made', 'nope'), exported.DaytonaGitBranchNotFoundError);
  await assert.rejects(git.createBranch('made', 'feature'), exported.DaytonaGitBranchExistsError);
  await git.clone(open, 'shallow', undefined, undefined, undefined, undefined, false, 1);
  assert.equal(await run('git -C shallow rev-list --count HEAD'), '1');
  await git.dangerouslyAuthenticate(username, password, new URL(secret).host, 'http');
  await git.clone(secret, 'stored');
}
await daytona.delete(sandbox);
console.log('ok');
process.exit(0); // the newest SDK keeps its socket open
