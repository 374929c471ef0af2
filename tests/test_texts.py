"""Text on the screen: widths, cuts, and columns that do not fit."""

from __future__ import annotations

import pytest

from tablever import texts
from tablever.cli.target import as_ref, split_target
from tablever.errors import RefError
from tablever.escapes import safe
from tablever.texts import count, cut, plural, table_lines, width

HEADER = [f"column{number}" for number in range(12)]


@pytest.mark.parametrize("columns", [20, 40, 79, 200])
def test_a_table_fits_its_terminal(columns: int) -> None:
    """No line is wider than the terminal, and a gap shows where columns are left out."""
    lines = table_lines(HEADER, [["x" * 30] * 12, ["日本語"] * 12], [False] * 12, columns)
    assert max(map(width, lines)) <= columns
    assert ("…" in lines[0].split()) == (columns < 118)
    assert lines[0].startswith("column0")


def test_numbers_are_never_cut() -> None:
    """A column of numbers is shown whole or left out; text gives way before it."""
    lines = table_lines(["text", "number"], [["x" * 30, "1234567890"]], [False, True], 24)
    assert lines[2] == "xxxxxxxxxxx…  1234567890"


def test_without_a_terminal_every_column_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no terminal watches no column is left out."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert table_lines(HEADER, [], [False] * 12)[0].split() == HEADER


def test_width_counts_terminal_columns() -> None:
    """East Asian characters take two columns, combining marks none."""
    assert [width(text) for text in ("abc", "日本", "e\u0301")] == [3, 4, 1]
    assert cut("日本語", 5) == "日本…"
    assert cut("abc", 3) == "abc"


def test_marks_without_end_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter under any number of marks takes a bounded text, and each of its characters is measured once."""
    zalgo = "a" + "\u0301" * 50_000
    assert len(cut(zalgo, 50)) <= 50 * texts.MOST_IN_COLUMN + 1
    assert cut("e\u0301" * 5, 5) == "e\u0301" * 5
    measured = 0

    def counting(text: str) -> int:
        nonlocal measured
        measured += len(text)
        return width(text)

    monkeypatch.setattr(texts, "width", counting)
    cut("a" + "\u0301" * 3_000 + "b" * 400, 400)
    assert measured <= 2 * 3_401


def test_safe_text_is_one_line_without_controls() -> None:
    """Control characters, escapes and directional marks become escapes; letters of all scripts stay."""
    assert safe("a\tb\nc\x1b\x85\u2028\u202e") == "a\\tb\\nc\\x1b\\x85\\u2028\\u202e"
    assert safe("Malé 日本 ñ\u00a0") == "Malé 日本 ñ\u00a0"


def test_counts() -> None:
    """A number that is not known is a question mark, zero has no sign, one is singular."""
    assert [count(1234, "+"), count(0, "+"), count(None, "+")] == ["+1,234", "0", "?"]
    assert [plural(1), plural(2), plural(None)] == ["1 row", "2 rows", "? rows"]


def test_targets_and_refs() -> None:
    """What stands behind the last @ is the ref where the table before it exists, or nothing does."""
    assert split_target("nowhere/t@v2.0") == ("nowhere/t", "v2.0")
    assert split_target("nowhere/t") == ("nowhere/t", "latest")
    assert split_target("/tmp@release/2.0") == ("/tmp", "release/2.0")
    with pytest.raises(RefError, match="ref after @ is empty"):
        split_target("/tmp@")
    assert [as_ref(text) for text in ("-1", "-3", "3", "--json", "-m")] == ["latest", "latest~2", "3", "--json", "-m"]
