"""Code, charts and the interpreter as the documentation of the Python SDK shows them; run with `sync` or `async`."""
import base64

from client import DaytonaError, DaytonaTimeoutError, main, refused, settle, since
from daytona import CodeRunParams, CreateSandboxFromSnapshotParams

CHARTS = """
import datetime
import matplotlib.pyplot as plt
import numpy as np

plt.plot([1, 2, float('nan'), 4], [1, 4, 9, 16], label='squares')
plt.title('Line'); plt.xlabel('x'); plt.ylabel('y'); plt.show()
plt.scatter(np.array([1, 2]), np.array([2, 1]), label='dots'); plt.show()
plt.bar(['a', 'b', 'c'], [2, 2, 2.5], label='group'); plt.show()
plt.barh(['a', 'b'], [3, float('nan')]); plt.xlabel('value'); plt.show()
plt.pie([1, 3], labels=['quarter', 'rest'], autopct='%1.0f%%'); plt.title('Pie'); plt.show()
plt.boxplot([[1, 2, 3, 4, 50], [5, 6]], tick_labels=['first', 'second']); plt.show()
plt.plot([datetime.date(2024, 1, 1), datetime.date(2024, 1, 3)], [1, 2]); plt.show()
figure, (left, right) = plt.subplots(1, 2)
left.bar(['k'], [2]); right.semilogy([1, 10]); figure.suptitle('Both'); plt.show()
plt.imshow([[1, 2], [3, 4]]); plt.colorbar(); plt.show()
plt.figure(); plt.plot([1]); plt.figure(); plt.plot([2]); plt.show()
print('drawn')
"""
# The older clients' own reader fails on dates, and knows no boxes of today's matplotlib.
OLD_CHARTS = """
import matplotlib.pyplot as plt
plt.plot([1, 2, 3], [1, 4, 9], label='squares'); plt.title('Line'); plt.xlabel('x'); plt.ylabel('y'); plt.show()
plt.scatter([1, 2], [2, 1]); plt.show()
plt.bar(['a', 'b'], [1, 2.5]); plt.show()
print('drawn')
"""


async def code(sandbox):
    run = lambda *a, **k: settle(sandbox.process.code_run(*a, **k))
    argv = ["a b", "$X"] if since(190) else ["a", "b"]  # before, the shell reads them
    done = await run("import sys; print('Hello', sys.argv[1:], file=sys.stderr)", CodeRunParams(argv=argv))
    assert (done.exit_code, done.result) == (0, f"Hello {argv}\n"), done
    done = await run("import os; print(os.environ['X'])", CodeRunParams(env={"X": "1 2"}))
    assert done.result == done.artifacts.stdout == "1 2\n"
    assert (await run("x = (")).exit_code != 0
    await refused(lambda: sandbox.process.code_run("import time; time.sleep(60)", timeout=1), "timeout", Exception)  # the client does not map it


async def charts(sandbox):
    """The client takes numbers for numbers and texts for texts, and nothing else."""
    done = await settle(sandbox.process.code_run(CHARTS))
    assert (done.exit_code, done.result) == (0, "drawn\n"), done.result
    found = done.artifacts.charts
    types = [c.type for c in found]
    assert types == ["line", "scatter", "bar", "bar", "pie", "box_and_whisker", "line", "composite_chart", "unknown",
                     "line", "line"], types
    assert [type(c).__name__ for c in found[:6]] == ["LineChart", "ScatterChart", "BarChart", "BarChart", "PieChart",
                                                     "BoxAndWhiskerChart"]
    for chart in found:
        assert base64.b64decode(chart.png).startswith(b"\x89PNG")
    line, scatter, bar, across, pie, box, dates, both = found[:8]
    assert (line.title, line.x_label, line.y_label, line.x_scale) == ("Line", "x", "y", "linear")
    assert line.elements[0].label == "squares" and line.elements[0].points == [[1, 1], [2, 4], [4, 16]]
    assert len(line.x_ticks) == len(line.x_tick_labels) > 2
    assert scatter.elements[0].points == [[1, 2], [2, 1]] and scatter.elements[0].label == "dots"
    assert [(e.label, e.group, e.value) for e in bar.elements] == [
        ("a", "group", "2"), ("b", "group", "2"), ("c", "group", "2.5")]
    assert [(e.label, e.value) for e in across.elements] == [("a", "3")] and across.y_label == "value"
    assert [(e.label, e.angle, e.radius, e.additional_properties["autopct"]) for e in pie.elements] == [
        ("quarter", 90, 1, "25%"), ("rest", 270, 1, "75%")] and pie.title == "Pie"
    first, second = box.elements
    assert (first.label, first.min, first.first_quartile, first.median, first.third_quartile, first.max,
            first.outliers) == ("first", 1, 2, 3, 4, 4, [50]) and second.label == "second"
    assert dates.x_scale == "datetime" and dates.elements[0].points == [[19723, 1], [19725, 2]]
    assert dict(zip(dates.x_ticks, dates.x_tick_labels))[19723] == "2024-01-01T00:00:00", dates.x_tick_labels
    assert both.title == "Both" and [e.type for e in both.elements] == ["bar", "line"]
    nested = [e.additional_properties["elements"] for e in both.elements]
    assert nested[0] == [{"label": "k", "group": "", "value": "2"}] and nested[1][0]["points"] == [[0, 1], [1, 10]]
    assert "10" in both.elements[1].additional_properties["y_tick_labels"]


