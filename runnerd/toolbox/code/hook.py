"""Has something done to a module right after it was loaded, whoever imports it."""
import sys


class Hook:
    def __init__(self, name, then):
        self.name, self.then = name, then
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None:
                break
        else:
            return None
        load = getattr(spec.loader, "exec_module", None)
        if load is not None:
            def exec_module(module):
                load(module)
                self.then(module)
            spec.loader.exec_module = exec_module
        return spec


def on_charts(source, emit):
    """emit(text) for every chart that is shown. `source` is charts.py, compiled when there is use for it."""
    def then(pyplot):
        space = {"__name__": "daytona_charts"}
        try:
            exec(compile(source, "<daytona charts>", "exec"), space)
            space["install"](pyplot, emit)
        except Exception as e:  # a matplotlib that we cannot work with still works
            print("daytona: charts cannot be read here: %s: %s" % (type(e).__name__, e), file=sys.stderr)
    Hook("matplotlib.pyplot", then)
