"""What happens between a plan and its put: whoever comes in between, all is as if one had come after the other."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

import tablever as tv
from tablever import datafiles, errors, replanning, write
from tablever.log import Log, open_log
from tablever.logcache import LogCache
from tablever.logfiles import LogFiles
from tablever.spans import holds
from tablever.storage.local import LocalStorage as Storage
from tests import reading
from tests.test_concurrency import lose_races

NOW = "0 days"
WRITES: dict[str, Callable[[Path], object]] = {
    "append": lambda t: tv.append(t, [{"id": n, "text": "mine"} for n in range(100, 140)]),
    "upsert": lambda t: tv.upsert(t, [{"id": n, "text": "mine"} for n in (*range(20), 100)]),
    "upsert some so": lambda t: tv.upsert(t, [{"id": n, "text": "old" if n % 2 else "mine"} for n in range(9)]),
    "update": lambda t: tv.update(t, {"text": "'mine'"}, where="id < 20"),
    "update keys": lambda t: tv.update(t, {"id": "id + 200"}, where="id < 5"),
    "delete": lambda t: tv.delete(t, where="id < 20"),
    "delete keys": lambda t: tv.delete(t, keys=[{"id": n} for n in range(20)]),
    "delete a file": lambda t: tv.delete(t, where="id < 10"),
    "overwrite": lambda t: tv.overwrite(t, [{"id": n, "text": "mine"} for n in range(25, 35)]),
}
RIVALS: dict[str, Callable[[Path], object]] = {
    "append beyond": lambda t: tv.append(t, [{"id": 500, "text": "rival"}]),
    "append near": lambda t: tv.append(t, [{"id": -5, "text": "rival"}]),
    "append the same": lambda t: tv.append(t, [{"id": 100, "text": "rival"}]),
    "delete others": lambda t: tv.delete(t, where="id IN (25, 28)"),
    "delete others of the file": lambda t: tv.delete(t, where="id = 29 OR id = 21"),
    "delete some of them": lambda t: tv.delete(t, where="id IN (3, 8)"),
    "delete one that was so": lambda t: tv.delete(t, where="id = 1"),
    "upsert others": lambda t: tv.upsert(t, [{"id": n, "text": "rival"} for n in (22, 300)]),
    "upsert some of them": lambda t: tv.upsert(t, [{"id": n, "text": "rival"} for n in (2, 300)]),
    "bring one back": lambda t: tv.revert(t, 1),
    "compact": tv.compact,
    "evolve": lambda t: tv.append(t, [{"id": 502, "text": "r", "more": 1.5}], evolve=True),
    "constrain": lambda t: tv.add_constraint(t, "words", "text <> 'mine'"),
    "set retention": lambda t: tv.set_retention(t, "pinned"),
    "overwrite": lambda t: tv.overwrite(t, [{"id": 1, "text": "rival"}]),
}


def theirs(*rows: tuple[int, str], **more: float) -> pa.Table:
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("text", pa.string())])
    found = pa.Table.from_pylist([{"id": n, "text": text} for n, text in rows], schema)
    for name, value in more.items():
        found = found.append_column(name, pa.array([value] * len(rows)))
    return found


def merge(path: Path, rows: pa.Table, **options: Any) -> None:
    merger = DeltaTable(path).merge(rows, "t.id = s.id", source_alias="s", target_alias="t", **options)
    merger.when_matched_update_all().when_not_matched_insert_all().execute()


DELTALAKE: dict[str, Callable[[Path], object]] = {
    "append near": lambda t: write_deltalake(t, theirs((-5, "rival")), mode="append"),
    "append the same": lambda t: write_deltalake(t, theirs((100, "rival")), mode="append"),
    "append keys that are there": lambda t: write_deltalake(t, theirs((3, "rival"), (12, "old")), mode="append"),
    "append a column": lambda t: write_deltalake(t, theirs((502, "r"), more=1.5), mode="append", schema_mode="merge"),
    "delete others of the file": lambda t: DeltaTable(t).delete("id = 7 OR id = 29"),
    "delete some of them": lambda t: DeltaTable(t).delete("id IN (3, 8)"),
    "delete": lambda t: DeltaTable(t).delete(),
    "update": lambda t: DeltaTable(t).update(updates={"text": "'rival'"}, predicate="id IN (2, 12)"),
    "update keys": lambda t: DeltaTable(t).update(updates={"id": "id + 98"}, predicate="id = 2"),
    "merge": lambda t: merge(t, theirs((2, "rival"), (100, "rival"))),
    "merge a column": lambda t: merge(t, theirs((2, "rival"), more=1.5), merge_schema=True),
    "overwrite": lambda t: write_deltalake(t, theirs((1, "rival"), (100, "rival")), mode="overwrite"),
    "overwrite some": lambda t: write_deltalake(t, theirs((2, "r")), mode="overwrite", predicate="id < 5"),
    "restore": lambda t: DeltaTable(t).restore(0),
    "compact": lambda t: DeltaTable(t).optimize.compact(),
    "set a property": lambda t: DeltaTable(t).alter.set_table_properties({"delta.enableDeletionVectors": "false"}),
    "constrain": lambda t: DeltaTable(t).alter.add_constraint({"words": "text <> 'mine'"}),
}


def made(path: Path, deletes: str = "merge-on-read") -> Path:
    """Three files of ten rows; version 1 deleted two rows of them."""
    tv.create_table(path, [{"id": n, "text": "old"} for n in range(10)], key="id", deletes=deletes)  # type: ignore[arg-type]
    tv.delete(path, where="id IN (4, 9)")
    for low in (10, 20):
        tv.append(path, [{"id": n, "text": "old"} for n in range(low, low + 10)])
    return path


def done(deed: Callable[[Path], object], path: Path) -> object:
    """What a deed gives: the counts of its version, or the error that it raises."""
    try:
        version = deed(path)
    except errors.TableverError as error:
        return type(error)
    return version and (version.number, version.rows, version.rows_added, version.rows_updated, version.content_hash)  # type: ignore[attr-defined]


COPIED = ("append beyond", "delete others of the file", "upsert some of them", "compact")


@pytest.mark.parametrize(
    ("rival", "deletes"),
    [*((rival, "merge-on-read") for rival in RIVALS), *((rival, "copy-on-write") for rival in COPIED)],
)
@pytest.mark.parametrize("verb", WRITES)
def test_a_lost_race_is_the_serial_execution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, rival: str, deletes: str
) -> None:
    """Whatever commits between a write's plan and its put, rows and counts are those of one after the other."""
    check_serial(tmp_path, monkeypatch, verb, RIVALS[rival], deletes)


