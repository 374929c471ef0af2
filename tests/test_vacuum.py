"""A vacuum frees what nobody keeps, never what somebody keeps, and says in the log what it took before it takes it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import example, given
from hypothesis import strategies as st

import tablever as tv
from tablever import errors, witnesses
from tablever.commit import _entry
from tablever.delta.actions import decode_path
from tablever.delta.vectors import vector_path
from tablever.freeing import is_leftover
from tablever.ledger import read_ledger
from tablever.log import Log, open_log
from tablever.model import ChangeFile
from tablever.retention import parse_policy
from tablever.spans import holds, numbers_of, spans_of
from tablever.storage import LocalStorage
from tests import reading
from tests.strategies import shapes
from tests.test_compact import grow
from tests.test_concurrency import SPAWN, lose_races
from tests.test_crash import Killed, Machine, watched

NOW = "0 days"


def objects(path: Path) -> set[str]:
    """The data, vector and change files on the disk."""
    return {name for name in reading.contents(path) if not name.startswith(("_delta_log/", "_tablever/"))}


def needed(log: Log, number: int) -> set[str]:
    """What a version's rows need, from its snapshot."""
    files = log.snapshot(number).files
    stored = [file.vector for file in files if file.vector and file.vector.storage_type != "i"]
    return {decode_path(file.path) for file in files} | {vector_path(vector) for vector in stored}


def changes(log: Log, number: int) -> set[str]:
    """A version's change files, from its entry."""
    return {decode_path(action.path) for action in log.entry(number).actions if isinstance(action, ChangeFile)}


def feed(path: Path, number: int) -> pa.Table | None:
    """A version's change rows; None where they cannot be had."""
    try:
        return tv.query(f"FROM table_changes('t', {number}, {number})", tables={"t": path})
    except errors.TableverError:
        return None


def history(path: Path, commits: int = 6, **options: Any) -> Path:
    """A table in which every version changes a third of the rows, so that old versions need files of their own."""
    tv.create_table(path, [{"id": n, "text": "x" * 40} for n in range(900)], key="id", **options)
    for commit in range(commits):
        tv.upsert(path, [{"id": n, "text": f"{commit}"} for n in range(commit, 900, 3)])
    return path


def replaced(path: Path, commits: int = 6) -> Path:
    """A table in which every version has files of its own, and nothing in common with others."""
    tv.create_table(path, [{"id": n} for n in range(9)])
    for commit in range(1, commits + 1):
        tv.overwrite(path, [{"id": 100 * commit + n} for n in range(9)])
    return path


# Policies


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("all", "all"),
        ("ALL", "all"),
        ("pinned", "pinned"),
        (" 90  days", "90 days"),
        ("1 version", "1 version"),
        ("pinned, 90 days,10 versions", "pinned, 90 days, 10 versions"),
        ("90 days, 90 days", "90 days"),
        ("12 hours", "12 hours"),
        ("0 days", "0 days"),
    ],
)
def test_a_policy_is_read_and_spelled(text: str, spelled: str) -> None:
    """What people write is one policy, in one spelling, which reads as the same policy."""
    assert parse_policy(text).text == spelled
    assert parse_policy(spelled) == parse_policy(parse_policy(spelled).text)


@pytest.mark.parametrize(
    "text", ["", "everything", "90", "days", "-1 days", "10 versions;", "pinned,", "1e3 days", "40000 days", None, 90]
)
def test_what_is_no_policy_is_refused(text: Any) -> None:
    """Nothing is guessed: a text that is no policy is an error that shows some."""
    with pytest.raises(errors.InvalidInputError) as raised:
        parse_policy(text)
    assert raised.value.hint


clauses = st.lists(
    st.sampled_from(["pinned", "all", "0 days", "3 minutes", "1 hours", "0 versions", "2 versions", "5 versions"]),
    min_size=1,
    max_size=3,
)


