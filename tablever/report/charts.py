"""A column's values before and after, drawn by matplotlib as SVG that takes the page's colours and letters.

Texts stay texts; colours are the page's variables ``--before``, ``--after``, ``--ink`` and ``--rule``.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pyarrow as pa

from tablever.escapes import safe
from tablever.findings import ColumnStatistics
from tablever.report.shapes import FEW, Bar, Histogram, Numbers, bars, histogram
from tablever.report.wording import percent
from tablever.texts import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SVG = "http://www.w3.org/2000/svg"
LINK = "{http://www.w3.org/1999/xlink}href"
# Colours that nothing else has stand in for the page's variables, which matplotlib does not know.
BEFORE, AFTER, INK, RULE = "#fe0101", "#fe0102", "#fe0103", "#fe0104"
VARIABLES = {BEFORE: "var(--before)", AFTER: "var(--after)", INK: "var(--ink)", RULE: "var(--rule)"}
STYLE: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tablever",  # the same drawing gets the same text
    "text.parse_math": False,  # or a value $x$ would be set as a formula
    "font.size": 11.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
INCH = 72
WIDTH, HEIGHT = 330, 155  # pixels of a histogram
LEFT, BOTTOM, TOP = 44, 27, 14
BAR_HEIGHT = 34
MOST_BARS = 7
LABEL = 30
CALENDAR = (-719_000.0, 2_932_000.0)  # days since 1970 that an axis of dates can label: years 1 to 9997


def distribution(statistics: ColumnStatistics) -> str:
    """The column on both sides as an ``<svg>`` element; an empty text where there is nothing to draw.

    Numbers and times are drawn over an axis, as shares of the values that are neither null nor NaN. Other values, and
    numbers of which there are few different ones, are bars: the most frequent, as shares of all rows.
    """
    rows = bars(statistics, MOST_BARS)
    slots = histogram(statistics)
    if slots is not None and not (rows and _few(statistics)):
        return _svg(statistics.column, HEIGHT, lambda figure: _draw_histogram(figure, slots, statistics.type))
    if rows:
        return _svg(statistics.column, BAR_HEIGHT * len(rows), lambda figure: _draw_bars(figure, rows))
    return ""


def _few(statistics: ColumnStatistics) -> bool:
    sides = [side for side in (statistics.before, statistics.after) if side is not None]
    return all(side.categories is not None and len(side.categories) <= FEW for side in sides)


def _draw_histogram(figure: Figure, slots: Histogram, kind: pa.DataType) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    height = HEIGHT - BOTTOM - TOP
    axes = figure.add_axes((LEFT / WIDTH, BOTTOM / HEIGHT, (WIDTH - LEFT - 10) / WIDTH, height / HEIGHT))
    edges = _calendar(slots.edges) if pa.types.is_temporal(kind) else slots.edges
    if slots.before is not None:
        axes.stairs(slots.before, edges, fill=True, color=BEFORE, alpha=0.45, linewidth=0, clip_on=False)
    if slots.after is not None:
        axes.stairs(slots.after, edges, color=AFTER, linewidth=1.6, clip_on=False)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    axes.grid(axis="y", color=RULE, linewidth=0.8, clip_on=False)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.spines.bottom.set(visible=True, color=INK, linewidth=0.8)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", pad=8)  # below the label of the vertical axis
    if pa.types.is_temporal(kind):
        _label_dates(axes)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    if slots.beyond >= 0.0005:
        figure.text(1 - 10 / WIDTH, 1, f"{percent(slots.beyond)} beyond the axis", ha="right", va="top")


def _calendar(edges: Numbers) -> Numbers:
    return edges.clip(*CALENDAR)


def _label_dates(axes: Axes) -> None:
    from matplotlib.dates import AutoDateFormatter, AutoDateLocator

    locator = AutoDateLocator(minticks=3, maxticks=5)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(AutoDateFormatter(locator))  # type: ignore[no-untyped-call]


def _draw_bars(figure: Figure, rows: Sequence[Bar]) -> None:
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    most = max(bar.longest for bar in rows if not bar.others)
    axes.set_xlim(0, most)
    axes.set_ylim(BAR_HEIGHT * len(rows), 0)
    for place, bar in enumerate(rows):
        top = BAR_HEIGHT * place
        axes.text(0, top + 12, cut(safe(bar.label), LABEL))
        shares = [part for part in (bar.before, bar.after) if part is not None]
        axes.text(most, top + 12, " → ".join(map(percent, shares)), ha="right")
    drawn = [(BAR_HEIGHT * place, bar) for place, bar in enumerate(rows) if not bar.others]  # which would dwarf all
    for name, color, offset in (("before", BEFORE, 19), ("after", AFTER, 24)):
        parts = [(top + offset, getattr(bar, name)) for top, bar in drawn if getattr(bar, name) is not None]
        if parts:
            tops, lengths = zip(*parts, strict=True)
            axes.barh(tops, lengths, 4, color=color, linewidth=0, clip_on=False)


def _svg(column: str, height: int, draw: Callable[[Figure], None]) -> str:
    from matplotlib import style
    from matplotlib.figure import Figure

    drawn = io.StringIO()
    with style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that matplotlib's font lacks: the browser has others
        figure = Figure(figsize=(WIDTH / INCH, height / INCH))
        figure.patch.set_visible(False)
        draw(figure)
        for axes in figure.axes:
            axes.patch.set_visible(False)
        figure.savefig(drawn, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _for_pages(drawn.getvalue(), f"distribution of {cut(safe(column), LABEL)} before and after")


def _for_pages(text: str, label: str) -> str:
    """The drawing without what a page has already (letters, size), what would leak into it (styles, names)."""
    ET.register_namespace("", SVG)
    root = ET.fromstring(text)
    linked = {element.get(LINK, "").removeprefix("#") for element in root.iter()}
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}style", f"{{{SVG}}}metadata"):
                parent.remove(child)
        if parent.get("id") not in linked:
            parent.attrib.pop("id", None)
        if style := parent.get("style"):
            parent.set("style", _with_variables(re.sub(r"font-family:[^;]*;?", "", style)))
    del root.attrib["width"], root.attrib["height"]
    for name, value in (("class", "chart"), ("role", "img"), ("aria-label", label)):
        root.set(name, value)
    return ET.tostring(root, encoding="unicode")


def _with_variables(style: str) -> str:
    for color, variable in VARIABLES.items():
        style = style.replace(color, variable)
    return style.strip()