def check_serial(
    folder: Path, monkeypatch: pytest.MonkeyPatch, verb: str, rival: Callable[[Path], object], deletes: str
) -> None:
    path, alone = made(folder / "t", deletes), made(folder / "alone", deletes)
    done(rival, alone)
    expected = done(WRITES[verb], alone)
    with monkeypatch.context() as patch:
        lose_races(patch, [lambda: done(rival, path)])
        assert done(WRITES[verb], path) == expected
    found, wanted = (tv.read_version(each) for each in (path, alone))
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, wanted.to_pylist()))
    assert change_rows(path) == change_rows(alone)
    assert tv.content_hash(path) == tv.content_hash(alone)
    tv.verify(path)
    left = tv.vacuum(path, keep="all", safety=NOW).removals
    assert [each for each in left if each.kind == "leftover"] == [], "tries that lost left files behind"


def change_rows(path: Path) -> list[str]:
    """The change rows of the newest version."""
    head = open_log(path).head_number()
    rows = tv.query(f"SELECT * EXCLUDE (_commit_timestamp) FROM table_changes('t', {head}, {head})", tables={"t": path})
    return sorted(map(repr, rows.to_pylist()))


@pytest.mark.parametrize("rival", DELTALAKE)
@pytest.mark.parametrize("verb", ["append", "upsert", "update", "delete keys", "overwrite"])
def test_a_race_lost_to_deltalake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, rival: str) -> None:
    """The same where deltalake commits in between: files rewritten below a plan, keys that come twice, other columns,
    settings and versions, and what it appended.
    """

    def between(path: Path) -> None:
        DELTALAKE[rival](path)

    check_serial(tmp_path, monkeypatch, verb, between, "merge-on-read")


