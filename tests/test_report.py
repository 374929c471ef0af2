"""Reports: whatever is in a table, its names and its messages, every renderer shows it and none lets it out."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import sys
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import tablever as tv
from tablever.diff.cells import changed_cells
from tablever.diff.counted import QUANTILES, Numbers
from tablever.diff.sides import Side, scope_of
from tablever.errors import UnsupportedFeatureError
from tablever.escapes import safe
from tablever.findings import (
    Bins,
    ColumnStatistics,
    Drift,
    Findings,
    Level,
    Plan,
    PlannedFile,
    Profile,
    Rejected,
    SchemaChange,
    Segment,
    Segments,
    Summary,
)
from tablever.json_values import to_json
from tablever.model import Version
from tablever.report import cells, charts, json_lines, markdown, page, screen, shapes, wording
from tablever.report.view import LEVELS
from tablever.texts import width
from tests.strategies import NESTED, PRIMITIVES, values

HOSTILE = (
    "<script>document.documentElement.dataset.ran = 1</script>",
    "<img src=x onerror=alert(1)>\"'`",
    "</style></script></svg><b>",
    "\x1b[2J\x1b]0;title\x07\r\n\t\0",
    "left\u202eright\u2066\u200f\ufeff",
    "$x^2$ $$ \\alpha",
    "a|b `c` ``d`` \\| *e* _f_ @everyone #1 www.example.org http://example.org :smile:",
    "{{ 7 * 7 }}{% raw %}",
    "日本語 é e\u0301 👩‍🚀 مرحبا",
    "   ",
    "NULL",
    "",
)
TEXTS = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
MARKDOWN = MarkdownIt("commonmark").enable("table")
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
WHEN = datetime(2026, 11, 1, 12, tzinfo=UTC)


def version(number: int, text: str = "") -> Version:
    return Version(
        number, WHEN, text or "update", text or f"message {number}", text or "Ada Lovelace <ada@example.org>",
        3, 1, 1, 1, "sha:" + "3f" * 32, "ab" * 32, number - 1, {"note": text},
    )  # fmt: skip


def with_updated(found: Findings, updated: pa.Table) -> Findings:
    """Findings with other updated rows, of which what is not plainly equal changed."""

    def side(word: str, column: str) -> list[Any]:
        name = word + column
        return updated[name].to_pylist() if name in updated.column_names else [None] * updated.num_rows

    columns = [name for name in found.compared if name not in found.key]
    flags = {
        name: pa.array([a != b for a, b in zip(side("from_", name), side("to_", name), strict=True)], pa.bool_())
        for name in columns
    }
    return replace(found, updated=updated, changed=pa.table(flags))


def findings(text: str = "pos", *, statistics: bool = False) -> Findings:
    """One row of each kind, a schema change of each kind, and ``text`` wherever a text can be."""
    name = f"label{text}"
    before = pa.schema([("id", pa.string()), (name, pa.string()), ("stars", pa.int32())])
    after = pa.schema([("id", pa.string()), (name, pa.string()), ("stars", pa.int64()), (f"new{text}", pa.string())])
    kinds = ("added", "removed", "retyped", "reordered", "nullability", "property", "key")
    profile = Profile(3, 1, 0, 2, text, text + "z", top=((text, 2),), categories={text: 2, None: 1})
    numbers = Profile(3, 0, 0, 3, 1, 5, 3.0, 2.0, {0.5: 3}, ((1, 1),), Bins((1.0, 3.0, 5.0), (1, 2)))
    return Findings(
        table=f"reviews{text}",
        other=None,
        before=version(2, text),
        after=version(3, text),
        key=("id",),
        compared=("id", name, "stars"),
        columns_before=before,
        columns_after=after,
        tolerance={},
        plan=Plan(
            "changes",
            f"why {text}",
            (version(3, text),),
            (PlannedFile(f"path{text}", 9, 9, f"why {text}"),),
            9,
            99,
            Rejected("snapshots", 99, f"why {text}"),
            6,
            1,
            2,
            ({f"part{text}": text},),
        ),
        schema=tuple(SchemaChange(kind, f"{kind}{text}", text, None) for kind in kinds),
        summary=Summary(3, 3, 1, 1, 1, 1, {name: 1, "stars": 1}, 1, (f"note {text}",)),
        added=pa.table([["4"], [text], pa.array([5], pa.int64()), [text]], schema=after),
        removed=pa.table([["2"], [text], pa.array([1], pa.int32())], schema=before),
        updated=pa.table(
            {
                "id": [text],
                f"from_{name}": [text],
                f"to_{name}": [text + "!"],
                "from_stars": pa.array([3], pa.int32()),
                "to_stars": pa.array([4], pa.int64()),
                f"to_new{text}": [text],
            }
        ),
        changed=pa.table({name: [True], "stars": [True]}),
        statistics=(
            ColumnStatistics(name, pa.string(), profile, replace(profile, nulls=0)),
            ColumnStatistics("stars", pa.int64(), numbers, numbers),
            ColumnStatistics("gone", pa.string(), profile, None),
        )
        if statistics
        else None,
        drift=(Drift(name, 0.3, level="major"), Drift("stars", why=text)) if statistics else None,
        segments=Segments(
            (name,), (Segment((text,), 3, 2, 1, 1, 0, 1.5, 0.01, 0.02, True),), Segment(("",), 1, 1, 0, 0, 1), 2
        ),
        left_out={"added": 7, "removed": 8, "updated": 9},
    )


def printed(lines: Iterator[screen.Line]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def nothing_differs() -> Findings:
    empty = pa.table({"id": pa.array([], pa.string())})
    return replace(
        findings(), schema=(), summary=Summary(3, 3, 0, 0, 0, 3), added=empty, removed=empty, updated=empty,
        changed=pa.table({}), plan=Plan("nothing", "the versions are alike"), segments=None, left_out={},
    )  # fmt: skip


# -- nothing gets out


class Page(HTMLParser):
    """The tags, attributes and texts of a page, scripts and styles apart."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.own: dict[str, str] = {}
        self.text = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.own[self._inside] = self.own.get(self._inside, "") + data
        else:
            self.text += data


