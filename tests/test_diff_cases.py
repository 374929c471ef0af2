"""What a diff means, case by case: the traps of counting, and the cases of other projects' suites."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

import tablever as tv
from tablever import deletions, errors
from tablever.arrow_types import common_type
from tablever.changefeed import change_rows
from tablever.delta.vectors import load_once
from tablever.diff.feed import FeedError
from tablever.diff.sides import schema_changes
from tablever.diff.value import Diff, diff_rows, diff_tables, diff_versions, version_changes
from tablever.log import Log, open_log
from tablever.report.wording import notes
from tests.comparing import assert_right, by_way, state_of
from tests.sealing import rewrite

SHARED = Path(__file__).parents[2] / "shared"
NAN = float("nan")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t"


def both_ways(table: Any, a: int, b: int, **options: Any) -> Diff:
    """The diff, after every way to it was compared with looking at all rows."""
    diff = diff_versions(table, a, b, **options)
    assert_right(diff, state_of(table, a), state_of(table, b))
    return diff


def counts(diff: Diff) -> tuple[int, int, int]:
    return diff.summary.added, diff.summary.removed, diff.summary.updated


ROWS = [{"id": n, "text": f"row {n}", "score": n / 2} for n in range(10)]


# -- steps that cancel


def test_back_to_the_old_value_is_no_change(path: Path) -> None:
    """A row that was updated and updated back, over several commits, did not change."""
    tv.create_table(path, ROWS, key="id")
    for text in ("x", "y", "row 3"):
        tv.update(path, {"text": f"'{text}'"}, where="id = 3")
    assert counts(both_ways(path, 0, 3)) == (0, 0, 0)
    assert both_ways(path, 0, 2).cells.to_pylist() == [{"id": 3, "column": "text", "old": "row 3", "new": "y"}]


def test_deleted_and_inserted_again(path: Path) -> None:
    """A key that was deleted and inserted again is an update, or nothing where its row is as it was."""
    tv.create_table(path, ROWS, key="id")
    tv.delete(path, where="id IN (3, 4)")
    tv.append(path, [ROWS[3], {**ROWS[4], "text": "other"}])
    assert counts(both_ways(path, 0, 2)) == (0, 0, 1)


def test_a_changed_key_is_a_row_that_went_and_one_that_came(path: Path) -> None:
    """Setting a key column removes the old key's row and adds the new key's."""
    tv.create_table(path, ROWS, key="id")
    tv.update(path, {"id": "id + 100"}, where="id = 3")
    diff = both_ways(path, 0, 1)
    assert counts(diff) == (1, 1, 0)
    assert diff.removed.to_pylist() == [ROWS[3]]
    assert diff.added.to_pylist() == [{**ROWS[3], "id": 103}]


def test_backwards_is_inverted(path: Path) -> None:
    """diff(b, a) has what diff(a, b) added as removed, and old and new exchanged."""
    tv.create_table(path, ROWS, key="id")
    tv.upsert(path, [{**ROWS[1], "text": "new"}, {"id": 50, "text": "fifty", "score": 0.0}])
    tv.delete(path, where="id = 2")
    there, back = both_ways(path, 0, 2), both_ways(path, 2, 0)
    assert there.added.equals(back.removed)
    assert there.removed.equals(back.added)
    assert back.updated.to_pylist() == [
        {"id": 1, "from_text": "new", "to_text": "row 1", "from_score": 0.5, "to_score": 0.5}
    ]


# -- values


@pytest.mark.parametrize(("old", "new"), [(None, None), (NAN, NAN), (0.0, -0.0)])
def test_equal_values(path: Path, old: float | None, new: float | None) -> None:
    """Null equals null, NaN equals NaN, -0.0 equals 0.0: rewritten, they are no change."""
    schema = pa.schema([("id", pa.int64()), ("x", pa.float64()), ("l", pa.list_(pa.float64()))])
    write_deltalake(path, pa.Table.from_pylist([{"id": 1, "x": old, "l": [old]}], schema=schema))
    write_deltalake(path, pa.Table.from_pylist([{"id": 1, "x": new, "l": [new]}], schema=schema), mode="overwrite")
    assert counts(both_ways(path, 0, 1, key="id")) == (0, 0, 0)
    assert counts(both_ways(path, 0, 1)) == (0, 0, 0)


def test_null_against_a_value(path: Path) -> None:
    """From null to a value and back is a change."""
    tv.create_table(path, pa.table({"id": [1, 2], "x": [None, 1.0]}), key="id")
    tv.upsert(path, pa.table({"id": [1, 2], "x": [1.0, None]}))
    assert [(c["old"], c["new"]) for c in both_ways(path, 0, 1).cells.to_pylist()] == [(None, "1.0"), ("1.0", None)]


def test_duplicates_without_a_key_are_counted(path: Path) -> None:
    """Rows are a multiset: a copy more is one row added, a copy less one removed."""
    tv.create_table(path, [{"a": 1}] * 3 + [{"a": 2}])
    tv.append(path, [{"a": 2}, {"a": 1}])
    assert counts(both_ways(path, 0, 1)) == (2, 0, 0)
    tv.overwrite(path, [{"a": 1}] * 2)
    assert both_ways(path, 0, 2).removed.to_pylist() == [{"a": 1}, {"a": 2}]


# -- columns


def test_a_column_added_changes_no_row(path: Path) -> None:
    """A new column, with or without values, is told in the schema; asked for, its values are changed cells."""
    tv.create_table(path, ROWS, key="id")
    tv.upsert(path, [{**ROWS[1], "new": 7}], evolve=True)
    diff = both_ways(path, 0, 1)
    assert counts(diff) == (0, 0, 0)
    assert [(c.change, c.name, c.old, c.new) for c in diff.schema] == [("added", "new", None, "int64")]
    asked = both_ways(path, 0, 1, columns=["new"])
    assert asked.cells.to_pylist() == [{"id": 1, "column": "new", "old": None, "new": "7"}]
    assert asked.updated.column_names == ["id", "to_new"]


def test_values_of_one_sided_columns_are_carried(path: Path) -> None:
    """Rows are shown whole: with the columns that only their side has."""
    tv.create_table(path, ROWS, key="id")
    tv.upsert(path, [{**ROWS[1], "text": "x", "new": 7}, {**ROWS[2], "id": 77, "new": 8}], evolve=True)
    diff = both_ways(path, 0, 1)
    assert diff.added.to_pylist() == [{**ROWS[2], "id": 77, "new": 8}]
    assert diff.updated.to_pylist()[0]["to_new"] == 7
    assert "from_new" not in diff.updated.column_names


def test_columns_in_another_order_are_no_change(path: Path) -> None:
    """Columns are matched by name; their order is one change of the schema."""
    tv.create_table(path, ROWS, key="id")
    rows = pa.Table.from_pylist(ROWS).select(["score", "text", "id"])
    tv.overwrite(path, rows, replace_schema=True)
    diff = both_ways(path, 0, 1)
    assert counts(diff) == (0, 0, 0)
    assert [(c.change, c.old, c.new) for c in diff.schema] == [("reordered", "id, text, score", "score, text, id")]


@pytest.mark.parametrize(
    ("old", "new", "value", "same"),
    [
        (pa.int32(), pa.int64(), 7, True),
        (pa.int32(), pa.float64(), 7, True),
        (pa.float32(), pa.float64(), 0.5, True),
        (pa.decimal128(5, 2), pa.decimal128(20, 4), Decimal("1.25"), True),
        (pa.date32(), pa.timestamp("us"), date(2026, 1, 2), True),
        (pa.int64(), pa.float64(), 7, False),
        (pa.string(), pa.int64(), "7", False),
        (pa.date32(), pa.timestamp("us", "UTC"), date(2026, 1, 2), False),
    ],
)
def test_retyped_columns(path: Path, old: pa.DataType, new: pa.DataType, value: Any, same: bool) -> None:
    """A type that both fit exactly compares by value; otherwise every row with a value changed, and null is null."""
    first = pa.table({"id": [1, 2, 3], "x": pa.array([value, None, value], old)})
    tv.create_table(path, first, key="id")
    widened = pa.array([value, None, value], old)
    second = (
        widened.cast(new)
        if pa.types.is_timestamp(new)
        else pa.array([None if v is None else int(v) if new == pa.int64() else v for v in widened.to_pylist()], new)
    )
    tv.overwrite(path, pa.table({"id": [1, 2, 3], "x": second}), replace_schema=True)
    diff = both_ways(path, 0, 1)
    assert counts(diff) == (0, 0, 0 if same else 2)
    assert [c.change for c in diff.schema] == ["retyped"]
    assert bool(diff.summary.notes) == (not same)
    assert diff.updated.schema.field("from_x").type == old
    assert diff.updated.schema.field("to_x").type == new
    assert diff.changes().read_all().num_rows == (0 if same else 4)


@pytest.mark.parametrize("fields", [["a", "b", "c"], ["a", "d"], ["a"]], ids=["more", "others", "fewer"])
def test_structs_of_other_fields_cannot_be_compared(path: Path, fields: list[str]) -> None:
    """A struct whose fields came or went is of a type that has none in common: every value of it changed."""
    rows = [{"id": 1, "s": {"a": 1, "b": 2}, "n": 1}, {"id": 2, "s": None, "n": 1}, {"id": 3, "s": None, "n": 1}]
    write_deltalake(path, pa.Table.from_pylist(rows))
    other = pa.array([dict.fromkeys(fields, 1), None, None], pa.struct([(name, pa.int64()) for name in fields]))
    after = pa.table({"id": [1, 2, 3], "s": other, "n": [1, 1, 2]})
    write_deltalake(path, after, mode="overwrite", schema_mode="overwrite")
    diff = both_ways(path, 0, 1, key="id")
    assert diff.summary.cells == {"s": 1, "n": 1}
    assert any("'s' cannot be compared" in note for note in diff.summary.notes)
    assert [(change.change, change.name) for change in diff.schema] == [("retyped", "s")]
    assert counts(both_ways(path, 0, 1, key="id", exclude=["s"])) == (0, 0, 1)


def test_common_types() -> None:
    """The type that holds both is the narrowest that is exact, at any depth; nested types follow their parts."""
    assert common_type(pa.int8(), pa.int32()) == pa.int32()
    assert common_type(pa.decimal128(5, 2), pa.int16()) == pa.decimal128(7, 2)
    assert common_type(pa.decimal128(38, 0), pa.decimal128(38, 38)) is None
    assert common_type(pa.list_(pa.int32()), pa.list_(pa.int64())).value_type == pa.int64()
    assert common_type(pa.map_(pa.string(), pa.int8()), pa.map_(pa.string(), pa.int16())).item_type == pa.int16()
    assert common_type(pa.struct([("a", pa.int8())]), pa.struct([("a", pa.string())])) is None
    assert common_type(pa.struct([("a", pa.int8())]), pa.struct([("b", pa.int8())])) is None
    a, b = pa.field("a", pa.int8()), pa.field("b", pa.int8())
    assert common_type(pa.struct([a, b]), pa.struct([b, a])) is None


def test_only_some_columns(path: Path) -> None:
    """columns= and exclude= say what decides and what is shown; the key always is."""
    tv.create_table(path, ROWS, key="id")
    tv.update(path, {"score": "score + 1"}, where="id < 3")
    tv.update(path, {"text": "'x'"}, where="id = 2")
    assert counts(both_ways(path, 0, 2, exclude=["score"])) == (0, 0, 1)
    diff = both_ways(path, 0, 2, columns=["text"])
    assert diff.updated.to_pylist() == [{"id": 2, "from_text": "row 2", "to_text": "x"}]
    assert counts(both_ways(path, 0, 2, columns=["text"], key=[])) == (1, 1, 0)
    assert diff_versions(path, 0, 2, columns=iter(["text"])).summary.updated == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"columns": ["nope"]}, errors.SchemaMismatchError),
        ({"columns": "text"}, errors.InvalidInputError),
        ({"columns": 1}, errors.InvalidInputError),
        ({"exclude": False}, errors.InvalidInputError),
        ({"columns": ["text"], "exclude": ["score"]}, errors.InvalidInputError),
        ({"exclude": ["id"]}, errors.InvalidKeyError),
        ({"key": ["nope"]}, errors.InvalidKeyError),
        ({"key": 0}, errors.InvalidKeyError),
        ({"key": 5}, errors.InvalidKeyError),
        ({"key": [["id"]]}, errors.InvalidKeyError),
        ({"key": ["score"]}, errors.InvalidKeyError),
        ({"tolerance": -1}, errors.InvalidInputError),
        ({"tolerance": True}, errors.InvalidInputError),
        ({"tolerance": NAN}, errors.InvalidInputError),
        ({"tolerance": (1, 2, 3)}, errors.InvalidInputError),
        ({"tolerance": {"text": 1}}, errors.InvalidInputError),
        ({"tolerance": 1, "key": []}, errors.InvalidInputError),
    ],
)
def test_what_cannot_be_compared_is_refused(path: Path, options: Mapping[str, Any], error: type[Exception]) -> None:
    """Columns that are not there, keys that cannot be one, tolerances that mean nothing: an error, before any read."""
    tv.create_table(path, ROWS, key="id")
    with pytest.raises(error):
        diff_versions(path, 0, 0, **options)


# -- the key


def test_a_claimed_key_that_is_not_one(path: Path) -> None:
    """A key named at the call is refused if a changed row's twin shares it, even one that did not change."""
    tv.create_table(path, [{"k": 1, "x": 1}, {"k": 1, "x": 2}, {"k": 2, "x": 3}])
    tv.append(path, [{"k": 3, "x": 3}])
    tv.update(path, {"x": "9"}, where="x = 2")
    assert counts(diff_versions(path, 0, 1, key="k")) == (1, 0, 0)
    for way in (None, "changes", "snapshots"):
        diff = by_way(diff_versions(path, 0, 2, key="k"), way)
        assert diff is not None
        with pytest.raises(errors.DuplicateKeyError) as raised:
            _ = diff.summary
        assert raised.value.keys == [1]


