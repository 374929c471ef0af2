"""The log of a table: versions, times, snapshots, and what is said where they are missing."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

import tablever as tv
from tablever.delta.actions import decode_percent
from tablever.errors import (
    CorruptionError,
    InvalidInputError,
    RefError,
    StorageError,
    TableNotFoundError,
    TableverError,
    TagNotFoundError,
    UnsupportedFeatureError,
    VersionNotFoundError,
    VersionVacuumedError,
)
from tablever.log import Log, entry_path, open_log
from tablever.storage import LocalStorage

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
START = 1_750_000_000_000
FIELDS = [{"name": "a", "type": "long", "nullable": True, "metadata": {}}]
SETTINGS = [
    {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
    {
        "metaData": {
            "id": "m",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps({"type": "struct", "fields": FIELDS}),
            "partitionColumns": [],
            "configuration": {},
        }
    },
]


def add(name: str, rows: int | None = 10, **more: Any) -> dict[str, Any]:
    stats = {} if rows is None else {"stats": json.dumps({"numRecords": rows})}
    file = {"path": name, "partitionValues": {}, "size": 1, "modificationTime": START, "dataChange": True}
    return {"add": {**file, **stats, **more}}


def remove(name: str, **more: Any) -> dict[str, Any]:
    return {"remove": {"path": name, "dataChange": True, **more}}


def info(milliseconds: int | None, operation: str = "WRITE", **more: Any) -> dict[str, Any]:
    time = {} if milliseconds is None else {"timestamp": milliseconds}
    return {"commitInfo": {**time, "operation": operation, **more}}


class Table:
    """A table of log entries without data files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "_delta_log").mkdir(parents=True)

    def put(self, number: int, *actions: dict[str, Any]) -> None:
        every = [*actions, *(SETTINGS if number == 0 else [])]
        text = "".join(json.dumps(action, separators=(",", ":")) + "\n" for action in every)
        self.entry(number).write_text(text)

    def fill(self, versions: int, step: int = 1000) -> None:
        for number in range(versions):
            self.put(number, info(START + step * number), add(f"f{number:03d}"))

    def checkpoint(self, number: int) -> Path:
        DeltaTable(str(self.folder), version=number).create_checkpoint()
        return self.folder / "_delta_log" / f"{number:020d}.checkpoint.parquet"

    def entry(self, number: int) -> Path:
        return self.folder / entry_path(number)

    def log(self) -> Log:
        return open_log(self.folder)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "orders")


def paths(log: Log, number: int) -> list[str]:
    return [file.path for file in log.snapshot(number).files]


def names(count: int) -> list[str]:
    return [f"f{number:03d}" for number in range(count)]


# -- snapshots


def test_every_version_is_a_prefix_of_the_log(table: Table) -> None:
    """Version n holds what the entries 0 to n say, in whichever order versions are asked for."""
    table.fill(12)
    table.checkpoint(4)
    table.checkpoint(8)
    log = table.log()
    for number in (11, 0, 8, 3, 9, 4, 10, 5):
        assert paths(log, number) == names(number + 1)
        assert log.snapshot(number).rows == 10 * (number + 1)
        assert log.snapshot(number).version == number


def test_the_head_follows_the_disk(table: Table) -> None:
    """Every call of head sees the entries that are there, and returns the same value while none is new."""
    table.fill(2)
    log = table.log()
    assert log.head().version == 1
    assert log.head() is log.head()
    table.put(2, info(START + 5000), add("f002"))
    table.put(3, info(START + 6000), remove("f000"))
    assert log.head().version == 3
    assert [file.path for file in log.head().files] == ["f001", "f002"]
    assert log.head_number() == 3