@given(clauses, st.lists(st.integers(0, 90), min_size=1, max_size=9), st.integers(0, 120))
def test_a_policy_keeps_what_any_part_keeps(parts: list[str], gaps: list[int], later: int) -> None:
    """Kept are the head, the newest so many, and every version that was the head at a moment since."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(minutes=sum(gaps[: n + 1])) for n in range(len(gaps))]
    now = times[-1] + timedelta(minutes=later)
    kept = {len(times) - 1}
    for part in parts:
        number, _, unit = part.partition(" ")
        if part == "all":
            kept |= set(range(len(times)))
        elif unit.startswith("version"):
            kept |= set(range(max(0, len(times) - int(number)), len(times)))
        elif unit:
            since = now - timedelta(minutes={"days": 1440, "minutes": 1, "hours": 60}[unit] * int(number))
            kept |= {n for n in range(len(times) - 1) if times[n + 1] > since}
    found = parse_policy(", ".join(parts)).keeps(times, now)
    assert {n for n, flag in enumerate(found) if flag} == kept


def test_upkeep_is_not_counted(tmp_path: Path) -> None:
    """``"2 versions"`` are two that changed the table: compactions and vacuums use up none, however many there are."""
    path = replaced(tmp_path / "t")
    for _ in range(4):
        tv.append(path, tv.read_version(path, where="id = 0"))
        tv.compact(path)
        tv.vacuum(path, keep="2 versions", safety=NOW, dry_run=False)
        newest = [v.number for v in tv.list_versions(path) if v.operation not in ("compact", "vacuum")][-2:]
        for number in newest:
            tv.read_version(path, number)
    before = tv.list_versions(path)
    for _ in range(3):
        report = tv.vacuum(path, keep="2 versions", safety=NOW, dry_run=False)
    kept = [number for number in range(len(before)) if not holds(report.lost, number)]
    changed = [v.number for v in before if v.number in kept and v.operation not in ("compact", "vacuum")]
    assert len(changed) == 2


@given(st.sets(st.integers(0, 30)))
@example(set())
def test_spans_are_sets(numbers: set[int]) -> None:
    """Runs of numbers hold exactly the numbers that they were made of."""
    spans = spans_of(numbers)
    assert numbers_of(spans) == sorted(numbers)
    assert {n for n in range(-1, 32) if holds(spans, n)} == numbers
    assert all(first[1] + 1 < then[0] for first, then in pairwise(spans))


# What is needed, and what goes


@given(shapes(), st.data())
def test_every_version_keeps_what_it_is_promised(shape: Any, data: st.DataObject) -> None:
    """For any history, policy and pins: what is kept or pinned reads as before, change rows too; every other object is
    gone; what is lost is exactly what cannot be read, and says so; the log tells every version as before.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t"
        grow(path, shape, data)
        if data.draw(st.booleans(), label="compact"):
            tv.compact(path, deleted=0.01)
        if data.draw(st.booleans(), label="restore"):
            tv.restore(path, 0)
        log = open_log(path)
        head = log.head().version
        pinned = data.draw(st.sets(st.integers(0, head), max_size=3), label="pinned")
        for number in pinned:
            tv.pin(path, number, reason="test")
        count = data.draw(st.integers(0, head + 1), label="count")
        keep = data.draw(st.sampled_from([f"{count} versions", "pinned", NOW, "all"]), label="keep")
        kept = {head, *pinned, *range(max(0, head + 1 - count) if "versions" in keep else head, head + 1)}
        kept = set(range(head + 1)) if keep == "all" else kept
        versions = tv.list_versions(path)
        before = {number: tv.read_version(path, number) for number in range(head + 1)}
        fed = {number: feed(path, number) for number in kept}
        needs = {number: needed(log, number) for number in range(head + 1)}
        told = {number: changes(log, number) for number in range(head + 1)}
        ledger = read_ledger(log)
        for number in range(head + 1):
            by_ledger = {p for p, need in ledger.objects.items() if holds(need.versions, number)}
            assert by_ledger == needs[number] | told[number]

        planned = tv.vacuum(path, keep=keep, safety=NOW)
        assert planned.dry_run
        assert tv.list_versions(path) == versions, "a dry run did something"
        everything = objects(path)
        report = tv.vacuum(path, keep=keep, safety=NOW, dry_run=False)

        staying = set[str]().union(*(needs[n] | told[n] for n in kept))
        assert objects(path) == staying
        assert {removal.path for removal in report.removals} == everything - staying
        assert (report.removals, report.lost) == (planned.removals, planned.lost)
        assert sum(report.by_version.values()) == report.bytes
        lost = {number for number in range(head + 1) if needs[number] - staying}
        assert set(numbers_of(report.lost)) == lost
        assert not lost & kept
        assert (report.version is None) == (not report.removals)
        for number, rows in before.items():
            if number in lost:
                assert_lost(path, number, lost)
            else:
                assert reading.same(tv.read_version(path, number), rows)
        for number, rows in fed.items():
            after = feed(path, number)
            assert (after is None and number - 1 in lost) or after is rows is None or reading.same(after, rows)  # type: ignore[arg-type]
        assert tv.list_versions(path)[: head + 1] == versions
        assert [tv.resolve_version(path, version.number) for version in versions] == versions
        assert tv.vacuum(path, keep="all", safety=NOW, dry_run=False).removals == ()
        tv.verify(path)


def assert_lost(path: Path, number: int, lost: Collection[int]) -> None:
    """Reading and restoring a lost version is an error that names the nearest that can be read."""
    newest = tv.resolve_version(path).number
    readable = [n for n in range(newest + 1) if n not in lost]
    for attempt in (tv.read_version, tv.restore, lambda t, n: list(tv.iter_batches(t, n)), try_tag):
        with pytest.raises(errors.VersionVacuumedError) as raised:
            attempt(path, number)
        assert raised.value.older == max((n for n in readable if n < number), default=None)
        assert raised.value.newer == min(n for n in readable if n > number)
        assert tv.resolve_version(path, raised.value.vacuumed_by).operation == "vacuum"
    assert tv.resolve_version(path).number == newest


def try_tag(path: Path, number: int) -> object:
    return tv.tag(path, f"of-{number}", number)


