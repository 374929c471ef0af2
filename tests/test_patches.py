"""A patch brings one version's rows to another, onto any head that has what it changes, or changes nothing."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st

import tablever as tv
from tablever import errors
from tablever.diff.patch_files import FOOTER, FORMAT, read_patch
from tablever.diff.patches import not_carried
from tablever.storage import LocalStorage
from tests import strategies
from tests.model import Row
from tests.reading import assert_rows, contents, rows_of

BEFORE: list[Row] = [
    {"id": 1, "label": "neg", "score": 0.5},
    {"id": 2, "label": "pos", "score": None},
    {"id": 3, "label": None, "score": float("nan")},
    {"id": 4, "label": "", "score": -0.0},
]
AFTER: list[Row] = [
    {"id": 1, "label": "pos", "score": 0.5},
    {"id": 2, "label": "pos", "score": 1.0},
    {"id": 4, "label": "", "score": 0.0},
    {"id": 5, "label": "new", "score": 2.0},
]
SCHEMA = pa.schema([("id", pa.int64()), ("label", pa.string()), ("score", pa.float64())])


def table_of(path: Path, rows: list[Row], key: str | None = "id", schema: pa.Schema = SCHEMA) -> tv.Table:
    return tv.create_table(path, pa.Table.from_pylist(rows, schema=schema), key=key)


def patch_of(folder: Path, before: list[Row], after: list[Row], key: str | None = "id") -> Path:
    """The patch from some rows to others."""
    table = table_of(folder / "made", before, key)
    tv.overwrite(table, pa.Table.from_pylist(after, schema=SCHEMA))
    file = folder / "changes.patch"
    tv.write_patch(tv.diff_versions(table, 0, "latest"), file)
    return file


def values(rows: Any) -> Counter[str]:
    return Counter(str(sorted((name, repr(value or 0.0)) for name, value in row.items())) for row in rows)


@given(data=st.data())
def test_a_patch_brings_any_rows_to_any_others(data: st.DataObject) -> None:
    """patch(a, b) applied to a copy of a gives b: every type, keyed or not, partitioned or not, columns added."""
    shape = data.draw(strategies.shapes())
    columns = shape.columns
    before = data.draw(shape.unique_rows(min_size=1))
    if data.draw(st.booleans()):
        columns = (*columns, *data.draw(strategies.more_columns(columns)))
    kept = data.draw(st.lists(st.sampled_from(before), unique_by=id)) if before else []
    fresh = data.draw(shape.unique_rows(columns))
    met = {repr([row[name] for name in shape.key]) for row in fresh}
    after = [*fresh, *(row for row in kept if not shape.key or repr([row[n] for n in shape.key]) not in met)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        a, b = (strategies.arrow_table(rows, c) for rows, c in ((before, shape.columns), (after, columns)))
        options: dict[str, Any] = {"key": shape.key or None, "partition_by": shape.partition_by or None}
        made = tv.create_table(folder / "made", a, deletes=shape.deletes, **options)
        tv.overwrite(made, b, evolve=True)
        count = tv.write_patch(tv.diff_versions(made, 0, "latest"), folder / "p")
        patch = read_patch(folder / "p")
        assert patch.rows.num_rows >= count
        copy = tv.create_table(folder / "copy", a, deletes=shape.deletes, **options)
        version = tv.apply_patch(copy, folder / "p")
        assert_rows(tv.read_version(copy), columns, after, "the patched copy")
        if version is not None:
            assert version.rows == len(after)
            assert (version.rows_added, version.rows_removed, version.rows_updated) == net_of(made)


def net_of(table: tv.Table) -> tuple[int | None, ...]:
    version = table.version()
    return version.rows_added, version.rows_removed, version.rows_updated


@pytest.mark.parametrize("key", ["id", None])
def test_counts_operation_and_order(tmp_path: Path, key: str | None) -> None:
    """An applied patch is one version that counts what it changed and says what it came from."""
    file = patch_of(tmp_path, BEFORE, AFTER, key)
    table = table_of(tmp_path / "t", BEFORE, key)
    version = tv.apply_patch(table, file, message="why")
    assert version is not None
    updated = 2 if key else 0
    assert (version.operation, version.message, version.number) == ("apply", "why", 1)
    assert (version.rows_added, version.rows_removed, version.rows_updated) == (3, 3, updated)
    info = json.loads((tmp_path / "t" / "_delta_log" / f"{1:020}.json").read_text().splitlines()[0])["commitInfo"]
    assert info["operationParameters"] == {"table": "made", "base": "0", "target": "1"}
    assert values(rows_of(tv.read_version(table))) == values(AFTER)


def test_a_patch_applies_to_a_later_head(tmp_path: Path) -> None:
    """The head need not be the base: rows that the patch does not touch may have changed, and columns been added."""
    file = patch_of(tmp_path, BEFORE, AFTER)
    table = table_of(tmp_path / "t", BEFORE)
    tv.append(table, [{"id": 9, "label": "other", "score": 1.0}])
    tv.append(table, [{"id": 10, "label": "x", "score": 1.0, "extra": 7}], evolve=True)
    tv.update(table, {"label": "'changed'"}, where="id = 9")
    tv.apply_patch(table, file)
    found = {row["id"]: row for row in rows_of(tv.read_version(table))}
    assert found[1] == {"id": 1, "label": "pos", "score": 0.5, "extra": None}
    assert found[9]["label"] == "changed"
    assert found[10]["extra"] == 7
    assert set(found) == {1, 2, 4, 5, 9, 10}


ALTERED: Mapping[str, tuple[Callable[[tv.Table], object], str, list[Any]]] = {
    "an updated row has another value": (lambda t: tv.update(t, {"score": "9"}, where="id = 1"), "different", [1]),
    "an updated row lost a null": (lambda t: tv.update(t, {"score": "9"}, where="id = 2"), "different", [2]),
    "an updated row is gone": (lambda t: tv.delete(t, where="id = 1"), "missing", [1]),
    "a removed row has another value": (lambda t: tv.update(t, {"label": "''"}, where="id = 3"), "different", [3]),
    "a removed row lost its NaN": (lambda t: tv.update(t, {"score": "NULL"}, where="id = 3"), "different", [3]),
    "a removed row is gone": (lambda t: tv.delete(t, where="id = 3"), "missing", [3]),
    "a key to insert is taken": (lambda t: tv.append(t, [{"id": 5, "label": "x", "score": 0.0}]), "existing", [5]),
    "a key to insert is there with the same row": (lambda t: tv.append(t, AFTER[3:]), "existing", [5]),
    "a row has a value in a column of later": (
        lambda t: tv.upsert(t, [{**BEFORE[0], "extra": 1}], evolve=True),
        "different",
        [1],
    ),
}


@pytest.mark.parametrize("name", ALTERED)
def test_every_altered_row_is_a_conflict(tmp_path: Path, name: str) -> None:
    """One row of the head that is not as the patch has it: refused, said which, and nothing is written."""
    alter, kind, keys = ALTERED[name]
    file = patch_of(tmp_path, BEFORE, AFTER)
    table = table_of(tmp_path / "t", BEFORE)
    alter(table)
    was = contents(tmp_path / "t")
    with pytest.raises(errors.ConflictError) as caught:
        tv.apply_patch(table, file)
    found = {each: getattr(caught.value, each) for each in ("missing", "different", "existing")}
    assert found == {"missing": [], "different": [], "existing": [], kind: keys}
    assert caught.value.keys == keys
    assert contents(tmp_path / "t") == was


def test_without_a_key_rows_must_be_there_as_often(tmp_path: Path) -> None:
    """A row removed twice must be there twice; a row inserted may be there already."""
    twice = [{"id": 1, "label": "x", "score": 0.0}] * 2
    file = patch_of(tmp_path, twice, [{"id": 1, "label": "y", "score": 0.0}], None)
    table = table_of(tmp_path / "t", twice[:1], None)
    tv.append(table, [{"id": 1, "label": "y", "score": 0.0}])
    was = contents(tmp_path / "t")
    with pytest.raises(errors.ConflictError, match="1 of its rows are not there") as caught:
        tv.apply_patch(table, file)
    assert caught.value.missing == [(1, "x", 0.0)]
    assert contents(tmp_path / "t") == was
    tv.append(table, twice)
    version = tv.apply_patch(table, file)
    assert version is not None
    assert (version.rows_added, version.rows_removed, version.rows) == (1, 2, 3)


@pytest.mark.parametrize("key", ["id", None])
def test_twice_conflicts_unless_it_is_one_batch(tmp_path: Path, key: str | None) -> None:
    """Applying a patch again is a conflict; with the same batch id it is the first load's version."""
    file = patch_of(tmp_path, BEFORE, AFTER, key)
    table = table_of(tmp_path / "t", BEFORE, key)
    first = tv.apply_patch(table, file, batch_id="fix")
    assert tv.apply_patch(table, file, batch_id="fix") == first
    with pytest.raises(errors.ConflictError, match="cannot apply") as c:
        tv.apply_patch(table, file)
    assert "perhaps it is applied already" in str(c.value.hint)
    (tmp_path / "other").mkdir()
    with pytest.raises(errors.InvalidInputError, match="with other content"):
        tv.apply_patch(table, patch_of(tmp_path / "other", AFTER, BEFORE, key), batch_id="fix")


