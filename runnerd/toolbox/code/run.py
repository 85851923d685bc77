"""Runs the program on standard input as __main__. Its charts go to descriptor 4, a line of JSON each.

`sources` holds hook.py and charts.py.
"""
import builtins
import os
import sys
import types

NAME = "<stdin>"


def own_descriptor(fd):
    """Moves it out of the way of programs that count on the low ones; children do not get it."""
    import fcntl
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)
    os.close(fd)
    return moved


def emitter(fd):
    owner = os.getpid()

    def emit(line):
        if os.getpid() != owner:
            print("daytona: a chart of a child process is not returned; show it in the main one", file=sys.stderr)
            return
        left = memoryview((line + "\n").encode())
        while left:
            left = left[os.write(fd, left):]
    return emit


def take_program():
    with open(0, "rb", closefd=False) as f:
        program = f.read()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return program


def new_main():
    main = types.ModuleType("__main__")
    main.__file__ = os.path.join(os.getcwd(), NAME)
    main.__builtins__ = builtins
    sys.modules["__main__"] = main
    return main


def complain(error):
    """As the interpreter would, with the user's frames only and the lines of the program."""
    kind, frames = type(error), error.__traceback__
    while frames is not None and frames.tb_frame.f_globals is globals():
        frames = frames.tb_next
    if sys.excepthook is not sys.__excepthook__:
        sys.excepthook(kind, error.with_traceback(frames), frames)
        return
    import traceback
    traceback.print_exception(kind, error.with_traceback(frames), frames)


def remember_lines(program):
    """Tracebacks of threads and of the user's own printing show them too."""
    import linecache
    lines = program.decode("utf-8", "replace").splitlines(True)
    linecache.cache[NAME] = (len(program), None, lines, NAME)


def run():
    program = take_program()
    emit = emitter(own_descriptor(4))
    hook = {"__name__": "daytona_hook"}
    exec(compile(sources[0], "<daytona>", "exec"), hook)
    hook["on_charts"](sources[1], emit)
    sys.argv[0] = "-"
    main = new_main()
    remember_lines(program)
    try:
        exec(compile(program, NAME, "exec"), main.__dict__)
    except SystemExit:
        raise
    except BaseException as e:
        complain(e)
        sys.exit(130 if isinstance(e, KeyboardInterrupt) else 1)


run()