def test_a_lost_version_is_told_by_the_vacuum_that_took_it(tmp_path: Path) -> None:
    """``vacuumed_by`` is the vacuum that took the version, also after later ones; the record is cumulative."""
    path = replaced(tmp_path / "t")
    first = tv.vacuum(path, keep="4 versions", safety=NOW, dry_run=False)
    tv.overwrite(path, [{"id": 7}])
    second = tv.vacuum(path, keep="pinned", safety=NOW, dry_run=False)
    assert first.version is not None
    assert second.version is not None
    assert first.lost == ((0, 2),)
    assert second.lost == ((0, 7),)
    for number, by in ((1, first), (2, first), (3, second), (6, second)):
        with pytest.raises(errors.VersionVacuumedError) as raised:
            tv.read_version(path, number)
        assert by.version is not None
        assert raised.value.vacuumed_by == by.version.number
    log = open_log(path)
    assert log.vacuumed().rows == second.lost
    write_deltalake(path, pa.table({"id": [9001]}), mode="append")
    assert open_log(path).vacuumed() == log.vacuumed(), "a commit of another tool hides the record"
    DeltaTable(path).create_checkpoint()
    write_deltalake(path, pa.table({"id": [9002]}), mode="append")
    assert open_log(path).vacuumed() == log.vacuumed(), "a checkpoint lost the record"


def test_versions_between_lost_change_rows_are_compared(tmp_path: Path) -> None:
    """A diff over versions whose change rows are gone compares the two that are there; the answer is the same."""
    path = history(tmp_path / "t")
    before = tv.diff_versions(path, 0, 6)
    expected = (before.added, before.removed, before.updated)
    tv.pin(path, 0, reason="first")
    tv.vacuum(path, keep="pinned", safety=NOW, dry_run=False)
    after = tv.diff_versions(path, 0, 6)
    assert (after.added, after.removed, after.updated) == expected
    assert after.plan.way == "snapshots"
    with pytest.raises(errors.VersionVacuumedError):
        tv.query("FROM table_changes('t', 2, 3)", tables={"t": path})


def test_rows_that_another_tool_took_are_told_as_such(tmp_path: Path) -> None:
    """Of a version whose change rows a vacuum of ours took and whose rows went otherwise, nobody says that it reads."""
    path = tmp_path / "t"
    tv.create_table(path, [{"id": n} for n in range(100)], key="id")
    tv.upsert(path, [{"id": 100}, {"id": 101}])
    tv.delete(path, where="id = 1")
    tv.delete(path, where="id = 2")
    assert tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False).lost == ()
    assert open_log(path).vacuumed().changes == ((2, 2),)
    with pytest.raises(errors.VersionVacuumedError, match="what version 2 of 't' changed was vacuumed by version 4"):
        tv.query("FROM table_changes('t', 2, 2)", tables={"t": path})
    (path / open_log(path).snapshot(2).files[0].path).unlink()
    with pytest.raises(errors.VersionVacuumedError, match=r"cannot be read: its file 'part-.*' is gone"):
        tv.read_version(path, 2)


# What stays for safety, and what is nobody's business


def test_the_safety_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What left the head, or was written or copied here, less than the interval ago stays, is told as spared, and not
    lost; a day later it goes.
    """
    path = history(tmp_path / "t")
    young, copied = path / "part-young.parquet", path / "_dv" / "deletion_vector_copied.bin"
    for each in (young, copied):
        each.write_bytes(b"left by a crash")
    os.utime(copied, (time.time() - 900_000,) * 2)
    report = tv.vacuum(path, keep="pinned", dry_run=False)
    assert report.removals == ()
    assert {removal.path for removal in report.spared} > {"part-young.parquet", "_dv/deletion_vector_copied.bin"}
    assert (report.version, report.lost) == (None, ())
    for number in range(7):
        tv.read_version(path, number)
    spared = report.spared
    with monkeypatch.context() as later:
        later.setattr("tablever.vacuuming._now", lambda: datetime.now(UTC) + timedelta(hours=25))
        assert tv.vacuum(path, keep="pinned").removals == spared
    report = tv.vacuum(path, safety=NOW, dry_run=False)
    assert {removal.kind for removal in report.removals} == {"leftover"}, "by default everything is kept"
    assert not young.exists()
    with pytest.raises(errors.InvalidInputError):
        tv.vacuum(path, safety="soon")


@pytest.mark.parametrize(
    "write", [lambda t: tv.append(t, [{"id": 9999, "text": "new"}]), lambda t: tv.delete(t, where="id % 7 = 0")]
)
def test_a_writer_slower_than_the_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], object]
) -> None:
    """Where a vacuum took a commit's files for abandoned, the commit writes them again and lands; where something else
    did, which makes no version, it is refused and the table is as it was.
    """
    path = history(tmp_path / "t", 1)
    before = tv.read_version(path)

    def vacuum() -> None:
        assert tv.vacuum(path, safety=NOW, dry_run=False).version is not None

    def remove() -> None:
        for name in objects(path) - needed(open_log(path), 1) - changes(open_log(path), 1):
            if "part-" in name or "cdc-" in name:
                (path / name).unlink()

    for takes in (remove, vacuum):
        came: list[bool] = []

        def late(*arguments: Any, takes: Callable[[], None] = takes, came: list[bool] = came) -> Any:
            made = _entry(*arguments)
            if not came:
                came.append(True)
                takes()
            return made

        with monkeypatch.context() as slow:
            slow.setattr("tablever.commit._entry", late)
            if takes is vacuum:
                assert write(path).number == 3  # type: ignore[attr-defined]
            else:
                with pytest.raises(errors.StorageError, match="another tool took it for abandoned"):
                    write(path)
                assert reading.same(tv.read_version(path), before)
    tv.verify(path)


def test_a_clock_that_was_behind_shortens_no_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What left the head just now stays for the interval, though the commit's clock said that it was long ago."""
    with monkeypatch.context() as behind:
        then = time.time_ns() - 100 * 86_400 * 10**9
        behind.setattr("time.time_ns", lambda: then)
        path = replaced(tmp_path / "t")
    report = tv.vacuum(path, keep="90 days", dry_run=False)
    assert (report.removals, report.lost) == ((), ())
    assert len(report.spared) == 6


