"""Delta schemas and Arrow schemas say the same; names, keys and evolution obey their rules."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablever import schema
from tablever.arrow_types import canonical_type
from tablever.columns import canonical_schema, check_key, check_names, check_partition, evolve, with_not_null
from tablever.errors import CorruptionError, InvalidKeyError, SchemaMismatchError, UnsupportedFeatureError
from tests.strategies import NAMES, NESTED, PRIMITIVES, shapes

ITEM = pa.field("element", pa.struct([pa.field("x", pa.int32(), nullable=False)]), nullable=False)


def delta(*columns: dict[str, Any]) -> str:
    return json.dumps({"type": "struct", "fields": [{"nullable": True, "metadata": {}, **c} for c in columns]})


@given(shapes())
def test_arrow_delta_arrow(shape: Any) -> None:
    """A schema comes back from Delta's JSON as it was, at any depth, NOT NULL included."""
    canonical = canonical_schema(shape.schema)
    assert schema.delta_to_arrow(schema.arrow_to_delta(canonical)).equals(canonical, check_metadata=True)


@pytest.mark.parametrize("nullable", [True, False])
def test_nested_nullability(nullable: bool) -> None:
    """NOT NULL of list items, map values and struct fields survives the way to Delta and back."""
    kinds = [pa.list_(ITEM), pa.map_(pa.string(), pa.field("value", pa.int8(), nullable=nullable)), pa.struct([ITEM])]
    before = pa.schema([pa.field(f"c{i}", kind, nullable) for i, kind in enumerate(kinds)])
    assert schema.delta_to_arrow(schema.arrow_to_delta(before)).equals(before, check_metadata=True)


@pytest.mark.parametrize("kind", PRIMITIVES + NESTED, ids=str)
def test_canonical_types_stay(kind: pa.DataType) -> None:
    """A canonical type is what it becomes."""
    assert canonical_type(kind, "c") == kind


def test_agrees_with_deltalake() -> None:
    """Our JSON is what deltalake writes for the same columns."""
    from deltalake import Schema

    columns = pa.schema([pa.field(f"c{i}", kind, i % 2 == 0) for i, kind in enumerate(PRIMITIVES + NESTED)])
    canonical = canonical_schema(columns)
    assert json.loads(schema.arrow_to_delta(canonical)) == json.loads(Schema.from_arrow(canonical).to_json())


@pytest.mark.parametrize(
    ("given_type", "becomes"),
    [
        (pa.uint8(), pa.int16()),
        (pa.uint16(), pa.int32()),
        (pa.uint32(), pa.int64()),
        (pa.uint64(), pa.int64()),
        (pa.float16(), pa.float32()),
        (pa.large_string(), pa.string()),
        (pa.string_view(), pa.string()),
        (pa.json_(), pa.string()),
        (pa.large_binary(), pa.binary()),
        (pa.binary_view(), pa.binary()),
        (pa.binary(3), pa.binary()),
        (pa.dictionary(pa.int8(), pa.string_view()), pa.string()),
        (pa.run_end_encoded(pa.int32(), pa.uint8()), pa.int16()),
        (pa.date64(), pa.date32()),
        (pa.timestamp("ns"), pa.timestamp("us")),
        (pa.timestamp("s", "Europe/Berlin"), pa.timestamp("us", "UTC")),
        (pa.decimal32(5, 2), pa.decimal128(5, 2)),
        (pa.decimal64(15, 2), pa.decimal128(15, 2)),
        (pa.decimal256(38, 2), pa.decimal128(38, 2)),
        (pa.decimal128(5, -2), pa.decimal128(7, 0)),
        (pa.decimal128(2, 4), pa.decimal128(4, 4)),
        (pa.large_list(pa.uint8()), pa.list_(pa.field("element", pa.int16()))),
        (pa.list_view(pa.string_view()), pa.list_(pa.field("element", pa.string()))),
        (pa.list_(pa.float16(), 2), pa.list_(pa.field("element", pa.float32()))),
        (pa.map_(pa.large_string(), pa.uint8()), pa.map_(pa.string(), pa.int16())),
    ],
    ids=str,
)
def test_becomes(given_type: pa.DataType, becomes: pa.DataType) -> None:
    """What Delta has no type for becomes the smallest that holds all its values, or is judged by value."""
    assert canonical_type(given_type, "c").equals(becomes, check_metadata=True)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (pa.time64("us"), "cast it to a string, or to integer microseconds"),
        (pa.duration("s"), "cast it to an integer"),
        (pa.month_day_nano_interval(), "cast it to a string"),
        (pa.null(), "give it a type"),
        (pa.decimal256(40, 2), "at most 38 digits"),
        (pa.decimal128(38, -2), "at most 38 digits"),
        (pa.uuid(), "storage type"),
        (pa.dense_union([pa.field("a", pa.int8())]), "a column of its own"),
        (pa.struct([]), "holds nothing"),
    ],
    ids=str,
)
def test_types_that_delta_lacks(kind: pa.DataType, advice: str) -> None:
    """A type that no table holds is refused with the column, also deep in another, the type and what to do."""
    for outer, path in ((kind, "c"), (pa.struct([("x", pa.list_(kind))]), "c.x.element")):
        with pytest.raises(SchemaMismatchError) as caught:
            canonical_type(outer, "c")
        assert str(caught.value) == f"column '{path}' has the type {kind}, for which Delta has none"
        assert advice in str(caught.value.hint)