@pytest.mark.parametrize("verb", ["append", "upsert", "update", "delete", "delete keys"])
def test_a_large_write_is_planned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """However many races are lost to writers of other rows, in the same file too, rows are read and written once: so a
    slow write beside fast ones ends.
    """
    path = made(tmp_path / "t")
    planned: list[str] = []
    for name in ("find_keys", "fit_rows", "row_changes", "insertion"):
        original = getattr(write, name)

        def counted(*args: Any, _name: str = name, _original: Any = original, **options: Any) -> Any:
            if mine and not inside:
                planned.append(_name)
            return _original(*args, **options)

        monkeypatch.setattr(write, name, counted)
    mine, inside = [True], []

    def rival(n: int) -> None:
        inside.append(True)
        tv.append(path, [{"id": 1000 + n, "text": "rival"}])
        tv.delete(path, where=f"id = {20 + n}")
        inside.pop()

    lose_races(monkeypatch, [lambda n=n: rival(n) for n in range(5)])
    version = WRITES[verb](path)
    assert version is not None
    assert version.number == 3 + 10 + 1  # type: ignore[attr-defined]
    assert planned.count("fit_rows") <= 1
    assert planned.count("row_changes") + planned.count("insertion") == 1
    tv.verify(path, level="rows")


def test_ever_so_many_lost_races(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that loses a thousand races goes on, and pauses no longer than before."""
    path = made(tmp_path / "t")
    put, lost, pauses = Storage.put_if_absent, itertools.count(), []

    def late(self: Storage, relative: str, data: bytes) -> bool:
        return next(lost) >= 1_100 and put(self, relative, data)

    monkeypatch.setattr(Storage, "put_if_absent", late)
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert tv.append(path, [{"id": 99, "text": "mine"}]) is not None
    assert len(pauses) == 1_100
    assert max(pauses) <= 0.5


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (lambda t: tv.append(t, [{"id": 99, "text": "mine"}]), f"_delta_log/{4:020}.json"),
        (lambda t: tv.tag(t, "v1"), "_tablever/tags/v1.json"),
    ],
    ids=["append", "tag"],
)
def test_a_name_that_is_taken_by_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[tv.Table], object], name: str
) -> None:
    """A link that leads nowhere, under the name that comes next, is an error, not a race that is lost for ever."""
    path = made(tmp_path / "t")
    table, before = tv.open_table(path), reading.contents(path)
    table.versions()
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).symlink_to("nowhere")
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("tried again"))
    with pytest.raises(errors.StorageError, match="a link that leads nowhere has that name") as caught:
        act(table)
    assert caught.value.file == str(path / name)
    assert reading.contents(path) == before
    (path / name).unlink()
    assert act(table)


def test_ctrl_c_after_a_lost_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is interrupted in its pause after a lost race leaves nothing behind."""
    path = made(tmp_path / "t")

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    lose_races(monkeypatch, [lambda: tv.append(path, [{"id": 500, "text": "rival"}])])
    monkeypatch.setattr(time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tv.append(path, [{"id": 99, "text": "mine"}])
    assert tv.resolve_version(path).number == 4
    assert tv.vacuum(path, keep="all", safety=NOW).removals == ()


def test_ctrl_c_after_a_put_that_a_race_preceded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is interrupted once its entry is in the log leaves what that names, and nothing that it does not."""
    path = made(tmp_path / "t")
    committed, rivals = Log.committed, [True]

    def interrupted(self: Log, number: int, data: bytes) -> tv.Version:
        if not rivals:
            raise KeyboardInterrupt
        rivals.clear()
        return committed(self, number, data)

    # the rival's rows are the upsert's, in part: of what was staged for the first try, one file is of no more use
    lose_races(monkeypatch, [lambda: tv.upsert(path, [{"id": n, "text": "mine"} for n in (7, 100)])])
    monkeypatch.setattr(Log, "committed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tv.upsert(path, [{"id": n, "text": "mine"} for n in (7, 8, 100, 101)])
    monkeypatch.undo()
    assert tv.resolve_version(path).number == 5
    assert tv.verify(path, level="rows").damaged == ()
    assert tv.vacuum(path, keep="all", safety=NOW).removals == ()


def test_commits_that_say_the_same_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writers say the same of the same head in one millisecond: one made the version, the other changed nothing."""
    path = made(tmp_path / "t")
    monkeypatch.setattr(time, "time_ns", lambda: 4_000_000_000_000_000_000)
    first: list[Any] = []
    lose_races(monkeypatch, [lambda: first.append(tv.set_retention(path, "pinned"))])
    assert tv.set_retention(path, "pinned") is None
    assert first[0].number == 4


def test_a_listing_with_a_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is listed while it grows may leave out a name and tell a later one: that is no damage."""
    path = made(tmp_path / "t")
    listed = Storage.list
    gone = ["00000000000000000002.json"]
    monkeypatch.setattr(Storage, "list", lambda self, *at: [n for n in listed(self, *at) if n not in gone])
    assert [version.number for version in tv.list_versions(path)] == [0, 1, 2, 3]
    assert tv.verify(path).damaged == ()
    (path / "_delta_log" / gone[0]).unlink()
    with pytest.raises(errors.CorruptionError):
        tv.list_versions(path)


def test_a_handle_that_another_thread_makes_forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that finds another table in the place, and forgets the old one, does not trip those that read."""
    path = made(tmp_path / "t")
    log = open_log(path)
    for name in ("_load", "_extend"):
        original = getattr(LogCache, name)

        def forgetting(self: LogCache, *args: Any, _original: Any = original) -> Any:
            found = _original(self, *args)
            log._forget()
            return found

        monkeypatch.setattr(LogCache, name, forgetting)
    assert log.head().version == 3
    assert [version.rows for version in log.versions()] == [10, 8, 18, 28]


@pytest.mark.parametrize("meanwhile", [lambda log: log.version(1), Log._forget], ids=["a look", "forgetting"])
def test_versions_that_another_thread_reads_meanwhile(tmp_path: Path, meanwhile: Callable[[Log], object]) -> None:
    """Versions that are read one after the other are each of their own entry, whatever another thread reads of them,
    or forgets, in between; and so is the parent that the next commit names.
    """
    path = made(tmp_path / "t")
    log, right = open_log(path), {version.number: version for version in open_log(path).versions()}
    log.version(3)
    read = log.versions_of([0, 1, 2, 3])
    assert next(read) == right[0]
    meanwhile(log)
    assert list(read) == [right[1], right[2], right[3]]
    assert {number: log.version(number) for number in right} == right
    tv.append(log, [{"id": 99, "text": "next"}])
    assert tv.verify(path, level="log").damaged == ()


@pytest.mark.parametrize("read", ["state", "entry"])
def test_a_table_that_takes_the_place_of_one_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    """A thread reads a table that is dropped, and another of the same number made in its place, which a second thread
    finds: nothing of the old table is kept, neither its rows nor its words.
    """
    path = tmp_path / "t"
    tv.create_table(path, [{"id": n} for n in range(7)], message="old")
    log, original, calls = open_log(path), getattr(LogFiles, read), list[int]()

    def slow(self: LogFiles, number: int, *args: Any) -> Any:
        found = original(self, number, *args)
        calls.append(number)
        if len(calls) == 1:
            shutil.rmtree(path)
            tv.create_table(path, [{"id": 100}], message="new")
            log.head()
        return found

    monkeypatch.setattr(LogFiles, read, slow)
    _ = log.head() if read == "state" else log.version(0)
    assert calls
    assert log.head().rows == 1
    assert log.version(0).message == "new"
    assert tv.append(log, [{"id": 1}]).rows == 2  # type: ignore[union-attr]
    assert tv.verify(path, level="rows").damaged == ()


def test_forgetting_that_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while another table is found in the place leaves no half of the old one behind."""
    path = tmp_path / "t"
    log = tv.create_table(path, [{"id": n} for n in range(7)]).log
    log.head()
    shutil.rmtree(path)
    tv.create_table(path, [{"id": 100}])

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tablever.logcache._History", interrupted)
        with pytest.raises(KeyboardInterrupt):
            log.head()
    assert log.head().rows == 1
    assert log.digest(0) == open_log(path).digest(0)


def test_a_table_made_anew_is_not_taken_for_the_one_that_was_made(tmp_path: Path) -> None:
    """A handle that made a table knows it from another that was made in its place, though it never looked at it."""
    path = tmp_path / "t"
    log = tv.create_table(path, [{"id": n} for n in range(7)]).log
    shutil.rmtree(path)
    tv.create_table(path, [{"id": 100}])
    assert log.version(0) == open_log(path).version(0)
    assert log.digest(0) == open_log(path).digest(0)


def test_names_grow_where_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files sort as they were written, and with them the rows of a commit, though the clock goes back meanwhile."""
    clock = itertools.count(4_000_000_000_000_000_000, -1_000_000_000)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: next(clock))
        patch.setattr(datafiles, "_newest", 0)
        names = [datafiles._name() for _ in range(5)]
    assert names == sorted(names)


# Vacuums


@pytest.mark.parametrize("verb", ["upsert", "update", "delete", "delete keys", "overwrite"])
def test_a_plan_whose_head_was_vacuumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """Where a vacuum takes files of the head that a write was planned on, since the head is another: planned again."""
    path, alone = made(tmp_path / "t"), made(tmp_path / "alone")
    rows = [{"id": n, "text": "rival"} for n in range(40)]
    tv.overwrite(alone, rows)
    WRITES[verb](alone)
    came: list[bool] = []
    opened = write.open_scan

    def overtaken(log: Log, *args: Any) -> Any:
        if not came:
            came.append(True)
            tv.overwrite(path, rows)
            tv.compact(path, deleted=0.01)
            tv.vacuum(path, keep="pinned", safety=NOW, dry_run=False)
        return opened(log, *args)

    monkeypatch.setattr(write, "open_scan", overtaken)
    monkeypatch.setattr(write.merge, "open_scan", overtaken)
    assert WRITES[verb](path) is not None
    found, wanted = (tv.read_version(each) for each in (path, alone))
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, wanted.to_pylist()))


