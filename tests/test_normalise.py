"""Rows reach a table's types with every value as it was, or are refused by name."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tablever.arrow_types import canonical_type
from tablever.columns import canonical_schema
from tablever.errors import ConstraintError, InvalidInputError, SchemaMismatchError
from tablever.fitting import normalise
from tests.strategies import NESTED, PRIMITIVES, shapes, values

NUMBERS = (
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float32(), pa.float64(), pa.decimal128(5, 2), pa.decimal128(38, 10), pa.decimal64(15, 3), pa.decimal32(6, 0)),
    *(pa.decimal128(3, 3), pa.decimal256(50, 5)),
)
TARGETS = tuple(kind for kind in PRIMITIVES if canonical_type(kind, "") in NUMBERS)


def one(array: Any, kind: pa.DataType, *, nullable: bool = True) -> pa.ChunkedArray:
    """A column in a table's type."""
    column = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    table = normalise(pa.table({"c": column}), pa.schema([pa.field("c", kind, nullable)]))
    table.validate(full=True)
    assert table.schema.equals(pa.schema([pa.field("c", kind, nullable)]), check_metadata=True)
    return table.column(0)


def refused(array: pa.Array, kind: pa.DataType) -> SchemaMismatchError:
    with pytest.raises(SchemaMismatchError) as caught:
        one(array, kind)
    assert caught.value.hint
    return caught.value


def same(left: Any, right: Any) -> bool:
    """Equal by value: NaN equals NaN, map entries keep their order."""
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return bool(left == right)


@given(st.data())
def test_canonical_rows_stay(data: st.DataObject) -> None:
    """Rows in the table's types come out as they went in, whatever their order of columns and chunks."""
    shape = data.draw(shapes())
    rows = data.draw(shape.rows())
    table = pa.Table.from_pylist(rows, schema=shape.schema)
    table = pa.concat_tables([table, table.slice(1)]).select(data.draw(st.permutations(table.column_names)))
    got = normalise(table, canonical_schema(shape.schema))
    assert got.schema == canonical_schema(shape.schema)
    assert same(got.to_pylist(), [{n: row[n] for n in shape.schema.names} for row in rows + rows[1:]])


def test_canonical_rows_are_not_copied() -> None:
    """A column that has its type shares its memory with what came in."""
    rows = pa.table({"i": [1, 2], "s": ["a", "b"], "l": [[1], [2]], "st": [{"x": "a"}, {"x": "b"}]})
    got = normalise(rows, canonical_schema(rows))

    def addresses(table: pa.Table) -> list[int]:
        return [b.address for column in table.columns for b in column.chunk(0).buffers() if b is not None]

    assert addresses(got) == addresses(rows)


@given(st.data())
def test_numbers_are_judged_by_value(data: st.DataObject) -> None:
    """A number that is accepted in another type equals what it was; one that is refused has no equal there."""
    source, target = data.draw(st.sampled_from(NUMBERS)), data.draw(st.sampled_from(TARGETS))
    numbers = st.integers(-300, 300) | st.integers(-(2**64), 2**64) | st.floats(width=32) | st.floats()
    number = data.draw(numbers | st.decimals(allow_nan=False, allow_infinity=False, places=2, max_value=10**12))
    try:
        array = pa.array([None, number], source, safe=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError):
        assume(False)
    try:
        accepted = one(array, target).to_pylist()
    except SchemaMismatchError:
        accepted = None
    value = array[1].as_py()
    if accepted is not None:
        assert accepted[0] is None
        assert _equal_as_written(value, accepted[1], source, target)
    elif isinstance(value, int) or not _mixed(source, target):
        assert not _holds(target, value)


def _mixed(source: pa.DataType, target: pa.DataType) -> bool:
    return bool(pa.types.is_floating(source) or pa.types.is_floating(target)) and source != target


def _equal_as_written(value: Any, got: Any, source: pa.DataType, target: pa.DataType) -> bool:
    if isinstance(value, float) and math.isnan(value):
        return isinstance(got, float) and math.isnan(got)
    if isinstance(value, Decimal) == isinstance(got, Decimal) or isinstance(value, int) or isinstance(got, int):
        return bool(value == got)
    number, text, kind = (value, got, source) if isinstance(value, float) else (got, value, target)
    return bool(np.float32(text) == np.float32(number)) if pa.types.is_float32(kind) else float(text) == number