HARMLESS = findings(statistics=True)


@cache
def own_tags() -> frozenset[str]:
    return frozenset(Page(page.render(HARMLESS)).tags)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_page_has_no_tag_but_its_own(text: str) -> None:
    """Whatever stands in cells, names and messages, a page has the elements that it has with harmless texts."""
    html = page.render(findings(text, statistics=True))
    parsed = Page(html)
    assert set(parsed.tags) <= own_tags()
    assert parsed.tags.count("script") == parsed.tags.count("style") == 1
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name in ("src", "srcset", "action")]
    assert {value for name, value in parsed.attributes if name == "href" and value and value[0] != "#"} == {"data:,"}
    assert not STEERING.search(html)
    if text.strip():
        assert safe(text) in parsed.text


@given(TEXTS)
def test_a_page_shows_any_text(text: str) -> None:
    """Any text is on the page, its control characters as escapes, and stands in no tag of its own."""
    html = page.render(findings(text))
    assert not STEERING.search(html)
    assert set(Page(html).tags) <= own_tags()
    assert safe(text)[:400] in Page(html).text


def test_a_page_runs_and_loads_nothing_but_its_own() -> None:
    """The policy admits the one script and the one style sheet by their hashes, and nothing from anywhere."""
    parsed = Page(page.render(HARMLESS))
    policy = next(value for name, value in parsed.attributes if name == "content" and value and "default-src" in value)
    assert policy.startswith("default-src 'none'; ")
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(parsed.own[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert not re.search(r"url\(|@import|https?:", parsed.own["style"])
    assert not re.search(r"fetch|XMLHttp|innerHTML|https?:", parsed.own["script"])


def test_templates_mark_nothing_as_safe() -> None:
    """No expression of a template is exempt from escaping but the charts."""
    templates = Path(page.__file__).parent / "templates"
    text = (templates / "diff.html.j2").read_text("utf-8")
    assert not re.search(r"\|\s*safe|autoescape|Markup", text)
    assert re.findall(r"{{ (\S+) \| svg }}", text) == ["column.chart"]


@given(TEXTS)
def test_a_screen_shows_no_control_characters(text: str) -> None:
    """No line, in any form, holds what could steer a terminal."""
    shown = [*printed(screen.plan_lines(findings(text).plan))]
    for form in ("full", "stat", "names"):
        shown += printed(screen.lines(findings(text, statistics=True), form=form))  # type: ignore[arg-type]
    assert not [line for line in shown if STEERING.search(line) or "\n" in line]


@given(TEXTS)
def test_a_notebook_shows_any_text(text: str) -> None:
    """The notebook's view holds spans in one preformatted block, and no control characters."""
    html = page.notebook(findings(text))
    assert set(Page(html).tags) <= {"pre", "span"}
    assert not STEERING.search(html)
    assert [name for name, _ in Page(html).attributes if name != "style"] == []


@given(TEXTS)
def test_markdown_shows_any_text(text: str) -> None:
    """Read as GitHub-flavoured Markdown, a report has the tables and columns that it has with harmless texts."""
    harmless, read = (
        MarkdownIt("commonmark").enable("table").render(markdown.render(findings(t))) for t in ("x", text)
    )
    assert not STEERING.search(read)
    outline = [
        re.findall(r"<(?:table|/?details|h3|t[hrd]|blockquote|a|img|script)\b", each) for each in (harmless, read)
    ]
    assert outline[0] == outline[1]


@given(TEXTS)
def test_markdown_code_is_exactly_the_text(text: str) -> None:
    """A text as code, in a table or in a line, reads as the text with its control characters as escapes."""
    read = MarkdownIt("commonmark").enable("table")
    expected = safe(text) if text else "empty"
    for html in (read.render(f"| a |\n| --- |\n| {markdown.code(text)} |"), read.render(f"x {markdown.code(text)}")):
        content = re.search(r"(?:<code>|<em>)(.*)(?:</code>|</em>)", html, re.DOTALL)
        assert content
        assert unescape(content[1]).replace("\u00a0", " ") == expected.replace("\u00a0", " ")


def test_texts_are_cut() -> None:
    """A text of a megabyte is a few hundred characters of a report."""
    long = findings("x" * 1_000_000)
    updated = long.updated.rename_columns(findings().updated.column_names)
    short = replace(findings(), updated=updated, added=long.added)
    assert len(page.render(short)) < 100_000
    assert len(markdown.render(short)) < 20_000


# -- JSON Lines


def records(found: Findings) -> list[dict[str, Any]]:
    removed, added, updated = (part.to_batches() for part in (found.removed, found.added, found.updated))
    flagged = [(batch, found.changed) for batch in updated]
    assert len(flagged) < 2
    return [json.loads(line) for line in json_lines.records(found, removed, added, flagged)]


@given(TEXTS)
def test_json_lines_hold_the_diff(text: str) -> None:
    """Every row, change and count comes back from the lines, in the order of the specification."""
    found = findings(text, statistics=True)
    read = records(found)
    kinds = [record["kind"] for record in read]
    assert list(dict.fromkeys(kinds)) == [
        "diff", "commit", "schema", "removed", "added", "updated", "statistics", "segment", "end",
    ]  # fmt: skip
    assert (read[0]["format"], read[0]["table"], read[0]["key"]) == ("tablever.diff/v1", found.table, ["id"])
    rows = {kind: [r["row"] for r in read if r["kind"] == kind] for kind in ("removed", "added")}
    assert rows == {"removed": found.removed.to_pylist(), "added": found.added.to_pylist()}
    (updated,) = (record for record in read if record["kind"] == "updated")
    assert updated["key"] == {"id": text}
    assert updated["cells"] == {f"label{text}": {"old": text, "new": text + "!"}, "stars": {"old": 3, "new": 4}}
    assert read[-1]["summary"]["cells"] == dict(found.summary.cells)
    assert [record["name"] for record in read if record["kind"] == "schema"] == [each.name for each in found.schema]


def test_json_lines_are_lines() -> None:
    """A line is one line, whatever line ends stand in its texts."""
    assert all(line.splitlines() == [line] for line in json_lines.records(findings(HOSTILE[3]), [], [], []))


def test_the_specification_names_every_field() -> None:
    """docs/reference/diff-format.md has every field that is written."""
    text = (Path(__file__).parents[1] / "docs" / "reference" / "diff-format.md").read_text("utf-8")
    fields = {name for record in records(findings(statistics=True)) for name in record} - {"kind"}
    statistics = next(record for record in records(findings(statistics=True)) if record["kind"] == "statistics")
    fields |= {*statistics["from"], *statistics["drift"], *records(findings())[-1]["summary"]}
    assert {name for name in fields if f"`{name}`" not in text} == set()


@given(st.data())
def test_json_values_come_back_as_tablever_read_writes_them(data: st.DataObject) -> None:
    """Values of any type are encoded as JSON Lines files of rows are."""
    kind = data.draw(st.sampled_from([*PRIMITIVES, *NESTED]))
    value = data.draw(values(kind))
    rows = pa.table({"id": pa.array([value, None], kind)})
    read = records(replace(findings(), added=rows))
    expected = [json.loads(json.dumps(to_json(each.as_py()))) for each in rows["id"]]
    assert [r["row"]["id"] for r in read if r["kind"] == "added"] == expected


def test_cells_of_many_rows_are_each_in_their_row() -> None:
    """Rows with some, all and no changed cells: every line has its own key and its own cells, in the columns' order."""
    columns = ["id", "a", "b", "c"]
    found = replace(findings(), compared=tuple(columns))
    rows = [(n, {name: n % 7 < place for place, name in enumerate("abc")}) for n in range(100)]
    updated = pa.table(
        {
            "id": [f"k{n}" for n, _ in rows],
            **{f"from_{name}": [f"{name}{n}\n" for n, _ in rows] for name in "ab"},
            **{f"to_{name}": pa.array([n / 2 for n, _ in rows]) for name in "bc"},
        }
    )
    changed = pa.table({name: [flags[name] for _, flags in rows] for name in "abc"})
    read = records(replace(found, updated=updated, changed=changed))
    lines = {each["key"]["id"]: each["cells"] for each in read if each["kind"] == "updated"}
    assert lines == {
        f"k{n}": {
            name: {"old": None if name == "c" else f"{name}{n}\n", "new": None if name == "a" else n / 2}
            for name, is_changed in flags.items()
            if is_changed
        }
        for n, flags in rows
    }
    assert all(list(cells) == sorted(cells) for cells in lines.values())


# -- which cells changed


def test_changed_cells_of_retyped_and_one_sided_columns() -> None:
    """Text against numbers differs wherever there is a value; a missing side is null; clashing names are told apart."""
    before = {"from_n": ["k", "l"], "n": pa.array([1, 2], pa.int64()), "t": pa.array([date(2026, 1, 1), None])}
    after = {
        "from_n": ["k", "l"],
        "n": ["1", None],
        "t": pa.array([datetime(2026, 1, 1), None], pa.timestamp("us")),  # noqa: DTZ001
        "only": ["new", None],
    }
    columns = ["n", "t", "only"]
    scope = scope_of(*(Side(rows=pa.table(rows)) for rows in (before, after)), key="from_n", columns=columns)
    updated = pa.table(
        {
            "from_n": ["k", "l"],
            "_from_n": before["n"],
            "to_n": after["n"],
            "from_t": before["t"],
            "to_t": after["t"],
            "to_only": after["only"],
        }
    )
    found = replace(findings(), key=("from_n",), compared=scope.compared)
    rows = list(cells.updated_rows(found, updated, changed_cells(updated, scope)))
    assert [row.key for row in rows] == [("k",), ("l",)]
    changed = [[(cell.column, cell.old, cell.new) for cell in row.cells] for row in rows]
    assert changed == [[("n", 1, "1"), ("only", None, "new")], [("n", 2, None)]]


@pytest.mark.parametrize("far", ["0.01", "0.02", "123456"])
def test_reports_show_the_cells_that_the_diff_counts(far: str, tmp_path: Path) -> None:
    """Of decimals with more digits than a double has, the cells that count as changed are those that are shown."""
    one = Decimal("123456789012345678901234.00")
    kind = pa.decimal128(38, 2)
    table = tmp_path / "t"
    tv.create_table(table, pa.table({"id": [1, 2], "n": pa.array([one, one], kind), "m": [1, 2]}), key="id")
    new = pa.array([one + Decimal(far), one], kind)
    tv.upsert(table, pa.table({"id": [1, 2], "n": new, "m": [5, 6]}))
    diff = tv.diff_versions(table, 0, 1, tolerance={"n": 0.01})
    found = diff.findings()
    shown = Counter(
        each.column for row in cells.updated_rows(found, found.updated, found.changed) for each in row.cells
    )
    assert shown == diff.summary.cells
    told = Counter(name for record in records(found) if record["kind"] == "updated" for name in record["cells"])
    assert told == diff.summary.cells
    assert Counter(diff.cells["column"].to_pylist()) == diff.summary.cells


@given(st.text(max_size=20), st.text(max_size=20))
def test_compared_texts_are_whole(old: str, new: str) -> None:
    """Head, difference and tail put together are the texts; a difference begins and ends where they differ."""
    parts = cells.compare_texts(old, new)
    assert parts.head + parts.old + parts.tail == old
    assert parts.head + parts.new + parts.tail == new
    if old.isascii() and new.isascii() and parts.old and parts.new:
        assert parts.old[0] != parts.new[0]
        assert parts.old[-1] != parts.new[-1]


def test_accents_stay_with_their_letters() -> None:
    """A difference in an accent alone is a difference of the letter that has it."""
    assert cells.compare_texts("cafe\u0301 x", "cafe x") == cells.Texts("caf", "e\u0301", "e", " x")


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [(0.1, 0.3, "0.2"), (1, 3, "2"), (Decimal("1.50"), Decimal("1.25"), "-0.25"), (1, None, None), (True, False, None),
     (math.inf, 1.0, None), (1e300, 1e-300, None), ("1", "2", None), (2**53, 2**53 + 1, "1")],
)  # fmt: skip
def test_a_change_of_numbers_is_exact(old: Any, new: Any, change: str | None) -> None:
    """The difference shown is that of the digits shown, and there is none of what is no number."""
    assert cells.difference(old, new) == (None if change is None else Decimal(change))


# -- charts


def column(before: Profile | None, after: Profile | None, kind: pa.DataType) -> ColumnStatistics:
    return ColumnStatistics("c", kind, before, after)


def binned(edges: list[float], counts: list[int]) -> Profile:
    return Profile(sum(counts), 0, bins=Bins(tuple(edges), tuple(counts)))


EDGES = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=20, unique=True).map(sorted)