def test_a_claimed_key_that_is_null(path: Path) -> None:
    """A key named at the call is refused if it is null in a row that changed."""
    tv.create_table(path, pa.table({"k": pa.array([1, None], pa.int64()), "x": [1, 2]}))
    tv.update(path, {"x": "9"}, where="x = 2")
    with pytest.raises(errors.InvalidKeyError):
        _ = diff_versions(path, 0, 1, key="k").added


def test_a_key_that_another_tool_broke_is_reported(path: Path) -> None:
    """The table's own key, broken by another tool, is a finding: such rows are removed and added, and counted."""
    schema = pa.schema([pa.field("id", pa.int64()), ("x", pa.int64())])
    write_deltalake(path, pa.Table.from_pylist([{"id": 1, "x": 1}, {"id": 2, "x": 2}], schema=schema))
    tv.set_key(path, "id")
    base = tv.open_table(path).log.head_number()
    firm = pa.schema([pa.field("id", pa.int64(), nullable=False), ("x", pa.int64())])
    write_deltalake(path, pa.Table.from_pylist([{"id": 1, "x": 5}, {"id": 2, "x": 6}], schema=firm), mode="append")
    DeltaTable(path).delete("x = 2")
    diff = both_ways(path, base, base + 2)
    assert counts(diff) == (1, 0, 1)
    again = pa.Table.from_pylist([{"id": 1, "x": 7}], schema=firm)
    write_deltalake(path, again, mode="append")
    diff = both_ways(path, base, base + 3)
    assert counts(diff) == (2, 0, 1)
    assert diff.summary.duplicate_keys == 1
    said = [note for note in notes(diff.findings()) if "key" in note]
    assert said == ["1 key is null or not unique: its rows are counted as removed and added, not as updated"]


