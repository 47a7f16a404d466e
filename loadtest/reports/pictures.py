"""The pictures of docs/benchmarks.md, drawn from result documents alone.

The same document gives the same bytes with the matplotlib that constraints.txt pins: no date, no
random ids, text stays text. The background is white, because GitHub also has a dark page.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from loadtest.runners.overload import OVER

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"
_OURS, _SECOND, _PEER, _TEXT, _GRID = "#2563a8", "#8db8e8", "#b4b8bf", "#24292f", "#d8dee4"
_COLUMNS = (_PEER, _OURS, "#5b93d2", _SECOND, "#c3daf3")
_REFUSED, _LATE = "#e6e8eb", "#c2572b"
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "recserve",
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _GRID,
    "axes.grid.axis": "x",
    "axes.axisbelow": True,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "grid.color": _GRID,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "ytick.left": False,
}
_FALLBACK = "'DejaVu Sans', Helvetica, Arial, sans-serif"
#: Figure -> heading, and the services to show, the fastest peer first.
_LOADS = {
    "uncached_per_s": ("Unique queries", ("recserve", "infinity", "naive")),
    "hot_per_s": ("The same query", ("recserve", "bare", "naive")),
    "mix_per_s": ("Popular mix", ("recserve", "bare")),
}
_WHO = {"infinity": "infinity\n(only encodes)", "bare": "bare route\n(constant bytes)"}
#: The outcome of an offered request -> its colour.
_OUTCOMES = {
    "answered, not degraded": _OURS,
    "answered, degraded": _SECOND,
    "refused (429)": _REFUSED,
    "too late": _LATE,
}
_NEGLIGIBLE = 0.005
_OFFSET = {"textcoords": "offset points", "va": "center", "annotation_clip": False}

Document = Mapping[str, Any]


def bench(document: Document) -> dict[str, str]:
    """Return file name -> picture of a result of `loadtest.scenarios.bench`."""
    return {"rates.svg": rates(document), "overload.svg": overload(document)}


def write(pictures: Mapping[str, str], folder: Path = FOLDER) -> None:
    """Write pictures into a folder; make the folder if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        (folder / name).write_text(picture, encoding="utf-8")


def stale(pictures: Mapping[str, str], folder: Path = FOLDER) -> list[str]:
    """Return the names of pictures that are missing in a folder or differ from it."""
    return [
        name
        for name, picture in pictures.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != picture
    ]


def rates(document: Document) -> str:
    """Return answers a second of recserve and its peers: bars are medians, dots the rounds."""
    loads = _LOADS.items()
    with _drawing(7.6, 4.3) as figure:
        panels = figure.subplots(len(loads), height_ratios=[len(who) for _, (_, who) in loads])
        figure.subplots_adjust(left=0.16, right=0.9, top=0.94, bottom=0.1, hspace=0.6)
        for axes, (name, (heading, who)) in zip(panels, loads, strict=True):
            _bars(axes, {side: document[side] for side in who}, name)
            axes.set_title(heading)
        panels[-1].set_xlabel(
            "answers a second: bars are medians, dots the rounds; each panel has its own scale"
        )
        return _svg(figure, "Answers a second of recserve and its peers")


def _bars(axes: Axes, sides: Mapping[str, Document], name: str) -> None:
    for row, (side, result) in enumerate(sides.items()):
        middle, rounds = result["median"][name], result["rounds"][name]
        ours = side == "recserve"
        axes.barh(row, middle, 0.66, color=_OURS if ours else _PEER)
        axes.plot(rounds, [row] * len(rounds), "o", ms=4, mec="white", mew=0.7, mfc=_TEXT)
        weight = "bold" if ours else "normal"
        axes.annotate(f"{middle:,.0f}", (max(rounds), row), (7, 0), weight=weight, **_OFFSET)
    axes.set_yticks(range(len(sides)), [_WHO.get(side, side) for side in sides])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.04 * max(max(result["rounds"][name]) for result in sides.values()))
    _rate_axis(axes)