@given(st.data(), st.sampled_from([pa.float64(), pa.int64(), pa.date32(), pa.timestamp("us"), pa.decimal128(9, 2)]))
def test_histograms_share_out_all_values(data: st.DataObject, kind: pa.DataType) -> None:
    """Shares and what lies beyond the axis make one, for any edges; what has a range is drawn without a warning."""
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        edges = data.draw(EDGES)
    else:
        limit = 10**6 if pa.types.is_date(kind) else 2**62
        whole = st.lists(st.integers(-limit, limit), min_size=2, max_size=20, unique=True)
        edges = [float(edge) for edge in sorted(set(map(float, data.draw(whole))))]
    counts = st.lists(st.integers(0, 5), min_size=len(edges) - 1, max_size=len(edges) - 1)
    sides = [binned(edges, data.draw(counts)) for _ in range(2)]
    drawn = column(*sides, kind)
    shape = shapes.histogram(drawn)
    if shape is None:
        return
    shares = [part for part in (shape.before, shape.after) if part is not None]
    assert min(share.min() for share in shares) >= -1e-9
    assert max(share.sum() for share in shares) <= 1 + 1e-9
    assert shape.beyond == pytest.approx(max(1 - share.sum() for share in shares), abs=1e-9)
    assert len(shares) == 2 or shape.beyond <= 2 * shapes.TAIL + 1e-9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert charts.distribution(drawn).startswith("<svg ")


