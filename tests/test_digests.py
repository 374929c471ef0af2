"""Row digests and the content hash: to the byte as the page has them, and as a plain second implementation has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from tablever import digests
from tablever.digests import Digest, digest_of, digest_of_batches, render_hash, row_digests, sum_of
from tablever.errors import CorruptionError
from tablever.frames import to_frame
from tests import content_hash as plain
from tests import strategies
from tests.model import Column, Row, multiset
from tests.strategies import NESTED, PRIMITIVES, Shape, arrow_table, shapes

NAN = float("nan")
TEXTS = pa.schema([("id", pa.int64()), ("text", pa.string())])
MIXED = pa.schema(
    [
        ("d", pa.decimal128(10, 2)), ("t", pa.timestamp("us", "UTC")), ("y", pa.date32()), ("b", pa.bool_()),
        ("z", pa.binary()),
    ]
)  # fmt: skip
DEEP = pa.schema(
    [
        ("l", pa.list_(pa.int32())), ("s", pa.struct([("a", pa.string()), ("b", pa.float32())])),
        ("m", pa.map_(pa.string(), pa.int64())),
    ]
)  # fmt: skip
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
VECTORS = {
    "A": (pa.schema([("id", pa.int64())]), [], "0" * 32, "84a15d43b27ca479"),
    "B": (pa.schema([("id", pa.int64())]), [(1,)], "dfdb9fbe3c47714b0e96269dff316799", "e3dcd8955b9e5bd3"),
    "C": (TEXTS, [(1, "a"), (2, ""), (3, None)], "8f9f2f63e99671f3611004ffb221bd3d", "1adb98597405c842"),
    "D": (TEXTS, [(1, ""), (2, "a"), (3, None)], "bc3b293f2edfa61cab007fbf1960cfd0", "5fe7b7a6c0e83002"),
    "E": (
        pa.schema([("f", pa.float64())]), [(-0.0,), (NAN,), (None,), (1.5,)],
        "9d910aeb1380bbec291b0cff7aa9fbce", "b39f3fc7ed5d4550",
    ),
    "F": (
        MIXED, [(Decimal("-1.50"), NOON, date(1969, 12, 31), True, b"\0")],
        "21f63fb8a80bf918ad7cceb1753388c2", "bda374777457a498",
    ),
    "G": (
        DEEP, [([1, None, 3], {"a": "x", "b": None}, [("k", 1), ("n", None)]), ([], None, None)],
        "9f76821625834503716da9ed93d2990a", "d4f12e958e1604ba",
    ),
}  # fmt: skip


def table(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema)


def ints(values: Sequence[int]) -> pa.Table:
    return pa.table({"i": pa.array(values, pa.int64())})


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name: str) -> None:
    """The published vectors: digest and content hash, by both implementations."""
    schema, values, digest, begins = VECTORS[name]
    rows = [dict(zip(schema.names, row, strict=True)) for row in values]
    assert plain.digest(rows, schema) == digest
    assert plain.content_hash(rows, schema)[4:20] == begins
    found = digest_of(table(rows, schema))
    assert (found.hex, found.rows) == (digest, len(rows))
    assert render_hash(schema, found) == plain.content_hash(rows, schema)


def test_the_page_has_the_vectors() -> None:
    """The reference page shows each vector's digest and content hash."""
    page = (Path(__file__).parents[1] / "docs" / "reference" / "content-hash.md").read_text("utf-8")
    for name, (schema, values, digest, _) in VECTORS.items():
        rows = [dict(zip(schema.names, row, strict=True)) for row in values]
        assert f"`{digest}` |" in page
        assert f"| {name} | `{plain.content_hash(rows, schema)}` |" in page


@given(st.binary(max_size=600), st.integers(0, 2**64 - 1))
def test_the_primitive(data: bytes, seed: int) -> None:
    """The hash that Polars computes is XXH3 with 128 bits as its authors' C library has it, of any length and seed."""
    assert pl.DataFrame({"v": [data]}).select(digests._hash("v", seed)).item() == xxhash.xxh3_128_intdigest(data, seed)


@given(st.data())
def test_every_type(data: st.DataObject) -> None:
    """Row by row as plain Python has it, for every type at every depth; the content hash too."""
    shape = data.draw(shapes())
    rows = data.draw(shape.rows(max_size=8))
    found = row_digests(table(rows, shape.schema))
    assert found.to_list() == [plain.row(values, shape.schema) for values in rows]
    assert sum_of(found).hex == plain.digest(rows, shape.schema)
    assert render_hash(shape.schema, sum_of(found)) == plain.content_hash(rows, shape.schema)