def test_files_of_others_stay(tmp_path: Path) -> None:
    """Only what a Delta writer leaves goes: not a user's files, other folders, tables inside, what a link leads to."""
    path = history(tmp_path / "t", 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    tv.create_table(path / "inner", [{"id": 1}])
    keep = ["export.parquet", "notes.txt", "_other/part-1.parquet", ".hidden/part-1.parquet", "p=1/readme.md"]
    gone = ["part-1.parquet", "p=1/part-2.parquet", "_p=1/part-3.parquet", "_change_data/cdc-1.parquet"]
    gone += [f"_delta_log/.00000000000000000009.json.{'0' * 32}.tmp", "deletion_vector_1.bin"]
    for name in [*keep, *gone]:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("x")
    (elsewhere / "part-9.parquet").write_text("x")
    (path / "linked").symlink_to(elsewhere)
    (path / "part-link.parquet").symlink_to(elsewhere / "part-9.parquet")
    assert all(is_leftover(name) for name in gone)
    report = tv.vacuum(path, safety=NOW, dry_run=False)
    assert sorted(removal.path for removal in report.removals) == sorted(gone)
    assert all((path / name).exists() for name in [*keep, "part-link.parquet"])
    assert (elsewhere / "part-9.parquet").exists()
    assert tv.read_version(path / "inner").num_rows == 1


def respelled(path: Path, spell: Callable[[str], str]) -> None:
    """Write a log's paths in another way."""
    for entry in (path / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in entry.read_text().splitlines()]
        for action in actions:
            for kind in ("add", "remove"):
                if kind in action:
                    action[kind]["path"] = spell(action[kind]["path"])
        entry.write_text("\n".join(map(json.dumps, actions)))


@pytest.mark.parametrize(
    "spelling", ["./{name}", "{uri}/.//{name}", "inside/{name}", "inside/./../{name}", "{root}/inside/{name}"]
)
def test_other_names_of_what_is_needed(tmp_path: Path, spelling: str) -> None:
    """However the log spells a file's path, and through whichever link inside the folder, it is that file: it stays as
    long as a kept version needs it, goes with the last one, and is not taken for a leftover.
    """
    path = tmp_path / "t"
    for n in range(3):
        write_deltalake(path, pa.table({"id": [n]}), mode="overwrite" if n else "error")
    (path / "inside").symlink_to(path)
    names: dict[str, str] = {}
    respelled(path, lambda name: names.setdefault(name, spelling.format(name=name, root=path, uri=path.as_uri())))
    if ".." in spelling:  # leads nobody knows where
        with pytest.raises(errors.UnsupportedFeatureError):
            tv.vacuum(path, safety=NOW, dry_run=False)
        return
    rows = tv.read_version(path)
    assert tv.vacuum(path, keep="all", safety=NOW, dry_run=False).removals == ()
    assert {file.kind for file in tv.du(path).files} == {"data"}
    report = tv.vacuum(path, keep="2 versions", safety=NOW, dry_run=False)
    assert [(removal.kind, removal.versions) for removal in report.removals] == [("data", ((0, 0),))]
    assert report.lost == ((0, 0),)
    assert len(objects(path)) == 2
    assert reading.same(tv.read_version(path), rows)


def test_a_file_under_two_names(tmp_path: Path) -> None:
    """A file that an old version needs under one name and the head under another stays."""
    path = tmp_path / "t"
    write_deltalake(path, pa.table({"id": [1]}))
    write_deltalake(path, pa.table({"id": [2]}), mode="overwrite")
    entry = path / "_delta_log" / f"{1:020}.json"
    actions = [json.loads(line) for line in entry.read_text().splitlines()]
    (gone,) = (action["remove"]["path"] for action in actions if "remove" in action)
    for action in actions:
        if "add" in action:
            action["add"]["path"] = f"./{gone}"
    entry.write_text("\n".join(map(json.dumps, actions)))
    rows = tv.read_version(path)
    report = tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False)
    assert [removal.kind for removal in report.removals] == ["leftover"]
    assert reading.same(tv.read_version(path), rows)


