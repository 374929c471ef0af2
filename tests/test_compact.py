"""A compaction changes files and nothing else: not rows, not their order, not what others commit meanwhile."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

import tablever as tv
from tablever import errors, packing
from tablever.delta.replay import row_order
from tablever.log import open_log
from tablever.model import DataFile, DeletionVector
from tablever.packing import Packing, Run, choose_runs, partition_of, place_of
from tablever.storage import LocalStorage
from tests import reading
from tests.model import Column
from tests.strategies import Shape, arrow_table, shapes
from tests.test_concurrency import appender, deleter, lose_races, run, upserter
from tests.test_diff_cases import mapped


def files(path: Path, ref: int | None = None) -> tuple[DataFile, ...]:
    """The logical files of a version, in row order."""
    log = open_log(path)
    return log.head().files if ref is None else log.snapshot(ref).files


def many(path: Path, count: int = 8, **options: Any) -> Path:
    """A table of so many files, of three rows each."""
    tv.create_table(path, [{"id": n, "text": "old"} for n in range(3)], key="id", **options)
    for first in range(3, 3 * count, 3):
        tv.append(path, [{"id": n, "text": "old"} for n in range(first, first + 3)])
    return path


# What is chosen


@st.composite
def logical_files(draw: st.DrawFn) -> list[DataFile]:
    """Files as ours and others' logs have them, several of one time among them, in row order."""
    count = draw(st.integers(0, 12))
    found = []
    for n in range(count):
        time = draw(st.integers(1, 4))
        ours = draw(st.booleans())
        name = f"part-{time:016x}{n:06x}-{n:012x}.zstd.parquet" if ours else f"part-{n:05}-c000.snappy.parquet"
        part = draw(st.sampled_from(["", "p=a/", "p=b/"])) if draw(st.booleans()) else ""
        rows = draw(st.integers(1, 10))
        gone = draw(st.integers(0, rows - 1))
        vector = DeletionVector("i", str(n), 1, gone) if gone else None
        values = {"p": part[2:-1]} if part else {}
        found.append(DataFile(part + name, rows * 10, time, values, json.dumps({"numRecords": rows}), vector=vector))
    return sorted(found, key=row_order)


def merged(run: Run) -> DataFile:
    """The file that takes a run's place."""
    return DataFile(
        place_of(run[0]) + "00001234abcd.zstd.parquet", 1, run[0].modification_time, run[0].partition_values
    )


@given(logical_files(), st.integers(1, 120), st.integers(1, 4), st.sampled_from([0.1, 0.5, 1.0]))
def test_merged_files_sort_where_their_sources_did(
    found: list[DataFile], target: int, least: int, deleted: float
) -> None:
    """In every partition, the order of files after the merge is the order of their sources before it."""
    runs = choose_runs(found, Packing(target, least, deleted))
    taken = [file.path for each in runs for file in each]
    assert len(set(taken)) == len(taken), "a file is in two runs"
    sources: dict[str, Sequence[DataFile]] = {merged(each).path: each for each in runs}
    after = sorted([*(file for file in found if file.path not in taken), *map(merged, runs)], key=row_order)
    for partition in {partition_of(file) for file in found}:
        before = [file.path for file in found if partition_of(file) == partition]
        unfolded = [
            source.path
            for file in after
            if partition_of(file) == partition
            for source in sources.get(file.path, [file])
        ]
        assert unfolded == before