@pytest.mark.parametrize("kind", PRIMITIVES + NESTED, ids=str)
@given(data=st.data())
def test_each_type(kind: pa.DataType, data: st.DataObject) -> None:
    """The same, type by type, from a slice, from Polars' layouts, and from lists of the type."""
    from tests.strategies import values

    schema = pa.schema([("v", kind), ("w", pa.list_(kind))])
    row = st.fixed_dictionaries({"v": values(kind), "w": values(pa.list_(kind))})
    rows = data.draw(st.lists(row, min_size=1, max_size=6))
    expected = [plain.row(each, schema) for each in rows]
    whole = table(rows, schema)
    padded = pa.concat_tables([whole, whole, whole]).combine_chunks().slice(len(rows) - 1, len(rows) + 1)
    assert row_digests(whole).to_list() == expected
    assert row_digests(padded).to_list() == [expected[-1], *expected]
    assert row_digests(to_frame(whole)).to_list() == expected


@given(st.data())
def test_pieces_and_orders(data: st.DataObject) -> None:
    """Any split into batches, any order of rows and of columns, and NOT NULL or not: the same hash."""
    shape = data.draw(shapes())
    rows = data.draw(shape.rows(max_size=8))
    whole = table(rows, shape.schema)
    digest = digest_of(whole)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    assert digest_of_batches(pieces) == digest
    assert digest_of(pa.concat_tables(pieces)) == digest
    names = data.draw(st.permutations(whole.column_names))
    shuffled = table(data.draw(st.permutations(rows)), shape.schema).select(names)
    assert digest_of(shuffled) == digest
    assert render_hash(shuffled.schema, digest) == render_hash(whole.schema, digest)
    loose = pa.schema([field.with_nullable(True) for field in whole.schema])
    assert render_hash(loose, digest) == render_hash(whole.schema, digest)


def test_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are hashed in pieces of so many rows, and of so many bytes wherever the long ones are; none is left out."""
    monkeypatch.setattr(digests, "BATCH_ROWS", 7)
    assert [len(piece) for piece in digests._pieces(ints(range(20)))] == [7, 7, 6]
    monkeypatch.setattr(digests, "BATCH_ROWS", 100)
    monkeypatch.setattr(digests, "BATCH_BYTES", 5000)
    for texts in (["x" * 1000] * 20, [*[""] * 90, *["x" * 4000] * 10], ["x" * 20_000, "", "x" * 20_000]):
        long = pa.table({"s": texts})
        frame = pl.concat([to_frame(long), to_frame(long)]).gather(range(len(texts)))
        for rows in (long, frame):
            batches = [digests._batch(piece) for piece in digests._pieces(rows)]
            assert pl.concat([pl.from_arrow(b)["s"] for b in batches]).to_list() == texts
            assert all(len(b) == 1 or sum(map(len, b.column(0).to_pylist())) <= 10_000 for b in batches)
    few_of_many = to_frame(pa.table({"s": ["x" * 1000] * 1000})).gather(range(0, 1000, 100))
    assert len(list(digests._pieces(few_of_many))) <= 2
    assert digest_of(ints(range(20))).hex == plain.digest([{"i": i} for i in range(20)], ints([]).schema)


NEAR = {
    "another cell": ([(1, "a"), (2, "b")], [(1, "a"), (2, "c")]),
    "swapped cells": ([(1, "a"), (2, "b")], [(1, "b"), (2, "a")]),
    "a row twice": ([(1, "a")], [(1, "a"), (1, "a")]),
    "null and empty": ([(1, None)], [(1, "")]),
    "a row of nulls": ([(1, "a")], [(1, "a"), (None, None)]),
}


@pytest.mark.parametrize("name", NEAR)
def test_near_misses(name: str) -> None:
    """What is nearly the same has another digest, or another count of rows, and so another hash."""
    hashes = []
    for side in NEAR[name]:
        rows = [dict(zip(TEXTS.names, row, strict=True)) for row in side]
        hashes.append(render_hash(TEXTS, digest_of(table(rows, TEXTS))))
    assert hashes[0] != hashes[1]


def nothings(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Null, and what is nearly nothing in a type: empty, all zeros, lists and a struct of nulls."""
    if pa.types.is_map(kind):
        found: list[Any] = [[]]
    elif pa.types.is_list(kind):
        found = [[], [None], [None, None]]
    elif pa.types.is_struct(kind):
        found = [{child.name: None for child in kind}]
    else:
        zeros = [pa.py_buffer(bytes(16))] * (kind.num_buffers - 1)
        found = pa.Array.from_buffers(kind, 1, [None, *zeros]).to_pylist()
    return st.sampled_from([None, *found])


