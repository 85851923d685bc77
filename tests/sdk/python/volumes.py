"""What the documentation of the Python SDK shows of volumes (client.py says how to run it)."""
import os

from client import DaytonaError, DaytonaNotFoundError, main, refused, settle, since
from daytona import CreateSandboxFromSnapshotParams, VolumeMount

NAME = f"my-volume-{os.getpid()}"
PATH = "/home/daytona/volume"
# The oldest pass the errors of what is below them through.
MISSING, FAILED = (DaytonaNotFoundError, DaytonaError) if since(190) else (Exception, Exception)


async def run(sandbox, command):
    done = await settle(sandbox.process.exec(command))
    assert done.exit_code == 0, done.result
    return done.result.rstrip("\n")


async def volumes(daytona):
    def mounted(*mounts):
        return settle(daytona.create(CreateSandboxFromSnapshotParams(language="python", volumes=list(mounts))))

    await refused(lambda: daytona.volume.get(NAME), "not found", MISSING)
    volume = await settle(daytona.volume.get(NAME, create=True))
    assert volume.name == NAME and (await settle(daytona.volume.get(NAME))).id == volume.id
    assert volume.id in [v.id for v in await settle(daytona.volume.list())]
    await refused(lambda: daytona.volume.create(NAME), "already exists", FAILED)
    one = await mounted(VolumeMount(volume_id=volume.id, mount_path=PATH))
    await run(one, f"echo 'Hello from Daytona volume!' > {PATH}/example.txt")
    await refused(lambda: daytona.volume.delete(volume), "in use by one or more sandboxes", FAILED)
    await settle(daytona.delete(one))
    deeper = [VolumeMount(volume_id=volume.id, mount_path="/data", subpath="deeper")] if since(190) else []
    two = await mounted(VolumeMount(volume_id=NAME, mount_path="/all"), *deeper)
    assert await run(two, "cat /all/example.txt") == "Hello from Daytona volume!"
    if deeper:
        assert await run(two, "ls -A /data; ls -d /all/deeper") == "/all/deeper"
    await settle(daytona.delete(two))
    await settle(daytona.volume.delete(volume))
    await refused(lambda: daytona.volume.get(NAME), "not found", MISSING)


main(volumes)
