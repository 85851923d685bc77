"""What the programs for the Python SDK share. Usage of each: PROGRAM VERSION KIND [ARGUMENT...], where VERSION is that
of the SDK, which says what it has, and KIND is `sync` or `async`. It prints "ok" when everything was as it must be."""
import asyncio
import importlib.metadata
import inspect
import socket
import sys

from daytona import AsyncDaytona, Daytona, DaytonaError
from daytona.common.errors import DaytonaNotFoundError

VERSION, KIND, ARGUMENTS = sys.argv[1], sys.argv[2], sys.argv[3:]
assert importlib.metadata.version("daytona") == VERSION


def since(minor):
    """Whether the SDK is 0.`minor`.0 or newer."""
    return int(VERSION.split(".")[1]) >= minor


if since(190):
    from daytona import DaytonaConflictError, DaytonaTimeoutError
else:  # one class for what is neither missing nor too many
    DaytonaConflictError = DaytonaTimeoutError = DaytonaError

# The oldest go to the host of a preview; names below localhost are this host's (RFC 6761), whatever its resolver
# knows of that.
look_up = socket.getaddrinfo


def local(host, *more, **named):
    name = host.decode() if isinstance(host, bytes) else host
    return look_up("localhost" if name and name.endswith(".localhost") else host, *more, **named)


socket.getaddrinfo = local


async def settle(value):
    """One text for both clients: the async one's results are awaited."""
    return await value if inspect.isawaitable(value) else value


async def refused(call, text="", kind=DaytonaError):
    """The call fails with such an error, and with this text in its message."""
    try:
        await settle(call())
    except kind as e:
        assert text in str(e), e
        return
    raise AssertionError(f"not refused: {text}")


def main(use):
    """Runs `use(daytona)` with the client of the kind."""
    async def run():
        if KIND == "async":
            async with AsyncDaytona() as daytona:
                await use(daytona)
        else:
            await use(Daytona())
    asyncio.run(run())
    print("ok")