def test_what_cannot_be_read_stops_it(tmp_path: Path) -> None:
    """A damaged tag or log entry stops a vacuum before anything is removed: nobody knows then what is needed."""
    path = history(tmp_path / "t", 3)
    tv.tag(path, "v1", 1)
    (tag,) = (path / "_tablever" / "tags").glob("*.json")
    whole = tag.read_bytes()
    before = reading.contents(path)
    tag.write_bytes(whole.replace(b'"version":1', b'"version":2'))
    with pytest.raises(errors.CorruptionError):
        tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False)
    tag.write_bytes(whole)
    entry = path / "_delta_log" / f"{2:020}.json"
    entry.rename(tmp_path / "aside")
    with pytest.raises(errors.TableverError):
        tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False)
    (tmp_path / "aside").rename(entry)
    assert reading.contents(path) == before


# Tags, runs and pins


def test_witnesses_keep_their_versions(tmp_path: Path) -> None:
    """A tag, a linked run and a pin keep their versions whatever the policy; one that is deleted no longer does."""
    path = replaced(tmp_path / "t")
    before = {number: tv.read_version(path, number) for number in range(7)}
    tv.tag(path, "v1", 1)
    tv.link_run(path, 3, "run-1")
    tv.pin(path, 5, reason="audit")
    assert tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False).kept == ((1, 1), (3, 3), (5, 6))
    for number in (1, 3, 5, 6):
        assert reading.same(tv.read_version(path, number), before[number])
    tv.unpin(path, 5)
    tv.delete_tag(path, "v1")
    assert set(numbers_of(tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False).lost)) == {0, 1, 2, 4, 5}
    assert reading.same(tv.read_version(path, 3), before[3])


def test_a_witness_that_was_removed_by_hand_keeps_its_version(tmp_path: Path) -> None:
    """What the journal remembers counts: no version goes because the object that names it was lost."""
    path = replaced(tmp_path / "t")
    before = {number: tv.read_version(path, number) for number in (1, 3, 5)}
    tv.tag(path, "v1", 1)
    tv.link_run(path, 3, "run-1", metrics={"f1": 0.9})
    tv.pin(path, 5, reason="audit")
    tv.tag(path, "gone", 4)
    tv.delete_tag(path, "gone")
    for kind in ("tags", "runs", "pins"):
        for object_ in (path / "_tablever" / kind).glob("*.json"):
            object_.unlink()
    assert tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False).lost == ((0, 0), (2, 2), (4, 4))
    for number, rows in before.items():
        assert reading.same(tv.read_version(path, number), rows)
    (entry, *_) = (path / "_tablever" / "journal").glob("*.json")
    entry.write_bytes(entry.read_bytes().replace(b'"version":', b'"versiom":'))
    with pytest.raises(errors.CorruptionError):
        tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False)


def at_the_record(monkeypatch: pytest.MonkeyPatch, before: Any = None, after: Any = None) -> None:
    """Call something once just before, or just after, a vacuum's entry is put."""
    put = LocalStorage.put_if_absent
    left = [1]

    def late(self: LocalStorage, relative: str, data: bytes) -> bool:
        if relative.startswith("_delta_log/") and b"VACUUM START" in data and left and left.pop():
            if before:
                before()
            done = put(self, relative, data)
            if after:
                after()
            return done
        return put(self, relative, data)

    monkeypatch.setattr(LocalStorage, "put_if_absent", late)


def test_a_tag_made_before_the_record_is_spared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag made after the plan and before its record keeps its version; a second record takes back what was said."""
    path = replaced(tmp_path / "t")
    before = tv.read_version(path, 2)
    at_the_record(monkeypatch, before=lambda: tv.tag(path, "late", 2))
    report = tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False)
    assert reading.same(tv.read_version(path, "late"), before)
    assert not holds(report.lost, 2)
    assert open_log(path).vacuumed().rows == report.lost
    assert [v.operation for v in tv.list_versions(path)][-2:] == ["vacuum", "vacuum"]
    with pytest.raises(errors.VersionVacuumedError):
        tv.read_version(path, 3)


def test_a_tag_made_after_the_record_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names a version once its loss is recorded is told, and no tag is left behind."""
    path = replaced(tmp_path / "t")
    told = []

    def late() -> None:
        with pytest.raises(errors.VersionVacuumedError):
            tv.tag(path, "late", 2)
        told.append(True)

    at_the_record(monkeypatch, after=late)
    tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False)
    assert told
    assert tv.list_tags(path) == []


