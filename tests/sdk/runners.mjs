// A runner on another machine, as the generated API client of a version registers it, reports for it and asks for
// jobs in its name.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const sdk = process.argv[2];
const require = createRequire(new URL(`./node_modules/${sdk}/beside.js`, import.meta.url));
const old = /-0\.11\d\./.test(sdk);
const client = require(old ? '@daytonaio/api-client' : '@daytona/api-client');
const as = (key) => new client.Configuration({ basePath: process.env.DAYTONA_API_URL, accessToken: key });
const mine = as(process.env.DAYTONA_API_KEY);
const runners = new client.RunnersApi(mine);
const name = `runner-${process.pid}`;

// The first clients register one of the shared region with all that there is to say.
if (old) {
  const key = `dtn_key_of_the_runner_${process.pid}`;
  const made = (await runners.createRunner({
    domain: name, apiUrl: 'http://runner:3003', proxyUrl: 'http://runner:3003', apiKey: key, cpu: 4, memoryGiB: 8, diskGiB: 50,
    gpu: 0, gpuType: 'none', class: 'small', region: 'us', version: '0',
  })).data;
  const me = (await new client.RunnersApi(as(key)).getInfoForAuthenticatedRunner()).data;
  assert.equal(me.id, made.id);
  assert.deepEqual([me.domain, me.cpu, me.memory, me.disk, me.region, me.state], [name, 4, 8, 50, 'us', 'initializing']);
  await runners.updateRunnerScheduling(me.id, { data: { unschedulable: true } });
  const listed = (await runners.listRunners()).data.find((r) => r.id === me.id);
  assert.deepEqual([listed.unschedulable, listed.memoryGiB, listed.diskGiB], [true, 8, 50]);
  const gone = await fetch(`${process.env.DAYTONA_API_URL}/runners/${me.id}`, {
    method: 'DELETE', headers: { Authorization: `Bearer ${process.env.DAYTONA_API_KEY}` } });
  assert.equal(gone.status, 204);
  console.log('ok');
  process.exit(0);
}

const fails = async (status, promise) => assert.equal((await promise.then(() => ({ response: {} }), (e) => e)).response?.status, status);
const organizations = new client.OrganizationsApi(mine);
const region = (await organizations.createRegion({ name: `lab-${process.pid}` })).data.id;
const made = (await runners.createRunner({ regionId: region, name, tags: ['gpu'] })).data;
assert.match(made.apiKey, /^dtn_[0-9a-f]{64}$/);
assert.equal((await runners.getRunnerById(made.id)).data.state, client.RunnerState.INITIALIZING);
await fails(409, runners.createRunner({ regionId: region, name }));

const own = as(made.apiKey);
const itself = new client.RunnersApi(own);
const metrics = {
  currentCpuLoadAverage: 0.1, currentCpuUsagePercentage: 10, currentMemoryUsagePercentage: 20, currentDiskUsagePercentage: 30,
  currentAllocatedCpu: 1, currentAllocatedMemoryGiB: 2, currentAllocatedDiskGiB: 3, currentSnapshotCount: 4,
  currentStartedSandboxes: 5, cpu: 8, memoryGiB: 16, diskGiB: 100,
};
assert.equal((await itself.runnerHealthcheck({
  appVersion: 'v1.2.3', metrics, domain: 'r.example.com', apiUrl: 'https://api.example.com', proxyUrl: 'https://proxy.example.com',
  serviceHealth: [{ serviceName: 'runner', healthy: true }],
})).status, 200);
const seen = (await itself.getInfoForAuthenticatedRunner()).data;
assert.equal(seen.state, client.RunnerState.READY);
assert.deepEqual([seen.id, seen.name, seen.region, seen.regionType, seen.appVersion, seen.cpu, seen.memory, seen.disk, seen.availabilityScore],
  [made.id, name, region, client.RegionType.CUSTOM, 'v1.2.3', 8, 16, 100, 70]);
assert.deepEqual((await runners.listRunners(region)).data.map((r) => r.id), [made.id]);
assert.equal((await runners.getRunnerFullById(made.id)).data.domain, 'r.example.com');

// There is nothing to do for it, which is said at the deadline, or not at all to who does not wait.
const jobs = new client.JobsApi(own);
assert.deepEqual((await jobs.listJobs()).data, { items: [], total: 0, page: 1, totalPages: 0 });
assert.deepEqual((await jobs.pollJobs(1, 10)).data, { jobs: [] });
const enough = new AbortController();
const poll = jobs.pollJobs(60, 10, { signal: enough.signal });
setTimeout(() => enough.abort(), 100);
await assert.rejects(poll, { code: 'ERR_CANCELED' });
await fails(404, jobs.getJob('no-such-job'));
await fails(404, jobs.updateJobStatus('no-such-job', { status: client.JobStatus.COMPLETED }));
await fails(403, new client.JobsApi(mine).listJobs());
await fails(403, new client.SandboxApi(own).listSandboxes());

// Where it is, this server makes no sandboxes, and says so.
const { Daytona } = await import(sdk);
await assert.rejects(new Daytona({ target: region }).create(), /No available runners.*Use target us/);

const change = (unschedulable) => ({ data: { unschedulable } });
assert.equal((await runners.updateRunnerScheduling(made.id, undefined, change(true))).data.unschedulable, true);
assert.equal((await runners.updateRunnerScheduling(made.id, undefined, change(false))).data.unschedulable, false);
assert.equal((await runners.updateRunnerDraining(made.id, undefined, { data: { draining: true } })).data.unschedulable, true);
assert.equal((await runners.deleteRunner(made.id)).status, 204);
await fails(401, itself.getInfoForAuthenticatedRunner());
await fails(404, runners.getRunnerById(made.id));

// Administrators, where the client knows them.
if (client.AdminApi?.prototype.adminCreateRunner) {
  const admin = new client.AdminApi(mine);
  const apiKey = `dtn_key_of_the_runner_${process.pid}`;
  const theirs = (await admin.adminCreateRunner({ regionId: region, name, apiKey, apiVersion: '2', cpu: 2, memoryGiB: 4, diskGiB: 10 })).data;
  assert.equal(theirs.apiKey, apiKey);
  assert.equal((await admin.adminGetRunnerById(theirs.id)).data.memory, 4);
  assert.deepEqual((await admin.adminListRunners(region)).data.map((r) => r.id), [theirs.id]);
  assert.equal((await admin.adminUpdateRunnerScheduling(theirs.id, change(true))).status, 204);
  assert.equal((await admin.adminDeleteRunner(theirs.id)).status, 204);
}
await organizations.deleteRegion(region);
console.log('ok');
process.exit(0); // the newest SDK keeps its socket open