def at(rows: Sequence[Row]) -> st.SearchStrategy[int]:
    return st.integers(0, len(rows) - 1)


def with_cell(rows: Sequence[Row], row: int, name: str, value: Any) -> list[Row]:
    return [{**each, name: value} if i == row else each for i, each in enumerate(rows)]


def another_cell(draw: st.DrawFn, shape: Shape, rows: list[Row]) -> list[Row]:
    column = draw(st.sampled_from(shape.columns))
    return with_cell(rows, draw(at(rows)), column.name, draw(strategies.values(column.type)))


def null_or_empty(draw: st.DrawFn, shape: Shape, rows: list[Row]) -> list[Row]:
    column = draw(st.sampled_from(shape.columns))
    return with_cell(rows, draw(at(rows)), column.name, draw(nothings(column.type)))


def swapped_between_rows(draw: st.DrawFn, shape: Shape, rows: list[Row]) -> list[Row]:
    name, first, second = draw(st.sampled_from(shape.columns)).name, draw(at(rows)), draw(at(rows))
    return with_cell(with_cell(rows, first, name, rows[second][name]), second, name, rows[first][name])


def swapped_between_columns(draw: st.DrawFn, shape: Shape, rows: list[Row]) -> list[Row]:
    first, twin, row = shape.columns[0].name, shape.columns[-1].name, draw(at(rows))
    return with_cell(with_cell(rows, row, first, rows[row][twin]), row, twin, rows[row][first])


def a_row_twice(draw: st.DrawFn, _: Shape, rows: list[Row]) -> list[Row]:
    return [*rows, rows[draw(at(rows))]]


def a_row_less(draw: st.DrawFn, _: Shape, rows: list[Row]) -> list[Row]:
    gone = draw(at(rows))
    return [row for i, row in enumerate(rows) if i != gone]


def one_row_for_another(draw: st.DrawFn, _: Shape, rows: list[Row]) -> list[Row]:
    """As often, wherever it stands: what a sum misses in which equal rows cancel each other."""
    gone, come = rows[draw(at(rows))], rows[draw(at(rows))]
    return [come if row is gone else row for row in rows]


def a_row_of_nulls(draw: st.DrawFn, shape: Shape, rows: list[Row]) -> list[Row]:
    return draw(st.sampled_from([rows, [*rows, {column.name: None for column in shape.columns}]]))


def others_of_these(draw: st.DrawFn, _: Shape, rows: list[Row]) -> list[Row]:
    return draw(st.lists(st.sampled_from(rows), min_size=len(rows), max_size=len(rows)))


MISSES: Mapping[str, Callable[[st.DrawFn, Shape, list[Row]], list[Row]]] = {
    "a cell": another_cell,
    "null or empty": null_or_empty,
    "a column's cells swapped": swapped_between_rows,
    "a row's cells swapped": swapped_between_columns,
    "a row twice": a_row_twice,
    "a row less": a_row_less,
    "a row for another": one_row_for_another,
    "a row of nulls": a_row_of_nulls,
    "the same rows, more or less often": others_of_these,
    "only shuffled": lambda _draw, _shape, rows: rows,
}


@given(st.data())
def test_hashes_are_equal_exactly_where_rows_are(data: st.DataObject) -> None:
    """Of a random table and each of its near misses, drawn at random and shuffled, the hashes are equal if and only if
    the rows are, as the model has them: ours and the second implementation's.
    """
    kinds = data.draw(st.lists(st.sampled_from(PRIMITIVES + NESTED), min_size=1, max_size=2))
    shape = Shape(tuple(Column(f"c{i}", kind) for i, kind in enumerate([*kinds, kinds[0]])))
    pool = data.draw(shape.rows(min_size=2, max_size=3))
    left = data.draw(st.lists(st.sampled_from(pool), min_size=2, max_size=5))

    def hashes(rows: list[Row]) -> tuple[str, str]:
        table = arrow_table(rows, shape.columns)
        return render_hash(table.schema, digest_of(table)), plain.content_hash(rows, shape.schema)

    ours, theirs = hashes(left)
    for name, miss in MISSES.items():
        right = data.draw(st.permutations(miss(data.draw, shape, left)), label=name)
        same = multiset(left, shape.columns) == multiset(right, shape.columns)
        our_other, their_other = hashes(right)
        assert (ours == our_other, theirs == their_other) == (same, same)
        assert our_other == their_other