@pytest.mark.parametrize("verb", ["append", "upsert", "update", "delete", "overwrite"])
def test_a_vacuum_between_the_last_look_and_the_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """A vacuum without a safety interval, at the last moment, takes nothing that the commit will name: it makes a
    version first, so that the commit comes second, and is planned again with files of its own.
    """
    path, alone = made(tmp_path / "t"), made(tmp_path / "alone")
    WRITES[verb](alone)
    remove, going, slow = Storage.remove, [], [True]

    def late(self: Storage, relative: str) -> None:
        if slow and relative in chosen:
            going.append(relative)  # the vacuum is that slow: the writer ends first
        else:
            remove(self, relative)

    chosen: set[str] = set()

    def vacuum() -> None:
        chosen.update(each.path for each in tv.vacuum(path, keep="all", safety=NOW).removals)
        tv.vacuum(path, keep="all", safety=NOW, dry_run=False)

    monkeypatch.setattr(Storage, "remove", late)
    lose_races(monkeypatch, [vacuum])
    assert WRITES[verb](path) is not None
    slow.clear()
    assert going
    for relative in going:
        remove(Storage(path), relative)
    found, wanted = (tv.read_version(each) for each in (path, alone))
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, wanted.to_pylist()))
    tv.verify(path, level="rows")