@pytest.mark.parametrize("name", ["variant", "void", "interval day", "decimal(39,2)", "decimal(2,3)", "char(3)"])
def test_delta_types_we_do_not_read(name: str) -> None:
    """A Delta type that we do not read is an error that names the column and the type."""
    text = delta({"name": "a", "type": {"type": "array", "elementType": name, "containsNull": True}})
    with pytest.raises(UnsupportedFeatureError, match=r"column 'a\.element' has the type") as caught:
        schema.delta_to_arrow(text)
    assert caught.value.feature == name


def test_decimal_spellings() -> None:
    """A decimal without digits is (10, 0); blanks between them do not matter."""
    names = ["decimal", "decimal(5, 2)", "decimal(38,38)"]
    got = schema.delta_to_arrow(delta(*({"name": n, "type": n} for n in names)))
    assert got.types == [pa.decimal128(10, 0), pa.decimal128(5, 2), pa.decimal128(38, 38)]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"type":"struct"}', '{"type":"struct","fields":[{"name":"a"}]}', '"long"']
)
def test_broken_schema(text: str) -> None:
    """A schema that is not Delta's is corruption, never a Python error."""
    with pytest.raises(CorruptionError):
        schema.delta_to_arrow(text)


def test_field_metadata() -> None:
    """What Delta says of a field beside its type is there by name."""
    metadata = {
        "delta.columnMapping.id": 7,
        "delta.columnMapping.physicalName": "col-7",
        "delta.invariants": json.dumps({"expression": {"expression": "a > 3"}}),
        "delta.generationExpression": "b + 1",
        "delta.typeChanges": [{"fromType": "short", "toType": "integer"}],
    }
    inner = {"name": "x", "type": "long", "nullable": False, "metadata": {"delta.columnMapping.physicalName": "col-8"}}
    a, s = schema.fields(
        delta(
            {"name": "a", "type": "integer", "metadata": metadata},
            {"name": "s", "type": {"type": "struct", "fields": [inner]}},
        )
    )
    assert (a.physical_name, a.field_id, a.invariant, a.generation_expression) == ("col-7", 7, "a > 3", "b + 1")
    assert a.type_changes == ({"fromType": "short", "toType": "integer"},)
    assert [(child.name, child.physical_name, child.nullable) for child in s.children] == [("x", "col-8", False)]
    assert (s.physical_name, s.field_id, s.invariant, s.generation_expression, s.type_changes) == (
        "s", None, None, None, (),
    )  # fmt: skip


