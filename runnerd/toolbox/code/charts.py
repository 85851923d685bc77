"""What a matplotlib figure shows, as the data that clients of code-run read.

install(pyplot, emit) makes pyplot.show() hand every open figure to emit(text of JSON) and close it. Values
are what strict clients take: finite numbers, texts that are valid Unicode, a bar's value as a text. Dates and
categories are numbers on their axis, whose tick labels say what they mean.
"""
import base64
import functools
import io
import json
import math
import sys
import weakref

TEXT_MAX = 16 * 1024 * 1024  # above it only the picture goes

boxes = weakref.WeakKeyDictionary()  # axes -> [(what bxp() drew, its statistics, vertical)]
pies = weakref.WeakKeyDictionary()  # axes -> [what pie() drew]


def text(value):
    return str(value).encode("utf-8", "replace").decode("utf-8") if value is not None else ""


def label(value):
    """Matplotlib's own labels for what has none begin with an underscore."""
    value = text(value)
    return "" if value.startswith("_") else value


def number(value):
    """A finite float, else None."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def numbers(values):
    return [v for v in map(number, values) if v is not None]


def points(xs, ys):
    pairs = ((number(x), number(y)) for x, y in zip(xs, ys))
    return [[x, y] for x, y in pairs if x is not None and y is not None]


def plain(value):
    """A number as one would write it: 10, not 10.0."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


# --- axes ---

def converter(axis):
    get = getattr(axis, "get_converter", None)
    return type(get() if get else getattr(axis, "converter", None)).__name__


def scale(axis):
    kind = converter(axis)
    if "Date" in kind or "Period" in kind or "Time" in kind:
        return "datetime"
    if "Category" in kind:
        return "categorical"
    return text(axis.get_scale())


def place(axis, position):
    """What a place on an axis is called: dates are numbers there."""
    if "Date" in converter(axis):
        from matplotlib.dates import num2date
        return num2date(position).replace(tzinfo=None).isoformat()
    return plain(position)


def ticks(axis):
    """Positions and labels, as many of the one as of the other. What is drawn of a date is often a part of it, and
    powers of ten are drawn as formulas: these are told in full."""
    positions = [number(p) for p in axis.get_majorticklocs()]
    labels = [text(t.get_text()) for t in axis.get_ticklabels()]
    labels += [""] * (len(positions) - len(labels))
    dates = "Date" in converter(axis)
    pairs = [(p, place(axis, p) if dates else "%g" % p if "mathdefault" in name else name)
             for p, name in zip(positions, labels) if p is not None]
    return [p for p, _ in pairs], [name for _, name in pairs]


def describe(axes, swapped=False):
    first, second = (axes.yaxis, axes.xaxis) if swapped else (axes.xaxis, axes.yaxis)
    found = {"title": text(axes.get_title())}
    for name, axis in (("x", first), ("y", second)):
        found[name + "_label"] = text(axis.get_label_text())
        found[name + "_ticks"], found[name + "_tick_labels"] = ticks(axis)
        found[name + "_scale"] = scale(axis)
    return found


# --- kinds of charts: each returns (elements, swapped), or None when the axes hold nothing of that kind ---

def pie(axes):
    from matplotlib.patches import Wedge

    wedges = [p for p in axes.patches if isinstance(p, Wedge)]
    if not wedges:
        return None
    percents = {}
    for drawn in pies.get(axes, ()):
        if len(drawn) > 2:
            percents.update(zip(drawn[0], (text(t.get_text()) for t in drawn[2])))
    elements = []
    for wedge in wedges:
        element = {"label": label(wedge.get_label()), "angle": number(abs(wedge.theta2 - wedge.theta1)) or 0.0,
                   "radius": number(wedge.r) or 0.0}
        if wedge in percents:
            element["autopct"] = percents[wedge]
        elements.append(element)
    return elements, False


def name_of(axis, center, extent):
    """The tick inside the extent, else the nearest when ticks are names, else the place itself."""
    near = sorted((abs(p - center), name) for p, name in zip(*ticks(axis)) if name)
    if near and (near[0][0] <= extent / 2 or (scale(axis) == "categorical" and near[0][0] < 1)):
        return near[0][1]
    return place(axis, center)


def bar(axes):
    from matplotlib.container import BarContainer

    containers = [c for c in axes.containers if isinstance(c, BarContainer) and len(c.patches)]
    if not containers:
        return None
    swapped = all(getattr(c, "orientation", None) == "horizontal" for c in containers)
    axis = axes.yaxis if swapped else axes.xaxis
    elements = []
    for container in containers:
        group = label(container.get_label())
        for patch in container.patches:
            begin, extent, value = ((patch.get_y(), patch.get_height(), patch.get_width()) if swapped
                                    else (patch.get_x(), patch.get_width(), patch.get_height()))
            begin, extent, value = number(begin), number(extent), number(value)
            if begin is None or extent is None or value is None:
                continue
            name = name_of(axis, begin + extent / 2, abs(extent))
            elements.append({"label": name, "group": group, "value": plain(value)})
    return elements, swapped