def overload(document: Document) -> str:
    """Return the outcomes of requests offered at a multiple of the peak, a bar per round."""
    rounds = document["recserve"]["rounds"]
    names = ("uncached_per_s", "over_goodput_per_s", "over_undegraded_per_s", "over_refused_per_s")
    peaks, good, undegraded, refused = (rounds[name] for name in names)
    with _drawing(7.6, 0.42 * len(peaks) + 1.4) as figure:
        axes, high = figure.subplots(), figure.get_figheight()
        figure.subplots_adjust(left=0.11, right=0.97, top=1 - 0.75 / high, bottom=0.48 / high)
        degraded = [all_ - full for all_, full in zip(good, undegraded, strict=True)]
        rest = [OVER * p - g - r for p, g, r in zip(peaks, good, refused, strict=True)]
        _stacks(axes, dict(zip(_OUTCOMES, (undegraded, degraded, refused, rest), strict=True)))
        rows = range(len(peaks))
        tops, feet = ([row + way for row in rows] for way in (-0.42, 0.42))
        axes.vlines(peaks, tops, feet, color=_TEXT, lw=2, label="peak")
        axes.set_yticks(rows, [f"round {row + 1}" for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("requests a second")
        _rate_axis(axes)
        axes.set_title(f"Offered at {OVER} × the peak: what became of the requests", pad=24)
        _legend(axes, 5)
        return _svg(figure, f"What became of requests offered at {OVER} times the peak")


def _stacks(axes: Axes, outcomes: Mapping[str, Sequence[float]]) -> None:
    """Draw a stacked bar per round; leave out an outcome that is negligible in every round."""
    wholes = [sum(parts) for parts in zip(*outcomes.values(), strict=True)]
    starts = [0.0] * len(wholes)
    for outcome, parts in outcomes.items():
        if max(part / whole for part, whole in zip(parts, wholes, strict=True)) < _NEGLIGIBLE:
            continue
        widths = [max(part, 0.0) for part in parts]
        axes.barh(
            range(len(parts)), widths, 0.62, left=starts, color=_OUTCOMES[outcome], label=outcome
        )
        for row, (start, part, whole) in enumerate(zip(starts, parts, wholes, strict=True)):
            if part > 0.06 * whole:
                shade = "white" if outcome in ("answered, not degraded", "too late") else _TEXT
                axes.annotate(f"{part:,.0f}", (start, row), (6, 0), c=shade, **_OFFSET)
        starts = [start + width for start, width in zip(starts, widths, strict=True)]


def encoder(document: Document, names: Mapping[str, str]) -> str:
    """Return texts a second by batch of each encoder and of the peer.

    The peer has two rates: one text a call, and its best rate with many. `names`: key of an
    encoder -> label, the peer first.
    """
    series = document["series"]
    peer, *rest = names
    ours = [name for name in rest if f"{name}/1" in series]
    batches = [int(name.partition("/")[2]) for name in series if name.startswith(f"{ours[0]}/")]
    rows = 1 if len(ours) < 3 else 2  # of the legend
    with _drawing(7.6, 3.4) as figure:
        axes = figure.subplots()
        figure.subplots_adjust(left=0.03, right=0.98, top=0.88 - 0.06 * rows, bottom=0.08)
        rates = {names[peer]: [_peer_rate(series, peer, batch) for batch in batches]}
        for name in ours:
            rates[names[name]] = [series[f"{name}/{batch}"]["texts_per_s"] for batch in batches]
        _columns(axes, rates, batches, size=9 if rows == 1 else 7.5)
        axes.margins(y=0.1)
        axes.set_title("Texts a second", pad=8 + 14 * rows)
        _legend(axes, 3)
        return _svg(figure, "Texts a second of the encoder by batch")


def _peer_rate(series: Document, peer: str, batch: int) -> float:
    """Return the peer's rate; with many texts in a call it makes its own batches."""
    return series[f"{peer}/1" if batch == 1 else f"{peer}/sorted"]["texts_per_s"]


def _columns(
    axes: Axes, rates: Mapping[str, Sequence[float]], batches: Sequence[int], size: float
) -> None:
    """Draw a group of columns for each batch, the first of them the peer's."""
    wide = 0.86 / len(rates)
    for column, (label, values) in enumerate(rates.items()):
        xs = [group + column * wide for group in range(len(batches))]
        colour = _COLUMNS[column % len(_COLUMNS)]
        bars = axes.bar(xs, values, wide * 0.92, color=colour, label=label.replace("`", ""))
        axes.bar_label(bars, fmt="{:.0f}", padding=2, size=size)
    middles = [group + wide * (len(rates) - 1) / 2 for group in range(len(batches))]
    axes.set_xticks(middles, [f"batch {batch}" for batch in batches])
    axes.tick_params(bottom=False)
    axes.yaxis.set_major_locator(NullLocator())


def curve(document: Document) -> str:
    """Return the curve of `loadtest.scenarios.curve`: milliseconds (logarithmic) by goodput.

    A rate without an accepted, undegraded answer is left out.

    Raises:
        ValueError: there is nothing to draw.
    """
    title = "New queries answered in time, and how long they took"
    drawn = [row for row in document["rates"] if row["p50_ms"] is not None]
    if not drawn:
        raise ValueError("nothing was answered: there is no curve")
    xs = [row["goodput_per_s"] for row in drawn]
    with _drawing(7.6, 4.2) as figure:
        axes = figure.subplots()
        figure.subplots_adjust(left=0.1, right=0.93, top=0.91, bottom=0.12)
        axes.set_yscale("log")
        for name, colour in (("p50", _OURS), ("p99", _LATE)):
            ys = [row[f"{name}_ms"] for row in drawn]
            axes.plot(xs, ys, "o-", color=colour, ms=4)
            axes.annotate(name, (xs[-1], ys[-1]), (8, 0), c=colour, **_OFFSET)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:,g} ms"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y")
        axes.set_xlim(0)
        axes.set_xlabel("answers in time a second")
        _rate_axis(axes)
        axes.set_title(title)
        return _svg(figure, title)


def _rate_axis(axes: Axes) -> None:
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:,.0f}"))


def _legend(axes: Axes, columns: int) -> None:
    """Put the legend between the title and the axes."""
    where = {"loc": "lower left", "bbox_to_anchor": (-0.01, 1.0), "borderaxespad": 0.2}
    axes.legend(ncols=columns, frameon=False, handlelength=1, columnspacing=1.4, **where)


@contextmanager
def _drawing(width: float, height: float) -> Iterator[Figure]:
    """Yield a figure of this size in inches, with our style alone."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield Figure((width, height), facecolor="white")


def _svg(figure: Figure, title: str) -> str:
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", metadata={**nothing, "Title": title})
    return file.getvalue().replace("'DejaVu Sans'", _FALLBACK)