def test_a_key_of_one_version_only_is_none(path: Path) -> None:
    """Where the versions have not the same key, rows are a multiset, unless the call names one."""
    tv.create_table(path, ROWS)
    tv.set_key(path, "id")
    tv.update(path, {"text": "'x'"}, where="id = 1")
    assert counts(both_ways(path, 0, 2)) == (1, 1, 0)
    assert counts(both_ways(path, 0, 2, key="id")) == (0, 0, 1)
    assert [(c.change, c.new) for c in diff_versions(path, 0, 2).schema if c.change == "key"] == [("key", "id")]


def test_tolerance_is_between_the_ends(path: Path) -> None:
    """Steps that are each within the tolerance are one change if their sum is not."""
    tv.create_table(path, [{"id": 1, "x": 0.0}, {"id": 2, "x": 0.0}], key="id")
    for _ in range(4):
        tv.update(path, {"x": "x + 0.25"}, where="id = 1")
    for way in ("changes", "snapshots"):
        for last, updated in ((1, 0), (2, 0), (4, 1)):
            diff = by_way(diff_versions(path, 0, last, tolerance=0.5), way)
            assert diff is not None
            assert counts(diff) == (0, 0, updated)
    assert counts(diff_versions(path, 0, 4, tolerance={"x": (0, 1.0)})) == (0, 0, 0)
    assert diff_versions(path, 0, 4, tolerance={"x": 0.1}).cells.num_rows == 1