def box(axes):
    drawn = [d for d in boxes.get(axes, ()) if any(line.axes is axes for line in d[0]["medians"])]
    if not drawn:
        return None
    swapped = not drawn[0][2]
    axis = axes.yaxis if swapped else axes.xaxis
    elements = []
    for artists, statistics, _ in drawn:
        for stat, line in zip(statistics, artists["medians"]):
            center = sum(map(float, line.get_ydata() if swapped else line.get_xdata())) / 2
            name = text(stat.get("label")) or name_of(axis, center, 1)
            element = {"label": name, "outliers": numbers(stat.get("fliers", ()))}
            for key, source in (("min", "whislo"), ("first_quartile", "q1"), ("median", "med"),
                                ("third_quartile", "q3"), ("max", "whishi")):
                value = number(stat.get(source))
                if value is not None:
                    element[key] = value
            elements.append(element)
    return elements, swapped


def lines_and_dots(axes):
    from matplotlib.collections import PathCollection

    lines = [{"label": label(line.get_label()), "points": points(line.get_xdata(orig=False), line.get_ydata(orig=False))}
             for line in axes.lines if line.get_transform() == axes.transData and len(line.get_xdata())]
    dots = [{"label": label(c.get_label()), "points": points(*zip(*c.get_offsets().tolist()))}
            for c in axes.collections if isinstance(c, PathCollection) and len(c.get_offsets())]
    return lines, dots


def flat_chart(axes):
    if getattr(axes, "name", "") == "3d":
        return {"type": "unknown", "title": text(axes.get_title()), "elements": []}
    for kind, read in (("pie", pie), ("bar", bar), ("box_and_whisker", box)):
        found = read(axes)
        if found is None:
            continue
        if kind == "pie":
            return {"type": kind, "title": text(axes.get_title()), "elements": found[0]}
        return dict(describe(axes, found[1]), type=kind, elements=found[0])
    lines, dots = lines_and_dots(axes)
    if not lines and not dots:
        return dict(describe(axes), type="unknown", elements=[])
    return dict(describe(axes), type="line" if lines else "scatter", elements=lines + dots)


# --- figures ---

def picture(figure):
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100)
    return base64.b64encode(out.getvalue()).decode()


def matters(axes):
    return axes.has_data() and axes.get_label() != "<colorbar>" and not hasattr(axes, "_colorbar")


def chart(figure):
    """Draws first: ticks and their labels are made then."""
    png = picture(figure)
    axes = [a for a in figure.axes if matters(a)]
    if len(axes) == 1:
        return dict(flat_chart(axes[0]), png=png)
    suptitle = getattr(figure, "_suptitle", None)
    title = text(suptitle.get_text()) if suptitle is not None else None
    if not axes:
        return {"type": "unknown", "title": title or "", "elements": [], "png": png}
    return {"type": "composite_chart", "title": title, "elements": [flat_chart(a) for a in axes], "png": png}


def complain(what):
    print("daytona: " + what, file=sys.stderr)


def to_json(figure):
    try:
        found = chart(figure)
    except Exception as e:  # a figure of a kind that nobody has thought of still has a picture
        complain("the data of a chart cannot be read (%s: %s); only its picture is returned" % (type(e).__name__, e))
        found = {"type": "unknown", "title": "", "elements": [], "png": picture(figure)}
    written = json.dumps(found, allow_nan=False)
    if len(written) > TEXT_MAX:
        complain("the data of a chart takes %d bytes; only its picture is returned" % len(written))
        written = json.dumps({"type": found["type"], "title": found["title"], "elements": [], "png": found["png"]})
    return written


def remember(cls, method, keep):
    original = getattr(cls, method)

    @functools.wraps(original)
    def call(self, *args, **kwargs):
        result = original(self, *args, **kwargs)
        keep(self, result, args, kwargs)
        return result

    setattr(cls, method, call)


def keep_box(axes, drawn, args, kwargs):
    statistics = args[0] if args else kwargs.get("bxpstats", ())
    vertical = kwargs.get("orientation") != "horizontal" and kwargs.get("vert") is not False
    if len(args) > 3 and args[3] is False:
        vertical = False
    boxes.setdefault(axes, []).append((drawn, list(statistics), vertical))


def keep_pie(axes, drawn, args, kwargs):
    pies.setdefault(axes, []).append(drawn)


def install(pyplot, emit):
    import matplotlib
    from matplotlib.axes import Axes

    remember(Axes, "bxp", keep_box)
    remember(Axes, "pie", keep_pie)
    original = pyplot.show

    @functools.wraps(original)
    def show(*args, **kwargs):
        figures = [pyplot.figure(n) for n in pyplot.get_fignums()]
        for figure in figures:
            emit(to_json(figure))
        if matplotlib.get_backend().lower() not in ("agg", "pdf", "svg", "ps", "cairo", "template"):
            original(*args, **kwargs)
        for figure in figures:
            pyplot.close(figure)

    pyplot.show = show
