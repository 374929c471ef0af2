"""Every operation in a real process that strace kills, or whose calls it makes fail: old or new, never a mixture."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

import tablever as tv
from tablever import datafiles, errors
from tablever.storage import LocalStorage, local
from tests import faults
from tests.campaigns import crashes
from tests.faults import Bench, Call, Zygote

pytestmark = pytest.mark.skipif(faults.why_no_strace() is not None, reason=str(faults.why_no_strace()))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def process() -> Iterator[Zygote]:
    with faults.zygote() as process:
        yield process


@pytest.mark.parametrize("operation", faults.OPERATIONS)
def test_each_thing_is_on_the_disk_before_what_names_it(process: Zygote, bench: Bench, operation: str) -> None:
    """By the system's own record of the calls: data, vectors, change files and folders are synced before the entry has
    its name, its bytes too, and all that was made before the call returns; tags, runs, pins, checkpoints likewise.
    """
    about, every = faults.traced(process, bench, operation, "merge-on-read")
    assert len(about) >= 5, "hardly a call was seen"
    assert faults.unsynced(every, bench.folder) == []


def call(name: str, text: str, result: str = "0") -> Call:
    return Call(name, 1, text, result, 1)


def test_what_was_not_synced_is_noticed() -> None:
    """The judge above sees bytes and names that are not on the disk, each by itself."""
    made = call("openat", 'AT_FDCWD, "/t/part-1", O_WRONLY|O_CREAT', "3</t/part-1>")
    wrote, synced, folder = (
        call("write", '3</t/part-1>, "x", 1)'),
        call("fsync", "3</t/part-1>)"),
        call("fsync", "4</t>)"),
    )
    entry = call("link", '"/t/_delta_log/.a.tmp", "/t/_delta_log/00000000000000000001.json")')
    log, end = call("fsync", "4</t/_delta_log>)"), call("write", '1<pipe:[1]>, "{\\"killed\\": false}", 17)')
    whole = [made, wrote, synced, folder, entry, log, end]
    assert faults.unsynced(whole, Path("/t")) == []
    for left_out in (synced, folder, log, end):
        assert faults.unsynced([each for each in whole if each is not left_out], Path("/t"))
    assert faults.unsynced([made, wrote, folder, entry, log, synced, end], Path("/t"))
    assert faults.unsynced([made, wrote, synced, entry, log, folder, end], Path("/t"))


@pytest.mark.parametrize("operation", ["upsert", "delete scattered", "checkpoint", "tag", "repair", "create"])
def test_a_process_that_is_killed(process: Zygote, bench: Bench, operation: str) -> None:
    """Killed as it enters a call: the table is as it was or as it was to be, the next commit works, nothing is left."""
    about, _ = faults.traced(process, bench, operation, "merge-on-read")
    for place in random.Random(operation).sample(about, 3):
        answer, _ = faults.inject(process, bench, operation, "merge-on-read", place, "signal=KILL")
        assert answer.killed, place


@pytest.mark.parametrize("error", ["ENOSPC", "EROFS", "EACCES", "EMFILE", "EIO"])
def test_a_disk_that_refuses(process: Zygote, bench: Bench, error: str) -> None:
    """A call that fails, once or from then on, at any place of a commit: an error of ours, nothing lost, on it goes."""
    about, _ = faults.traced(process, bench, "upsert", "merge-on-read")
    fitting = [place for place in about if error in faults.refusals(place)]
    chance = random.Random(error)
    for place in chance.sample(fitting, min(3, len(fitting))):
        faults.inject(
            process, bench, "upsert", "merge-on-read", place, f"error={error}", for_ever=chance.random() < 0.5
        )


def test_the_campaign_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    """A few rounds of random operations, kinds, calls and faults find nothing."""
    assert crashes.main(["--rounds", "6", "--seed", "7"]) == 0
    assert "6 rounds" in capsys.readouterr().out


def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls from now on that sync or link something, as ``sync NAME`` and ``link NAME``."""
    calls: list[str] = []
    sync, link = os.fsync, os.link

    def synced(descriptor: int) -> None:
        calls.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    def linked(source: Any, target: Any) -> None:
        calls.append("link " + Path(target).name)
        link(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    return calls


def test_a_system_that_starts_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, what a commit names is synced all the same before its entry is there."""

    def refused(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(datafiles._thread, "start_new_thread", refused)
    calls = noted(monkeypatch)
    table = tv.create_table(tmp_path / "t", [{"id": 1}], key="id")
    monkeypatch.undo()
    data = next((tmp_path / "t").glob("*.parquet")).name
    assert calls.index(f"sync {data}") < calls.index(f"link {0:020d}.json")
    assert tv.read_version(table).num_rows == 1


def test_what_another_tool_committed_is_synced_before_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit of ours makes durable what it rests on; on top of our own, nothing is synced again."""
    path = tmp_path / "t"
    table = tv.create_table(path, [{"id": 1}], key="id")
    ours = set(DeltaTable(path).file_uris())
    for number in (2, 3):
        write_deltalake(path, pa.table({"id": pa.array([number], pa.int64())}), mode="append")
    theirs = {f"{n:020d}.json" for n in (1, 2)} | {Path(add).name for add in set(DeltaTable(path).file_uris()) - ours}
    synced: list[str] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    tv.append(table, [{"id": 4}])
    assert theirs <= set(synced)
    synced.clear()
    tv.append(path, [{"id": 5}])
    assert not theirs & set(synced)
    assert f"{3:020d}.json" not in synced


def test_what_a_vacuum_took_keeps_nothing_else_from_being_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another tool's commit one file may be gone by now; its others and its entry are synced all the same."""
    path = tmp_path / "t"
    write_deltalake(path, pa.table({"id": [1, 2], "part": ["a", "b"]}), partition_by=["part"])
    DeltaTable(path).delete("part = 'a'")
    (gone,) = (path / "part=a").iterdir()
    (kept,) = (path / "part=b").iterdir()
    gone.unlink()
    calls = noted(monkeypatch)
    tv.append(path, [{"id": 3, "part": "b"}])
    before = calls[: calls.index(f"link {2:020}.json")]
    named = [kept.name, *(f"{number:020}.json" for number in (0, 1)), "part=b", "_delta_log", "t", tmp_path.name]
    assert {f"sync {name}" for name in named} <= set(before), "nor the folders that it made"


def test_a_disk_that_turns_read_only_is_told_by_what_came_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be removed either, after a write that failed, does not hide why it failed."""
    path = tmp_path / "t"
    tv.create_table(path, [{"id": 1}])
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    monkeypatch.setattr(Path, "unlink", refusing(errno.EROFS))
    with pytest.raises(errors.StorageError, match=os.strerror(errno.EIO)):
        tv.append(path, [{"id": 2}])
    with pytest.raises(errors.StorageError, match=os.strerror(errno.EIO)), local.whole_file(tmp_path / "out") as file:
        file.write(b"1")
    monkeypatch.undo()
    assert tv.read_version(path).num_rows == 1
    assert tv.append(path, [{"id": 2}]) is not None


def refusing(number: int) -> Callable[..., None]:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refused


@pytest.mark.parametrize("method", ["is_dir", "exists"])
def test_folders_that_may_not_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """A table below a root that may not be searched is an error of ours that names the place."""
    tv.create_table(tmp_path / "t", [{"id": 1}])
    look = getattr(Path, method)

    def refused(self: Path, *rest: Any, **more: Any) -> Any:
        if self.is_relative_to(tmp_path / "t"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return look(self, *rest, **more)

    monkeypatch.setattr(Path, method, refused)
    asks = {
        "is_dir": lambda: tv.query("SELECT * FROM t", root=tmp_path),
        "exists": lambda: LocalStorage(tmp_path / "t").exists("x"),
    }
    with pytest.raises(errors.StorageError, match=f"cannot look at '{re.escape(str(tmp_path / 't'))}"):
        asks[method]()


def test_a_folder_made_anew_is_synced_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that takes the place of one, with its inode even, is no less synced than the first was."""
    path = tmp_path / "t"
    for number in range(3):
        shutil.rmtree(path, ignore_errors=True)
        (path / "_delta_log").mkdir(parents=True)
        with monkeypatch.context() as patch:
            calls = noted(patch)
            tv.create_table(path, [{"id": number}])
        assert f"sync {tmp_path.name}" in calls, number


def test_a_table_named_by_a_link_is_synced_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the folder that names the table that is synced, not the one that names the link."""
    (tmp_path / "real" / "t" / "_delta_log").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "t")
    calls = noted(monkeypatch)
    tv.create_table(tmp_path / "link", [{"id": 1}])
    assert "sync real" in calls


def test_a_table_that_is_dropped_meanwhile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the table's folder goes while one looks at it, that is said."""
    path = tmp_path / "t"
    table = tv.create_table(path, [{"id": 1, "part": "a"}], partition_by="part")
    sync = local.sync_folder

    def dropping(folder: Path) -> None:
        shutil.rmtree(path, ignore_errors=True)
        sync(folder)

    for write in (
        lambda: tv.append(table, [{"id": 2, "part": "b"}]),
        lambda: table.log.storage.put_if_absent("a/b", b""),
    ):
        monkeypatch.setattr(local, "sync_folder", dropping)
        with pytest.raises(errors.TableverError):
            write()
        monkeypatch.undo()
        tv.create_table(path, [{"id": 1, "part": "a"}], partition_by="part")


def test_a_copy_that_keeps_its_times_is_synced_before_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When an object was modified does not tell when it came here: files and entries of an old look are synced, too."""
    path = tmp_path / "t"
    write_deltalake(path, pa.table({"id": [1]}))
    theirs = [*path.glob("*.parquet"), *path.glob("_delta_log/*.json")]
    for file in theirs:
        os.utime(file, (1, 1))
    calls = noted(monkeypatch)
    tv.append(path, [{"id": 2}])
    assert {f"sync {file.name}" for file in theirs} <= set(calls)


def test_vectors_and_change_files_of_others_are_synced_before_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same of what Spark's DELETE and MERGE write beside data files."""
    path = tmp_path / "t"
    tv.create_table(path, [{"id": n} for n in range(9_000)], key="id")
    tv.delete(path, where="id % 3 = 0 AND id % 7 < 4 AND id % 11 < 6")
    theirs = {each.name for folder in ("_dv", "_change_data") for each in (path / folder).iterdir()}
    assert len(theirs) == 2
    entry = path / "_delta_log" / f"{1:020}.json"
    first, *lines = entry.read_text().splitlines()
    info = json.loads(first)["commitInfo"]
    del info["tablever"]  # as one of another tool
    entry.write_text("\n".join([json.dumps({"commitInfo": info}), *lines]))
    synced: list[str] = []
    monkeypatch.setattr(LocalStorage, "sync", lambda _, at: synced.append(Path(at).name))
    tv.append(path, [{"id": 9_000}])
    assert theirs | {entry.name} <= set(synced)


def test_a_link_that_was_asked_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that was made, and whose answer says that the name is taken, as NFS may, is one's own, and durable."""
    link, storage, done = os.link, LocalStorage(tmp_path), list[str]()

    def twice(source: Any, target: Any) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", twice)
    monkeypatch.setattr(local, "sync_folder", lambda folder: done.append(folder.name))
    assert storage.put_if_absent("_delta_log/0.json", b"mine")
    assert done[-1] == "_delta_log"
    monkeypatch.undo()
    assert not storage.put_if_absent("_delta_log/0.json", b"mine")
    assert [each.name for each in (tmp_path / "_delta_log").iterdir()] == ["0.json"]


ROWS = pa.table({"id": range(9_000), "part": [0] * 9_000})
# What is done, what of its folders is there before, and the folders whose names must be on the disk before its link.
FOLDERS: dict[str, tuple[Any, list[str], set[str]]] = {
    "create": (lambda t: tv.create_table(t, ROWS, key="id"), ["_delta_log"], {"around", "t"}),
    "delete": (lambda t: tv.delete(t, where=scattered(0)), ["_dv", "_change_data"], {"t"}),
    "append": (lambda t: tv.append(t, [{"id": -1, "part": 7}]), ["part=7"], {"t"}),
    "tag": (lambda t: tv.tag(t, "v1", 0), ["_tablever/tags", "_tablever/journal"], {"t", "_tablever"}),
}


def scattered(n: int) -> str:
    """A predicate of rows whose vector is too large to stand in the log; others for each ``n``."""
    return f"id % 3 = {n} AND id % 7 < 4 AND id % 11 < 6"


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_was_there_need_not_be_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A folder that another writer may have made, and not synced, is synced before what needs it is linked."""
    work, folders, expected = FOLDERS[name]
    table = tmp_path / "around" / "t"
    if name != "create":
        tv.create_table(table, ROWS, partition_by="part" if name == "append" else None)
    for folder in folders:
        (table / folder).mkdir(parents=True)
    calls = noted(monkeypatch)
    work(table)
    before = calls[: next(n for n, each in enumerate(calls) if each.startswith("link "))]
    assert expected <= {each.removeprefix("sync ") for each in before}


def test_folders_that_were_there_are_synced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For folders that others made, the first commit of a process asks the disk twice more, and the next not at all."""
    table = tv.create_table(tmp_path / "t", ROWS)
    tv.delete(table, where=scattered(0))
    asked, calls = list[int](), noted(monkeypatch)
    local._synced.clear()  # as of a new process
    for n in (1, 2):
        tv.delete(table, where=scattered(n))
        asked.append(sum(each.startswith("sync ") for each in calls))
        calls.clear()
    assert asked[0] == asked[1] + len({"around the table", "the table"})


def test_a_folder_around_the_table_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is made in a folder of one's own, though the folder around it may only be passed through."""
    (tmp_path / "t").mkdir()
    sync = local.sync_folder

    def refused(folder: Path) -> None:
        if folder == tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied")
        sync(folder)

    monkeypatch.setattr(local, "sync_folder", refused)
    assert tv.read_version(tv.create_table(tmp_path / "t", [{"id": 1}])).num_rows == 1


def test_partitions_that_another_tool_made_are_synced_before_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another tool committed just before is made durable with the folders that lead to it, the table's own too."""
    table = tmp_path / "around" / "t"
    write_deltalake(table, pa.table({"id": [1], "part": [0]}), partition_by=["part"])
    calls = noted(monkeypatch)
    tv.append(table, [{"id": 2, "part": 0}])
    before = calls[: calls.index(f"link {1:020d}.json")]
    assert {"sync around", "sync t", "sync part=0", "sync _delta_log"} <= set(before)