def profiled(sample: Numbers, edges: Numbers) -> Profile:
    """As a side that is counted between the other side's edges, with its own quantiles."""
    quantiles = {share: float(np.quantile(sample, share, method="inverted_cdf")) for share in QUANTILES}
    bins = Bins(tuple(map(float, edges)), tuple(map(int, np.histogram(sample, edges)[0])))
    return Profile(len(sample), 0, min=float(sample.min()), max=float(sample.max()), quantiles=quantiles, bins=bins)


@pytest.mark.parametrize(("middle", "deviation"), [(100.0, 1.0), (5.0, 1.0), (-40.0, 10.0), (3.0, 0.0)])
def test_a_shift_out_of_the_range_is_drawn_where_it_went(middle: float, deviation: float) -> None:
    """A side whose values lie outside of the other's bins is drawn as its own quantiles have it."""
    rng = np.random.default_rng(7)
    first, second = rng.uniform(0, 1, 20_000), rng.normal(middle, deviation, 20_000)
    inner = np.quantile(first, np.linspace(0, 1, 257))
    edges = np.concatenate([[min(inner[0], second.min()) - 1e-9], inner[1:-1], [inner[-1] + 1e-9]])
    edges = np.append(edges, max(edges[-1] + 1e-9, second.max()))
    shape = shapes.histogram(column(profiled(first, edges), profiled(second, edges), pa.float64()))
    assert shape is not None
    assert shape.before is not None
    assert shape.after is not None
    for sample, drawn in ((first, shape.before), (second, shape.after)):
        exact = np.histogram(sample, shape.edges)[0] / len(sample)
        assert np.abs(np.cumsum(drawn) - np.cumsum(exact)).max() < 0.07


