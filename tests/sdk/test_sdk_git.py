"""The unmodified SDKs and git, against git's own http-backend; also in an image without git."""
import internet
import sdk
import small_image

USER = {"GIT_USER": internet.USER, "GIT_PASSWORD": internet.PASSWORD}


@sdk.typescript
def test_typescript(programs, urls, version):
    programs.typescript("git", version, *urls, env=USER)


@sdk.python
def test_python(programs, urls, version, kind):
    programs.python("git", version, kind, *urls, env=USER)


@sdk.go
def test_go(programs, urls, version):
    programs.go("git", version, *urls, env=USER)


def test_without_git_in_the_image(server, programs, urls, tmp_path):
    server.import_snapshot("tiny", small_image.tar(tmp_path))
    programs.python("git", "0.190.1", "sync", *urls, "tiny", env=USER)