def test_keys_that_another_tool_gave_twice(tmp_path: Path) -> None:
    """Of a doubled key the rows that the patch has must be there, and go; none is put beside others of its key."""
    first, second = BEFORE[0], {"id": 1, "label": "again", "score": 1.0}
    for name in ("made", "t"):
        table_of(tmp_path / name, [first])
        write_deltalake(tmp_path / name, pa.Table.from_pylist([second], schema=SCHEMA), mode="append")
    tv.delete(tmp_path / "made", where="label = 'again'")
    tv.delete(tmp_path / "made", where="id = 1")
    tv.append(tmp_path / "made", [AFTER[0]])
    tv.write_patch(tv.diff_versions(tmp_path / "made", 1, 2), tmp_path / "repair")
    tv.write_patch(tv.diff_versions(tmp_path / "made", 1, "latest"), tmp_path / "replace")
    tv.write_patch(tv.diff_versions(tmp_path / "made", 2, "latest"), tmp_path / "update")
    with pytest.raises(errors.ConflictError) as caught:
        tv.apply_patch(tmp_path / "t", tmp_path / "update")
    assert caught.value.existing == [1], "the other row has the key"
    tv.apply_patch(tmp_path / "t", tmp_path / "repair")
    assert values(rows_of(tv.read_version(tmp_path / "t"))) == values([first])
    with pytest.raises(errors.ConflictError) as caught:
        tv.apply_patch(tmp_path / "t", tmp_path / "replace")
    assert caught.value.missing + caught.value.different == [1], "the second row is gone"
    tv.restore(tmp_path / "t", 1)
    tv.apply_patch(tmp_path / "t", tmp_path / "replace")
    assert values(rows_of(tv.read_version(tmp_path / "t"))) == values([AFTER[0]])