def test_a_shift_of_whole_numbers_is_drawn_where_it_went() -> None:
    """A whole number that all rows of a side have is one slot, wherever the other side's bins end."""
    quantiles = dict.fromkeys(QUANTILES, 150)
    first = Profile(100, 0, bins=Bins((0.0, 50.0, 100.0, 201.0), (50, 50, 0)), min=0, max=99)
    second = Profile(10, 0, bins=Bins((0.0, 50.0, 100.0, 201.0), (0, 0, 10)), min=150, max=150, quantiles=quantiles)
    shape = shapes.histogram(column(first, second, pa.int64()))
    assert shape is not None
    assert shape.after is not None
    assert [
        (low <= 150 < high) == (share > 0.99)
        for low, high, share in zip(shape.edges[:-1], shape.edges[1:], shape.after, strict=True)
    ] == [True] * len(shape.after)


def test_whole_numbers_have_slots_of_their_own() -> None:
    """A histogram of whole numbers counts each value in the slot that begins with it, the last one too."""
    counts = [5, 0, 3, 2]
    shape = shapes.histogram(column(binned([0, 1, 2, 3, 4], counts), None, pa.int64()))
    assert shape is not None
    assert shape.edges.tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(shape.before, [0.5, 0, 0.3, 0.2])
    assert shape.after is None


def test_far_values_do_not_flatten_a_chart() -> None:
    """Where a few values lie far out, the axis leaves them out and says how many."""
    near = [float(edge) for edge in range(101)]
    side = binned([*near, 1e9], [100] * 100 + [3])
    shape = shapes.histogram(column(side, side, pa.float64()))
    assert shape is not None
    assert shape.edges[-1] < 101
    assert 0 < shape.beyond <= 2 * shapes.TAIL + 1e-9
    assert "beyond the axis" in charts.distribution(column(side, side, pa.float64()))


def test_bars_are_shares_of_rows() -> None:
    """Values are shares of all rows, nulls among them; what has no bar of its own is with the others."""
    before = Profile(10, 2, categories={"a": 5, "b": 3, None: 2})
    after = Profile(20, 0, categories={"a": 19, "c": 1})
    bars = shapes.bars(column(before, after, pa.string()), 2)
    assert [(bar.label, bar.before, bar.after) for bar in bars[:2]] == [("a", 0.5, 0.95), ("b", 0.3, 0.0)]
    assert bars[2] == shapes.Bar("2 other values", pytest.approx(0.2), pytest.approx(0.05), others=True)


