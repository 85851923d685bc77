// What the documentation of the TypeScript SDK shows of volumes, by the version that is named.
import assert from 'node:assert/strict';

const { Daytona } = await import(process.argv[2]);
const daytona = new Daytona();
const name = `my-volume-${process.pid}`;
const mountPath = '/home/daytona/volume';

await assert.rejects(daytona.volume.get(name), /not found/);
const volume = await daytona.volume.get(name, true);
assert.equal(volume.name, name);
assert.equal((await daytona.volume.get(name, true)).id, volume.id);
assert.ok((await daytona.volume.list()).some((v) => v.id === volume.id && v.state === 'ready'));
await assert.rejects(daytona.volume.create(name), /already exists/);

const one = await daytona.create({ language: 'typescript', volumes: [{ volumeId: volume.id, mountPath }] });
assert.deepEqual(one.volumes, [{ volumeId: volume.id, mountPath }]);
const wrote = await one.process.executeCommand(`echo 'Hello from Daytona volume!' > ${mountPath}/example.txt`);
assert.equal(wrote.exitCode, 0, wrote.result);
await assert.rejects(daytona.volume.delete(volume), /in use by one or more sandboxes/);
await daytona.delete(one);

const two = await daytona.create({ volumes: [{ volumeId: name, mountPath: '/data', subpath: 'deeper' }, { volumeId: volume.id, mountPath: '/all' }] });
const read = await two.process.executeCommand('cat /all/example.txt; ls -A /data; ls -d /all/deeper');
assert.equal(read.result.replace(/\n+$/, ''), 'Hello from Daytona volume!\n/all/deeper');
await two.stop();
await two.start();
assert.match((await two.process.executeCommand('cat /all/example.txt')).result, /^Hello/);
await daytona.delete(two);

await assert.rejects(daytona.create({ volumes: [{ volumeId: volume.id, mountPath: '/etc/x' }] }), /Invalid mount path \/etc\/x/);
await daytona.volume.delete(volume);
await assert.rejects(daytona.volume.get(name), /not found/);
console.log('ok');
process.exit(0); // the newest SDK keeps its socket open
