"""A log that was torn, by a power cut say: told by every reader and writer, and repaired, nothing deleted."""

from __future__ import annotations

import io
import json
import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import polars as pl
import pytest
from obstore.store import MemoryStore

import tablever as tv
from tablever import errors, repairing, witness_files
from tablever.delta.entries import salvage
from tablever.log import open_log
from tablever.storage import LocalStorage
from tablever.storage.objects import ObjectStorage
from tests import reading
from tests.cli.conftest import Shell, shell
from tests.object_storage.test_bucket import in_memory
from tests.test_crash import Killed, Machine, watched

__all__ = ["shell"]  # the fixture


def entry(table: Path, number: int) -> Path:
    return table / "_delta_log" / f"{number:020}.json"


def rows(table: Path, ref: Any = "latest") -> list[Any]:
    return sorted(tuple(row.values()) for row in tv.read_version(table, ref).to_pylist())


def by_reader(reader: reading.Reader, table: Path, number: int) -> list[Any]:
    return sorted(tuple(row.values()) for row in reader(table, number).to_pylist())


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Four versions; the newest, an upsert, has a message, a data file and a change file."""
    path = tmp_path / "reviews"
    tv.create_table(path, [{"id": n, "text": f"row {n}"} for n in range(30)], key="id", author="Ada <ada@example.org>")
    tv.append(path, [{"id": 100, "text": "späť"}])
    tv.delete(path, where="id < 3")
    tv.upsert(path, [{"id": 5, "text": "new"}], message='fix "five", {now}', author="Ada <ada@example.org>")
    return path


def told(table: Path, ask: Callable[[], object], number: int = 3, last_good: int | None = 2) -> errors.CorruptionError:
    """The error for the torn entry of a version."""
    with pytest.raises(errors.CorruptionError) as caught:
        ask()
    assert caught.value.file == f"{number:020}.json"
    assert caught.value.last_good == last_good
    assert caught.value.hint == f"tablever repair {table.name}"
    if last_good is not None:
        assert f"the last good version is {last_good}" in str(caught.value)
    return caught.value


# -- reading and writing


def test_an_entry_cut_at_any_byte_is_told(table: Path) -> None:
    """The newest entry cut at every byte, or zeros from there: never read; the file and last good version are named.

    Cut behind a line it is JSON that lacks actions: its own digest tells.
    """
    data = entry(table, 3).read_bytes()
    zeros = (data[:place] + bytes(len(data) - place) for place in range(0, len(data), 11))
    for left in (*(data[:place] for place in range(len(data))), *zeros):
        entry(table, 3).write_bytes(left)
        told(table, open_log(table).head)
    entry(table, 3).write_bytes(data)
    assert open_log(table).head().version == 3


TORN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "zeros": lambda data: bytes(len(data)),
    "in the middle": lambda data: data[: len(data) // 2],
    "behind a line": lambda data: data[: data.index(b"\n") + 1],
    "by one byte": lambda data: data[:-1],
    "half zeros": lambda data: data[: len(data) // 2] + bytes(len(data) // 2),
    "a flipped bit": lambda data: data.replace(b'"rowsUpdated":1', b'"rowsUpdated":0'),
}


@pytest.mark.parametrize("how", TORN)
def test_a_torn_table_reads_its_past_and_takes_no_commit(table: Path, how: str) -> None:
    """Older versions read as before in every way; the head is an error; nothing is committed, and the entry stays."""
    before = {number: rows(table, number) for number in range(3)}
    torn = TORN[how](entry(table, 3).read_bytes())
    entry(table, 3).write_bytes(torn)
    for reader in reading.OURS.values():
        told(table, lambda reader=reader: reader(table, 3))  # type: ignore[misc]
        assert {number: by_reader(reader, table, number) for number in before} == before
    assert rows(table, "latest~1") == before[2]
    asks: list[Callable[[], object]] = [
        lambda: tv.read_version(table),
        lambda: tv.list_versions(table),
        lambda: tv.resolve_version(table, 3),
        lambda: tv.diff_versions(table, 2, 3).added,
        lambda: tv.row_history(table, {"id": 5}),
        lambda: tv.append(table, [{"id": 200, "text": "x"}]),
        lambda: tv.upsert(table, [{"id": 5, "text": "x"}]),
        lambda: tv.delete(table, where="id = 5"),
        lambda: tv.overwrite(table, [{"id": 5, "text": "x"}]),
        lambda: tv.restore(table, 1),
        lambda: tv.compact(table),
        lambda: tv.vacuum(table, dry_run=False),
        lambda: tv.tag(table, "v1"),
    ]
    held = reading.contents(table)
    for ask in asks:
        told(table, ask)
    assert reading.contents(table) == held
    assert entry(table, 3).read_bytes() == torn


# -- the repair


@pytest.mark.parametrize("how", TORN)
def test_a_repair_goes_back_to_the_last_good_version(table: Path, how: str) -> None:
    """What was torn is moved, byte for byte; the version before it is read, by others too; the next commit works."""
    before = rows(table, 2)
    torn = TORN[how](entry(table, 3).read_bytes())
    entry(table, 3).write_bytes(torn)
    planned, held = tv.repair(table, dry_run=True), reading.contents(table)
    assert reading.contents(table) == held
    done = tv.repair(table, reason="power cut", author="Bob")
    assert [lost.version for lost in done.lost] == [lost.version for lost in planned.lost] == [3]
    assert done.head == 2
    (moved,) = done.moved
    assert (table / moved.moved_to).read_bytes() == torn  # type: ignore[operator]
    assert rows(table) == before
    assert all(by_reader(reader, table, 2) == before for reader in reading.THEIRS.values())
    assert not tv.repair(table)
    again = tv.append(table, [{"id": 300, "text": "after"}])
    assert again is not None
    assert again.number == 3
    report = tv.verify(table, level="rows")
    assert (report.damaged, report.unrecorded) == ((), ())
    (found,) = report.given_up
    assert (found.object, found.versions) == (f"_delta_log/{3:020}.json", (3,))
    assert "given up by Bob" in found.detail
    assert "power cut" in found.detail
    assert deltalake.DeltaTable(table).version() == 3


def test_a_repair_at_any_cut(table: Path) -> None:
    """Cut at any of many bytes: repaired, the past as it was, and what the entry still tells is true of it."""
    data, before = entry(table, 3).read_bytes(), rows(table, 2)
    named = {
        line[kind]["path"] for line in map(json.loads, data.splitlines()) for kind in ("add", "cdc") if kind in line
    }
    lines = [place for place, byte in enumerate(data) if byte == ord("\n")]
    places = {0, 1, *lines, *(place + 1 for place in lines[:-1]), *random.Random(1).sample(range(len(data)), 25)}
    known = set()
    for place in sorted(places):
        entry(table, 3).write_bytes(data[:place])
        (lost,) = tv.repair(table).lost
        assert rows(table) == before
        assert lost.operation in (None, "upsert")
        assert lost.author in (None, "Ada <ada@example.org>")
        assert lost.message in (None, 'fix "five", {now}')
        assert set(lost.files) <= named
        known.add((lost.operation, lost.author, lost.message, set(lost.files) == named))
    assert (None, None, None, False) in known
    assert ("upsert", "Ada <ada@example.org>", 'fix "five", {now}', True) in known


@pytest.mark.parametrize("hole", [False, True])
def test_several_of_the_newest(table: Path, hole: bool) -> None:
    """Several torn entries, one of them perhaps gone altogether, are one tail."""
    entry(table, 3).write_bytes(b"")
    entry(table, 2).unlink() if hole else entry(table, 2).write_bytes(bytes(40))
    told(table, lambda: tv.read_version(table), number=2, last_good=1)
    told(table, lambda: tv.resolve_version(table, 3), last_good=1)
    before = rows(table, 1)
    done = tv.repair(table)
    assert [(lost.version, lost.problem) for lost in done.lost] == [
        (2, "is missing" if hole else "holds nothing but zero bytes"),
        (3, "is empty"),
    ]
    assert done.head == 1
    assert rows(table) == before
    assert tv.append(table, [{"id": 300, "text": "after"}]).number == 2  # type: ignore[union-attr]


def test_the_first_version(tmp_path: Path) -> None:
    """A table whose only entry is torn: said, moved aside, and the table can be made anew."""
    path = tmp_path / "t"
    tv.create_table(path, [{"id": 1}])
    entry(path, 0).write_bytes(b"")
    told(path, lambda: tv.open_table(path), number=0, last_good=None)
    assert tv.repair(path).head is None
    with pytest.raises(errors.TableNotFoundError):
        tv.open_table(path)
    tv.create_table(path, [{"id": 2}])
    assert rows(path) == [(2,)]


def test_a_whole_table_has_nothing_to_repair(table: Path) -> None:
    """Nothing is moved, and that is no error; temporary files are not its business."""
    (table / "_delta_log" / ".0123456789abcdef0123456789abcdef.tmp").write_bytes(b'{"add"')
    held = reading.contents(table)
    done = tv.repair(table)
    assert not done
    assert (done.head, done.moved, done.record) == (3, (), None)
    assert reading.contents(table) == held


def test_what_is_no_tail_is_refused(table: Path) -> None:
    """A damaged or missing entry with whole ones after it: refused, named, with what to do; nothing is moved."""
    data = entry(table, 1).read_bytes()
    for damage in (lambda: entry(table, 1).write_bytes(data[:-9]), lambda: entry(table, 1).unlink()):
        damage()
        held = reading.contents(table)
        for dry_run in (True, False):
            with pytest.raises(errors.CorruptionError, match=rf"{1:020}\.json") as caught:
                tv.repair(table, dry_run=dry_run)
            assert caught.value.hint == f"restore _delta_log/{1:020}.json from a copy of the table"
        assert reading.contents(table) == held
        with pytest.raises(errors.CorruptionError) as reader:
            tv.read_version(table)
        assert reader.value.hint == caught.value.hint


def test_a_tail_above_other_damage_is_still_repaired(table: Path) -> None:
    """The tail goes; the entry below is named, and is what the next repair refuses."""
    entry(table, 1).write_bytes(b"{")
    entry(table, 3).write_bytes(b"")
    done = tv.repair(table)
    assert [each.object for each in done.left] == [f"_delta_log/{1:020}.json"]
    assert done.head == 2
    with pytest.raises(errors.CorruptionError, match=rf"{1:020}\.json"):
        tv.repair(table)


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """Fifty-one versions and a checkpoint of the last."""
    path = tmp_path / "long"
    tv.create_table(path, [{"id": 0}], key="id")
    for n in range(1, 51):
        tv.append(path, [{"id": n}])
    return path


def test_a_version_that_its_checkpoint_still_has_is_not_given_up(long: Path) -> None:
    """The entry is torn and a whole checkpoint of its version is there: the rows read; the repair is refused."""
    entry(long, 50).write_bytes(b"")
    assert len(rows(long)) == 51
    held = reading.contents(long)
    with pytest.raises(errors.CorruptionError, match="and a checkpoint of version 50 is there"):
        tv.repair(long)
    assert reading.contents(long) == held


def test_what_else_the_log_has_of_a_lost_version_goes_with_it(long: Path) -> None:
    """Its torn checkpoint, the pointer to it, checksums and compacted logs go; deltalake then opens the table."""
    log = long / "_delta_log"
    entry(long, 50).write_bytes(b"")
    for name in (
        f"{50:020}.checkpoint.parquet",
        f"{50:020}.crc",
        f".{50:020}.json.crc",
        f"{40:020}.{50:020}.compacted.json",
    ):
        (log / name).write_bytes(b"PAR1")
    (log / f"{49:020}.crc").write_bytes(b"{}")
    done = tv.repair(long)
    assert sorted(path.name for path in log.iterdir()) == sorted(
        [*(f"{n:020}.json" for n in range(50)), f"{49:020}.crc"]
    )
    assert len(done.moved) == 6
    assert done.moved[-1].object == f"_delta_log/{50:020}.json"
    assert len(rows(long)) == 50
    (log / f"{49:020}.crc").unlink()
    assert deltalake.DeltaTable(long).version() == 49


@pytest.mark.parametrize("damage", ["cut", "emptied"])
def test_a_torn_checkpoint_goes(long: Path, damage: str) -> None:
    """A newest checkpoint that cannot be read is moved aside, since the entries say all of it; others open it then."""
    (checkpoint,) = (long / "_delta_log").glob("*.checkpoint.parquet")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000] if damage == "cut" else b"")
    done = tv.repair(long)
    assert done.lost == ()
    assert [Path(each.object).name for each in done.moved] == ["_last_checkpoint", checkpoint.name]
    assert deltalake.DeltaTable(long).version() == 50
    assert tv.verify(long, level="log")
    assert not tv.repair(long)


# -- who remembers


def test_tags_runs_and_pins_of_lost_versions_are_taken_away(table: Path) -> None:
    """They are named, and count no more, on the record; those of other versions stay; a lost tag is told as such."""
    tv.tag(table, "v1", 1)
    tv.tag(table, "v3", 3)
    tv.link_run(table, 3, "r3")
    tv.link_run(table, 1, "r1")
    tv.pin(table, 3, reason="paper")
    entry(table, 3).write_bytes(b"")
    done = tv.repair(table, author="Bob")
    assert len(done.taken_away) == 3
    assert done.lost[0].witnesses == ("tag 'v3'", "run 'r3' (train)", "pin: paper")
    tv.append(table, [{"id": 300, "text": "another version 3"}])
    assert [tag.name for tag in tv.list_tags(table)] == ["v1"]
    assert [run.run_id for run in tv.runs_of(table)] == ["r1"]
    assert tv.list_pins(table) == []
    with pytest.raises(errors.TagNotFoundError, match=r"was deleted by Bob on .*: its version was lost"):
        tv.read_version(table, "v3")
    with pytest.raises(errors.AlreadyExistsError, match="version was lost"):
        tv.tag(table, "v3")
    assert tv.verify(table, level="rows")
    tv.vacuum(table, keep="1 version", safety="0 days", dry_run=False)
    assert len(rows(table, "v1")) == 31


def objects_of(table: Path) -> dict[str, str]:
    """One object of each kind below ``_tablever``."""
    tv.tag(table, "v1", 1)
    tv.tag(table, "gone", 1)
    tv.delete_tag(table, "gone")
    tv.link_run(table, 1, "r1")
    tv.link_run(table, 1, "r1", metrics={"f1": 1})
    tv.pin(table, 2, reason="paper")
    tv.tag(table, "last", 1)
    storage = LocalStorage(table)
    return {
        "tag": witness_files.tag_path("v1"),
        "deleted tag": witness_files.tag_path("gone"),
        "deletion": witness_files.deleted_path(witness_files.tag_path("gone")),
        "run": witness_files.run_path(1, "train", "r1"),
        "metrics": witness_files.metrics_of(storage, witness_files.run_path(1, "train", "r1"))[0],
        "pin": witness_files.standing(storage, witness_files.PINS)[0],
        "journal": witness_files.journal_path(1),
        "journal's last": witness_files.journal_path(max(witness_files.journal_numbers(storage))),
    }


@pytest.mark.parametrize("how", ["cut", "gone"])
@pytest.mark.parametrize(
    "kind", ["tag", "deleted tag", "deletion", "run", "metrics", "pin", "journal", "journal's last"]
)
def test_what_cannot_be_restored_is_given_up(table: Path, kind: str, how: str) -> None:
    """A damaged or missing object is given up on the record: verify, vacuum and lists go on; nothing comes back."""
    path = objects_of(table)[kind]
    if (kind, how) == ("journal's last", "gone"):
        pytest.skip("nothing remembers it: that is its only loss that is not noticed")
    data = (table / path).read_bytes()
    (table / path).unlink() if how == "gone" else (table / path).write_bytes(data[:-30])
    with pytest.raises(errors.CorruptionError):
        tv.verify(table, level="log")
    planned = tv.repair(table)
    assert not planned
    assert [each.object for each in planned.left] == ([] if kind == "journal" and how == "gone" else [path])
    done = tv.repair(table, give_up=[path], reason="no copy", author="Bob")
    (given,) = done.given_up
    if how == "cut":
        assert given.moved_to is not None
        assert (table / given.moved_to).read_bytes() == data[:-30]
    report = tv.verify(table, level="rows")
    assert report
    assert [found.object for found in report.given_up] == ([] if kind == "deletion" else [path])
    assert all("given up by Bob" in found.detail for found in report.given_up)
    assert "gone" not in [tag.name for tag in tv.list_tags(table)]
    assert ("v1" in [tag.name for tag in tv.list_tags(table)]) == (kind != "tag")
    assert (tv.runs_of(table) == []) == (kind == "run")
    tv.vacuum(table, dry_run=False)
    for name in ("gone", "v1"):
        with pytest.raises(errors.AlreadyExistsError):
            tv.tag(table, name, 1)
    if kind == "tag":
        with pytest.raises(errors.TagNotFoundError, match="was deleted by Bob"):
            tv.read_version(table, "v1")
    if kind == "run":
        with pytest.raises(errors.AlreadyExistsError, match="deleted by Bob"):
            tv.link_run(table, 1, "r1")
    tv.tag(table, "next", 2)
    assert tv.verify(table, level="log")
    with pytest.raises(errors.InvalidInputError):
        tv.repair(table, give_up=[path])


@pytest.mark.parametrize(
    "path",
    [
        "_tablever/tags/v1.json",
        "_tablever/tags/none.json",
        "_delta_log/x.json",
        "part-1.parquet",
        "_tablever/x.json",
        "",
    ],
)
def test_what_is_whole_or_nothing_is_not_given_up(table: Path, path: str) -> None:
    """Only what is damaged, or missed by the journal, can be given up."""
    tv.tag(table, "v1", 1)
    held = reading.contents(table)
    with pytest.raises(errors.InvalidInputError):
        tv.repair(table, give_up=[path])
    assert reading.contents(table) == held


# -- death, and others


@pytest.mark.parametrize("power", ["kept", "lost"])
def test_a_repair_that_dies_is_done_by_the_next(table: Path, monkeypatch: pytest.MonkeyPatch, power: str) -> None:
    """Whichever call it dies in, the torn bytes are somewhere, and the next repair ends it; no tag is left behind."""
    tv.tag(table, "v3", 3)
    torn = entry(table, 3).read_bytes()[:500]
    entry(table, 3).write_bytes(torn)
    before, pristine = rows(table, 2), table.with_name("pristine")
    table.rename(pristine)
    for die_at in range(1, 300):
        shutil.rmtree(table, ignore_errors=True)
        shutil.copytree(pristine, table)
        there, machine = set(table.rglob("*")), Machine(table, die_at)
        machine.files |= {path.stat().st_ino: path.stat().st_size for path in there}  # on the disk, long ago
        try:
            with watched(machine, monkeypatch):
                tv.repair(table)
            done = True
        except Killed:
            done = False
        if power == "lost":
            machine.lose_power(there)
        assert any(path.read_bytes() == torn for path in table.rglob("*.json")), f"at call {die_at}"
        assert bool(tv.repair(table)) is not done or not done
        assert rows(table) == before, f"at call {die_at}"
        assert tv.append(table, [{"id": 300, "text": "x"}]).number == 3  # type: ignore[union-attr]
        assert tv.list_tags(table) == []
        assert not tv.verify(table, level="log").damaged
        if done:
            assert die_at > 15
            return
    pytest.fail("the repair never got through")


def test_a_repair_takes_nothing_that_was_committed_meanwhile(table: Path) -> None:
    """A second repair waits for the first; it plans anew, and leaves the version that was committed in between."""
    entry(table, 3).write_bytes(b"")
    storage, answers = LocalStorage(table), []
    with storage.alone("_delta_log"):
        waiting = threading.Thread(target=lambda: answers.append(tv.repair(table)))
        waiting.start()
        time.sleep(0.2)
        assert waiting.is_alive()
        assert storage.move(f"_delta_log/{3:020}.json", "_tablever/repairs/first/log/3.json")
        version = tv.append(table, [{"id": 300, "text": "x"}])
    waiting.join(timeout=60)
    assert not answers[0]
    assert tv.resolve_version(table) == version


@pytest.mark.parametrize(
    ("who", "when"),
    [
        ("another tool", "before the record"),
        ("another tool", "before the move"),
        ("another repair, and a writer", "before the record"),
        ("another repair, and a writer", "before the move"),
        ("another repair, and a writer", "in the move"),
    ],
)
def test_a_repair_in_a_store_looks_again(monkeypatch: pytest.MonkeyPatch, who: str, when: str) -> None:
    """Where nothing keeps two repairs apart, the second takes no version that was committed meanwhile, and says so; nor
    is a hole made below one that another tool committed on top of a torn entry.
    """
    in_memory(monkeypatch, MemoryStore())
    table = tv.create_table("s3://bucket/t", [{"id": 1}])
    storage, path = table.log.storage, f"_delta_log/{1:020}.json"
    storage.put(path, b"")
    came = list[bytes]()

    def meanwhile() -> None:
        if not came:
            came.append(b"")
            if who == "another tool":
                storage.put(f"_delta_log/{2:020}.json", storage.get(f"_delta_log/{0:020}.json"))
            else:
                tv.repair("s3://bucket/t")
                assert tv.append("s3://bucket/t", [{"id": 2}])
            came.append(storage.get(path))

    def first(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def late(*args: Any, **options: Any) -> Any:
            meanwhile()
            return original(*args, **options)

        monkeypatch.setattr(owner, name, late)

    moments = {"before the record": (repairing, "_done"), "before the move": (witness_files, "put")}
    first(*moments.get(when, (ObjectStorage, "move")))
    with pytest.raises(errors.ConflictError, match="while it was repaired") as caught:
        tv.repair(table)
    assert caught.value.file == path
    assert storage.get(path) == came[-1]


def test_what_is_cut_is_told_up_to_the_cut() -> None:
    """Of JSON that is cut, members before the cut are found, brackets and quotes in texts notwithstanding; no other."""
    line = b'{"commitInfo":{"operation":"a \\"}{[,","n":{"x":[1,{"y":2}]},"userName":"b"}}\n{"add":{"path":"c"}}\n'
    seen = set()
    for place in range(len(line) + 1):
        for value in salvage(line[:place]):
            info = value.get("commitInfo", {})
            seen |= set(info)
            assert info.get("operation", 'a "}{[,') == 'a "}{[,'
            assert info.get("userName", "b") == "b"
            assert info.get("n", {}).get("x", [1, {"y": 2}]) in ([], [1], [1, {}], [1, {"y": 2}])
    assert seen == {"operation", "n", "userName"}
    assert salvage(b"\0" * 9) == salvage(b"") == salvage(b"[1]\n3") == salvage(b"[" * 100_000) == []


# -- the shell


class Terminal(io.StringIO):
    """Standard input with somebody at it."""

    def isatty(self) -> bool:
        return True


def test_the_shell_shows_and_asks(table: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error leads to the command, which says what is lost, moves nothing on "no", and what it showed on "yes"."""
    tv.tag(table, "v3")
    entry(table, 3).write_bytes(entry(table, 3).read_bytes()[:-1])
    refused = shell("read", table)
    assert refused.code == 7
    assert f"tablever repair {table}" in refused.err
    held = reading.contents(table)
    assert shell("repair", table, "--dry-run").out.splitlines()[-1] == "afterwards the newest version is 2"
    for answer, code in (("n\n", 0), ("", 2)):
        monkeypatch.setattr("sys.stdin", Terminal(answer) if answer else io.StringIO())
        assert shell("repair", table).code == code
        assert reading.contents(table) == held
    assert shell("repair", table, "--json").code == 2
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    found = shell("repair", table, "-m", "power cut")
    assert found.code == 0
    assert "lost: version 3: its entry is not as it was written" in found.out
    assert "it was upsert by Ada" in found.out
    assert "part-" in found.out
    assert "remembered by tag 'v3'" in found.out
    assert "Move 1 object aside?" in found.out
    assert shell("read", table).code == 0
    assert shell("repair", table).out == "nothing to repair: the newest version is 2\n"
    entry(table, 2).write_bytes(b"")
    values = shell("repair", table, "--yes", "--json").json
    assert (values["format"], values["head"], values["lost"][0]["problem"]) == ("tablever.repair/v1", 1, "is empty")
    entry(table, 0).write_bytes(b"")
    refused = shell("repair", table, "--yes")
    assert refused.code == 7
    assert f"restore _delta_log/{0:020}.json" in refused.err


def test_a_frame_is_not_read_from_a_torn_head(table: Path) -> None:
    """A lazy frame that was made before the head was torn, and one of an older version, still read."""
    lazy = tv.scan_version(table, 2)
    entry(table, 3).write_bytes(b"")
    assert isinstance(lazy.collect(), pl.DataFrame)