def test_values_counted_on_one_side_only_have_no_bar() -> None:
    """Of long-tailed text only values that are counted on both sides are compared."""
    before = Profile(1000, 0, top=(("a", 500), ("b", 100)))
    after = Profile(1000, 0, top=(("a", 400), ("c", 90)))
    assert [bar.label for bar in shapes.bars(column(before, after, pa.string()), 8)] == ["a", "other values"]


def test_few_numbers_stand_in_their_order() -> None:
    """Numbers of which there are few are bars by value, not by frequency."""
    side = Profile(6, 1, categories={5: 3, 1: 2, None: 1})
    assert [bar.label for bar in shapes.bars(column(side, side, pa.int64()), 8)] == ["1", "5", "NULL"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_chart_shows_a_text_as_it_is(text: str) -> None:
    """A label is text, never a formula or a tag; a drawing has no names, styles or links that reach out of it."""
    side = Profile(4, 0, categories={text: 3, "x": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = charts.distribution(ColumnStatistics(text, pa.string(), side, side))
    assert not re.search(r'<style|<script|\bid="|href|url\(|<!--|<!DOCTYPE', drawn)
    assert set(re.findall(r"<(\w+)", drawn)) <= {"svg", "defs", "g", "path", "text"}
    if text.strip():
        assert safe(text)[:20] in unescape(drawn)


def test_charts_take_the_colours_of_the_page() -> None:
    """Colours are the page's variables and letters the page's; the same column gives the same drawing."""
    statistics = HARMLESS.statistics or ()
    for each in statistics:
        drawn = charts.distribution(each)
        assert not re.search(r"#[0-9a-f]{6}|font-family|width=", drawn.split(">", 1)[0] + drawn)
        assert "var(--before)" in drawn or each.before is None
        assert drawn == charts.distribution(each)


# -- what reports say


RENDERERS = {
    "screen": lambda found: "\n".join(printed(screen.lines(found, width=None))),
    "markdown": markdown.render,
    "page": lambda found: Page(page.render(found)).text,
    "notebook": lambda found: Page(page.notebook(found)).text,
}


@pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)
def test_every_report_says_what_is_left_out_and_what_to_know(render: Any) -> None:
    """Rows that are not shown, notes and tolerances are in every report."""
    found = replace(findings(), summary=replace(findings().summary, added=8, removed=9, updated=10))
    said = " ".join(render(replace(found, tolerance={"stars": (0.5, 0.01)})).split()).replace("`", "")
    for text in (
        "7 added rows are not shown here",
        "8 removed rows are not shown here",
        "9 updated rows are not shown here",
        "note pos",
        "within 0.5 absolute or 0.01 relative: stars",
    ):
        assert text in said


def test_what_is_read_is_said_alike() -> None:
    """Page and preview say the same of what is read: bytes of the files, with nothing counted for opening them."""
    found = findings()
    plan = replace(found.plan, bytes=1_000_000)
    preview = "\n".join(printed(screen.plan_lines(plan)))
    said = "9 bytes of 1 file; the table has 99 bytes"
    assert f"reads    {said}\n" in preview
    assert said in Page(page.render(replace(found, plan=plan))).text


@pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)
def test_every_report_can_say_that_nothing_differs(render: Any) -> None:
    """Two versions that are alike give a report that says so."""
    assert re.search(r"[Nn]o row differs|Nothing differs", render(nothing_differs()))


@pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"other": "copy"}, ("reviewspos", "version 2", "copy", "version 3")),
        ({"before": None}, ("nothing", "version 3")),
        ({"after": None, "plan": Plan("rows", "why")}, ("version 2", "rows not committed")),
        (
            {
                "key": (),
                "updated": pa.table({}),
                "changed": pa.table({}),
                "summary": Summary(None, None, 1, 1, 0, None),
            },
            ("? rows", "1"),
        ),
    ],
    ids=["two tables", "no table", "rows", "no key, counts unknown"],
)
def test_every_report_names_its_sides(render: Any, changed: dict[str, Any], said: tuple[str, ...]) -> None:
    """Two tables, no table, rows that are not committed, tables without a key or counts: all are said."""
    text = render(replace(findings(), **changed)).replace("`", "")
    wanted = said if "?" not in said[0] else ("?", said[1])
    assert [part for part in wanted if part not in text] == []


def test_a_page_is_complete() -> None:
    """Counts, commits, schema, cells, distributions, drift, segments and the plan are on the page."""
    text = " ".join(Page(page.render(HARMLESS)).text.split())
    for part in (
        "by pos",
        "retypedpos",
        "pos!",
        "major drift",
        "concentrated",
        "2 other groups",
        "why pos",
        "9 bytes of",
    ):
        assert part in text


