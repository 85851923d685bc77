"""What tests do inside of sandboxes, over MCP and the toolbox API."""
import urllib.parse
import urllib.request

import backend


def sh(client, box, command, **more):
    """Runs a shell command; a result that did not run is a failure of the test."""
    return client.tool("execute_command", id=box, command=command, **more)


def upload(server, box, path, data):
    target = f"{server.url}/toolbox/{box}/toolbox/files/upload-raw?path={urllib.parse.quote(path)}&overwrite=true"
    request = urllib.request.Request(target, data, method="POST", headers={"Authorization": f"Bearer {backend.KEY}"})
    urllib.request.urlopen(request).close()


def put_program(server, client, box, name):
    """One of our static test programs, as /tmp/NAME."""
    upload(server, box, f"/tmp/{name}", backend.program(name).read_bytes())
    assert sh(client, box, f"chmod 755 /tmp/{name}")["exitCode"] == 0