def test_the_head_costs_two_looks_and_no_reading(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm head asks the disk twice and reads nothing."""
    table.fill(2)
    log = table.log()
    head = log.head()
    looks = []
    real = LocalStorage.fingerprint
    monkeypatch.setattr(LocalStorage, "fingerprint", lambda self, path: looks.append(path) or real(self, path))
    for name in ("get", "get_many", "get_range", "get_starts", "list"):
        monkeypatch.setattr(LocalStorage, name, lambda *_: pytest.fail("read"))
    assert log.head() is head
    assert len(looks) == 2


def test_what_a_writer_knows_of_its_commits_is_what_the_log_says(tmp_path: Path) -> None:
    """A handle that committed holds the same head, words and digest as one that reads the log anew."""
    writer = tv.create_table(tmp_path / "t", [{"id": 1, "label": "a"}, {"id": 2, "label": None}], key="id")
    steps: list[Callable[[], object]] = [
        lambda: tv.append(writer, [{"id": 3, "label": "c"}]),
        lambda: tv.upsert(writer, [{"id": 1, "label": "b"}, {"id": 4, "label": "d"}]),
        lambda: tv.delete(writer, where="id = 2"),
        lambda: tv.append(writer, [{"id": 5, "label": "e", "more": 1.5}], evolve=True),
        lambda: tv.append(str(tmp_path / "t"), [{"id": 6, "label": "f", "more": None}]),
        lambda: tv.update(writer, {"label": "'z'"}, where="id = 3"),
        lambda: tv.compact(writer, min_files=1),
        lambda: tv.restore(writer, 2),
        lambda: tv.overwrite(writer, [{"id": 9}], replace_schema=True),
    ]
    for step in steps:
        step()
        kept, fresh = writer.log, open_log(tmp_path / "t")
        number = fresh.head_number()
        assert kept.head() == fresh.head()
        assert kept.version(number) == fresh.version(number)
        assert kept.digest(number) == fresh.digest(number)


def test_a_writer_reads_none_of_its_own_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append after an append of the same handle opens no log entry: what it put, it knows."""
    writer = tv.create_table(tmp_path / "t", [{"id": 1}], key="id")
    tv.append(writer, [{"id": 2}])
    for name in ("get", "get_many", "get_range", "get_starts"):
        monkeypatch.setattr(LocalStorage, name, lambda *_: pytest.fail("read"))
    version = tv.append(writer, [{"id": 3}])
    assert version is not None
    assert version.rows == 3


def test_a_damaged_entry_that_a_checkpoint_covers_is_read_around(tmp_path: Path) -> None:
    """What a handle has read before makes no version unreadable: a checkpoint behind a damaged entry serves it, too."""
    path = tmp_path / "t"
    tv.create_table(path, [{"id": 0}], key="id")
    for n in (1, 2, 3):
        tv.append(path, [{"id": n}])
    DeltaTable(path, version=2).create_checkpoint()
    entry = path / "_delta_log" / f"{2:020}.json"
    data = entry.read_bytes()
    entry.write_bytes(data.replace(b'"numRecords', b'"numRecorda'))
    assert entry.read_bytes() != data
    fresh, used = open_log(path), open_log(path)
    used.snapshot(1)
    assert used.snapshot(3) == fresh.snapshot(3)
    with pytest.raises(CorruptionError):
        used.version(2)


def test_a_look_that_fails_after_the_commit_does_not_fail_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an entry is in the log, the write returns its version, though the disk lets nobody look any more."""
    writer = tv.create_table(tmp_path / "t", [{"id": 1}], key="id")
    fingerprint, put = LocalStorage.fingerprint, LocalStorage.put_if_absent
    there: list[str] = []

    def noting(self: LocalStorage, path: str, data: bytes) -> bool:
        there.append(path)
        return put(self, path, data)

    def failing(self: LocalStorage, path: str) -> Any:
        if there:
            raise StorageError("cannot look: too many open files")
        return fingerprint(self, path)

    monkeypatch.setattr(LocalStorage, "put_if_absent", noting)
    monkeypatch.setattr(LocalStorage, "fingerprint", failing)
    version = tv.append(writer, [{"id": 2}])
    assert version is not None
    there.clear()
    assert (version.number, version.rows) == (1, 2)
    assert writer.log.head() == open_log(tmp_path / "t").head()


FLIPS: dict[str, Callable[[bytes], bytes]] = {
    "the time": lambda entry: re.sub(
        rb'("timestamp":\d{6})(\d)', lambda m: m[1] + bytes([m[2][0] ^ 1]), entry, count=1
    ),
    "a count": lambda entry: re.sub(rb'("rowsAdded":)(\d)', lambda m: m[1] + bytes([m[2][0] ^ 1]), entry, count=1),
    "the keys": lambda entry: re.sub(rb'("filter":"..)(.)', lambda m: m[1] + (b"B" if m[2] == b"A" else b"A"), entry),
    "all of it": lambda _: b"",
}


@pytest.mark.parametrize("what", FLIPS)
@pytest.mark.parametrize("size", [0, 40_000])
def test_a_damaged_entry_answers_nothing(tmp_path: Path, what: str, size: int) -> None:
    """What the start of an old entry says of time, counts and keys is taken from a whole entry, or not at all."""
    path = tmp_path / "t"
    table = tv.create_table(path, [{"id": 0}], key="id")
    for number in range(1, 53):
        tv.append(table, [{"id": number}], metadata={"why": "m" * size} if number == 30 else None)
    time = tv.list_versions(table)[30].timestamp
    entry = path / entry_path(30)
    damaged = FLIPS[what](entry.read_bytes())
    assert damaged != entry.read_bytes()
    entry.write_bytes(damaged)
    for ask in (
        lambda: tv.read_version(path, time),
        lambda: tv.row_history(path, 30),
        lambda: tv.blame(path, keys=[30]),
    ):
        with pytest.raises(CorruptionError, match=r"0030\.json"):
            ask()
    assert tv.read_version(path).num_rows == 53


@pytest.mark.parametrize("versions", [1, 2, 3, 4])
def test_a_table_made_anew_is_noticed(table: Table, versions: int) -> None:
    """A table dropped and made again at the same place is the new one, at once, in every answer."""
    table.fill(3)
    log = table.log()
    assert (log.head().version, len(log.versions())) == (2, 3)
    shutil.rmtree(table.folder)
    anew = Table(table.folder)
    for number in range(versions):
        anew.put(number, info(START + 7 * number), add(f"new{number}"))
    assert paths(log, 0) == ["new0"]
    assert log.head().version == versions - 1
    assert [version.number for version in log.versions()] == list(range(versions))


def test_a_dropped_table_is_not_found(table: Table) -> None:
    """A table that is gone is gone for an open log as well."""
    table.fill(1)
    log = table.log()
    log.head()
    shutil.rmtree(table.folder)
    with pytest.raises(TableNotFoundError):
        log.head()


def test_a_touched_entry_is_the_same_entry(table: Table) -> None:
    """An entry whose time was set after it was read keeps what was read of it."""
    table.fill(3)
    log = table.log()
    head = log.head()
    os.utime(table.entry(2), (1, 1))
    assert log.head() is head


def test_snapshots_survive_the_cleaning_of_older_entries(table: Table) -> None:
    """Versions at and after a checkpoint are read without the entries before it; those before are vacuumed."""
    table.fill(10)
    table.checkpoint(5)
    for number in range(5):
        table.entry(number).unlink()
    log = table.log()
    assert paths(log, 5) == names(6)
    assert paths(log, 9) == names(10)
    assert [version.number for version in log.versions()] == [5, 6, 7, 8, 9]
    assert [log.version(version.number).rows for version in log.versions()] == [60, 70, 80, 90, 100]
    for number in (0, 4):
        with pytest.raises(VersionVacuumedError, match="oldest version that can be read is 5"):
            log.snapshot(number)
        with pytest.raises(VersionVacuumedError):
            log.entry(number)
    with pytest.raises(VersionNotFoundError, match="the log has versions 5 to 9"):
        log.snapshot(10)


def test_entries_that_no_checkpoint_reaches_are_vacuumed(table: Table) -> None:
    """A version between the cleaned entries and the next checkpoint cannot be read, and says so."""
    table.fill(10)
    table.checkpoint(7)
    for number in range(5):
        table.entry(number).unlink()
    log = table.log()
    with pytest.raises(VersionVacuumedError):
        log.snapshot(6)
    assert log.version(6).rows is None
    assert paths(log, 8) == names(9)


def test_a_version_of_which_only_a_checkpoint_is_left(table: Table) -> None:
    """A version without its entry but with its checkpoint is read, described, and not in the list of versions."""
    table.fill(4)
    file = table.checkpoint(3)
    os.utime(file, (START / 1000 + 60, START / 1000 + 60))
    for number in range(4):
        table.entry(number).unlink()
    log = table.log()
    assert log.head().version == 3
    assert paths(log, 3) == names(4)
    assert log.versions() == []
    version = log.version(3)
    assert (version.operation, version.rows, version.timestamp_from_file) == ("unknown", 40, True)
    assert version.timestamp == log.head().timestamp == at(60_000)
    assert log.resolve("2999-01-01T00:00Z") == 3


def test_a_log_cleaned_while_it_is_open_is_read_from_its_checkpoint(table: Table) -> None:
    """Entries that vanish under an open log are taken from the checkpoint that came since."""
    table.fill(8)
    log = table.log()
    log.head_number()
    table.checkpoint(6)
    for number in range(6):
        table.entry(number).unlink()
    assert paths(log, 7) == names(8)


# -- damage


def test_a_bad_hint_does_not_matter(table: Table) -> None:
    """An empty, stale or senseless _last_checkpoint changes nothing."""
    table.fill(6)
    table.checkpoint(3)
    for text in ("", "{", '{"version":99,"size":1}', "null", '{"version":1,"parts":7}'):
        (table.folder / "_delta_log" / "_last_checkpoint").write_text(text)
        assert paths(table.log(), 5) == names(6)


def test_bad_checkpoints_fall_back(table: Table) -> None:
    """A cut, empty or incomplete checkpoint is passed over for an older one, or for the entries."""
    table.fill(9)
    older, newer = table.checkpoint(3), table.checkpoint(6)
    newer.write_bytes(newer.read_bytes()[:-20])
    assert paths(table.log(), 8) == names(9)
    for number in range(3):
        table.entry(number).unlink()
    assert paths(table.log(), 8) == names(9)
    older.write_bytes(b"")
    with pytest.raises(CorruptionError, match="checkpoint '00000000000000000006"):
        table.log().snapshot(8)


def test_a_checkpoint_without_all_its_parts_is_none(table: Table) -> None:
    """One part of two is no checkpoint."""
    table.fill(4)
    table.checkpoint(2).rename(table.folder / "_delta_log" / f"{2:020d}.checkpoint.{1:010d}.{2:010d}.parquet")
    assert table.log()._files.relist().checkpoints == ()
    assert paths(table.log(), 3) == names(4)


def test_checkpoints_in_parts_and_with_sidecars(table: Table) -> None:
    """Multi-part checkpoints and V2 checkpoints with sidecars are whole states; a lost sidecar falls back."""
    table.fill(4)
    folder = table.folder / "_delta_log"
    whole = table.checkpoint(2)
    uuid = "00000000-0000-4000-8000-000000000000"
    settings = [json.dumps(action) for action in SETTINGS]
    files = [json.dumps({"sidecar": {"path": "s.parquet", "sizeInBytes": 1, "modificationTime": 1}})]
    (folder / "_sidecars").mkdir()
    shutil.copy(whole, folder / "_sidecars" / "s.parquet")
    (folder / f"{3:020d}.checkpoint.{uuid}.json").write_text("\n".join([*settings, *files]))
    shutil.copy(whole, folder / f"{2:020d}.checkpoint.{1:010d}.{2:010d}.parquet")
    whole.rename(folder / f"{2:020d}.checkpoint.{2:010d}.{2:010d}.parquet")
    for number in range(3):
        table.entry(number).unlink()
    assert paths(table.log(), 2) == names(3)
    assert paths(table.log(), 3) == names(3)
    (folder / "_sidecars" / "s.parquet").unlink()
    assert paths(table.log(), 3) == names(4)


@pytest.mark.parametrize("text", ["", '{"add":{"path":"f', "null"])
def test_a_damaged_entry_stops_its_version_and_later_ones(table: Table, text: str) -> None:
    """An empty or cut entry is corruption, named with the last good version, which still reads."""
    table.fill(5)
    table.entry(3).write_text(text)
    log = table.log()
    for ask in (lambda: log.snapshot(3), log.head, lambda: log.entry(3), lambda: log.version(3), log.versions):
        with pytest.raises(CorruptionError) as caught:
            ask()
        assert (caught.value.file, caught.value.last_good) == ("00000000000000000003.json", 2)
    assert paths(log, 2) == names(3)


def test_a_hole_in_the_log_is_named(table: Table) -> None:
    """A missing entry between others is corruption that names the file; versions before it still read."""
    table.fill(5)
    table.entry(2).unlink()
    log = table.log()
    for ask in (log.head, lambda: log.snapshot(2), lambda: log.entry(2), lambda: log.version(2), log.versions):
        with pytest.raises(CorruptionError) as caught:
            ask()
        assert (caught.value.file, caught.value.last_good) == ("00000000000000000002.json", 1)
    assert paths(log, 1) == names(2)
    assert log.version(1).number == 1


def test_a_log_that_begins_nowhere_is_corrupt(table: Table) -> None:
    """Entries that begin after 0, with no checkpoint at all, are corruption and not a cleaned log."""
    table.fill(5)
    for number in range(2):
        table.entry(number).unlink()
    with pytest.raises(CorruptionError, match=r"00000000000000000000\.json"):
        table.log().head()


def test_other_files_in_the_log_do_not_matter(table: Table) -> None:
    """Compacted logs, checksums, temporary files and folders are passed over."""
    table.fill(3)
    for name in (
        f"{0:020d}.{2:020d}.compacted.json",
        f".{2:020d}.json.crc",
        f"{2:020d}.crc",
        f".{3:020d}.json.abc.tmp",
        "3.json",
        f"{9:020d}.json.bak",
        f"{2:020d}.checkpoint.json",
    ):
        (table.folder / "_delta_log" / name).write_text("x")
    (table.folder / "_delta_log" / "_commits").mkdir()
    assert paths(table.log(), table.log().head_number()) == names(3)


def test_a_feature_that_we_do_not_read_is_named(table: Table) -> None:
    """A version under an unknown reader feature is refused; those before it still read."""
    table.fill(2)
    features = {"readerFeatures": ["unheardOf"], "writerFeatures": ["unheardOf"]}
    table.put(2, info(START + 9000), {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}})
    log = table.log()
    with pytest.raises(UnsupportedFeatureError) as caught:
        log.head()
    assert caught.value.feature == "unheardOf"
    assert paths(log, 1) == names(2)


# -- times


def at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(START / 1000, UTC) + timedelta(milliseconds=milliseconds)


def times(table: Table) -> list[datetime]:
    """The versions' times, the same whichever way one asks."""
    listed = [version.timestamp for version in table.log().versions()]
    apart = [table.log().snapshot(number).timestamp for number in range(len(listed))]
    assert apart == listed == [table.log().version(number).timestamp for number in range(len(listed))]
    return listed


def test_a_clock_that_goes_back_is_raised(table: Table) -> None:
    """A version is later than the one before by a millisecond at least."""
    for number, offset in enumerate([0, 500, 100, 100, 502, 900]):
        table.put(number, info(START + offset))
    assert times(table) == [at(offset) for offset in (0, 500, 501, 502, 503, 900)]


@given(st.lists(st.integers(0, 8), min_size=1, max_size=6), st.integers(0, 5))
def test_times_rise(tmp_path_factory: pytest.TempPathFactory, offsets: list[int], asked: int) -> None:
    """Whatever the clocks said, times rise, and every time between means the version before it."""
    table = Table(tmp_path_factory.mktemp("t") / "orders")
    for number, offset in enumerate(offsets):
        table.put(number, info(START + offset))
    log = table.log()
    log.snapshot(min(asked, len(offsets) - 1))
    listed = [version.timestamp for version in log.versions()]
    assert all(later > earlier for earlier, later in pairwise(listed))
    for number, time in enumerate(listed):
        assert log.resolve(time) == number
        assert log.resolve(time + timedelta(microseconds=999)) == number


def test_in_commit_timestamps_come_first(table: Table) -> None:
    """Where an entry has an in-commit timestamp, that is its time."""
    table.put(0, info(START + 5, inCommitTimestamp=START))
    table.put(1, info(START + 1, inCommitTimestamp=START + 70))
    assert times(table) == [at(0), at(70)]


def test_an_entry_without_a_time_has_its_files(table: Table) -> None:
    """Without a recorded time the log file's own is taken, and flagged."""
    table.put(0, add("a"))
    table.put(1, info(None))
    table.put(2, info(10**18))
    table.put(3, info(START + 9000))
    for number in range(3):
        os.utime(table.entry(number), (START / 1000 + number, START / 1000 + number))
    assert times(table) == [at(0), at(1000), at(2000), at(9000)]
    assert [version.timestamp_from_file for version in table.log().versions()] == [True, True, True, False]


def test_our_own_entries_are_not_raised(table: Table) -> None:
    """An entry of ours was made later than its predecessor: its time stands, and nothing older is looked at."""
    table.fill(3)
    table.put(3, info(START + 50_000, tablever={"operation": "append"}))
    table.put(4, info(START + 40_000))
    log = table.log()
    assert log.snapshot(4).timestamp == at(50_001)
    assert sorted(log._cache._times) == [3, 4]


def test_a_log_that_begins_later_starts_from_its_first(table: Table) -> None:
    """Times of a cleaned log are raised from the first entry that is left."""
    table.fill(6)
    table.checkpoint(3)
    table.put(2, info(START + 99_000))
    for number in range(3):
        table.entry(number).unlink()
    assert table.log().snapshot(4).timestamp == at(4000)


# -- what the log says of a version


def test_our_own_record(table: Table) -> None:
    """A version of ours says what its writer recorded."""
    record = {
        "operation": "upsert",
        "message": "m",
        "author": "me",
        "metadata": {"k": [1]},
        "rows": 12,
        "rowsAdded": 3,
        "rowsRemoved": 1,
        "rowsUpdated": 1,
        "contentHash": "sha:" + "ab" * 32,
        "batchDigest": "d",
    }
    table.put(0, info(START, "MERGE", userMetadata="other", tablever=record), add("a"))
    log = table.log()
    version = log.version(0)
    assert version == log.versions()[0]
    assert (version.operation, version.message, version.author, version.metadata) == ("upsert", "m", "me", {"k": [1]})
    assert (version.rows, version.rows_added, version.rows_removed, version.rows_updated) == (12, 3, 1, 1)
    assert (version.content_hash, version.parent) == ("sha:" + "ab" * 32, None)
    assert version.commit_hash == hashlib.sha256(table.entry(0).read_bytes()).hexdigest()
    assert (log.record(0)["batchDigest"], log.entry(0).data) == ("d", table.entry(0).read_bytes())


def test_what_others_recorded(table: Table) -> None:
    """A foreign version's words are Delta's, and its counts those that need no scan."""
    vector = {"storageType": "i", "pathOrInlineDv": "x", "sizeInBytes": 1, "cardinality": 4}
    table.put(0, info(START, "CREATE TABLE AS SELECT", userMetadata="why", userName="who"), add("a"), add("b", 5))
    table.put(1, info(START + 1), add("c", None))
    table.put(2, info(START + 2, "DELETE", operationMetrics={"numDeletedRows": "2"}), remove("c"), add("d", None))
    table.put(3, info(START + 3, "DELETE"), remove("a"), add("a", 10, deletionVector=vector))
    table.put(4, info(START + 4, "OPTIMIZE"), remove("b", dataChange=False), add("e", 5, dataChange=False))
    table.put(5, info(START + 5, "UPDATE"), remove("e"), add("g", 5))
    table.put(6, info(START + 6, "SET TBLPROPERTIES"))
    versions = table.log().versions()
    assert [version.operation for version in versions[:2]] == ["create-table-as-select", "write"]
    assert (versions[0].message, versions[0].author, versions[1].message) == ("why", "who", None)
    counts = [(v.rows, v.rows_added, v.rows_removed, v.rows_updated) for v in versions]
    assert counts == [
        (15, 15, 0, 0),
        (None, None, 0, 0),
        (None, 0, 2, 0),
        (None, 0, 4, 0),
        (None, 0, 0, 0),
        (None, None, None, None),
        (None, 0, 0, 0),
    ]
    assert [version.parent for version in versions] == [None, 0, 1, 2, 3, 4, 5]


def test_rows_are_carried_where_they_are_known(table: Table) -> None:
    """Rows of foreign versions follow from the entries before, removed files by what added them."""
    table.put(0, info(START), add("a", 10), add("b", 7))
    table.put(1, info(START + 1, "DELETE"), remove("a"))
    table.put(2, info(START + 2), remove("b"), add("c", 4))
    log = table.log()
    assert [(v.rows, v.rows_added, v.rows_removed) for v in log.versions()] == [
        (17, 17, 0),
        (7, 0, 10),
        (4, None, None),
    ]
    assert [table.log().version(number) for number in range(3)] == log.versions()


def test_lists_grow_with_the_log(table: Table) -> None:
    """A list asked for again holds the same values and what has come since."""
    table.fill(3)
    log = table.log()
    first = log.versions()
    table.put(3, info(START + 9000), add("f003"))
    again = log.versions()
    assert all(one is other for one, other in zip(first, again, strict=False))
    assert (again[3].number, again[3].rows) == (3, 40)


# -- refs


@pytest.mark.parametrize(
    ("ref", "number"),
    [
        (0, 0),
        ("17", 17),
        (-1, 17),
        ("-18", 0),
        ("latest", 17),
        ("latest~17", 0),
        (at(0), 0),
        (at(999), 0),
        (at(1000), 1),
        (at(16_500), 16),
        ("2999-01-01T00:00:00Z", 17),
        ("sha:0000000c", 12),
        ("sha:00000002", 2),
        ("sha:000000", 17),
    ],
)
def test_refs_resolve(table: Table, ref: Any, number: int) -> None:
    """Every form of a ref resolves to its version's number."""
    for each in range(18):
        table.put(each, info(START + 1000 * each, tablever={"contentHash": f"sha:{each:08x}"}))
    assert table.log().resolve(ref) == number


@pytest.mark.parametrize("ref", [18, "42", -19, "latest~18", at(-1), "1970-01-01T00:00:00Z", "sha:abcdef"])
def test_what_the_log_has_not_is_not_found(table: Table, ref: Any) -> None:
    """A ref to what never was raises VersionNotFoundError, with a hint where to look."""
    table.fill(18)
    with pytest.raises(VersionNotFoundError) as caught:
        table.log().resolve(ref)
    assert caught.value.hint == "tablever log orders"
    assert "'orders'" in str(caught.value)


def test_the_words_for_what_is_not_there(table: Table) -> None:
    """Messages say what was asked and what there is."""
    table.fill(18)
    log = table.log()
    expected: list[tuple[Callable[[], object], type[TableverError], str]] = [
        (
            lambda: log.snapshot(42),
            VersionNotFoundError,
            "version 42 not found in 'orders': the log has versions 0 to 17",
        ),
        (lambda: log.resolve("v2.0"), TagNotFoundError, "tag 'v2.0' not found in 'orders': it has no tags"),
        (lambda: log.resolve("v2.0~3"), TagNotFoundError, "tag 'v2.0' not found in 'orders': it has no tags"),
        (lambda: log.resolve(True), RefError, "a bool, True, names no version"),
    ]
    for ask, kind, message in expected:
        with pytest.raises(kind) as caught:
            ask()
        assert str(caught.value) == message


# -- opening


def test_what_can_be_opened(table: Table) -> None:
    """A path, its text, a URI, a Log and whatever holds one open the same table."""
    table.fill(2)
    log = table.log()
    for target in (table.folder, str(table.folder), table.folder.as_uri(), log, SimpleNamespace(log=log)):
        assert open_log(target).head().version == 1
    again = pickle.loads(pickle.dumps(log))
    assert (again.name, again.head()) == ("orders", log.head())


def test_what_cannot_be_opened(table: Table, tmp_path: Path) -> None:
    """What is no table is not found, and the hint names the table that may have been meant."""
    table.fill(1)
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun" / "_delta_log").mkdir(parents=True)
    expected = {
        "order": ("does not exist", "orders"),
        "nothing": ("does not exist", "tablever create"),
        "file": ("is a file", "tablever create"),
        "empty": ("is a folder without _delta_log", "tablever create"),
        "begun": ("has no log entries", "tablever create"),
        "orders/_delta_log": ("is a folder without _delta_log", "orders"),
        "orders/p=1": ("does not exist", "orders"),
        ".": ("is a folder without _delta_log", "orders"),
    }
    for place, (message, hint) in expected.items():
        with pytest.raises(TableNotFoundError) as caught:
            open_log(tmp_path / place)
        assert message in str(caught.value)
        assert hint in caught.value.hint
    with pytest.raises(UnsupportedFeatureError):
        open_log("hdfs://place/table")
    with pytest.raises(InvalidInputError):
        open_log(7)  # type: ignore[arg-type]


# -- tables of others


def golden() -> list[Any]:
    """The tables that other projects publish."""
    folders = sorted([*GOLDEN.glob("dat/*"), *GOLDEN.glob("delta/*"), *GOLDEN.glob("cdf/*")])
    return [pytest.param(folder, id=folder.name) for folder in folders]


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden tables are not here")
@pytest.mark.parametrize("folder", golden())
def test_golden_snapshots_are_those_of_deltalake(folder: Path) -> None:
    """Every version that deltalake opens has the same files and settings here."""
    root = folder / "delta" if (folder / "delta").is_dir() else folder
    try:
        log = open_log(root)
        numbers = [version.number for version in log.versions()]
    except (CorruptionError, TableNotFoundError):
        assert not (folder / "expected").is_dir()
        return
    for number in numbers:
        try:
            theirs = DeltaTable(str(root), version=number)
            files = sorted(file.rsplit("/", 1)[-1] for file in theirs.file_uris())
        except Exception as error:  # noqa: BLE001 - what another library cannot open says nothing of ours
            print(f"{folder.name}@{number}: {type(error).__name__}")
            continue
        ours = log.snapshot(number)
        assert sorted(decode_percent(file.path).rsplit("/", 1)[-1] for file in ours.files) == files
        assert ours.metadata.id == str(theirs.metadata().id)
        assert ours.protocol.min_reader == theirs.protocol().min_reader_version


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden tables are not here")
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("deltalog-invalid-protocol-version", UnsupportedFeatureError, "reader version 99"),
        ("deltalog-state-reconstruction-without-protocol", CorruptionError, "protocol"),
        ("deltalog-state-reconstruction-from-checkpoint-missing-protocol", CorruptionError, "schemaString"),
        ("deltalog-commit-info", CorruptionError, "schemaString"),
        ("versions-not-contiguous", CorruptionError, "json"),
        ("no-delta-log-folder", TableNotFoundError, "_delta_log"),
    ],
)
def test_malformed_golden_tables_are_refused(name: str, kind: type[TableverError], words: str) -> None:
    """A published malformed table is refused, and the message says what is wrong."""
    with pytest.raises(kind, match=words):
        open_log(GOLDEN / "delta" / name / "delta").head()