@given(logical_files(), st.integers(1, 120), st.integers(1, 4))
def test_only_what_is_worth_it_is_chosen(found: list[DataFile], target: int, least: int) -> None:
    """A run is one file that lost its share of rows, or enough small neighbours that fit the target together."""
    for each in choose_runs(found, Packing(target, least, 0.5)):
        live = [file.size * (file.rows or 0) // (file.physical_rows or 1) for file in each]
        if len(each) == 1:
            assert each[0].vector is not None
            assert each[0].vector.cardinality * 2 >= (each[0].physical_rows or 0)
        else:
            assert len(each) >= least
            assert sum(live) <= target
            assert all(size * 2 < target for size in live)
            assert len({partition_of(file) for file in each}) == 1


def test_every_file_is_weighed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice takes time in proportion to the number of files."""
    names = [f"part-{n:05}.parquet" for n in range(500)]
    found = [DataFile(name, 10, n, {}, '{"numRecords": 1}') for n, name in enumerate(names)]
    weighed: list[str] = []

    def weigh(file: DataFile) -> int:
        weighed.append(file.path)
        return file.size

    monkeypatch.setattr(packing, "live_bytes", weigh)
    assert [len(run) for run in choose_runs(found, Packing(3000, 2, 0.5))] == [300, 200]
    assert weighed == names


# What it leaves as it was


def grow(path: Path, shape: Shape, data: st.DataObject) -> None:
    """A random history of appends, upserts and deletes."""
    first = data.draw(shape.unique_rows(min_size=2), label="rows")
    tv.create_table(
        path,
        arrow_table(first, shape.columns),
        key=list(shape.key) or None,
        partition_by=list(shape.partition_by) or None,
        deletes=shape.deletes,  # type: ignore[arg-type]
    )
    for _ in range(data.draw(st.integers(1, 5), label="commits")):
        rows = arrow_table(data.draw(shape.unique_rows(min_size=1, max_size=3)), shape.columns)
        if shape.key:
            tv.upsert(path, rows)
            if data.draw(st.booleans(), label="delete"):
                tv.delete(path, keys=rows.slice(0, 1).select(list(shape.key)))
        else:
            tv.append(path, rows)


@given(shapes(), st.data())
def test_rows_order_and_history_stay(shape: Shape, data: st.DataObject) -> None:
    """Whatever the table, a compaction keeps every version's rows and, within partitions, their order; its counts are
    0, its change rows none, and no reader sees another table.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t"
        grow(path, shape, data)
        versions = tv.list_versions(path)
        before = {version.number: tv.read_version(path, version.number) for version in versions}
        head = before[versions[-1].number]
        target = data.draw(st.sampled_from([1, "2 KB", "6 KB", "256 MB"]), label="target")
        version = tv.compact(path, target=target, deleted=data.draw(st.sampled_from([0.01, 0.3])), message="tidy")
        after = tv.read_version(path)
        if version is None:
            assert tv.list_versions(path) == versions
            return
        assert (version.operation, version.message, version.rows) == ("compact", "tidy", head.num_rows)
        assert (version.rows_added, version.rows_removed, version.rows_updated) == (0, 0, 0)
        assert version.content_hash == versions[-1].content_hash
        tv.verify(path, level="rows")
        assert_same_order(after, head, shape)
        for number, rows in before.items():
            assert reading.same(tv.read_version(path, number), rows)
        assert tv.list_versions(path)[:-1] == versions
        number = version.number
        assert tv.query(f"FROM table_changes('t', {number}, {number})", tables={"t": path}).num_rows == 0
        assert tv.diff_versions(path, number - 1, number).summary.added == 0
        assert not [action for action in actions(path, number) if action.get("dataChange", False)]
        columns = [Column(field.name, field.type) for field in head.schema]
        if not shape.partition_by and not any(pa.types.is_nested(column.type) for column in columns):
            for name, reader in reading.THEIRS.items():
                reading.assert_rows(reader(path, number), columns, head.to_pylist(), name)
        for _ in range(10):
            count = len(files(path))
            if tv.compact(path, target=target) is None:
                return
            assert len(files(path)) < count
        pytest.fail("it goes on for ever")


def assert_same_order(after: pa.Table, before: pa.Table, shape: Shape) -> None:
    """The same rows in the same order; in a partitioned table, in each partition."""
    assert after.schema.equals(before.schema)
    sides = []
    for rows in (after, before):
        groups: dict[str, list[str]] = {}
        for row in rows.to_pylist():
            groups.setdefault(repr([row[name] for name in shape.partition_by]), []).append(repr(row))
        sides.append(groups)
    assert sides[0] == sides[1]


def actions(path: Path, number: int) -> list[dict[str, Any]]:
    """The adds and removes of a version's entry, as JSON."""
    lines = open_log(path).entry(number).data.decode().splitlines()
    return [body for line in lines for kind, body in json.loads(line).items() if kind in ("add", "remove")]


def test_small_files_become_few_and_deleted_rows_go(tmp_path: Path) -> None:
    """Neighbours are merged up to the target, vectors go; a second compaction finds nothing to do."""
    path = many(tmp_path / "t", 10)
    tv.delete(path, where="id % 7 = 0")
    assert len(files(path)) == 10
    tv.compact(path)
    (only,) = files(path)
    assert only.vector is None
    assert only.rows == tv.read_version(path).num_rows
    assert tv.compact(path) is None


@pytest.mark.parametrize(
    "write",
    [
        lambda t: tv.update(t, {"text": "'new'"}, where="id = 1"),
        lambda t: tv.delete(t, where="id = 1"),
        lambda t: tv.delete(t, keys=[{"id": 1}]),
        lambda t: tv.upsert(t, [{"id": 1, "text": "new"}]),
        lambda t: tv.overwrite(t, [{"id": 0, "text": "row 0"}, {"id": 1, "text": "new"}]),
    ],
    ids=["update", "delete", "delete keys", "upsert", "overwrite"],
)
def test_damage_is_not_copied_on_write(tmp_path: Path, write: Callable[[Path], object]) -> None:
    """Nor is it where a write rewrites a file for the rows of it that stay: it is refused, and the file is named."""
    rows = [{"id": n, "text": f"row {n}"} for n in range(4)]
    for name, text in (("t", "abc 3"), ("other", "xyz 9")):
        tv.create_table(tmp_path / name, [*rows[:3], {"id": 3, "text": text}], key="id", deletes="copy-on-write")
    path = tmp_path / "t"
    (file,), (other,) = files(path), files(tmp_path / "other")
    whole, damaged = (path / file.path).read_bytes(), (tmp_path / "other" / other.path).read_bytes()
    assert len(damaged) == len(whole), "a wrong cell that no reader sees"
    before = reading.contents(path)
    (path / file.path).write_bytes(damaged)
    with pytest.raises(errors.CorruptionError) as raised:
        write(path)
    assert raised.value.file == file.path
    assert reading.contents(path) == before
    (path / file.path).write_bytes(whole)
    assert write(path) is not None


@pytest.mark.parametrize("cluster", [False, True])
def test_damage_is_not_merged(tmp_path: Path, cluster: bool) -> None:
    """A file with one bit changed, wherever, is named and not merged: in the new file it would look whole."""
    path = tmp_path / "t"
    tv.create_table(path, [{"id": 0, "text": "first"}], key="id")
    tv.append(path, [{"id": 1, "text": "second"}])
    (name,) = {file.path for file in open_log(path).snapshot(1).files} - {
        file.path for file in open_log(path).snapshot(0).files
    }
    whole = (path / name).read_bytes()
    before = reading.contents(path)
    for at in range(4, len(whole), max(1, len(whole) // 25)):
        (path / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(errors.CorruptionError):
            tv.compact(path, cluster=cluster)
    assert reading.contents(path) == before
    (path / name).write_bytes(whole)
    assert tv.compact(path, cluster=cluster) is not None


def test_the_thresholds_are_kept(tmp_path: Path) -> None:
    """Fewer files than ``min_files`` stay, as does a file that lost a smaller share of its rows than ``deleted``."""
    path = many(tmp_path / "t", 3)
    assert tv.compact(path, min_files=4) is None
    assert tv.compact(path, target=files(path)[0].size) is None, "a file of at least half the target is not small"
    tv.delete(path, where="id = 0")
    assert tv.compact(path, min_files=9, deleted=0.5) is None
    assert tv.compact(path, min_files=9, deleted=0.3) is not None
    assert [file.vector for file in files(path)] == [None] * 3
    assert [row["id"] for row in tv.read_version(path).to_pylist()] == [1, 2, *range(3, 9)]


@pytest.mark.parametrize(
    "bad", [{"target": "a lot"}, {"target": 0}, {"min_files": 0}, {"min_files": 2.5}, {"deleted": 0}, {"deleted": 1.5}]
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, bad: dict[str, Any]) -> None:
    """An argument that is no size, number or share is an error, before anything is read."""
    with pytest.raises(errors.InvalidInputError):
        tv.compact(many(tmp_path / "t", 2), **bad)


def test_a_compaction_is_no_load(tmp_path: Path) -> None:
    """It takes the options of a commit, and not a batch."""
    path = many(tmp_path / "t", 3)
    with pytest.raises(TypeError, match="batch_id"):
        tv.compact(path, batch_id="b")  # type: ignore[call-arg]
    with pytest.raises(errors.ConflictError):
        tv.compact(path, if_version=0)
    version = tv.compact(path, author="Ada", metadata={"why": "tidy"}, if_version=2)
    assert version is not None
    assert (version.author, version.metadata) == ("Ada", {"why": "tidy"})


def test_clustering_sorts_by_key_once(tmp_path: Path) -> None:
    """``cluster`` sorts every partition by key, whatever the size of files, and only where that is not done yet."""
    path = tmp_path / "t"
    tv.create_table(path, [{"id": n, "p": n % 2} for n in (5, 2, 9, 4)], key="id", partition_by="p")
    tv.append(path, [{"id": n, "p": n % 2} for n in (1, 8, 0)])
    version = tv.compact(path, cluster=True)
    assert version is not None
    assert (version.rows, version.rows_added) == (7, 0)
    found = tv.read_version(path).to_pylist()
    assert {p: [row["id"] for row in found if row["p"] == p] for p in (0, 1)} == {0: [0, 2, 4, 8], 1: [1, 5, 9]}
    assert tv.compact(path, cluster=True) is None
    tv.append(path, [{"id": 3, "p": 1}])
    assert tv.compact(path, cluster=True) is not None
    assert len(files(path)) == 2
    with pytest.raises(errors.InvalidKeyError):
        tv.create_table(tmp_path / "keyless", [{"id": 1}]).compact(cluster=True)


def test_an_append_only_table_is_compacted(tmp_path: Path) -> None:
    """No row is removed, so ``delta.appendOnly`` allows it."""
    write_deltalake(tmp_path / "t", pa.table({"id": [1]}), configuration={"delta.appendOnly": "true"})
    write_deltalake(tmp_path / "t", pa.table({"id": [2]}), mode="append")
    assert tv.compact(tmp_path / "t") is not None
    with pytest.raises(errors.ConstraintError):
        tv.delete(tmp_path / "t", where="id = 1")


@pytest.mark.parametrize("partition_by", [None, ["part"]])
def test_tables_of_deltalake(tmp_path: Path, partition_by: list[str] | None) -> None:
    """A table made elsewhere is compacted in its own folders, and its maker reads the same rows."""
    path = tmp_path / "t"
    parts = ["a b", "x=y", None, "100%", "ü"]
    for n in range(6):
        rows = pa.table({"id": [n, n + 100], "part": pa.array([parts[n % 5], parts[(n + 1) % 5]], pa.string())})
        write_deltalake(path, rows, mode="append", partition_by=partition_by)
    before = tv.read_version(path)
    version = tv.compact(path)
    assert version is not None
    after = tv.read_version(path)
    if partition_by is None:
        assert after.equals(before)
        assert len(files(path)) == 1
    assert sorted(map(repr, after.to_pylist())) == sorted(map(repr, before.to_pylist()))
    assert {file.path.rpartition("/")[0] for file in files(path)} <= {f.path.rpartition("/")[0] for f in files(path, 5)}
    columns = [Column(field.name, field.type) for field in before.schema]
    for name, reader in reading.THEIRS.items():
        reading.assert_rows(reader(path, version.number), columns, before.to_pylist(), name)
    assert DeltaTable(path).history(1)[0]["operation"] == "OPTIMIZE"


def test_column_mapping_is_refused_by_name(tmp_path: Path) -> None:
    """A table with column mapping is not compacted, since we do not write such files: the error says so."""
    mapped(tmp_path / "t", [{"id": 1}], lambda _: None)
    with pytest.raises(errors.UnsupportedFeatureError, match="columnMapping"):
        tv.compact(tmp_path / "t")


# Beside others


RIVALS: dict[str, Callable[[Path], object]] = {
    "append": lambda t: tv.append(t, [{"id": 500, "text": "rival"}]),
    "delete": lambda t: tv.delete(t, where="id % 4 = 1"),
    "upsert": lambda t: tv.upsert(t, [{"id": 4, "text": "rival"}, {"id": 501, "text": "rival"}]),
    "update": lambda t: tv.update(t, {"text": "'rival'"}, where="id IN (0, 7, 20)"),
    "delete a file": lambda t: tv.delete(t, where="id IN (3, 4, 5)"),
    "delete all": lambda t: tv.delete(t, where="true"),
    "overwrite": lambda t: tv.overwrite(t, [{"id": 1, "text": "rival"}], replace_schema=True),
    "restore": lambda t: tv.restore(t, 2),
    "compact": tv.compact,
    "cluster": lambda t: tv.compact(t, cluster=True),
    "evolve": lambda t: tv.append(t, [{"id": 502, "text": "r", "more": 1.5}], evolve=True),
}


@pytest.mark.parametrize("deletes", ["merge-on-read", "copy-on-write"])
@pytest.mark.parametrize("cluster", [False, True])
@pytest.mark.parametrize("rival", RIVALS)
def test_what_others_commit_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rival: str, cluster: bool, deletes: str
) -> None:
    """Whatever commits between a compaction's plan and its put, the rows after both are those after the other alone."""
    path, alone = many(tmp_path / "t", deletes=deletes), many(tmp_path / "alone", deletes=deletes)
    for each in (path, alone):
        tv.delete(each, where="id = 10")
    RIVALS[rival](alone)
    lose_races(monkeypatch, [lambda: RIVALS[rival](path)])
    version = tv.compact(path, cluster=cluster)
    found, expected = tv.read_version(path), tv.read_version(alone)
    if version is None:
        assert rival in ("delete all", "overwrite", "compact", "cluster", "restore")
    else:
        assert version.rows == expected.num_rows
    if not cluster and rival not in ("cluster", "upsert", "update", "overwrite"):
        assert found.equals(expected), "the order of rows changed"
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, expected.to_pylist()))
    for reader in reading.THEIRS.values():
        assert reader(path, tv.resolve_version(path).number).num_rows == expected.num_rows
    named = {file.path for number in range(len(tv.list_versions(path))) for file in files(path, number)}
    assert {each.name for each in path.glob("*.parquet")} == named, "tries that lost left files behind"


def test_merged_files_are_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many races are lost to appends and deletes, every run is written once: it ends beside steady writers."""
    path = many(tmp_path / "t")
    tried: list[int] = []
    put = LocalStorage.put_if_absent

    def late(self: LocalStorage, relative: str, data: bytes) -> bool:
        n = len(tried)
        if b'"OPTIMIZE"' in data and n < 5:
            tried.append(len(list(path.glob("*.parquet"))))
            tv.append(path, [{"id": 1000 + n, "text": "rival"}])
            tv.delete(path, where=f"id = {3 * n}")
        return put(self, relative, data)

    monkeypatch.setattr(LocalStorage, "put_if_absent", late)
    version = tv.compact(path)
    assert version is not None
    assert version.number == 7 + 10 + 1
    assert tried == [8 + 1 + n for n in range(5)], "a run was written again"
    assert [row["id"] for row in tv.read_version(path).to_pylist()] == [
        n for n in range(24) if n not in (0, 3, 6, 9, 12)
    ] + [1000 + n for n in range(5)]


def compactor(path: str, worker: int, start: Any, out: Any) -> None:  # noqa: ARG001
    """Compact again and again, for two seconds and until it made a version."""
    start.wait()
    found: list[int] = []
    begun = time.monotonic()
    while time.monotonic() < begun + (2 if found else 60):
        version = tv.compact(path, deleted=0.01)
        found += [] if version is None else [version.number]
    out.put(found)


@pytest.mark.parametrize("deletes", ["merge-on-read", "copy-on-write"])
def test_a_compactor_beside_writers(tmp_path: Path, deletes: str) -> None:
    """Processes that append, upsert, delete and compact at once: every write is there once, and nothing is doubled."""
    path = tmp_path / "t"
    rounds = 6
    first = [{"id": -100 - n, "by": 0} for n in range(rounds)] + [{"id": 3000 + n, "by": -1} for n in range(5)]
    tv.create_table(path, first, key="id", deletes=deletes)  # type: ignore[arg-type]
    numbers = run(path, [(appender, 1), (upserter, 3), (deleter, 1), (compactor, 0)])
    versions = tv.list_versions(path)
    assert sorted(numbers) == [version.number for version in versions][1:]
    expected = Counter({(1000 + n, 1): 1 for n in range(rounds)}) + Counter(
        {(3000 + n, rounds - 1): 1 for n in range(5)}
    )
    found = tv.read_version(path)
    assert Counter(zip(found["id"].to_pylist(), found["by"].to_pylist(), strict=True)) == expected
    assert "compact" in {version.operation for version in versions}
    for version in versions:
        assert tv.read_version(path, version.number).num_rows == version.rows
        if version.operation == "compact":
            before, after = (tv.read_version(path, version.number - n) for n in (1, 0))
            assert after.equals(before)
    for reader in reading.THEIRS.values():
        assert reader(path, len(numbers)).num_rows == sum(expected.values())


def test_files_of_one_time_that_do_not_sort_stay() -> None:
    """Files of others that share one time with a neighbour outside the run are not merged: order comes first."""
    times = [DataFile(f"{name}.parquet", 10, 5, stats='{"numRecords":1}') for name in "abc"]
    large = replace(times[1], path="b.parquet", size=1000)
    assert choose_runs([times[0], large, times[2]], Packing(100, 2, 0.2)) == []
    assert choose_runs(times, Packing(100, 2, 0.2)) == [tuple(times)]