# -- files


def test_compaction_is_no_change(path: Path) -> None:
    """Rows that deltalake moves into other files do not change, by either way."""
    configuration = {"delta.enableChangeDataFeed": "true"}
    write_deltalake(path, pa.Table.from_pylist(ROWS[:3]), configuration=configuration)
    for row in ROWS[3:6]:
        write_deltalake(path, pa.Table.from_pylist([row]), mode="append")
    DeltaTable(path).optimize.compact()
    DeltaTable(path).update(predicate="id = 1", updates={"text": "'x'"})
    assert counts(both_ways(path, 3, 4, key="id")) == (0, 0, 0)
    assert counts(both_ways(path, 0, 5, key="id")) == (3, 0, 1)
    assert counts(both_ways(path, 5, 2)) == (1, 2, 0)


def test_a_feed_that_does_not_add_up_is_not_believed(path: Path) -> None:
    """A commit whose change rows are fewer than its files say is compared by its files, and a note says so."""
    tv.create_table(path, ROWS, key="id")
    tv.upsert(path, [{**ROWS[1], "text": "x"}, {"id": 50, "text": "x", "score": 1.0}])
    tv.upsert(path, [{**ROWS[2], "text": "y"}])
    log = [path / "_delta_log" / f"{n:020d}.json" for n in (1, 2)]
    lines = [entry.read_text().split("\n") for entry in log]
    lie = next(line for line in lines[1] if '"cdc"' in line)
    rewrite(log[0], "\n".join(lie if '"cdc"' in line else line for line in lines[0]))
    diff = diff_versions(path, 0, 1)
    lying = by_way(diff, "changes")
    assert lying is not None
    assert_right(diff, state_of(path, 0), state_of(path, 1))
    assert counts(lying) == (1, 0, 1)
    assert lying.plan.way == "snapshots"
    assert any("version 1" in note for note in lying.summary.notes)


def test_a_kind_of_change_row_that_there_is_not(path: Path) -> None:
    """Change rows of a kind that Delta does not know are not believed."""
    import polars as pl

    tv.create_table(path, ROWS, key="id")
    tv.upsert(path, [{**ROWS[1], "text": "x"}])
    file = next((path / "_change_data").glob("*.parquet"))
    size = file.stat().st_size
    pl.read_parquet(file).with_columns(pl.lit("upsert").alias("_change_type")).write_parquet(file)
    entry = path / "_delta_log" / f"{1:020d}.json"
    rewrite(entry, entry.read_text().replace(f'"size":{size}', f'"size":{file.stat().st_size}'))
    lying = by_way(diff_versions(path, 0, 1), "changes")
    assert lying is not None
    assert counts(lying) == (0, 0, 1)
    assert any("'upsert'" in note for note in lying.summary.notes)
    assert issubclass(FeedError, Exception)


