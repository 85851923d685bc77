"""What a sandbox used, as the Python SDK tells it (client.py says how to run it)."""
import asyncio
import datetime

from client import main, refused, settle

BUSY = "sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; head -c 20000000 /dev/zero > big'"


def check(sandbox, sample):
    assert sample.cpu_count == sandbox.cpu and sample.mem_total == sandbox.memory * 2 ** 30
    assert 0 <= sample.cpu_used_pct <= 100 and 0 < sample.mem_used < sample.mem_total and sample.mem_cache >= 0
    assert 0 < sample.disk_total <= sandbox.disk * 2 ** 30 and sample.disk_used < sample.disk_total
    assert abs((sample.timestamp - datetime.datetime.now(datetime.timezone.utc)).total_seconds()) < 60


async def use(daytona):
    sandbox = await settle(daytona.create())
    first = await settle(sandbox.get_metrics())
    assert len(first) == 1
    assert (await settle(sandbox.process.exec(BUSY))).exit_code == 0
    await asyncio.sleep(1.1)
    second = await settle(sandbox.get_metrics())
    assert len(second) == 2 and second[1].timestamp > second[0].timestamp
    for sample in second:
        check(sandbox, sample)
    assert second[1].cpu_used_pct > 1 and second[1].disk_used - second[0].disk_used >= 20e6
    now = datetime.datetime.now(datetime.timezone.utc)
    old = now - datetime.timedelta(minutes=1)
    assert await settle(sandbox.get_metrics(old - datetime.timedelta(days=1), old)) == []
    await refused(lambda: sandbox.get_metrics(now, old), "from must not be after to")
    await settle(sandbox.delete())


main(use)
