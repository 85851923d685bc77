"""The unmodified SDKs do what the first pages of the documentation show: a sandbox with this and that, and previews."""
import sdk


@sdk.typescript
def test_typescript(programs, version):
    programs.typescript("start", version)


@sdk.python
def test_python(programs, version, kind):
    programs.python("start", version, kind)