def _holds(target: pa.DataType, value: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return bool(pa.types.is_floating(target))
    if pa.types.is_integer(target):
        return value == int(value) and -(2 ** (target.bit_width - 1)) <= value < 2 ** (target.bit_width - 1)
    if pa.types.is_decimal(target):
        scaled = Decimal(value).scaleb(target.scale)
        return scaled == scaled.to_integral_value() and abs(scaled) < 10**target.precision
    if pa.types.is_float32(target):
        return abs(value) < 3e38 and int(np.float32(value)) == value
    return int(float(value)) == value


@pytest.mark.parametrize(
    ("array", "kind", "expected"),
    [
        (pa.array([127, -128, None], pa.int64()), pa.int8(), [127, -128, None]),
        (pa.array([2**63 - 1], pa.uint64()), pa.int64(), [2**63 - 1]),
        (pa.array([2**64 - 1], pa.uint64()), pa.decimal128(20, 0), [Decimal(2**64 - 1)]),
        (pa.array([2**60], pa.int64()), pa.float64(), [2.0**60]),
        (pa.array([-(2.0**63), -0.0, 3.0]), pa.int64(), [-(2**63), 0, 3]),
        (pa.array([math.nan, math.inf, 0.5]), pa.float32(), [math.nan, math.inf, 0.5]),
        (pa.array([0.1, 1e-7, -0.0]), pa.decimal128(10, 7), [Decimal("0.1"), Decimal("1e-7"), 0]),
        (pa.array([Decimal("1.1"), Decimal("-0.3")]), pa.float64(), [1.1, -0.3]),
        (pa.array([Decimal("3.00")], pa.decimal32(5, 2)), pa.int8(), [3]),
        (pa.array([Decimal("1.500")]), pa.decimal128(2, 1), [Decimal("1.5")]),
        (pa.array([Decimal(7)], pa.decimal256(60, 0)), pa.decimal128(1, 0), [Decimal(7)]),
        (pa.array([86_400_000, None], pa.date64()), pa.date32(), [date(1970, 1, 2), None]),
        (pa.array([-1, None], pa.timestamp("s")), pa.timestamp("us"), [datetime(1969, 12, 31, 23, 59, 59), None]),  # noqa: DTZ001
        (pa.array([-1000], pa.timestamp("ns")), pa.timestamp("us"), [datetime(1969, 12, 31, 23, 59, 59, 999999)]),  # noqa: DTZ001
        (
            pa.array([0], pa.timestamp("ms", "Europe/Berlin")),
            pa.timestamp("us", "UTC"),
            [datetime(1970, 1, 1, tzinfo=UTC)],
        ),
        (pa.array(["a", None, "a"]).dictionary_encode(), pa.string(), ["a", None, "a"]),
        (pa.DictionaryArray.from_arrays([1, None, 0], pa.array(["é", None], pa.string_view())), pa.string(),
         [None, None, "é"]),
        (pa.RunEndEncodedArray.from_arrays([2, 3], [1, None]), pa.int8(), [1, 1, None]),
        (pa.array([b"ab", None], pa.binary(2)), pa.binary(), [b"ab", None]),
        (pa.array([b"ab", None], pa.binary_view()), pa.binary(), [b"ab", None]),
        (pa.array(['{"a":1}']).cast(pa.json_()), pa.string(), ['{"a":1}']),
        (pa.nulls(2), pa.map_(pa.string(), pa.int8()), [None, None]),
        (pa.nulls(2), pa.struct([("x", pa.int8())]), [None, None]),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)  # fmt: skip
def test_accepted(array: pa.Array, kind: pa.DataType, expected: list[Any]) -> None:
    """What loses nothing is done, also in slices of arrays and beside nulls."""
    assert same(one(array, kind).to_pylist(), expected)
    assert same(one(pa.concat_arrays([array, array])[1:], kind).to_pylist(), (expected + expected)[1:])


@pytest.mark.parametrize(
    ("array", "kind", "shown"),
    [
        (pa.array([1, 128, 300, -129, 1000]), pa.int8(), ("128", "300", "-129")),
        (pa.array([2**63], pa.uint64()), pa.int64(), (str(2**63),)),
        (pa.array([2**53 + 1]), pa.float64(), (str(2**53 + 1),)),
        (pa.array([2**63 - 1]), pa.float64(), (str(2**63 - 1),)),
        (pa.array([2**24 + 1]), pa.float32(), (str(2**24 + 1),)),
        (pa.array([0.5, 2.0**63, math.nan]), pa.int64(), ("0.5", "9.223372036854776e+18", "nan")),
        (pa.array([0.1, 1e300]), pa.float32(), ("0.1", "1e+300")),
        (pa.array([0.125, math.nan]), pa.decimal128(5, 2), ("0.125", "nan")),
        (pa.array([1000, 5]), pa.decimal128(5, 2), ("1000",)),
        (pa.array([Decimal("1.25")]), pa.decimal128(5, 1), ("1.25",)),
        (pa.array([Decimal("1.25")]), pa.int64(), ("1.25",)),
        (pa.array([Decimal("1.2345678901234567")]), pa.float64(), ("1.2345678901234567",)),
        (pa.array([1], pa.date64()), pa.date32(), ("1970-01-01",)),
        (pa.array([1001], pa.timestamp("ns")), pa.timestamp("us"), ("1970-01-01 00:00:00.000001001",)),
        (pa.array([2**62], pa.timestamp("s")), pa.timestamp("us"), None),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_refused_by_value(array: pa.Array, kind: pa.DataType, shown: tuple[str, ...] | None) -> None:
    """Values that do not fit are refused with the column, both types and up to three of them."""
    error = refused(array, kind)
    assert str(error).startswith(f"column 'c': the table has {kind}, the rows have {array.type} with values")
    assert (error.column, error.expected, error.found) == ("c", kind, array.type)
    assert shown is None or error.values == shown


@pytest.mark.parametrize(
    ("array", "kind", "hint"),
    [
        (pa.array(["1"]), pa.int64(), "cast the column to int64"),
        (pa.array([1]), pa.string(), "cast the column to string"),
        (pa.array([True]), pa.int64(), "cast"),
        (pa.array([1]), pa.bool_(), "cast"),
        (pa.array([b"a"]), pa.string(), "cast"),
        (pa.array(["a"]), pa.binary(), "cast"),
        (pa.array(["2024-01-01"]), pa.date32(), "cast"),
        (pa.array([date(2024, 1, 1)]), pa.timestamp("us"), "cast"),
        (pa.array([0], pa.timestamp("us")), pa.date32(), "cast"),
        (pa.array([0], pa.timestamp("us")), pa.timestamp("us", "UTC"), "which zone"),
        (pa.array([0], pa.timestamp("us", "UTC")), pa.timestamp("us"), "drop the zone"),
        (pa.array([0]), pa.timestamp("us"), "cast"),
        (pa.array([[1]]), pa.int64(), "cast"),
        (pa.array([{"x": 1}]), pa.struct([("x", pa.int64()), ("y", pa.int64())]), "exactly the table's fields"),
        (pa.array([{"x": 1, "z": 1}]), pa.struct([("x", pa.int64())]), "exactly the table's fields"),
        (pa.array([0], pa.time64("us")), pa.int64(), "microseconds of the day"),
        (pa.array([0], pa.duration("s")), pa.int64(), "say the unit"),
        (pa.array([b"0" * 16], pa.binary(16)).cast(pa.uuid()), pa.binary(), "storage type"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_refused_by_type(array: pa.Array, kind: pa.DataType, hint: str) -> None:
    """Text, booleans, numbers, days and times with and without a zone do not turn into each other."""
    error = refused(array, kind)
    assert "column 'c'" in str(error)
    assert str(array.type) in str(error)
    assert hint in str(error.hint)


LAYOUTS = (pa.list_, pa.large_list, pa.list_view, pa.large_list_view)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_lists_of_every_layout(layout: Any) -> None:
    """Lists keep their items whatever their layout, in slices and beside nulls; items are converted and judged."""
    items = [["a", None], None, [], ["b"]]
    target = pa.list_(pa.field("element", pa.string()))
    array = pa.array(items, layout(pa.string_view()))
    for start in range(4):
        assert one(array[start:], target).to_pylist() == items[start:]
    error = refused(pa.array([[1], [300]], layout(pa.int64())), pa.list_(pa.field("element", pa.int8())))
    assert (error.column, error.values) == ("c.element", ("300",))


def test_fixed_size_lists() -> None:
    """Lists of a fixed size become plain ones, nulls among them."""
    array = pa.array([[1, 2], None, [3, None]], pa.list_(pa.uint8(), 2))
    assert one(array[1:], pa.list_(pa.field("element", pa.int16()))).to_pylist() == [None, [3, None]]


def test_what_lies_under_nulls_does_not_count() -> None:
    """Values that a null list, struct or map hides are neither judged nor kept."""
    numbers = pa.array([1, 2**40, 3])
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), numbers, mask=pa.array([False, True, False]))
    structs = pa.StructArray.from_arrays([numbers], ["x"], mask=pa.array([False, True, False]))
    assert one(lists, pa.list_(pa.field("element", pa.int8()))).to_pylist() == [[1], None, [3]]
    assert one(structs, pa.struct([("x", pa.int8())])).to_pylist() == [{"x": 1}, None, {"x": 3}]


def test_structs_match_by_name() -> None:
    """A struct's fields are matched by name and put in the table's order, values converted."""
    array = pa.array([{"b": 1, "a": "x"}, None], pa.struct([("b", pa.uint8()), ("a", pa.large_string())]))
    target = pa.struct([("a", pa.string()), ("b", pa.int64())])
    assert one(array, target).to_pylist() == [{"a": "x", "b": 1}, None]


def test_maps() -> None:
    """A map's keys and values are converted, its order, nulls and slices kept; a key that comes twice is refused."""
    source = pa.map_(pa.large_string(), pa.list_view(pa.uint8()))
    target = pa.map_(pa.string(), pa.list_(pa.field("element", pa.int8())))
    items = [[("b", [1]), ("a", None)], None, [], [("b", [])]]
    for start in range(4):
        assert one(pa.array(items, source)[start:], target).to_pylist() == items[start:]
    twice = pa.array([[("a", 1)], [("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int8()))
    assert "a map with a key twice" in str(refused(twice, twice.type))


@given(st.data())
def test_null_type_takes_any(data: st.DataObject) -> None:
    """A column of nothing but nulls, without a type, fits every nullable column."""
    kind = canonical_type(data.draw(st.sampled_from(PRIMITIVES + NESTED)), "c")
    assert one(pa.nulls(3), kind).to_pylist() == [None] * 3


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        (pa.date32(), lambda array: array),
        (pa.timestamp("us"), lambda array: array),
        (pa.timestamp("us", "UTC"), lambda array: pa.StructArray.from_arrays([array], ["x"])),
        (pa.timestamp("us"), lambda array: pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), array)),
    ],
)
def test_years(kind: pa.DataType, wrap: Any) -> None:
    """The years 1 to 9999 are the days and times there are: the first and last fit, the next do not, at any depth."""
    unit = 1 if pa.types.is_date(kind) else 86_400 * 10**6
    base = pa.int32() if pa.types.is_date(kind) else pa.int64()
    first, after = -719_162 * unit, 2_932_897 * unit
    fits = wrap(pa.array([first, after - 1, None], base).cast(kind))
    assert len(one(fits, canonical_type(fits.type, "c"))) == len(fits)
    for bad in (first - 1, after):
        array = wrap(pa.array([0, bad, None], base).cast(kind))
        error = refused(array, canonical_type(array.type, "c"))
        assert "outside the years 1 to 9999" in str(error)
        assert len(error.values) == 1


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_text_is_utf8(kind: pa.DataType) -> None:
    """Bytes that are not UTF-8 do not pass for text, in any layout or depth; the value is shown."""
    raw = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}[kind]
    array = pa.array([b"ok", b"\xff\xfe", None], raw).view(kind)
    error = refused(array, pa.string())
    assert "column 'c' holds text that is not UTF-8" in str(error)
    assert error.values == (b"\xff\xfe",)
    assert "not UTF-8" in str(refused(pa.StructArray.from_arrays([array], ["x"]), pa.struct([("x", pa.string())])))


def test_broken_arrays() -> None:
    """Arrays whose indices or offsets point nowhere are refused before anything reads them."""
    array = pa.DictionaryArray.from_arrays(pa.array([5]), pa.array(["a"]), safe=False)
    with pytest.raises(InvalidInputError, match="column 'c' is not valid Arrow data"):
        one(array, pa.string())


def test_no_way_to_convert() -> None:
    """What Arrow itself cannot convert is an error that names the column, not Arrow's own."""
    array = pa.RunEndEncodedArray.from_arrays([2], pa.array(["a"], pa.string_view()))
    with pytest.raises(InvalidInputError, match=r"column 'c' of type run_end_encoded.* cannot be converted") as caught:
        one(array, pa.string())
    assert "cast the column to string" in str(caught.value.hint)


def test_not_null() -> None:
    """Nulls in a NOT NULL column are refused with their number and the first five rows, counted through chunks."""
    column = pa.chunked_array([[1, None], [None, None, None], [None, None, 3]])
    with pytest.raises(ConstraintError) as caught:
        one(column, pa.int64(), nullable=False)
    assert (caught.value.column, caught.value.count, caught.value.rows) == ("c", 6, (1, 2, 3, 4, 5))
    assert str(caught.value).startswith("column 'c' is NOT NULL, but is null in 6 of 8 rows")
    assert one(pa.array([1, 2]), pa.int64(), nullable=False).to_pylist() == [1, 2]


INNER = pa.field("x", pa.int8(), nullable=False)


@pytest.mark.parametrize(
    ("items", "kind", "path", "rows"),
    [
        ([{"x": 1}, None, {"x": None}], pa.struct([INNER]), "c.x", (2,)),
        ([[1], None, [], [2, None, None]], pa.list_(INNER.with_name("element")), "c.element", (3,)),
        ([None, [("a", 1)], [("b", None)]], pa.map_(pa.string(), INNER.with_name("value")), "c.value", (2,)),
        ([[{"x": 1}], [None, {"x": None}]], pa.list_(pa.field("element", pa.struct([INNER]))), "c.element.x", (1,)),
    ],
)
def test_nested_not_null(items: list[Any], kind: pa.DataType, path: str, rows: tuple[int, ...]) -> None:
    """NOT NULL below the top binds where the parent is there, and only there."""
    loose = pa.array(items, _loose(kind))
    with pytest.raises(ConstraintError) as caught:
        one(loose, kind)
    assert (caught.value.column, caught.value.rows) == (path, rows)
    good = loose.take(pa.array([i for i in range(len(items)) if i not in rows]))
    assert one(good, kind).to_pylist() == good.to_pylist()


def _loose(kind: pa.DataType) -> pa.DataType:
    """The type with everything nullable."""
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _loose(f.type)) for f in kind])
    if pa.types.is_list(kind):
        return pa.list_(_loose(kind.value_type))
    return pa.map_(kind.key_type, _loose(kind.item_type)) if pa.types.is_map(kind) else kind


TARGET = pa.schema([("id", pa.int64()), ("label", pa.string())])


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (["id"], "they lack 'label'", "give every column, null where"),
        (["id", "label", "extra"], "the table has no column 'extra'", "evolve=True"),
        (["id", "lable"], "they lack 'label'; the table has no column 'lable'", "did you mean 'label'?"),
        (["ID", "label"], "they lack 'id'; the table has no column 'ID'", "case too"),
        (["id", "label", "id"], "two fields named 'id'", "rename"),
        (["id", "label", "Label"], "equal but for case", "rename"),
        ([], "the rows have no columns", "the table has 'id', 'label'"),
    ],
)
def test_columns_that_do_not_match(names: list[str], message: str, hint: str) -> None:
    """Columns are exactly the table's, by name; every one that is not is named, with what to do."""
    rows = pa.Table.from_arrays([pa.array([1])] * len(names), names=names)
    with pytest.raises(SchemaMismatchError) as caught:
        normalise(rows, TARGET)
    assert message in str(caught.value)
    assert hint in str(caught.value.hint)


def test_no_rows() -> None:
    """A table without rows has the columns all the same."""
    got = normalise(pa.table({"label": pa.nulls(0), "id": pa.array([], pa.uint8())}), TARGET)
    assert (got.schema, got.num_rows) == (TARGET, 0)


@given(st.data())
def test_layouts_do_not_matter(data: st.DataObject) -> None:
    """Views, large offsets and dictionaries carry the same values as plain arrays."""
    kind, others = data.draw(
        st.sampled_from(
            [
                (pa.string(), [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]),
                (pa.binary(), [pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int8(), pa.binary())]),
            ]
        )
    )
    items = data.draw(st.lists(values(kind), max_size=5))
    plain = pa.array(items, kind)
    other = data.draw(st.sampled_from(others))
    array = plain.dictionary_encode() if pa.types.is_dictionary(other) else pa.array(items, other)
    start = data.draw(st.integers(0, len(items)))
    assert one(array[start:], kind).to_pylist() == items[start:]