def test_a_page_says_what_it_left_out_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells, rows, commits and charts beyond the page's own limits are counted."""
    monkeypatch.setattr("tablever.report.view.MOST_CELLS", 3)
    monkeypatch.setattr("tablever.report.view.MOST_VALUES", 4)
    monkeypatch.setattr("tablever.report.view.MOST_COMMITS", 1)
    monkeypatch.setattr("tablever.report.view.MOST_CHARTS", 1)
    many = replace(
        HARMLESS,
        added=pa.concat_tables([HARMLESS.added] * 3),
        updated=pa.concat_tables([HARMLESS.updated] * 3),
        changed=pa.concat_tables([HARMLESS.changed] * 3),
        summary=replace(HARMLESS.summary, added=3, updated=3, cells={"labelpos": 3, "stars": 3}),
        plan=replace(HARMLESS.plan, commits=(version(2), version(3))),
        left_out={},
    )
    text = Page(page.render(many)).text
    for said in ("2 added rows are", "2 updated rows are", "4 changed cells are", "1 commit is", "1 chart is"):
        assert f"{said} not shown here" in text


@pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)
def test_columns_that_were_not_measured_are_not_called_steady(render: Any) -> None:
    """Every report counts the columns whose drift was measured, and apart from them those where it was not."""
    drift = (Drift("a", psi=0.01), Drift("b", why="only one side has the column"), Drift("c", why="no rows"))
    said = " ".join(render(replace(HARMLESS, drift=drift)).split())
    assert "none of 1 measured; 2 not measured" in said
    said = " ".join(render(replace(HARMLESS, drift=drift[1:])).split())
    assert "2 not measured" in said
    assert "none of" not in said
    moved = replace(drift[0], column="d", psi=0.3, level="major")
    assert "1 of 2 measured; 2 not measured" in " ".join(render(replace(HARMLESS, drift=(*drift, moved))).split())


@pytest.mark.parametrize("columns", [40, 60, 100, 200])
@pytest.mark.parametrize("form", ["full", "stat"])
def test_lines_fit_the_screen(columns: int, form: Any) -> None:
    """No line is wider than the screen, with long texts, wide letters and many columns."""
    found = findings("日本" * 40, statistics=True)
    assert max(map(width, printed(screen.lines(found, width=columns, form=form)))) <= columns
    assert max(map(width, printed(screen.plan_lines(found.plan, width=columns)))) <= columns


def test_changed_cells_stand_in_columns() -> None:
    """On the screen the arrows of all changed cells stand below each other, old to the left, new to the right."""
    lines = [
        line for line in printed(screen.lines(findings())) if " → " in line and ("pos!" in line or "stars" in line)
    ]
    cell_lines = [line for line in lines if re.search(r"labelpos|stars ", line)]
    assert len({line.index("→") for line in cell_lines}) == 1
    assert re.search(r"pos +→ pos!$", cell_lines[0])
    assert re.search(r"3 +→ 4$", cell_lines[1])


def test_a_difference_far_into_a_text_is_seen() -> None:
    """Where a cut would hide what differs, the common beginning is left out instead."""
    found = findings("x")
    long = pa.table(
        {
            **{n: found.updated[n] for n in found.updated.column_names},
            "from_labelx": ["y" * 300 + "old"],
            "to_labelx": ["y" * 300 + "new"],
        }
    )
    shown = with_updated(found, long)
    assert any("old" in line and "new" in line for line in printed(screen.lines(shown, width=80)))
    text = Page(page.render(shown)).text
    assert re.search(r"…y{20,60}old…?", text)
    assert re.search(r"…y{20,60}new…?", text)


def test_one_line_a_column() -> None:
    """--stat has a line with a bar for each changed column; --name-only their names, with those of the schema."""
    lines = printed(screen.lines(findings(), form="stat"))
    assert [line for line in lines if "█" in line] == [
        "labelpos  1  33.3 %  " + "█" * 40,
        "stars     1  33.3 %  " + "█" * 40,
    ]
    assert printed(screen.lines(findings(), form="names")) == [
        "labelpos",
        "stars",
        "addedpos",
        "removedpos",
        "retypedpos",
        "nullabilitypos",
    ]


def test_rules_that_changed_are_in_the_short_forms_too() -> None:
    """Where no row differs but nullability, key or a property does, every form says so."""
    rules = tuple(change for change in findings().schema if change.change in ("nullability", "key", "property"))
    found = replace(nothing_differs(), schema=rules)
    assert printed(screen.lines(found, form="names")) == ["nullabilitypos"]
    for form in ("full", "stat"):
        said = printed(screen.lines(found, form=form))  # type: ignore[arg-type]
        assert said[1] == "3 rows → 3 rows: no row differs; 3 schema changes"
        assert [line for line in said if "nullabilitypos" in line or "propertypos" in line or "keypos" in line][2:]
    assert "no row differs; 3 schema changes" in markdown.render(found).replace("`", "")


