"""A row's life: lifetimes give every version back, events and last writers are those of a naive replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis.stateful import invariant, precondition, rule

import tablever as tv
from tablever import errors
from tablever.delta.vectors import load_once
from tests.model import Column, Commit, Counts, State, canonical
from tests.replaying import Change, Replay, changes, lives, replay
from tests.sealing import rewrite
from tests.test_foreign import MADE, arrow, states
from tests.test_state_machine import Store, machine


def check_lifetimes(path: Path, found_states: Sequence[State], readable: Sequence[int] | None = None) -> None:
    """Lifetimes are the replay's, and those that a version falls in are exactly its rows."""
    past = replay(found_states)
    found = tv.query("SELECT * FROM table_history('t')", tables={"t": path})
    assert found.column_names == [c.name for c in past.columns] + ["_added_version", "_removed_version"]
    rows = found.to_pylist()
    for number in range(len(found_states)) if readable is None else readable:
        here = [row for row in rows if row["_added_version"] <= number < (row["_removed_version"] or 10**9)]
        assert Counter(map(past.cells, here)) == past.at(number), f"the lifetimes around version {number}"
    if readable is None:
        spans = Counter((past.cells(row), row["_added_version"], row["_removed_version"]) for row in rows)
        assert spans == lives(past)


def event_of(past: Replay, event: tv.RowEvent) -> Change:
    kinds = {column.name: column.type for column in past.columns}
    cells = tuple(
        (name, canonical(old, kinds[name]), canonical(new, kinds[name])) for name, (old, new) in event.cells.items()
    )
    return Change(event.version, event.change, past.cells(event.row), cells, event.rows)


def check_events(path: Path, found_states: Sequence[State], names: int = 12) -> None:
    """The history of each row there ever was is that of the replay."""
    past = replay(found_states, gone=bool(found_states[-1].key))
    expected: dict[Any, list[Change]] = {}
    for name, change in changes(past):
        expected.setdefault(name, []).append(change)
    samples = {past.name(row): row for rows in past.versions for row in rows}
    columns = past.key or [column.name for column in past.columns]
    for name in list(samples)[:names]:
        if past.key and None in name:
            continue
        given = {column: samples[name][column] for column in columns}
        found = [event_of(past, event) for event in tv.row_history(path, given)]
        assert Counter(found) == Counter(expected[name]), f"the life of {given}"
        assert found == sorted(found, key=lambda change: change.version)


def check_blame(path: Path, found_states: Sequence[State], number: int) -> None:
    """Last writers are those of the replay, for all rows, and for keys, the deleted ones included."""
    past = replay(found_states[: number + 1])
    last: dict[Any, Change] = {}
    setting: dict[Any, dict[str, int]] = {}
    for name, change in changes(past):
        last[name] = change
        if change.change == "insert":
            setting[name] = dict.fromkeys((column.name for column in past.columns), change.version)
        elif change.change == "update":
            setting[name] |= {cell[0]: change.version for cell in change.cells}  # type: ignore[attr-defined]
    spans = Counter({(cells, added): n for (cells, added, end), n in lives(past).items() if end is None})
    rows = past.versions[number]
    found = tv.blame(path, number, cells=bool(past.key)).to_pylist()
    if not past.key:
        assert Counter((past.cells(row), row["_commit_version"]) for row in found) == spans
        return
    held = [Counter(map(past.name, version)) for version in past.versions]
    torn = {name for counts in held for name, count in counts.items() if count > 1}
    whole = {past.name(row): past.cells(row) for row in rows}
    if len(whole) < len(rows) or any(None in name for name in whole):
        return
    assert [past.name(row) for row in found] == list(map(past.name, tv.read_version(path, number).to_pylist()))

    def check(row: dict[str, Any], name: Any) -> None:
        if name in torn and name in whole:
            assert spans[whole[name], row["_commit_version"]] == 1
            assert row["_change_type"] != "delete"
            return
        assert (row["_change_type"], row["_commit_version"]) == (last[name].change, last[name].version)
        for column in past.columns:
            if column.name not in past.key:
                expected = setting[name][column.name] if name in whole else None
                assert row[f"_commit_version_{column.name}"] == expected, column.name

    for row in found:
        check(row, past.name(row))
    samples = {past.name(row): row for version in past.versions for row in version}
    names = [name for name in last if None not in name]
    found = tv.blame(path, number, keys=[{c: samples[n][c] for c in past.key} for n in names], cells=True).to_pylist()
    assert [past.name(row) for row in found] == names
    for row in found:
        check(row, past.name(row))