def test_extending_keeps_metadata() -> None:
    """Columns that stay keep what Delta says of them, nested fields too; new and retyped ones start bare."""
    inner = {"name": "x", "type": "long", "nullable": True, "metadata": {"comment": "inner"}}
    before = delta(
        {"name": "a", "type": "integer", "metadata": {"comment": "kept"}},
        {"name": "s", "type": {"type": "struct", "fields": [inner]}, "metadata": {"comment": "outer"}},
        {"name": "r", "type": "integer", "metadata": {"comment": "lost"}},
    )
    wider = with_not_null(schema.delta_to_arrow(before), ["a"]).set(2, pa.field("r", pa.string()))
    after = schema.extend_delta(before, wider.append(pa.field("n", pa.int8())))
    a, s, r, n = schema.fields(after)
    assert (a.nullable, a.metadata, s.metadata, s.children[0].metadata) == (
        False, {"comment": "kept"}, {"comment": "outer"}, {"comment": "inner"},
    )  # fmt: skip
    assert (r.metadata, n.metadata, n.nullable) == ({}, {}, True)
    assert schema.delta_to_arrow(after) == wider.append(pa.field("n", pa.int8()))


def test_timestamp_ntz_is_found() -> None:
    """A timestamp without a zone is found at any depth, one with a zone is not."""
    naive, zoned = pa.timestamp("us"), pa.timestamp("us", "UTC")
    for wrap in (lambda k: k, pa.list_, lambda k: pa.struct([("x", pa.map_(pa.string(), k))])):
        assert schema.uses_timestamp_ntz(pa.schema([("a", pa.int8()), ("b", wrap(naive))]))
        assert not schema.uses_timestamp_ntz(pa.schema([("a", pa.int8()), ("b", wrap(zoned))]))


@pytest.mark.parametrize("name", [*NAMES, "a b", "a,b", "a;{}()=", "a\nb\t", "a\\b", " a", "😀", "^a", "-", "__a"])
def test_names_that_every_reader_takes(name: str) -> None:
    """Names that Polars, DuckDB and deltalake read back are accepted."""
    check_names(pa.schema([(name, pa.int8())]))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "the rows have no columns"),
        ([""], "the rows cannot have a field named ''"),
        (["a\0b"], r"the rows cannot have a field named 'a\x00b'"),
        (["*"], "the rows cannot have a field named '*'"),
        (["^a$"], "the rows cannot have a field named '^a$'"),
        (["a", "a"], "the rows: two fields named 'a'"),
        (["Name", "b", "nAME"], "the rows: 'Name' and 'nAME', equal but for case"),
        (["_change_type"], "column name '_change_type' is reserved"),
        (["_Commit_version"], "column name '_Commit_version' is reserved"),
        (["_added_version"], "column name '_added_version' is reserved"),
        (["_removed_version"], "column name '_removed_version' is reserved"),
    ],
)
def test_names_that_are_refused(names: list[str], message: str) -> None:
    """Names that not every reader could tell apart, and those kept for tablever and Delta, are refused."""
    with pytest.raises(SchemaMismatchError) as caught:
        canonical_schema(pa.schema([pa.field(name, pa.int8()) for name in names]))
    assert str(caught.value) == message
    assert caught.value.hint


def test_struct_fields_equal_but_for_case() -> None:
    """A struct's fields are told apart as columns are: DuckDB renames one of them otherwise."""
    with pytest.raises(SchemaMismatchError, match="column 'c': 'x' and 'X', equal but for case"):
        canonical_type(pa.struct([("x", pa.int8()), ("X", pa.int8())]), "c")