UNLIKE_IN_DISGUISE = [
    (None, "NULL"),
    ("a", "a "),
    ("a b", "a\u00a0b"),
    ("a\\n", "a\n"),
    ("ab", "a\u200db"),
    ("\u00e9", "e\u0301"),
    ("1 ", "1"),
    ("'x '", "x "),
    ("z" * 900 + "1", "z" * 900 + "2"),
]


def looks(text: str) -> str:
    """A text as the eye has it, white space within a line aside."""
    seen = unicodedata.normalize("NFC", text).replace("\u200d", "")
    return " ".join(seen.split())


@pytest.mark.parametrize(("old", "new"), UNLIKE_IN_DISGUISE)
def test_a_change_never_reads_as_two_equal_texts(old: str | None, new: str | None) -> None:
    """What looks alike and is not is told apart, on the terminal and in Markdown."""
    updated = pa.table({"id": ["1"], "from_labelx": pa.array([old]), "to_labelx": pa.array([new])})
    found = with_updated(findings("x"), updated)
    (line,) = (line for line in printed(screen.lines(found)) if line.startswith("1 ") and "→" in line)
    left, right = line.removeprefix("1").split("→")
    assert looks(left.replace("labelx", "", 1)) != looks(right)
    (row,) = re.findall(r"<tr>\s*<td><code>1</code>.*?</tr>", MARKDOWN.render(markdown.render(found)), re.DOTALL)
    texts = [looks(unescape(re.sub("<.*?>", "", each))) for each in re.findall(r"<td>(.*?)</td>", row, re.DOTALL)]
    assert texts[-2] != texts[-1]


def test_lines_without_a_limit_stay_readable() -> None:
    """One long value, name or key does not push all others thousands of columns to the right."""
    found = findings("x")
    updated = pa.table({"id": ["1", "2" * 5000], "from_labelx": ["y" * 5000, "a"], "to_labelx": ["z" * 5000, "b"]})
    said = printed(screen.lines(with_updated(found, updated), width=None))
    assert max(map(width, said)) < 250


@pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)
def test_numbers_that_are_none_have_the_names_of_the_encoding(render: Any) -> None:
    """NaN and the infinities are called as in JSON Lines, in rows and in cells."""
    added = pa.table({"id": ["4", "5", "6"], "n": [math.nan, math.inf, -math.inf]})
    updated = pa.table({"id": ["1", "2"], "from_stars": [math.nan, 1.0], "to_stars": [-math.inf, math.inf]})
    words = re.findall(
        r"-?(?:NaN|Infinity)|(?<![a-z])(?:nan|inf)(?![a-z])",
        unescape(render(with_updated(replace(findings(), added=added), updated))),
    )
    assert sorted(words) == ["-Infinity", "-Infinity", "Infinity", "Infinity", "NaN", "NaN"]


def test_empty_text_and_null_are_told_apart() -> None:
    """NULL, the text NULL and the empty text differ in every report."""
    found = with_updated(
        findings("x"),
        pa.table({"id": ["1", "2", "3"], "from_labelx": [None, "NULL", ""], "to_labelx": ["x", "x", "x"]}),
    )
    html = page.render(found)
    assert '<span class="null">NULL</span>' in html
    assert '<span class="empty">empty text</span>' in html
    assert "<bdi>NULL</bdi>" in html
    assert all(text in markdown.render(found) for text in ("| *null* |", "| `'NULL'` |", "| `''` |"))
    assert any("''" in line for line in printed(screen.lines(found)))


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_without_the_extra_a_page_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page without its libraries is refused with the line to install; all other reports work."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UnsupportedFeatureError, match=missing) as caught:
        page.render(findings())
    assert caught.value.hint == "pip install 'tablever[report]'"
    assert "<pre" in page.notebook(findings())
    assert markdown.render(findings())
    assert printed(screen.lines(findings()))


def test_shares_are_never_rounded_to_none_or_all() -> None:
    """A share says 0 % of nothing only and 100 % of everything only."""
    assert [wording.share(n, 100_000) for n in (0, 1, 99_999, 100_000)] == ["0 %", "< 0.1 %", "> 99.9 %", "100 %"]
    assert wording.share(1, None) == wording.share(1, 0) == ""


def test_segments_beyond_the_limit_are_summed() -> None:
    """Groups that are not listed, and those without a change, add up in one line; no row is lost."""
    groups = tuple(Segment((str(n),), 10, 5 - n, 5 - n, 0, 0, 1.0) for n in range(6))
    shown = wording.leading(Segments(("g",), groups, Segment(("",), 7, 3, 3, 0, 0), 4), 3)
    assert [each.group for each in shown.groups] == [("0",), ("1",), ("2",)]
    assert shown.other is not None
    assert (shown.other.rows, shown.other.changed, shown.others) == (37, 6, 7)


def test_every_level_of_drift_has_its_place() -> None:
    """The page can order columns by every level that there is."""
    assert set(LEVELS) == set(get_args(Level))