class Lives(Store):
    """The store under random operations, ours and deltalake's; what its rows' lives are, against the replay."""

    @precondition(lambda self: len(self.model.versions) > 1)
    @rule()
    def compact_by_deltalake(self) -> None:
        """Another tool rewrites the files: no row's life ends."""
        foreign = DeltaTable(str(self.path))
        foreign.optimize.compact()
        if foreign.version() == len(self.model.versions):
            self.model.versions.append(Commit(self.model.head, "optimize", Counts(0, 0)))

    every_version_reads_back = None  # type: ignore[assignment]  # what the others hold is held there
    counts_add_up = None  # type: ignore[assignment]
    content_hash_is_that_of_the_rows = None  # type: ignore[assignment]
    change_rows_rebuild_the_version = None  # type: ignore[assignment]

    @invariant()
    def lives_are_those_of_the_replay(self) -> None:
        found = [commit.state for commit in self.model.versions]
        check_lifetimes(self.path, found)
        check_events(self.path, found, names=6)
        check_blame(self.path, found, len(found) - 1)
        check_blame(self.path, found, len(found) // 2)


TestKeyed = machine(Lives, keyed=True, partitioned=False)
TestKeyless = machine(Lives, keyed=False, partitioned=False)
TestKeyedPartitioned = machine(Lives, keyed=True, partitioned=True)
TestKeylessPartitioned = machine(Lives, keyed=False, partitioned=True)


def states_of(path: Path) -> list[State]:
    """Each version of a table of nobody's model, as deltalake reads it."""
    found = []
    for number, rows in states(path).items():
        schema = tv.read_version(path, number).schema
        key = tv.open_table(path).log.snapshot(number).metadata.key
        found.append(State(tuple(Column(field.name, field.type) for field in schema), key, tuple(rows)))
    return found


@pytest.mark.parametrize("kind", MADE)
def test_foreign_tables(tmp_path: Path, kind: str) -> None:
    """Tables that deltalake made, with a change feed or without: the replay's lives, keyed or not, compacted or not."""
    path = tmp_path / "t"
    MADE[kind](path)
    DeltaTable(path).optimize.compact()
    for keyed in (False, True):
        if keyed:
            tv.set_key(path, "id")
            tv.upsert(path, arrow([{"id": 3, "text": "ours", "part": "x=y", "score": 1.0}]))
            DeltaTable(path).delete("id = 3")
        found = states_of(path)
        check_lifetimes(path, found)
        check_events(path, found, names=80)
        for number in (0, 3, len(found) - 1):
            check_blame(path, found, number)


@pytest.fixture
def vacuumed(tmp_path: Path) -> tuple[Path, list[State]]:
    """Versions of which the files of the second and third are gone, but for those that others need."""
    path = tmp_path / "t"
    schema = pa.schema([("id", pa.int64()), ("x", pa.int64())])
    write_deltalake(path, pa.table({"id": range(9), "x": [0] * 9}, schema=schema))
    tv.set_key(path, "id")
    for x in (1, 2, 3):
        DeltaTable(path).update(predicate="id < 4", updates={"x": f"{x}"})
        if x == 2:
            DeltaTable(path).delete("id = 8")
    found = states_of(path)
    log = tv.open_table(path).log
    needed = {file.path for n in (0, 1, 5) for file in log.snapshot(n).files}
    lost = {file.path for n in (2, 3, 4) for file in log.snapshot(n).files} - needed
    assert lost
    for file in lost:
        (path / file).unlink()
    return path, found


def test_a_vacuumed_gap_is_one_step(vacuumed: tuple[Path, list[State]]) -> None:
    """Where versions between two readable ones are gone, what changed between those two is known, and since when."""
    path, found = vacuumed
    check_lifetimes(path, found, readable=[0, 1, 5])
    (first, last) = tv.row_history(path, 2)
    assert (first.version, first.change) == (0, "insert")
    assert (last.version, last.earliest, last.change, dict(last.cells)) == (5, 2, "update", {"x": (0, 3)})
    gone = tv.blame(path, keys=[8, 2, 5], cells=True)
    assert gone["_change_type"].to_pylist() == ["delete", "update", "insert"]
    assert gone["_commit_version"].to_pylist() == [5, 5, 0]
    assert gone["_commit_version_x"].to_pylist() == [None, 5, 0]


def test_history_begins_where_the_table_can_be_read(vacuumed: tuple[Path, list[State]]) -> None:
    """With the first versions vacuumed, the oldest readable one brings its rows in."""
    path, found = vacuumed
    log = tv.open_table(path).log
    for name in {file.path for file in log.snapshot(0).files} - {file.path for file in log.snapshot(5).files}:
        (path / name).unlink()
    (event,) = tv.row_history(path, 2)
    assert (event.version, event.earliest, event.change, event.row) == (5, 0, "insert", {"id": 2, "x": 3})
    check_lifetimes(path, found, readable=[5])
    assert tv.blame(path, keys=[8]).num_rows == 0


def test_a_cleaned_log(tmp_path: Path) -> None:
    """Where the oldest entries are gone, history begins at the checkpoint that is left."""
    path = tmp_path / "t"
    tv.create_table(path, [{"id": 1, "x": 0}], key="id")
    for x in (1, 2, 3, 4):
        tv.upsert(path, [{"id": 1, "x": x}])
    DeltaTable(path, version=2).create_checkpoint()
    for number in (0, 1):
        (path / "_delta_log" / f"{number:020d}.json").unlink()
    events = tv.row_history(path, 1)
    assert [(e.version, e.change, dict(e.cells)) for e in events] == [
        (2, "insert", {}),
        (3, "update", {"x": (2, 3)}),
        (4, "update", {"x": (3, 4)}),
    ]
    rows = tv.query("FROM table_history('t') ORDER BY _added_version", tables={"t": path}).to_pylist()
    assert [(row["_added_version"], row["_removed_version"]) for row in rows] == [(2, 3), (3, 4), (4, None)]


def test_a_dropped_column_is_seen_in_the_row(tmp_path: Path) -> None:
    """A row's history has the columns that went: their cells empty as the column goes."""
    path = tmp_path / "t"
    tv.create_table(path, [{"id": 1, "x": 0, "note": "a"}], key="id")
    tv.overwrite(path, [{"id": 1, "x": 0}], replace_schema=True)
    first, second = tv.row_history(path, 1)
    assert first.row == {"id": 1, "x": 0, "note": "a"}
    assert dict(second.cells) == {"note": ("a", None)}
    spans = tv.query("FROM table_history('t')", tables={"t": path}).to_pylist()
    assert spans == [{"id": 1, "x": 0, "_added_version": 0, "_removed_version": None}], "the head lacks it"


@pytest.mark.parametrize(
    ("key", "given", "words"),
    [
        ("id", {"x": 1}, "the key of 't' is 'id'"),
        ("id", (1, 2), "2 values"),
        ("id", None, "cannot hold nulls"),
        (["id", "x"], 1, "1 values"),
        (None, 1, "no key"),
        (None, {"id": 1}, "'id', 'x'"),
    ],
)
def test_what_names_no_row_is_refused(tmp_path: Path, key: Any, given: Any, words: str) -> None:
    """A key of other columns, of too few or too many values, or null, is refused with what a key here is."""
    tv.create_table(tmp_path / "t", [{"id": 1, "x": 2}], key=key)
    with pytest.raises(errors.InvalidKeyError, match=words):
        tv.row_history(tmp_path / "t", given)
    with pytest.raises(errors.InvalidKeyError, match=words):
        tv.blame(tmp_path / "t", keys=[given])


def test_ways_to_give_a_key(tmp_path: Path) -> None:
    """A value, a tuple in the key's order, a mapping, or rows: the same row; a value that does not fit is an error."""
    path = tmp_path / "t"
    tv.create_table(path, [{"a": 1, "b": "x", "v": 0}, {"a": 1, "b": "y", "v": 0}], key=["b", "a"])
    tv.delete(path, where="b = 'y'")
    assert tv.row_history(path, ("y", 1)) == tv.row_history(path, {"a": 1, "b": "y"})
    assert [event.change for event in tv.row_history(path, ["y", 1])] == ["insert", "delete"]
    assert tv.row_history(path, ("z", 1)) == []
    rows = pa.table({"a": [1, 1], "b": ["y", "x"]})
    assert tv.blame(path, keys=rows)["_change_type"].to_pylist() == ["delete", "insert"]
    assert tv.blame(path, keys=[]).num_rows == 0
    for ask in (
        lambda: tv.row_history(path, ("y", "1")),
        lambda: tv.blame(path, keys=rows.append_column("v", [[0, 0]])),
    ):
        with pytest.raises(errors.SchemaMismatchError) as refused:
            ask()
        assert "named by 'b' (string), 'a' (int64)" in str(refused.value.hint)
    with pytest.raises(errors.InvalidInputError) as no_rows:
        tv.blame(path, keys="y")
    assert "a list of keys" in str(no_rows.value.hint)


def test_lost_vectors(tmp_path: Path) -> None:
    """Where deletion vectors are gone, the versions around are compared; where the version itself is, that is said."""
    path = tmp_path / "t"
    table = tv.create_table(path, pa.table({"id": range(20_000), "x": [0] * 20_000}), key="id")
    entry = path / "_delta_log" / f"{0:020d}.json"
    feed = '"delta.enableChangeDataFeed":"true"'  # without one, vectors alone say what was deleted
    assert feed in entry.read_text()
    rewrite(entry, entry.read_text().replace(feed, feed.replace("true", "false")))
    for part in range(1, 4):
        tv.delete(table, where=f"id % 5 = {part} AND hash(id) % 2 = 0 AND id > 5")
    vectors = sorted((path / "_dv").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    assert len(vectors) == 3
    for file in vectors[:2]:
        file.unlink()
    load_once.cache_clear()
    table = tv.open_table(path)
    gone = next(n for n in range(6, 20_000) if n % 5 == 1 and not table.read(where=f"id = {n}").num_rows)
    assert [(e.version, e.earliest, e.change) for e in table.history(gone)] == [(0, 0, "insert"), (3, 1, "delete")]
    vectors[2].unlink()
    load_once.cache_clear()
    with pytest.raises(errors.VersionVacuumedError, match="versions 1 to 3"):
        tv.open_table(path).history(gone)


ANSWERS: dict[str, Callable[[Path, str], Mapping[str, Any]]] = {
    "row_history": lambda path, name: tv.row_history(path, {"id": 1, "x": 2, name: 5})[0].row,
    "table_history": lambda path, _: tv.query("FROM table_history('t')", tables={"t": path}).to_pylist()[0],
    "table_changes": lambda path, _: tv.query("FROM table_changes('t', 0, 1)", tables={"t": path}).to_pylist()[0],
    "blame": lambda path, _: tv.blame(path).to_pylist()[0],
}


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("_added_version", {"table_history", "blame"}),
        ("_change_type", {"table_changes", "blame"}),
        ("_Commit_Version", {"table_changes", "blame"}),
        ("_commit_version_x", set()),
        ("__tv_step", {"row_history", "table_history", "blame"}),
    ],
)
def test_columns_of_others_with_our_names(tmp_path: Path, name: str, refused: set[str]) -> None:
    """Where another tool's table has a column of a name that an answer needs, the answer is right or refused."""
    path = tmp_path / "t"
    for number in (1, 2):
        write_deltalake(path, pa.table({"id": [number], "x": [2], name: [5]}), mode="append")
    for what, ask in ANSWERS.items():
        if what in refused:
            with pytest.raises(errors.SchemaMismatchError, match=f"a column '{name}'"):
                ask(path, name)
        else:
            assert ask(path, name)[name] == 5, what
    tv.set_key(path, "id")
    with pytest.raises(errors.SchemaMismatchError, match=f"a column '{name}'"):
        tv.blame(path, cells=True)


def test_change_rows_that_were_not_there(tmp_path: Path) -> None:
    """A commit of another tool whose change rows take out what no version had is named, and not believed."""
    path = tmp_path / "t"
    write_deltalake(path, pa.table({"id": [1, 2], "x": [5, 5]}), configuration={"delta.enableChangeDataFeed": "true"})
    DeltaTable(path).update(predicate="id = 1", updates={"x": "6"})
    check_lifetimes(path, states_of(path))
    (feed,) = (path / "_change_data").glob("*.parquet")
    rows = pq.read_table(feed).to_pylist()
    lies = [{**row, "x": 4} if row["_change_type"] == "update_preimage" else row for row in rows]
    size = feed.stat().st_size
    pq.write_table(pa.Table.from_pylist(lies, schema=pq.read_schema(feed)), feed)
    entry = path / "_delta_log" / f"{1:020d}.json"
    rewrite(entry, entry.read_text().replace(f'"size":{size}', f'"size":{feed.stat().st_size}'))
    with pytest.raises(errors.CorruptionError, match="version 1 says that it took out a row"):
        tv.query("FROM table_history('t')", tables={"t": path})
    with pytest.raises(errors.CorruptionError, match="version 1 says that it took out a row"):
        tv.blame(path)