def test_a_tag_that_a_vacuum_overtakes_is_told_though_its_version_is_handed_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A maker that finds its version recorded as lost is told so, even if the vacuum still meets its tag and spares the
    version: nobody waits for the other, and no row is lost.
    """
    path = replaced(tmp_path / "t")
    before = tv.read_version(path, 2)
    check, take_away = witnesses._check_there, witnesses.take_away
    put, recorded, told, spared = Event(), Event(), Event(), Event()

    def checked_late(log: Log, number: int) -> None:
        if tv.list_tags(path):
            put.set()
            assert recorded.wait(60)
        check(log, number)

    def taken_away_later(*given: Any) -> bool:
        told.set()
        assert spared.wait(60)
        return take_away(*given)

    monkeypatch.setattr(witnesses, "_check_there", checked_late)
    monkeypatch.setattr(witnesses, "take_away", taken_away_later)
    with ThreadPoolExecutor(1) as maker:

        def before_the_record() -> None:
            made.append(maker.submit(tv.tag, path, "late", 2))
            assert put.wait(60)

        def after_the_record() -> None:
            recorded.set()
            assert told.wait(60)

        made: list[Future[tv.Tag]] = []
        at_the_record(monkeypatch, before_the_record, after_the_record)
        tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False)
        spared.set()
        with pytest.raises(errors.VersionVacuumedError):
            made[0].result()
    assert tv.list_tags(path) == []
    assert reading.same(tv.read_version(path, 2), before)


def test_a_restore_that_comes_first_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that is restored while a vacuum plans is the head's: the vacuum is planned again and spares it."""
    path = replaced(tmp_path / "t")
    before = tv.read_version(path, 2)
    lose_races(monkeypatch, [lambda: tv.restore(path, 2)])
    tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False)
    assert sorted(map(repr, tv.read_version(path).to_pylist())) == sorted(map(repr, before.to_pylist()))


def test_a_restore_that_comes_second_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore that loses to a vacuum of its version is refused: its files may go any moment."""
    path = replaced(tmp_path / "t")
    head = tv.read_version(path)
    remove = LocalStorage.remove
    monkeypatch.setattr(LocalStorage, "remove", lambda self, relative: None)  # noqa: ARG005 - the vacuum is that slow
    lose_races(monkeypatch, [lambda: tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False)])
    with pytest.raises(errors.VersionVacuumedError):
        tv.restore(path, 2)
    monkeypatch.setattr(LocalStorage, "remove", remove)
    tv.vacuum(path, safety=NOW, dry_run=False)
    assert reading.same(tv.read_version(path), head)


@pytest.mark.parametrize("comer", [lambda t: tv.restore(t, 2), lambda t: tv.tag(t, "late", 2)])
def test_a_second_vacuum_hands_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comer: Callable[[Path], object]
) -> None:
    """What a vacuum is removing stays recorded as lost while others run that would spare it: nobody builds on it."""
    path = replaced(tmp_path / "t")
    head = tv.read_version(path)
    remove = LocalStorage.remove
    begun: list[str] = []

    def slow(self: LocalStorage, relative: str) -> None:
        if relative.startswith("part-") and not begun:
            begun.append(relative)
            assert not tv.vacuum(path, keep="all", safety="1 day", dry_run=False).removals
            with pytest.raises(errors.VersionVacuumedError):
                comer(path)
        remove(self, relative)

    monkeypatch.setattr(LocalStorage, "remove", slow)
    report = tv.vacuum(path, keep="pinned", safety=NOW, dry_run=False)
    assert begun
    assert open_log(path).vacuumed().rows == report.lost == ((0, 5),)
    assert reading.same(tv.read_version(path), head)
    assert tv.list_tags(path) == []


def test_what_a_dead_vacuum_spared_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vacuum that died before it could hand back what was tagged meanwhile: the tag reads, and a vacuum a day later
    hands the version back.
    """
    path = replaced(tmp_path / "t")
    before = tv.read_version(path, 2)
    at_the_record(monkeypatch, before=lambda: tv.tag(path, "late", 2), after=lambda: (_ for _ in ()).throw(Killed("")))
    with pytest.raises(Killed):
        tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False)
    tv.vacuum(path, safety=NOW, dry_run=False)
    assert reading.same(tv.read_version(path, "late"), before)
    assert holds(open_log(path).vacuumed().rows, 2)
    monkeypatch.setattr("tablever.vacuuming.LONGEST", timedelta())
    tv.vacuum(path, safety=NOW, dry_run=False)
    assert open_log(path).vacuumed().rows == ((0, 1), (3, 5))
    tv.restore(path, 2)
    assert reading.same(tv.read_version(path, "late"), before)


def tagger(path: str, number: int, start: Any, out: Any) -> None:
    """Try to tag a version."""
    start.wait()
    try:
        tv.tag(path, f"t{number}", number)
        out.put(number)
    except errors.VersionVacuumedError:
        out.put(-1 - number)


def vacuumer(path: str, _: int, start: Any, out: Any) -> None:
    """Free everything."""
    start.wait()
    tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False)
    out.put(None)


