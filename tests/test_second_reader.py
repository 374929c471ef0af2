"""fastparquet as a second reader of data files: asked for what it reads right, for nothing else, and believed."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fastparquet
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tablever as tv
from tablever import errors
from tablever.digests import digest_of
from tablever.integrity import second_reader
from tablever.integrity.report import Report
from tablever.model import Metadata
from tests.strategies import INTEGERS, NESTED, edges, values

ASKED = {
    **{str(kind): kind for kind in (*INTEGERS, pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.binary())},
    "day": pa.date32(),
    "instant": pa.timestamp("us", "UTC"),
    "moment": pa.timestamp("us"),
    "cents": pa.decimal128(5, 2),
    "most digits": pa.decimal128(15, 15),
    "whole": pa.decimal128(15, 0),
}
LEFT = {
    "wide": pa.decimal128(16, 2),
    "widest": pa.decimal128(38, 10),
    **{f"nested {i}": kind for i, kind in enumerate(NESTED)},
    "dot.ted": pa.int64(),  # to fastparquet the same as a struct's child
}
WRITERS = {
    "plain": {"use_dictionary": False},
    "dictionaries": {"use_dictionary": True},
    "dictionaries that are given up": {"dictionary_pagesize_limit": 8, "data_page_size": 8, "write_batch_size": 2},
    "small row groups": {"row_group_size": 64},
}


def checked(path: Path) -> Report:
    try:
        return tv.verify(path, level="rows")
    except errors.CorruptionError as error:
        return error.report  # type: ignore[no-any-return]


def through(monkeypatch: pytest.MonkeyPatch, change: Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]) -> Any:
    """Let what fastparquet reads go through ``change``; the list of the columns that it is asked for, file by file."""
    read, asked = fastparquet.ParquetFile.iter_row_groups, []

    def changed(self: Any, *given: Any, columns: list[str], **options: Any) -> Iterator[pd.DataFrame]:
        asked.append(columns)
        return change(read(self, *given, columns=columns, **options))

    monkeypatch.setattr(fastparquet.ParquetFile, "iter_row_groups", changed)
    return asked


def test_what_fastparquet_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file, for the columns that lie in it and that fastparquet reads right: by type, not partitioned by."""
    schema = pa.schema({**LEFT, "place": pa.string(), **ASKED})
    rows = pa.Table.from_pylist([{"place": "here"}, {"place": "there"}], schema)
    table = tv.create_table(tmp_path / "t", rows, partition_by="place")
    table.append(rows[:1].append_column("later", pa.array([1])), evolve=True)
    asked = through(monkeypatch, lambda frames: frames)
    assert not table.verify(level="rows").unrecorded
    assert sorted(asked, key=len) == [list(ASKED), list(ASKED), [*ASKED, "later"]]