def test_change_rows_of_many_commits_load_few_versions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where commits say what they changed and left the settings, their versions are not loaded one by one."""
    tv.create_table(path, ROWS, key="id")
    for n in range(6):
        tv.update(path, {"text": f"'{n}'"}, where=f"id = {n}")
    tv.upsert(path, [{**ROWS[9], "new": 7}], evolve=True)
    tv.update(path, {"text": "'x'"}, where="id = 9")
    apart = pa.concat_tables([change_rows(open_log(path), n, n) for n in range(1, 9)], promote_options="default")
    loaded: list[int] = []
    load = Log.snapshot

    def noted(self: Log, number: int) -> Any:
        loaded.append(number)
        return load(self, number)

    monkeypatch.setattr(Log, "snapshot", noted)
    together = change_rows(open_log(path), 1, 8)
    assert sorted({*loaded}) == [1, 7, 8]
    assert together.select(sorted(together.column_names)).equals(apart.select(sorted(apart.column_names)))


def mapped(path: Path, first: Sequence[Mapping[str, Any]], then: Callable[[dict[str, Any]], None]) -> None:
    """A table with column mapping by name, and a second version whose schema alone is another."""
    tv.create_table(path, pa.Table.from_pylist(list(first)))
    entry = path / "_delta_log" / f"{0:020d}.json"
    actions = [json.loads(line) for line in entry.read_text().split("\n") if line]
    metadata = next(a["metaData"] for a in actions if "metaData" in a)
    protocol = next(a["protocol"] for a in actions if "protocol" in a)
    for name in ("readerFeatures", "writerFeatures"):
        protocol[name] = sorted({*protocol[name], "columnMapping"})
    schema = json.loads(metadata["schemaString"])
    for number, field in enumerate(schema["fields"], 1):
        field["metadata"] = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": field["name"]}
    metadata["configuration"] |= {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "9"}
    metadata["schemaString"] = json.dumps(schema)
    entry.write_text("".join(json.dumps(action) + "\n" for action in actions))
    then(schema)
    metadata["schemaString"] = json.dumps(schema)
    now = {"commitInfo": {"timestamp": 1_900_000_000_000, "operation": "CHANGE COLUMN"}}
    second = path / "_delta_log" / f"{1:020d}.json"
    second.write_text("".join(json.dumps(action) + "\n" for action in (now, {"metaData": metadata})))


def test_columns_whose_names_are_swapped(path: Path) -> None:
    """Under column mapping, two columns that exchange their names differ wherever their values do."""

    def swap(schema: dict[str, Any]) -> None:
        a, b = schema["fields"][1:]
        a["name"], b["name"] = b["name"], a["name"]

    mapped(path, [{"id": 1, "a": 1, "b": 1}, {"id": 2, "a": 1, "b": 2}], swap)
    assert counts(both_ways(path, 0, 1, key="id")) == (0, 0, 1)


def test_a_column_dropped_and_made_again(path: Path) -> None:
    """A column of an old name and a new physical one has none of the old values."""

    def remake(schema: dict[str, Any]) -> None:
        schema["fields"][1]["metadata"] = {"delta.columnMapping.id": 9, "delta.columnMapping.physicalName": "col-9"}

    mapped(path, [{"id": 1, "a": 1, "b": 1}, {"id": 2, "a": None, "b": 2}], remake)
    diff = both_ways(path, 0, 1, key="id")
    assert diff.cells.to_pylist() == [{"id": 1, "column": "a", "old": "1", "new": None}]


def test_a_field_within_a_column_dropped_and_made_again(path: Path) -> None:
    """A field of a struct, also in a list, that has an old name and a new physical one has none of the old values."""

    def remake(schema: dict[str, Any]) -> None:
        for number, field in enumerate(schema["fields"][1:], 10):
            inner = field["type"].get("elementType", field["type"])
            inner["fields"][0]["metadata"] = {
                "delta.columnMapping.id": number,
                "delta.columnMapping.physicalName": f"col-{number}",
            }

    rows = [{"id": 1, "s": {"a": 1, "b": 1}, "l": [{"a": 1}]}, {"id": 2, "s": {"a": None, "b": 2}, "l": []}]
    mapped(path, rows, remake)
    diff = both_ways(path, 0, 1, key="id")
    assert counts(diff) == (0, 0, 1)
    assert diff.summary.cells == {"s": 1, "l": 1}


@pytest.mark.parametrize("name", ["a", "a.b", "a.list.element", "`a`"])
@pytest.mark.parametrize("value", [1, {"x": 1}, [1]], ids=["plain", "struct", "list"])
def test_a_column_dropped_is_null_when_asked_for(path: Path, name: str, value: Any) -> None:
    """A column that the second version dropped, in files of both, is compared with null when it is named."""

    def drop(schema: dict[str, Any]) -> None:
        del schema["fields"][1]

    mapped(path, [{"id": 1, name: value, "b": 1}, {"id": 2, name: None, "b": 2}], drop)
    assert counts(both_ways(path, 0, 1, key="id")) == (0, 0, 0)
    assert both_ways(path, 0, 1, key="id", columns=[name]).cells.num_rows == 1


def test_a_column_dropped_is_shown_in_rows_removed_later(path: Path) -> None:
    """Rows that a commit after the drop removed are shown as they were, the dropped column's values among them."""

    def drop(schema: dict[str, Any]) -> None:
        del schema["fields"][1]

    mapped(path, [{"id": 1, "a": 1, "b": 1}, {"id": 2, "a": None, "b": 2}], drop)
    log = path / "_delta_log"
    entries = [json.loads(line) for n in (0, 1) for line in (log / f"{n:020}.json").read_text("utf-8").splitlines()]
    gone = [
        {"remove": {"path": entry["add"]["path"], "dataChange": True, "deletionTimestamp": 0}}
        for entry in entries
        if "add" in entry
    ]
    (log / f"{2:020}.json").write_text("".join(json.dumps(action) + "\n" for action in gone), "utf-8")
    diff = both_ways(path, 0, 2, key="id")
    assert sorted((row["id"], row["a"]) for row in diff.removed.to_pylist()) == [(1, 1), (2, None)]
    assert by_way(diff, "changes") is None, "the commit that removed them does not know the column any more"