def test_processes_that_tag_beside_a_vacuum(tmp_path: Path) -> None:
    """In whatever order processes come, a tag that was made reads its version's rows, and whoever lost was told; a
    version of theirs is recorded as lost, or was handed back and reads.
    """
    path = replaced(tmp_path / "t")
    before = {number: tv.read_version(path, number) for number in range(6)}
    start, out = SPAWN.Event(), SPAWN.Queue()
    jobs = [(vacuumer, 0), *((tagger, number) for number in range(1, 6))]
    processes = [SPAWN.Process(target=job, args=(str(path), number, start, out)) for job, number in jobs]
    for process in processes:
        process.start()
    start.set()
    answers = [answer for _ in processes if (answer := out.get(timeout=120)) is not None]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    tags = {tag.version: tag.name for tag in tv.list_tags(path)}
    assert sorted(tags) == sorted(number for number in answers if number >= 0)
    for number, name in tags.items():
        assert reading.same(tv.read_version(path, name), before[number])
    for answer in answers:
        if answer < 0 and not holds(open_log(path).vacuumed().rows, -1 - answer):
            assert reading.same(tv.read_version(path, -1 - answer), before[-1 - answer])


# Death at any call


def test_a_vacuum_that_dies_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever call it dies in, what is kept reads; once its record is in the log, the next one finishes it, whatever
    that one keeps.
    """
    pristine = replaced(tmp_path / "pristine", 4)
    tv.tag(pristine, "v1", 1)
    (pristine / "part-crashed.parquet").write_bytes(b"x")
    table = tmp_path / "t"
    shutil.copytree(pristine, table)
    kept = {number: tv.read_version(table, number) for number in (1, 4)}
    tv.vacuum(table, keep=NOW, safety=NOW, dry_run=False)
    expected = objects(table)
    assert expected < objects(pristine)
    recorded = set()
    for die_at in range(1, 200):
        shutil.rmtree(table)
        shutil.copytree(pristine, table)
        machine = Machine(table, die_at)
        try:
            with watched(machine, monkeypatch):
                tv.vacuum(table, keep=NOW, safety=NOW, dry_run=False)
            break
        except Killed:
            pass
        for number, rows in kept.items():
            assert reading.same(tv.read_version(table, number), rows), f"at call {die_at}"
        done = open_log(table).vacuumed().by is not None
        recorded.add(done)
        tv.vacuum(table, keep="all" if done else NOW, safety=NOW, dry_run=False)
        assert objects(table) == expected, f"at call {die_at}"
        for number, rows in kept.items():
            assert reading.same(tv.read_version(table, number), rows)
        with pytest.raises(errors.VersionVacuumedError):
            tv.read_version(table, 2)
    else:
        pytest.fail("the vacuum never got through")
    assert recorded == {True, False}


# The table's own policy, tables of others, space


def test_the_stored_policy_is_the_default(tmp_path: Path) -> None:
    """``set_retention`` stores the policy that a vacuum without one follows; ``restore`` leaves it, None removes it."""
    path = history(tmp_path / "t")
    assert tv.vacuum(path, safety=NOW).removals == ()
    version = tv.set_retention(path, "2  Versions , pinned")
    assert version is not None
    assert (version.operation, version.rows_added) == ("set-retention", 0)
    assert tv.set_retention(path, "2 versions, pinned") is None
    planned = tv.vacuum(path, safety=NOW)
    assert (planned.policy, planned.kept) == ("2 versions, pinned", ((6, 7),))
    tv.restore(path, 0)
    assert tv.vacuum(path, safety=NOW).kept == ((7, 8),)
    tv.set_retention(path, None)
    assert tv.vacuum(path, safety=NOW).kept == ((0, 9),)
    with pytest.raises(errors.InvalidInputError):
        tv.set_retention(path, "a while")


@pytest.mark.parametrize("partition_by", [None, ["p"]])
def test_a_table_of_deltalake(tmp_path: Path, partition_by: list[str] | None) -> None:
    """A table made elsewhere is vacuumed by the same rules, and its maker still reads the head."""
    path = tmp_path / "t"
    for n in range(4):
        rows = pa.table({"id": [n], "p": [f"a b/{n % 2}"]})
        write_deltalake(path, rows, mode="overwrite" if n else "error", partition_by=partition_by)
    tv.tag(path, "first", 0)
    before = {number: tv.read_version(path, number) for number in (0, 3)}
    report = tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False)
    assert report.lost == ((1, 2),)
    assert len(objects(path)) == 2
    for number, rows in before.items():
        assert reading.same(tv.read_version(path, number), rows)
    assert reading.query_builder(path, DeltaTable(path).version()).to_pylist() == before[3].to_pylist()


def test_a_log_that_begins_later(tmp_path: Path) -> None:
    """Where another tool cleaned the log, versions are counted from the oldest that a checkpoint tells."""
    path = tmp_path / "t"
    for n in range(6):
        write_deltalake(path, pa.table({"id": [n]}), mode="overwrite" if n % 2 else "append")
        if n == 3:
            DeltaTable(path).create_checkpoint()
    before = {number: tv.read_version(path, number) for number in (3, 4, 5)}
    for n in range(4):
        (path / "_delta_log" / f"{n:020}.json").unlink()
    assert read_ledger(open_log(path)).first == 3
    report = tv.vacuum(path, keep="3 versions", safety=NOW, dry_run=False)
    assert report.lost == ()
    assert {removal.kind for removal in report.removals} == {"leftover"}
    for number, rows in before.items():
        assert reading.same(tv.read_version(path, number), rows)
    assert len(objects(path)) == 3


def test_protect_sets_what_our_tables_have(tmp_path: Path) -> None:
    """The three properties that keep history are set in one commit; a second time there is nothing to do."""
    path = tmp_path / "t"
    write_deltalake(path, pa.table({"id": [1]}))
    ours = tv.create_table(tmp_path / "ours", [{"id": 1}])
    version = tv.protect(path)
    assert version is not None
    assert version.operation == "protect"
    expected = {k: v for k, v in ours.log.head().metadata.configuration.items() if "etention" in k or "Cleanup" in k}
    assert len(expected) == 3
    assert DeltaTable(path).metadata().configuration == expected
    assert tv.protect(path) is None
    assert tv.protect(ours) is None


@given(shapes(), st.data())
def test_usage_adds_up(shape: Any, data: st.DataObject) -> None:
    """Each version needs the bytes of the objects that a naive look at its snapshot names; sharing saves the rest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t"
        grow(path, shape, data)
        (path / "part-crashed.parquet").write_bytes(b"123")
        log, sizes = open_log(path), reading.contents(path)
        head = log.head().version
        tv.tag(path, "v1", head)
        usage = tv.du(path)
        needs = {n: needed(log, n) | changes(log, n) for n in range(head + 1)}
        for number in range(head + 1):
            others = set[str]().union(*(needs[n] for n in needs if n != number))
            found = usage.versions[number]
            assert found.version == number
            assert found.needs == sum(sizes[name] for name in needs[number])
            assert found.only == sum(sizes[name] for name in needs[number] - others)
            assert found.witnesses == (("tag 'v1'",) if number == head else ())
        shared = set[str]().union(*needs.values())
        assert usage.saved == sum(v.needs for v in usage.versions) - sum(sizes[name] for name in shared)
        assert usage.totals["leftover"] == 3
        assert usage.bytes == sum(reading.contents(path).values())


