"""Tables with very many columns: work grows with their number, not with its square."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import tablever as tv
from tablever import texts
from tablever.diff import planner
from tablever.integrity import rows


def rows_of(columns: int, first: int) -> pa.Table:
    """Ten rows, of which a number per column."""
    names = [f"c{number}" for number in range(columns)]
    return pa.table({"id": range(first, first + 10), **{name: [first] * 10 for name in names}})


def asked_for_all(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> int:
    """How often a frame is asked for the names or types of all its columns."""
    asked = 0

    def counting(name: str) -> Any:
        whole = getattr(pl.DataFrame, name).fget

        def get(frame: pl.DataFrame) -> Any:
            nonlocal asked
            asked += 1
            return whole(frame)

        return property(get)

    with monkeypatch.context() as patched:
        for name in ("columns", "schema", "dtypes"):
            patched.setattr(pl.DataFrame, name, counting(name))
        work()
    return asked


def test_no_column_asks_for_all_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How often all columns are listed does not grow with their number: that would be their square."""
    counts: dict[str, list[int]] = {}
    for columns in (20, 80):
        table = tmp_path / str(columns)
        tv.create_table(table, rows_of(columns, 0), key="id")
        verbs: dict[str, Callable[[], object]] = {
            "append": lambda t=table, n=columns: tv.append(t, rows_of(n, 10)),  # type: ignore[misc]
            "upsert": lambda t=table, n=columns: tv.upsert(t, rows_of(n, 5)),  # type: ignore[misc]
            "update": lambda t=table: tv.update(t, {"c3": "7"}, where="id = 3"),  # type: ignore[misc]
            "read": lambda t=table: tv.read_version(t, 0),  # type: ignore[misc]
            "diff": lambda t=table: tv.diff_versions(t, 0, "latest").summary,  # type: ignore[misc]
            "verify": lambda t=table: tv.verify(t, level="rows"),  # type: ignore[misc]
        }
        for name, work in verbs.items():
            counts.setdefault(name, []).append(asked_for_all(monkeypatch, work))
    assert {name: few >= many - 20 for name, (few, many) in counts.items()} == dict.fromkeys(counts, True), counts


class Counted:
    """A schema that counts how often it is asked for the names of all its columns."""

    def __init__(self, schema: pa.Schema, asked: list[int]) -> None:
        self._schema, self._asked = schema, asked

    @property
    def names(self) -> list[str]:
        self._asked[0] += 1
        return list(self._schema.names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._schema, name)

    def __iter__(self) -> Iterator[pa.Field]:
        return iter(self._schema)


@pytest.mark.parametrize(
    ("module", "function", "work"),
    [
        (planner, "_check_columns", lambda t: tv.diff_versions(t, 0, "latest").summary),
        (rows, "_check_changes", lambda t: tv.verify(t, level="rows")),
    ],
)
def test_no_column_asks_a_schema_for_all_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, function: str, work: Callable[[Path], object]
) -> None:
    """What looks at each column of a schema lists their names a few times, not once for each."""
    tv.create_table(tmp_path / "t", rows_of(60, 0), key="id")
    tv.update(tmp_path / "t", {"c3": "7"}, where="id = 3")
    asked, called, whole, check = [0], list[object](), module.table_schema, getattr(module, function)

    def counted(*args: Any) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(module, "table_schema", lambda metadata: Counted(whole(metadata), asked))
            called.append(args)
            return check(*args)

    monkeypatch.setattr(module, function, counted)
    work(tmp_path / "t")
    assert called
    assert asked[0] < 10


def test_a_wide_table_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To fit thousands of columns on a screen their widths are added up a few times, not once for each."""
    added = 0
    total = texts._total

    def counting(widths: Any) -> int:
        nonlocal added
        added += 1
        return total(widths)

    monkeypatch.setattr(texts, "_total", counting)
    header = [f"column{number}" for number in range(5000)]
    lines = texts.table_lines(header, [["x" * 40] * 5000], [False] * 5000, 100)
    assert max(map(texts.width, lines)) <= 100
    assert added < 5