# -- other sides


def test_two_tables(tmp_path: Path) -> None:
    """Two tables compare as two versions do; files with the same recorded bytes are not read."""
    one = tv.create_table(tmp_path / "one", ROWS, key="id")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    tv.upsert(tmp_path / "two", [{**ROWS[1], "text": "x"}, {"id": 90, "text": None, "score": None}])
    same = diff_tables(one, tmp_path / "two", right_ref=0)
    assert same.plan.way == "nothing"
    assert same.plan.files == ()
    assert not same
    diff = diff_tables(one, tmp_path / "two")
    assert_right(diff, state_of(one, 0), state_of(tmp_path / "two", 1))
    assert counts(diff) == (1, 0, 1)
    assert (diff.findings().table, diff.findings().other) == ("one", "two")


@pytest.mark.parametrize("swapped", [False, True])
def test_a_column_that_only_one_of_two_tables_has(tmp_path: Path, swapped: bool) -> None:
    """A column that only one table has, asked for, is looked for in each table's own files."""
    tv.create_table(tmp_path / "one", ROWS, key="id")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    tv.append(tmp_path / "two", [{"id": 90, "text": "x", "score": 1.0, "new": 7}], evolve=True)
    tv.append(tmp_path / "one", [{"id": 80, "text": "y", "score": 1.0}])
    sides = [(tmp_path / "one", 1), (tmp_path / "two", 1)]
    (left, a), (right, b) = sides[::-1] if swapped else sides
    diff = diff_tables(left, right, columns=["text", "new"])
    assert diff.plan.shared_files == 1, "the file that both have does not hold the column"
    assert_right(diff, state_of(left, a), state_of(right, b))
    assert diff.summary.changed == 2


def test_rows_not_committed(path: Path) -> None:
    """diff_rows says what an upsert would do: its counts are the upsert's, and nothing is written."""
    table = tv.create_table(path, ROWS, key="id")
    rows = [{**ROWS[1], "text": "x"}, ROWS[2], {"id": 90, "text": "ninety", "score": None}]
    diff = diff_rows(table, rows)
    assert len(table.versions()) == 1
    version = tv.upsert(table, rows)
    assert version is not None
    assert counts(diff) == (version.rows_added - version.rows_updated, 0, version.rows_updated)
    assert diff.summary.rows_after == version.rows
    assert diff.updated.equals(diff_versions(table, 0, 1).updated)
    with pytest.raises(errors.DuplicateKeyError):
        diff_rows(table, [ROWS[1], ROWS[1]])
    with pytest.raises(errors.InvalidKeyError):
        diff_rows(table, rows, key=[])


def test_rows_with_more_columns(path: Path) -> None:
    """With evolve, the values of new columns are changes, as the upsert would write them."""
    table = tv.create_table(path, ROWS, key="id")
    diff = diff_rows(table, [{**ROWS[1], "new": 5}], evolve=True)
    assert diff.cells.to_pylist() == [{"id": 1, "column": "new", "old": None, "new": "5"}]


def test_the_first_version_is_compared_with_nothing(path: Path) -> None:
    """version_changes of version 0: every row was added, no column changed."""
    tv.create_table(path, ROWS, key="id")
    diff = version_changes(path, 0)
    assert diff.added.to_pylist() == ROWS
    assert (diff.schema, diff.summary.rows_before, diff.findings().before) == ((), 0, None)
    assert schema_changes(diff.left, diff.right) == ()


def test_files_that_are_gone(path: Path) -> None:
    """If files are vacuumed between the call and the first look, that is a VersionVacuumedError."""
    tv.create_table(path, ROWS)
    tv.overwrite(path, ROWS[:5])
    diff = diff_versions(path, 0, 1)
    for file in path.glob("*.parquet"):
        file.unlink()
    with pytest.raises(errors.VersionVacuumedError):
        _ = diff.summary