def test_what_was_handed_back_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version tagged in time, and handed back by the vacuum that had recorded it, is not lost to the next."""
    path = made(tmp_path / "t")
    tv.overwrite(path, [{"id": 1, "text": "new"}])
    before = tv.read_version(path, 2)
    put, tagged = Storage.put_if_absent, []

    def late(self: Storage, relative: str, data: bytes) -> bool:
        if b'"VACUUM START"' in data and not tagged:
            tagged.append(tv.tag(path, "late", 2))
        return put(self, relative, data)

    monkeypatch.setattr(Storage, "put_if_absent", late)
    tv.vacuum(path, keep="pinned", safety=NOW, dry_run=False)
    assert not holds(open_log(path).vacuumed().rows, 2)
    tv.vacuum(path, keep="pinned", safety=NOW, dry_run=False)
    assert not holds(open_log(path).vacuumed().rows, 2)
    assert reading.same(tv.read_version(path, "late"), before)
    tv.restore(path, "late")


EVEN = [n for n in range(30) if n % 2 == 0]
OF_EACH_FILE: dict[str, Callable[[Path], Any]] = {
    "upsert": lambda t: tv.upsert(t, [{"id": n, "text": "mine"} for n in EVEN]),
    "update": lambda t: tv.update(t, {"text": "'mine'"}, where="id % 2 = 0"),
    "delete": lambda t: tv.delete(t, where="id % 2 = 0"),
    "delete keys": lambda t: tv.delete(t, keys=[{"id": n} for n in EVEN]),
}


@pytest.mark.parametrize("verb", OF_EACH_FILE)
def test_vectors_are_drawn_anew_for_who_touched_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """A plan draws its vectors anew for a commit that deleted rows of the same files, and not once more for each that
    comes after it: beside steady writers it would not end.
    """
    path, alone = made(tmp_path / "t"), made(tmp_path / "alone")
    rivals = [lambda t, n=n: tv.append(t, [{"id": 701 + 2 * n, "text": "r"}]) for n in range(5)]
    rivals.insert(1, lambda t: tv.delete(t, where="id IN (1, 29)"))
    rivals.insert(4, lambda t: tv.delete(t, where="id = 27"))
    for rival in rivals:
        rival(alone)
    OF_EACH_FILE[verb](alone)
    drawn, draw = list[object](), replanning.delete_positions
    put, coming = Storage.put_if_absent, iter(rivals)

    def late(self: Storage, relative: str, data: bytes) -> bool:
        with monkeypatch.context() as patched:
            patched.setattr(Storage, "put_if_absent", put)
            next(coming, lambda _: None)(path)
        return put(self, relative, data)

    monkeypatch.setattr(replanning, "delete_positions", lambda *args: drawn.append(args) or draw(*args))
    monkeypatch.setattr(Storage, "put_if_absent", late)
    version = OF_EACH_FILE[verb](path)
    monkeypatch.undo()
    assert version.number == tv.resolve_version(alone).number
    assert len(drawn) == 2
    found, wanted = (tv.read_version(each) for each in (path, alone))
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, wanted.to_pylist()))
    assert tv.content_hash(path) == tv.content_hash(alone)
    tv.verify(path, level="rows")
    assert not tv.vacuum(path, keep="all", safety=NOW).removals


def test_a_vacuum_beside_steady_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many races a vacuum loses to commits that bring nothing back, the disk and the log are gone through once
    before its record and once after: so it ends.
    """
    path = made(tmp_path / "t")
    tv.overwrite(path, [{"id": 1, "text": "new"}])
    walks, walk = [], Storage.walk
    monkeypatch.setattr(Storage, "walk", lambda self: walks.append(self) or walk(self))
    lose_races(monkeypatch, [lambda n=n: tv.append(path, [{"id": 700 + n, "text": "r"}]) for n in range(6)])
    report = tv.vacuum(path, keep="pinned", safety=NOW, dry_run=False)
    assert report.version is not None
    assert report.version.number == 4 + 6 + 1
    assert len(walks) == 2
    assert holds(report.lost, 3)
    tv.verify(path, level="rows")