def test_columns_count() -> None:
    """The same values under other names, in other columns, under another type or with one more column: another hash."""
    kinds = (pa.int64(), pa.int32(), pa.float64())
    tables = [
        *(pa.table({"a": pa.array([1, 2], kind), "b": pa.array([2, 1], kind)}) for kind in kinds),
        pa.table({"b": [1, 2], "a": [2, 3]}),
        pa.table({"a": [1, 2], "c": [2, 1]}),
        pa.table({"a": [1, 2], "b": [2, 1], "c": pa.nulls(2, pa.int64())}),
        pa.table({"a": ["1", "2"], "b": ["2", "1"]}),
    ]
    assert len({render_hash(t.schema, digest_of(t)) for t in tables}) == len(tables)


def test_widening_and_null_columns_keep_digests() -> None:
    """A wider integer or float, and a column of nulls, change the hash's header and no digest."""
    narrow = pa.table({"i": pa.array([1, None], pa.int8()), "f": pa.array([0.1, None], pa.float32())})
    wide = narrow.cast(pa.schema([("i", pa.int64()), ("f", pa.float64())]))
    assert digest_of(wide) == digest_of(narrow)
    assert digest_of(wide.append_column("n", pa.nulls(2, pa.list_(pa.string())))) == digest_of(wide)


def test_equal_values_of_other_bits() -> None:
    """-0.0 is 0.0, every NaN is NaN, and what stands under a null does not count; in lists and structs too."""
    import numpy as np

    odd = np.array([0x7FF8000000000001, 0xFFF8000000000000, 0x8000000000000000], np.uint64).view(np.float64)
    even = np.array([NAN, NAN, 0.0])
    for wrap in (lambda a: a, lambda a: pa.FixedSizeListArray.from_arrays(a, 1).cast(pa.list_(pa.float64()))):
        left, right = (pa.table({"v": wrap(pa.array(side, from_pandas=False))}) for side in (odd, even))
        assert row_digests(left).to_list() == row_digests(right).to_list()
    hidden = [pa.array(np.array(side), mask=np.array([False, True])) for side in ([1, 2], [1, 3])]
    assert row_digests(pa.table({"v": hidden[0]})).to_list() == row_digests(pa.table({"v": hidden[1]})).to_list()


def test_digests_add_up() -> None:
    """Digests are a group: what was added can be taken out again, and no rows are nothing."""
    a, b = digest_of(ints([1, 2])), digest_of(ints([3]))
    assert a + b == digest_of(ints([3, 2, 1]))
    assert (a + b) - b == a
    assert a - a == Digest()
    assert a + Digest() == a
    assert Digest() - b + b == Digest()
    assert Digest.from_hex(2, a.hex) == a
    for text in ("", a.hex[1:], a.hex.upper(), "g" * 32, "-" + a.hex[1:]):
        with pytest.raises(CorruptionError, match="no digest"):
            Digest.from_hex(2, text)


def test_rows_that_are_not_fitted() -> None:
    """A type that no table has is refused: it would be hashed as something else."""
    for column in (pa.array([1], pa.uint64()), pa.array([1], pa.timestamp("ns")), pa.array([1], pa.time64("us"))):
        with pytest.raises(TypeError, match="fit the rows"):
            digest_of(pa.table({"v": column}))


def test_empty_maps_taken_out_of_a_frame() -> None:
    """Rows of empty maps, taken from a frame of several chunks, have the digests that they have by themselves."""
    rows = pa.table({"m": pa.array([[], [("x", 0), ("", 0)], [], []], pa.map_(pa.string(), pa.int64()))})
    frame = to_frame(pa.Table.from_batches(rows.to_batches(max_chunksize=2)))
    for chosen in ([2], [2, 3], [0, 1, 2]):
        assert digest_of(frame[chosen]) == digest_of(rows.take(pa.array(chosen)))