def test_revert_says_the_same_of_rows(tmp_path: Path) -> None:
    """revert and apply share how they refuse: what is missing, different, there already."""
    table = table_of(tmp_path / "t", BEFORE)
    tv.overwrite(table, pa.Table.from_pylist(AFTER, schema=SCHEMA))
    tv.append(table, BEFORE[2:3])
    tv.update(table, {"label": "'x'"}, where="id = 1")
    tv.delete(table, where="id = 5")
    with pytest.raises(errors.ConflictError, match="cannot revert version 1 of 't'") as caught:
        tv.revert(table, 1)
    assert (caught.value.missing, caught.value.different, caught.value.existing) == ([5], [1], [3])
    assert caught.value.keys == [5, 1, 3]


def interrupted_by(monkeypatch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
    """Let another writer commit between the next plan and its put."""
    put, waiting = LocalStorage.put_if_absent, [other]

    def late(self: LocalStorage, relative: str, data: bytes) -> bool:
        if waiting:
            waiting.pop()()
        return put(self, relative, data)

    monkeypatch.setattr(LocalStorage, "put_if_absent", late)


def test_a_writer_that_comes_first_is_planned_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A patch that loses the race to other rows lands after them; both are there."""
    file = patch_of(tmp_path, BEFORE, AFTER)
    table = table_of(tmp_path / "t", BEFORE)
    interrupted_by(monkeypatch, lambda: tv.append(tmp_path / "t", [{"id": 7, "label": "x", "score": 1.0}]))
    version = tv.apply_patch(table, file)
    assert version is not None
    assert version.number == 2
    assert sorted(tv.read_version(table)["id"].to_pylist()) == [1, 2, 4, 5, 7]


def test_a_writer_that_changes_the_rows_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A patch that loses the race to a change of its own rows is refused, and leaves nothing behind."""
    file = patch_of(tmp_path, BEFORE, AFTER)
    table = table_of(tmp_path / "t", BEFORE)
    interrupted_by(monkeypatch, lambda: tv.update(tmp_path / "t", {"label": "'x'"}, where="id = 1"))
    with pytest.raises(errors.ConflictError):
        tv.apply_patch(table, file)
    assert tv.resolve_version(table).number == 1
    named = {path for path in contents(tmp_path / "t") if path.endswith(".parquet")}
    log = "".join(path.read_text() for path in (tmp_path / "t" / "_delta_log").glob("*.json"))
    assert all(path in log for path in named)


def test_a_patch_adds_columns_with_their_values(tmp_path: Path) -> None:
    """A column that only the later version has comes with the values that rows have in it, null in the others."""
    table = table_of(tmp_path / "made", BEFORE)
    tv.upsert(table, [{**BEFORE[0], "extra": [1, 2]}], evolve=True)
    count = tv.write_patch(tv.diff_versions(table, 0, 1), tmp_path / "p")
    assert count == 1, "a new column's value is a change of a patch, though not of a diff"
    copy = table_of(tmp_path / "t", BEFORE)
    version = tv.apply_patch(copy, tmp_path / "p")
    assert version is not None
    assert tv.read_version(copy).schema == tv.read_version(table).schema
    assert values(rows_of(tv.read_version(copy))) == values(rows_of(tv.read_version(table)))
    wider = table.schema.append(pa.field("x", pa.int8())).empty_table()
    only_columns = tv.append(table, wider, evolve=True)
    assert only_columns is not None
    assert tv.write_patch(tv.diff_versions(table, 1, 2), tmp_path / "q") == 0
    version = tv.apply_patch(copy, tmp_path / "q")
    assert version is not None
    assert copy.schema.names == ["id", "label", "score", "extra", "x"]
    assert tv.apply_patch(copy, tmp_path / "q") is None, "the column is there"


def test_dropped_and_retyped_columns_are_refused(tmp_path: Path) -> None:
    """A patch that takes a column away, or gives it another type, is refused by name; nothing is written."""
    table = table_of(tmp_path / "made", BEFORE)
    tv.overwrite(table, [{"id": 1, "score": 2.0}], replace_schema=True)
    tv.overwrite(table, [{"id": 1, "score": "two"}], replace_schema=True)
    copy = table_of(tmp_path / "t", BEFORE)
    for a, b, how in ((0, 1, "drops column 'label'"), (1, 2, "retypes column 'score'")):
        tv.write_patch(tv.diff_versions(table, a, b), tmp_path / "p")
        with pytest.raises(errors.UnsupportedFeatureError, match=how):
            tv.apply_patch(copy, tmp_path / "p")
    assert tv.resolve_version(copy).number == 0


def test_columns_that_the_table_has_otherwise_are_a_conflict(tmp_path: Path) -> None:
    """A column of the patch that the head has in another type, or no longer, is named."""
    file = patch_of(tmp_path, BEFORE, AFTER)
    rows = [{"id": 1, "label": "neg", "score": "0.5"}]
    retyped = tv.create_table(tmp_path / "t", rows, key="id")
    with pytest.raises(errors.ConflictError, match="column 'score'") as caught:
        tv.apply_patch(retyped, file)
    assert caught.value.column == "score"
    gone = tv.create_table(tmp_path / "u", [{"id": 1, "label": "neg"}], key="id")
    with pytest.raises(errors.ConflictError, match=r"'score'.*gone"):
        tv.apply_patch(gone, file)


def test_the_key_must_be_the_same(tmp_path: Path) -> None:
    """A keyed patch does not fit a table without a key, nor the other way."""
    (tmp_path / "k").mkdir()
    keyed, keyless = patch_of(tmp_path, BEFORE, AFTER), patch_of(tmp_path / "k", BEFORE, AFTER, None)
    with pytest.raises(errors.ConflictError, match="the patch has the key 'id', the table has no key"):
        tv.apply_patch(table_of(tmp_path / "t", BEFORE, None), keyed)
    with pytest.raises(errors.ConflictError, match="the patch has no key, the table has the key 'id'"):
        tv.apply_patch(table_of(tmp_path / "u", BEFORE), keyless)


def test_the_tables_rules_hold(tmp_path: Path) -> None:
    """NOT NULL and CHECK of the table hold for the rows of a patch, as for any write."""
    file = patch_of(tmp_path, BEFORE, AFTER)
    table = table_of(tmp_path / "t", BEFORE)
    tv.add_constraint(table, "small", "id < 5")
    with pytest.raises(errors.ConstraintError):
        tv.apply_patch(table, file)
    assert tv.resolve_version(table).number == 1


def test_only_a_whole_exact_diff_is_a_patch(tmp_path: Path) -> None:
    """A diff with a tolerance, or of some columns, is refused; one of every column by name is not."""
    table = table_of(tmp_path / "t", BEFORE)
    tv.overwrite(table, pa.Table.from_pylist(AFTER, schema=SCHEMA))
    for options in ({"tolerance": 0.1}, {"columns": ["label"]}, {"exclude": ["score"]}):
        with pytest.raises(errors.InvalidInputError, match="cannot be a patch"):
            tv.write_patch(tv.diff_versions(table, 0, 1, **options), tmp_path / "p")  # type: ignore[arg-type]
    assert not (tmp_path / "p").exists()
    assert tv.write_patch(tv.diff_versions(table, 0, 1, columns=["id", "label", "score"]), tmp_path / "p") == 4


def test_a_patch_that_its_table_would_refuse_is_not_written(tmp_path: Path) -> None:
    """A diff by another key than the left version's is no patch: apply would refuse it."""
    for name, own, asked, said in (
        ("k", None, ["id"], "by the key 'id' cannot be a patch: version 0 of 'k' has no key"),
        ("l", "id", [], "by no key cannot be a patch: version 0 of 'l' has the key 'id'"),
        ("m", "id", ["label"], "by the key 'label' cannot be a patch: version 0 of 'm' has the key 'id'"),
    ):
        table = table_of(tmp_path / name, BEFORE, own)
        tv.delete(table, where="id = 3")
        with pytest.raises(errors.InvalidInputError, match=said):
            tv.write_patch(tv.diff_versions(table, 0, 1, key=asked), tmp_path / "p")
    assert not (tmp_path / "p").exists()
    assert tv.write_patch(tv.diff_versions(table, 0, 1, key=["id"]), tmp_path / "p") == 1


def test_what_a_patch_does_not_carry(tmp_path: Path) -> None:
    """Every change of the schema but new columns is named, so that the one who writes the patch can be told."""
    table = table_of(tmp_path / "t", BEFORE)
    tv.append(table, [{"id": 9, "label": "x", "score": 1.0, "extra": 1}], evolve=True)
    assert not_carried(tv.diff_versions(table, 0, 1)) == ()
    tv.add_constraint(table, "small", "id < 50")
    assert [change.name for change in not_carried(tv.diff_versions(table, 0, 2))] == ["delta.constraints.small"]


def test_from_nothing_from_another_table_and_from_rows(tmp_path: Path) -> None:
    """A first version, two tables, and rows not committed make patches as two versions do."""
    table = table_of(tmp_path / "a", BEFORE)
    assert tv.write_patch(tv.version_changes(table, 0), tmp_path / "p") == 4
    empty = tv.create_table(tmp_path / "empty", SCHEMA, key="id")
    tv.apply_patch(empty, tmp_path / "p")
    assert values(rows_of(tv.read_version(empty))) == values(BEFORE)
    other = table_of(tmp_path / "b", AFTER)
    tv.write_patch(tv.diff_tables(table, other), tmp_path / "q")
    tv.apply_patch(empty, tmp_path / "q")
    assert values(rows_of(tv.read_version(empty))) == values(AFTER)
    tv.write_patch(tv.diff_rows(table, [{"id": 1, "label": "z", "score": 3.0}]), tmp_path / "r")
    patch = read_patch(tmp_path / "r")
    assert (patch.target, patch.base and patch.base["number"]) == (None, 0)
    tv.apply_patch(table, tmp_path / "r")
    assert tv.read_version(table, where="id = 1")["label"].to_pylist() == ["z"]


def test_the_file_is_plain_parquet(tmp_path: Path) -> None:
    """Any reader of Parquet sees the rows of table_diff; the footer says what they are."""
    file = patch_of(tmp_path, BEFORE, AFTER)
    rows = pl.read_parquet(file)
    assert rows.columns == ["id", "label", "score", "_change_type"]
    kinds = Counter(rows["_change_type"])
    assert kinds == {"delete": 1, "insert": 1, "update_preimage": 2, "update_postimage": 2}
    images = rows.filter(pl.col("_change_type").str.starts_with("update"))
    assert images["_change_type"].to_list() == ["update_preimage", "update_postimage"] * 2
    assert images["id"].to_list() == [1, 1, 2, 2]
    footer = json.loads(pq.read_metadata(file).metadata[FOOTER.encode()])
    version = tv.resolve_version(tmp_path / "made")
    assert footer["format"] == "tablever.patch/v1" == FORMAT
    hashes = {"commit_hash": version.commit_hash, "content_hash": version.content_hash}
    assert footer["target"] == {"number": 1, **hashes}
    assert (footer["table"], footer["key"]) == ("made", ["id"])
    assert footer["counts"] == {"added": 1, "removed": 1, "updated": 2}
    assert [column["name"] for column in footer["before"]["fields"]] == ["id", "label", "score"]


def rewritten(file: Path, change: Callable[[pa.Table, dict[str, Any]], pa.Table]) -> None:
    """The patch again, with other rows or another footer."""
    rows = pq.read_table(file)
    footer = json.loads(pq.read_metadata(file).metadata[FOOTER.encode()])
    rows = change(rows, footer)
    pq.write_table(rows.replace_schema_metadata({FOOTER: json.dumps(footer)}), file)


def text_column(rows: pa.Table, footer: dict[str, Any]) -> pa.Table:  # noqa: ARG001
    return rows.set_column(2, "score", pa.array(["x"] * rows.num_rows))


def other_keys(rows: pa.Table, footer: dict[str, Any]) -> pa.Table:  # noqa: ARG001
    after = pc.equal(rows["_change_type"], "update_postimage")
    return rows.set_column(0, "id", pc.if_else(after, pc.add(rows["id"], 100), rows["id"]))


DAMAGED: Mapping[str, tuple[Callable[..., object], str]] = {
    "text": (lambda f: f.write_text("id,label\n1,x\n"), "is no patch"),
    "nothing": (lambda f: f.write_bytes(b""), "is no patch"),
    "cut": (lambda f: f.write_bytes(f.read_bytes()[:-100]), "is no patch"),
    "other Parquet": (lambda f: pq.write_table(pa.table({"id": [1]}), f), "its footer has no 'tablever.patch'"),
    "a footer that is no JSON": (
        lambda f: pq.write_table(pa.table({"id": [1]}).replace_schema_metadata({FOOTER: "{"}), f),
        "its footer does not say",
    ),
    "a footer without a key": (lambda f: rewritten(f, lambda r, n: (n.pop("key"), r)[1]), "its footer does not say"),
    "a schema that is none": (lambda f: rewritten(f, lambda r, n: (n.update(after=3), r)[1]), "its footer does not"),
    "a column too many": (
        lambda f: rewritten(f, lambda r, _: r.append_column("more", pa.nulls(r.num_rows, pa.int8()))),
        "its columns are",
    ),
    "a column too few": (lambda f: rewritten(f, lambda r, _: r.drop_columns("label")), "its columns are"),
    "an unknown change": (
        lambda f: rewritten(f, lambda r, _: r.set_column(3, "_change_type", pa.array(["upsert"] * r.num_rows))),
        "_change_type holds 'upsert'",
    ),
    "a column of another type": (lambda f: rewritten(f, text_column), "not of the types"),
    "a key that is no column": (lambda f: rewritten(f, lambda r, n: (n.update(key=["x"]), r)[1]), "its key 'x'"),
    **{
        f"without its {kind} rows": (
            lambda f, kind=kind: rewritten(f, lambda r, _: r.filter(pc.not_equal(r["_change_type"], kind))),
            "its footer counts",
        )
        for kind in ("insert", "delete", "update_preimage", "update_postimage")
    },
    "its inserts alone": (
        lambda f: rewritten(f, lambda r, _: r.filter(pc.equal(r["_change_type"], "insert"))),
        "its footer counts",
    ),
    "no rows": (lambda f: rewritten(f, lambda r, _: r.slice(0, 0)), "its footer counts"),
    "its first rows": (lambda f: rewritten(f, lambda r, _: r.slice(0, 3)), "its footer counts"),
    "a row twice": (lambda f: rewritten(f, lambda r, _: pa.concat_tables([r, r.slice(0, 1)])), "its footer counts"),
    **{
        f"another count of {kind} rows": (
            lambda f, kind=kind: rewritten(f, lambda r, n: (n["counts"].update({kind: 7}), r)[1]),
            "its footer counts",
        )
        for kind in ("added", "removed", "updated")
    },
    "counts that are none": (
        lambda f: rewritten(f, lambda r, n: (n["counts"].update(added="1"), r)[1]),
        "its footer does not say",
    ),
    "no counts": (lambda f: rewritten(f, lambda r, n: (n.pop("counts"), r)[1]), "its footer does not say"),
    "no count of added rows": (
        lambda f: rewritten(f, lambda r, n: (n["counts"].pop("added"), r)[1]),
        "its footer does not say",
    ),
    "images of other keys": (lambda f: rewritten(f, other_keys), "not of the same keys"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_no_patch_is_refused(tmp_path: Path, name: str) -> None:
    """A file that is no patch, or does not hold what its footer says, is refused with the reason; nothing happens."""
    damage, said = DAMAGED[name]
    file = patch_of(tmp_path, BEFORE, AFTER)
    damage(file)
    table = table_of(tmp_path / "t", BEFORE)
    with pytest.raises(errors.InvalidInputError, match="is no patch") as caught:
        tv.apply_patch(table, file)
    assert said in str(caught.value)
    assert tv.resolve_version(table).number == 0


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """Any single flipped bit in a page of the file is refused: pages carry checksums."""
    file = patch_of(tmp_path, BEFORE, AFTER)
    whole = file.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little")
    table = table_of(tmp_path / "t", BEFORE)
    metadata = pq.read_metadata(file).row_group(0)
    spans = [metadata.column(i) for i in range(metadata.num_columns)]
    ends = [(span.dictionary_page_offset or span.data_page_offset) + span.total_compressed_size - 1 for span in spans]
    assert all(end < len(whole) - 8 - footer for end in ends)
    for place in ends:  # the last byte of each column's last page
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(errors.InvalidInputError, match="is no patch"):
            tv.apply_patch(table, file)
    file.write_bytes(whole)
    assert tv.apply_patch(table, file) is not None


def test_a_later_format_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    """A format of later is unsupported, by name; a file that is not there is not found."""
    file = patch_of(tmp_path, BEFORE, AFTER)
    rewritten(file, lambda rows, footer: (footer.update(format="tablever.patch/v2"), rows)[1])
    with pytest.raises(errors.UnsupportedFeatureError, match=r"tablever\.patch/v2"):
        read_patch(file)
    with pytest.raises(errors.NotFoundError, match="there is no file"):
        read_patch(tmp_path / "none")


def test_a_patch_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    """A folder that does not exist is an error; a file of that name is replaced as a whole or stays."""
    table = table_of(tmp_path / "t", BEFORE)
    tv.delete(table, where="id = 1")
    with pytest.raises(errors.StorageError, match="no folder"):
        tv.write_patch(tv.diff_versions(table, 0, 1), tmp_path / "none" / "p")
    (tmp_path / "p").write_text("mine")
    with pytest.raises(errors.InvalidInputError):
        tv.write_patch(tv.diff_versions(table, 0, 1, exclude=["score"]), tmp_path / "p")
    assert (tmp_path / "p").read_text() == "mine"
    tv.write_patch(tv.diff_versions(table, 0, 1), tmp_path / "p")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p", "t"]