async def old_charts(sandbox):
    done = await settle(sandbox.process.code_run(OLD_CHARTS))
    assert (done.exit_code, done.result.strip()) == (0, "drawn"), done.result
    line, scatter, bar = done.artifacts.charts
    assert [c.type for c in (line, scatter, bar)] == ["line", "scatter", "bar"]
    assert (line.title, line.x_label, line.elements[0].label) == ("Line", "x", "squares")
    assert [list(p) for p in line.elements[0].points] == [[1, 1], [2, 4], [3, 9]]
    assert [(e.label, float(e.value)) for e in bar.elements] == [("a", 1), ("b", 2.5)]
    assert base64.b64decode(line.png).startswith(b"\x89PNG")


async def interpreter(sandbox):
    it = sandbox.code_interpreter
    run = lambda *a, **k: settle(it.run_code(*a, **k))
    seen = []
    result = await run("import sys\nfor i in range(3): print(i)\nprint('e', file=sys.stderr)\n1 / 0",
                       on_stdout=lambda m: seen.append(m.output), on_stderr=lambda m: seen.append("e " + m.output),
                       on_error=lambda e: seen.append(e.name), timeout=30)
    assert (result.stdout, result.stderr, result.error.name) == ("0\n1\n2\n", "e\n", "ZeroDivisionError")
    assert 'File "<stdin>", line 4' in result.error.traceback
    assert "".join(seen).replace("e e\n", "") == "0\n1\n2\nZeroDivisionError", seen
    assert (await run("import os; x = 1; print(os.environ['A'])", envs={"A": "b"})).stdout == "b\n"
    context = await settle(it.create_context(cwd="/tmp"))
    assert (context.cwd, context.language, context.active) == ("/tmp", "python", True)
    assert (await run("print(x)", context=context)).error.name == "NameError"
    assert (await run("print(x)")).stdout == "1\n"
    assert [c.id for c in await settle(it.list_contexts())] == [context.id]
    await refused(lambda: it.run_code("import time; time.sleep(60)", context=context, timeout=1), "timed out", DaytonaTimeoutError)
    await settle(it.delete_context(context))
    assert await settle(it.list_contexts()) == []
    await refused(lambda: it.run_code("1", context=context), "context not found", DaytonaError)
    await refused(lambda: it.run_code("import os; os._exit(0)"), "exit status 0", DaytonaError)
    assert (await run("print(len('x' * 10) * '-', end='')")).stdout == "----------"


async def all_of_it(daytona):
    sandbox = await settle(daytona.create(CreateSandboxFromSnapshotParams(language="python")))
    for part in (code, charts, interpreter) if since(190) else (code, old_charts):
        await part(sandbox)
    await settle(sandbox.delete())
    for language, text in (("javascript", "console.log(6 * 7)"), ("typescript", "const x: number = 42\nconsole.log(x)")):
        sandbox = await settle(daytona.create(CreateSandboxFromSnapshotParams(language=language)))
        done = await settle(sandbox.process.code_run(text))
        assert (done.exit_code, done.result) == (0, "42\n"), done
        await settle(sandbox.delete())


main(all_of_it)