def test_evolve_appends() -> None:
    """New columns come last, in the rows' order, canonical and nullable; the table's stay as they are."""
    current = pa.schema([pa.field("id", pa.int64(), nullable=False), ("a", pa.string())])
    rows = pa.schema([pa.field("z", pa.uint8(), nullable=False), ("id", pa.int8()), ("b", pa.large_string())])
    assert evolve(current, rows) == pa.schema([*current, ("z", pa.int16()), ("b", pa.string())])
    assert evolve(current, pa.schema([("id", pa.int8())])) is current


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (("ID", pa.int8()), "'ID' of the rows and 'id' of the table are equal but for case"),
        (("_change_type", pa.int8()), "is reserved"),
        (("t", pa.time32("s")), "column 't' has the type time32"),
        (("n", pa.null()), "column 'n' has the type null"),
    ],
)
def test_evolve_refuses(column: tuple[str, pa.DataType], message: str) -> None:
    """A new column obeys the rules that a new table's columns do, and no name is ambiguous."""
    with pytest.raises(SchemaMismatchError, match=message) as caught:
        evolve(pa.schema([("id", pa.int64())]), pa.schema([("id", pa.int64()), column]))
    assert caught.value.hint


COLUMNS = pa.schema(
    [
        ("id", pa.int64()), ("name", pa.string()), ("score", pa.float64()), ("tags", pa.list_(pa.string())),
        ("day", pa.date32()), ("price", pa.decimal128(9, 2)), ("raw", pa.binary()),
    ]
)  # fmt: skip


def test_key_columns() -> None:
    """A key is one column or several of a type whose values are plainly equal or not."""
    assert check_key(COLUMNS, "id") == ("id",)
    assert check_key(COLUMNS, ["day", "price", "raw"]) == ("day", "price", "raw")
    assert check_key(COLUMNS, None) == check_partition(COLUMNS, None) == ()
    assert check_partition(COLUMNS, "day") == ("day",)


@pytest.mark.parametrize(
    ("key", "message", "hint"),
    [
        ("nam", "key column 'nam' is not there: the columns are 'id', 'name'", "did you mean 'name'?"),
        (["ID"], "key column 'ID' is not there", "did you mean 'id'?"),
        ([], "the key names no column", "give no key"),
        (["id", "id"], "the key names column 'id' twice", "once"),
        ("score", "column 'score' of type double cannot be a key", "a key is made of"),
        ("tags", "column 'tags' of type list", "a key is made of"),
    ],
)
def test_bad_keys(key: Any, message: str, hint: str) -> None:
    """A key that cannot be is refused with what there is and what to do."""
    with pytest.raises(InvalidKeyError) as caught:
        check_key(COLUMNS, key)
    assert message in str(caught.value)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("tags", "cannot partition a table"),
        ("raw", "cannot partition a table"),
        ("dya", "partition column 'dya' is not there"),
        ("score", "cannot partition a table"),
        (["id", "name"], None),
    ],
)
def test_partition_columns(columns: Any, message: str | None) -> None:
    """A table is partitioned by columns that have a text in the log."""
    if message is None:
        assert check_partition(COLUMNS, columns) == tuple(columns)
        return
    with pytest.raises(InvalidKeyError, match=message):
        check_partition(COLUMNS, columns)


def test_partitioned_by_everything() -> None:
    """Partitioning by every column is refused: Delta demands data in the files."""
    with pytest.raises(InvalidKeyError, match="every column"):
        check_partition(pa.schema([("a", pa.int8()), ("b", pa.int8())]), ["b", "a"])


@given(st.sets(st.sampled_from(COLUMNS.names)))
def test_not_null(names: set[str]) -> None:
    """Exactly the columns that are named become NOT NULL; order and types stay."""
    got = with_not_null(COLUMNS, names)
    assert [(f.name, f.type, f.nullable) for f in got] == [(f.name, f.type, f.name not in names) for f in COLUMNS]


def test_not_null_of_nothing() -> None:
    """A column that is not there cannot become NOT NULL."""
    with pytest.raises(SchemaMismatchError, match="no column 'nmae'") as caught:
        with_not_null(COLUMNS, ["nmae"])
    assert caught.value.hint == "did you mean 'name'?"
