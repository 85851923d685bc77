"""The unmodified SDKs: everything that they do with files, and what the newest adds to it."""
import pytest
import sdk


@sdk.typescript
def test_typescript(programs, version):
    programs.typescript("files", version)


@pytest.mark.parametrize("version", ["0.111.1", "0.190.1", "0.218.0"])
def test_2918_typescript_in_a_serverless_runtime(programs, version):
    """Uploads failed there; in 0.113.1 inside the client, before it sends anything."""
    programs.typescript("serverless", version, env={"LAMBDA_TASK_ROOT": "/var/task"})


@sdk.python
def test_python(programs, version, kind):
    programs.python("files", version, kind)


@sdk.go
def test_go(programs, version):
    programs.go("files", version)
