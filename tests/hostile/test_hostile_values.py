"""Values of a table that look like the engine's own names: they are values, and touch nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import tablever as tv
from tablever import engine, views

OWN = ["__tv_rows_99998", "__tv_bits_99998", "memory.__tv.__tv_rows_0", "__tv_view_0"]


@pytest.mark.parametrize("value", OWN)
def test_a_value_is_no_name_of_the_engine(tmp_path: Path, value: str) -> None:
    """A table whose partition values and columns are called as the engine calls things is read as any other."""
    tv.create_table(tmp_path / "t", [{"id": 1, "p": value, f"a {value}": 2}], partition_by="p")
    assert tv.query("FROM t", root=tmp_path).to_pylist() == [{"id": 1, "p": value, f"a {value}": 2}]


def test_a_table_does_not_bring_back_rows_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the view of one table goes, the deleted rows of others stay deleted, whatever its values say."""
    monkeypatch.setattr(views, "MOST_VIEWS", 1)
    tv.create_table(tmp_path / "mine", [{"id": i} for i in range(10)])
    tv.delete(tmp_path / "mine", where="id < 9")
    near = int(engine.keep(engine.cursor(), "SELECT 1").rpartition("_")[2])
    rows = [{"id": i, "p": f"__tv_bits_{near + i}"} for i in range(20)]
    tv.create_table(tmp_path / "theirs", rows, partition_by="p")
    with tv.connect(tmp_path) as opened:
        assert opened.sql("SELECT count(*) FROM theirs").fetchall() == [(20,)]
        mine = "SELECT count(*) FROM mine"
        assert [opened.sql(mine).fetchall() for _ in range(2)] == [[(1,)]] * 2
        assert opened.sql("SELECT count(*) FROM theirs WHERE id < 0").fetchall() == [(0,)]
        assert opened.sql(mine).fetchall() == [(1,)]


def test_what_a_view_needed_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits and rows that were kept for a view do not outlive it."""
    monkeypatch.setattr(views, "MOST_VIEWS", 1)
    for name in ("a[1]", "b"):
        tv.create_table(tmp_path / name, [{"id": i} for i in range(10)])
        tv.delete(tmp_path / name, where="id < 9")
    with tv.connect(tmp_path) as opened:
        for name in ("a[1]", "b", "a[1]", "b"):
            assert opened.sql(f'SELECT count(*) FROM "{name}"').fetchall() == [(1,)]
        opened.sql("SELECT 1")
        connection = opened._connection
        kept = connection.execute("SELECT table_name FROM duckdb_tables() WHERE starts_with(table_name, '__tv')")
        assert kept.fetchall() == []
        assert len(connection.execute("SELECT * FROM duckdb_variables()").fetchall()) == 1