def test_fastparquet_is_not_asked_where_columns_are_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a table with column mapping has other names: nothing is asked; nor where there is no fastparquet."""
    rows = pa.table({"a": [1]})
    footer = pq.read_metadata(io.BytesIO(in_a_file(rows)))
    mapped = Metadata("", "", configuration={"delta.columnMapping.mode": "name"})
    assert second_reader.columns_of(rows.schema, Metadata("", ""), footer) == ["a"]
    assert second_reader.columns_of(rows.schema, mapped, footer) == []
    monkeypatch.setattr(second_reader, "_installed", lambda: False)
    assert second_reader.columns_of(rows.schema, Metadata("", ""), footer) == []


def in_a_file(rows: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(rows, sink, **options)
    return sink.getvalue()


def assert_read(rows: pa.Table, writer: str) -> None:
    """Beside a nested column, every other is asked for, and their digest is that of the rows."""
    nested = pa.array([{"x": 1, "y": "y"}] * len(rows), pa.struct({"x": pa.int64(), "y": pa.string()}))
    file = in_a_file(rows.add_column(0, "before", nested), **WRITERS[writer])
    columns = second_reader.columns_of(rows.schema, Metadata("", ""), pq.read_metadata(io.BytesIO(file)))
    assert columns == rows.column_names
    held: Any = SimpleNamespace(open=lambda _: io.BytesIO(file))
    assert second_reader.digest(held, "f", rows.schema, columns) == digest_of(second_reader.comparable(rows, columns))


@pytest.mark.parametrize("writer", WRITERS)
def test_fastparquet_reads_the_edges_of_every_type(writer: str) -> None:
    """The hard cases of the types that it is asked for, with nulls, without and alone, however the pages are encoded:
    its digest is that of the rows.
    """
    draw = random.Random(writer)
    for nulls in (0, 3, 1_000):
        pools = {name: [*edges(kind), *[None] * nulls] for name, kind in ASKED.items()}
        assert_read(pa.table({n: pa.array(draw.choices(pools[n], k=200), kind) for n, kind in ASKED.items()}), writer)


@given(data=st.data(), writer=st.sampled_from(list(WRITERS)), kind=st.sampled_from(list(ASKED.values())))
def test_fastparquet_reads_any_value(data: st.DataObject, writer: str, kind: pa.DataType) -> None:
    """The same of values that Hypothesis draws."""
    assert_read(pa.table({"v": pa.array(data.draw(st.lists(values(kind), max_size=9)), kind)}), writer)


@given(first=st.dates(), second=st.dates())
def test_dates_are_told_apart(first: Any, second: Any) -> None:
    """Two dates are the same to the comparison only where they are, also where nanoseconds have come round."""
    sides = [digest_of(second_reader.comparable(pa.table({"d": pa.array([day])}), ["d"])) for day in (first, second)]
    assert (sides[0] == sides[1]) == (first == second)


@pytest.mark.parametrize("unit", ["ms", "ns"])
def test_moments_in_other_units_are_left_out(unit: str) -> None:
    """A file of another tool with timestamps in milliseconds or nanoseconds, or as INT96: not asked for."""
    rows = pa.table({"at": pa.array([None, 10**12], pa.timestamp(unit))})
    for options in ({}, {"use_deprecated_int96_timestamps": True}):
        footer = pq.read_metadata(io.BytesIO(in_a_file(rows, **options)))
        wanted = pa.schema({"at": pa.timestamp("us")})
        assert second_reader.columns_of(wanted, Metadata("", ""), footer) == []


def other_value(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for frame in frames:
        frame.loc[1, "n"] = 7
        yield frame


def a_row_less(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    return (frame.iloc[1:] for frame in frames)


def no_rows(_: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    return iter(())


@pytest.mark.parametrize("wrong", [other_value, a_row_less, no_rows], ids=lambda change: change.__name__)
def test_what_fastparquet_reads_otherwise_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Callable[..., Iterator[pd.DataFrame]]
) -> None:
    """Another value, a row less, or no rows, out of a file whose checksums are right: damage of that file, at level
    rows alone.
    """
    table = tv.create_table(tmp_path / "t", [{"n": 1, "s": "a"}, {"n": 2, "s": None}])
    (file,) = (tmp_path / "t").glob("part-*.parquet")
    assert table.verify(level="rows")
    through(monkeypatch, wrong)
    assert table.verify(level="files")
    (found,) = checked(tmp_path / "t").damaged
    assert (found.object, found.kind, found.problem, found.versions) == (file.name, "data file", "rows", (0,))
    assert "fastparquet reads other values in n, s" in found.detail


def test_what_fastparquet_cannot_read_is_not_called_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file over which fastparquet stumbles, and we do not, is no damage, and listed as not compared."""
    table = tv.create_table(tmp_path / "t", [{"n": 1}])

    def stumbles(_: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        raise NotImplementedError("encoding 9")

    through(monkeypatch, stumbles)
    (found,) = table.verify(level="rows").unrecorded
    assert found.detail == "fastparquet does not read it: NotImplementedError: encoding 9"