def test_change_files_between_that_are_gone(path: Path) -> None:
    """Where another tool vacuumed what the commits between wrote, the two versions are compared, and a note says so."""
    tv.create_table(path, ROWS, key="id")
    for n in range(2):
        tv.update(path, {"text": f"'{n}'"}, where="id = 1")
    diff = by_way(diff_versions(path, 0, 2), "changes")
    assert diff is not None
    for file in (path / "_change_data").glob("*.parquet"):
        file.unlink()
    assert counts(diff) == (0, 0, 1)
    assert diff.plan.way == "snapshots"
    assert any("is gone" in note and "compared" in note for note in diff.summary.notes)
    assert_right(diff_versions(path, 0, 2), state_of(path, 0), state_of(path, 2))


def test_vectors_between_that_are_gone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where vectors of the commits between are gone, their changes are not netted; where an end's are, the end is."""
    monkeypatch.setattr(deletions, "INLINE_BYTES", 0)
    tv.create_table(path, ROWS)
    entry = path / "_delta_log" / f"{0:020d}.json"
    on, off = (f'"delta.enableChangeDataFeed":"{word}"' for word in ("true", "false"))
    rewrite(entry, entry.read_text().replace(on, off))
    for n in range(2):
        tv.delete(path, where=f"id = {n}")
    tv.overwrite(path, ROWS[:3])
    assert by_way(diff_versions(path, 0, 3), "changes") is not None
    for file in path.rglob("*.bin"):
        file.unlink()
    load_once.cache_clear()
    assert by_way(diff_versions(path, 0, 3), "changes") is None
    assert counts(both_ways(path, 0, 3)) == (0, 7, 0)
    with pytest.raises(errors.VersionVacuumedError, match="vector"):
        _ = diff_versions(path, 0, 1).plan


def test_log_entries_between_that_are_gone(path: Path) -> None:
    """Where another tool cleaned the log between, the two versions are compared."""
    tv.create_table(path, ROWS, key="id")
    table = DeltaTable(path)
    table.create_checkpoint()
    for n in range(3):
        tv.update(path, {"text": f"'{n}'"}, where="id = 1")
    DeltaTable(path).create_checkpoint()
    left, right = diff_versions(path, 0, 3).left, diff_versions(path, 0, 3).right
    expected = state_of(path, 0), state_of(path, 3)
    (path / "_delta_log" / f"{2:020d}.json").unlink()
    diff = Diff(left, right, diff_versions(path, 0, 3).scope)
    assert diff.plan.way == "snapshots"
    assert diff.plan.rejected is not None
    assert diff.plan.rejected.bytes is None
    assert_right(diff, *expected)


def test_names_that_clash(path: Path) -> None:
    """Key columns with the names of ours push those aside."""
    rows = [{"from_a": 1, "column": 2, "a": 3}]
    tv.create_table(path, rows, key=["from_a", "column"])
    tv.upsert(path, [{**rows[0], "a": 4}])
    diff = diff_versions(path, 0, 1)
    assert diff.updated.to_pylist() == [{"from_a": 1, "column": 2, "_from_a": 3, "to_a": 4}]
    assert diff.cells.to_pylist() == [{"from_a": 1, "column": 2, "_column": "a", "old": "3", "new": "4"}]


def test_texts_of_cells(path: Path) -> None:
    """Cells are text as in CSV: floats with their point, times in ISO 8601, nested values as JSON."""
    schema = pa.schema(
        [("id", pa.int64()), ("f", pa.float64()), ("t", pa.timestamp("us", "UTC")), ("l", pa.list_(pa.int8()))]
    )
    moment = datetime.fromisoformat("2026-01-02T03:04:05.5+00:00")
    tv.create_table(path, pa.Table.from_pylist([{"id": 1}], schema=schema), key="id")
    tv.upsert(path, pa.Table.from_pylist([{"id": 1, "f": 2.0, "t": moment, "l": [1, None]}], schema=schema))
    cells = diff_versions(path, 0, 1).cells.to_pylist()
    assert [cell["new"] for cell in cells] == ["2.0", "2026-01-02T03:04:05.500000Z", "[1, null]"]


# -- tables of others


MAKERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "partitioned": {"partition_by": ["part"]},
    "feed": {"configuration": {"delta.enableChangeDataFeed": "true"}},
    "partitioned feed": {"partition_by": ["part"], "configuration": {"delta.enableChangeDataFeed": "true"}},
}