def test_what_a_killed_commit_leaves_is_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever call a commit, or the making of a tag, is killed in, a vacuum removes all that it left behind."""
    pristine, path = history(tmp_path / "pristine", 2), tmp_path / "t"
    leftovers = set()
    for act in (lambda t: tv.upsert(t, [{"id": 1, "text": "new"}]), lambda t: tv.tag(t, "v1")):
        for die_at in range(1, 100):
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(pristine, path)
            try:
                with watched(Machine(path, die_at), monkeypatch):
                    act(path)
                break
            except Killed:
                pass
            tv.vacuum(path, safety=NOW, dry_run=False)
            named = {name for name in reading.contents(path) if not re.fullmatch(r"_delta_log/\d+\.json", name)}
            leftovers |= named - set(read_ledger(open_log(path)).objects)
    assert not {name for name in leftovers if name.endswith(".tmp") or not name.startswith("_tablever/")}


@pytest.mark.parametrize(
    "act", [lambda t: tv.append(t, [{"id": 9_000, "text": "x"}]), lambda t: tv.tag(t, "v1")], ids=["append", "tag"]
)
def test_a_vacuum_that_takes_what_is_being_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], Any]
) -> None:
    """An interval of nothing lets a vacuum take the temporary file of a running commit, or tag: that is done anyway."""
    path = history(tmp_path / "t", 2)
    linked, vacuums = os.link, 3

    def overtaken(source: Any, target: Any) -> None:
        nonlocal vacuums
        if vacuums and str(source).endswith(".tmp"):
            vacuums -= 1
            inside = vacuums
            vacuums = 0
            tv.vacuum(path, safety=NOW, dry_run=False)
            vacuums = inside
        linked(source, target)

    monkeypatch.setattr(os, "link", overtaken)
    assert act(path)
    assert vacuums == 0
    assert tv.verify(path).damaged == ()
    assert not [name for name in reading.contents(path) if name.endswith(".tmp")]


def test_a_table_that_is_dropped_under_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit whose table is removed before its link says so, and makes no part of it anew."""
    path = history(tmp_path / "t", 2)

    def dropped(*_: Any) -> None:
        shutil.rmtree(path)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "link", dropped)
    with pytest.raises(errors.StorageError, match="removed while it was written"):
        tv.append(path, [{"id": 9_000, "text": "x"}])
    assert not path.exists()


def test_the_record_is_in_the_entry(tmp_path: Path) -> None:
    """The entry says which versions are lost, as runs, and Delta's readers find a VACUUM and a transaction."""
    path = history(tmp_path / "t", 3)
    report = tv.vacuum(path, keep=NOW, safety=NOW, dry_run=False, message="clean up", author="Ada")
    assert report.version is not None
    assert (report.version.message, report.version.author, report.version.rows) == ("clean up", "Ada", 900)
    actions = [json.loads(line) for line in open_log(path).entry(report.version.number).data.decode().splitlines()]
    info = actions[0]["commitInfo"]
    assert (info["operation"], info["tablever"]["vacuumed"]) == ("VACUUM START", [list(span) for span in report.lost])
    assert {"txn": {"appId": "tablever.vacuum", "version": 4}} in actions