@pytest.mark.parametrize("maker", MAKERS)
def test_tables_that_deltalake_writes(path: Path, maker: str) -> None:
    """Appends, updates, deletes, merges, compactions, restores by deltalake: both ways, for every two versions."""
    rows = [{"id": n, "text": f"row {n}", "part": "abc"[n % 3], "score": n / 2} for n in range(30)]
    write_deltalake(path, pa.Table.from_pylist(rows[:20]), **MAKERS[maker])
    write_deltalake(path, pa.Table.from_pylist(rows[20:]), mode="append")
    DeltaTable(path).update(predicate="id < 5", updates={"text": "'updated'"})
    DeltaTable(path).delete("id % 7 = 0")
    source = pa.Table.from_pylist(
        [{"id": n, "text": "merged", "part": "a", "score": None} for n in (3, 500)], pa.Table.from_pylist(rows).schema
    )
    merge = DeltaTable(path).merge(source, "t.id = s.id", source_alias="s", target_alias="t")
    merge.when_matched_update_all().when_not_matched_insert_all().execute()
    DeltaTable(path).optimize.compact()
    DeltaTable(path).restore(1)
    write_deltalake(path, pa.Table.from_pylist(rows[:25][::-1]), mode="overwrite")
    last = DeltaTable(path).version()
    states = [state_of(path, number) for number in range(last + 1)]
    allowed: set[str] = set()
    for a in range(last + 1):
        for b in range(last + 1):
            key = "id" if (a + b) % 2 else []
            allowed |= {*assert_right(diff_versions(path, a, b, key=key), states[a], states[b])}
    assert allowed == {"None", "changes", "snapshots"}


def cases(name: str) -> list[Any]:
    file = SHARED / "cases" / name
    if not file.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"{file} is not here"))]
    text = file.read_text()
    found = json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.split("\n") if line]
    return [
        pytest.param(case, id=str(n) + " " + str(case.get("name", case.get("table")))) for n, case in enumerate(found)
    ]


@pytest.mark.parametrize("case", cases("delta_cdf.jsonl"))
def test_cases_of_delta_kernel(case: Mapping[str, Any]) -> None:
    """Tables with a feed that Spark wrote (mapped columns, vectors, partitions): both ways, every two versions."""
    table = SHARED / case["table"]
    log = tv.open_table(table).log
    readable = {}
    for number in range(log.head_number() + 1):
        readable[number] = state_of(table, number)
    ways: set[str] = set()
    for a, before in readable.items():
        for b, after in readable.items():
            ways |= {*assert_right(diff_versions(table, a, b), before, after)}
    assert ways == {"None", "changes", "snapshots"}


@pytest.mark.parametrize("case", cases("keyed_diff.jsonl"))
def test_cases_of_dolt(case: Mapping[str, Any], path: Path) -> None:
    """Dolt's expected rows are ours, in the columns that the tables have (it follows renames, we do not)."""
    after = case["after"]

    def table(side: Mapping[str, Any]) -> pa.Table:
        rows = [dict(zip(side["columns"], row, strict=False)) for row in side["rows"]]  # a case has a value too many
        columns = {n: [row[n] for row in rows] for n in side["columns"]}
        return pa.table(
            {
                n: pa.array(v) if rows and any(x is not None for x in v) else pa.array(v, kinds[n])
                for n, v in columns.items()
            }
        )

    kinds = {n: pa.int64() for n in after["columns"]}
    for n, name in enumerate(after["columns"]):
        values = [row[n] for row in after["rows"] if row[n] is not None]
        if values and isinstance(values[0], str):
            kinds[name] = pa.string()
    if case["before"] is None:
        tv.create_table(path, table(after), key=after["key"])
        diff = version_changes(path, 0)
    else:
        tv.create_table(path, table(case["before"]), key=case["before"]["key"])
        tv.overwrite(path, table(after))
        diff = diff_versions(path, 0, "latest")
    names = after["columns"]
    nothing = dict.fromkeys(names)
    found = [({n: row[n] for n in names}, nothing) for row in diff.added.to_pylist()]
    found += [(nothing, {n: row[n] for n in names}) for row in diff.removed.to_pylist()]
    for row in diff.updated.to_pylist():
        images = [{n: row[n] if n in after["key"] else row[word + n] for n in names} for word in ("to_", "from_")]
        found.append((images[0], images[1]))
    expected = [dict(zip(case["diff_columns"], row, strict=True)) for row in case["diff_rows"]]
    shown = [n for n in names if f"to_{n}" in case["diff_columns"] and f"from_{n}" in case["diff_columns"]]
    got = sorted(str(([new[n] for n in shown], [old[n] for n in shown])) for new, old in found)
    assert got == sorted(str(([row[f"to_{n}"] for n in shown], [row[f"from_{n}"] for n in shown])) for row in expected)


@pytest.mark.parametrize("case", cases("csv_diff.json"))
def test_cases_of_csv_diff(case: Mapping[str, Any], tmp_path: Path) -> None:
    """csv-diff's added, removed and changed rows, and its columns, are ours."""
    for name in ("A", "B"):
        tv.create_table(tmp_path / name, list(case[name].values()), key="id")
    diff = diff_tables(tmp_path / "A", tmp_path / "B")
    expected = case["expected"]
    assert diff.added.to_pylist() == expected["added"]
    assert diff.removed.to_pylist() == expected["removed"]
    changed: dict[str, dict[str, list[str]]] = {}
    for cell in diff.cells.to_pylist():
        changed.setdefault(cell["id"], {})[cell["column"]] = [cell["old"], cell["new"]]
    assert [{"key": key, "changes": cells} for key, cells in changed.items()] == expected["changed"]
    assert [c.name for c in diff.schema if c.change == "added"] == expected["columns_added"]
    assert [c.name for c in diff.schema if c.change == "removed"] == expected["columns_removed"]
