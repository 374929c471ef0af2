"""A process that dies at any instant of a commit leaves the old version or the new one, and a table that goes on.

Two ways to die. A real one: a child process is killed with SIGKILL, at its n-th call into the file system or at a
random moment. And a simulated one, for every n of every operation: from the n-th call on, no call does anything any
more, clean-up included, as for a process that is no longer there. The simulation can also lose power: what was
written and not synced is gone.
"""

from __future__ import annotations

import builtins
import io
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tablever as tv
from tests import reading

# The calls that change a file system, by module and name.
CALLS = (
    "open", "link", "unlink", "remove", "rename", "replace", "mkdir", "makedirs", "rmdir", "fsync", "fdatasync",
    "utime", "truncate", "ftruncate", "write",
)  # fmt: skip
ROOT = Path(__file__).parents[1]


class Killed(BaseException):
    """Stands for SIGKILL: not an Exception, so that nothing handles it."""


@dataclass
class Machine:
    """Counts calls into the file system, dies at one of them, and knows what was synced until then."""

    table: Path
    die_at: int = sys.maxsize
    calls: int = 0
    files: dict[int, int] = field(default_factory=dict)
    folders: dict[int, set[str]] = field(default_factory=dict)

    def step(self, what: str, subject: object) -> None:
        """One call; ``what`` is about to happen to ``subject``."""
        if isinstance(subject, str | os.PathLike) and not os.fspath(subject).startswith(os.fspath(self.table)):
            return
        self.calls += 1
        if self.calls >= self.die_at:
            raise Killed(f"{what} {subject}")
        if what in ("unlink", "remove") and (status := os.stat(subject)).st_nlink == 1:  # type: ignore[arg-type]  # noqa: PTH116
            self.files.pop(status.st_ino, None)

    def synced(self, descriptor: int) -> None:
        """A file's bytes, or a folder's names, are on the disk from now on."""
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            self.folders[status.st_ino] = set(os.listdir(descriptor))
        else:
            self.files[status.st_ino] = status.st_size

    def kept(self, path: Path) -> str | None:
        """None if a new file or folder outlives a power cut, else what is wrong with it."""
        status = path.stat()
        if path.name not in self.folders.get(path.parent.stat().st_ino, ()):
            return "its name was not synced"
        if path.is_file() and self.files.get(status.st_ino) != status.st_size:
            return "its bytes were not synced"
        return None

    def lose_power(self, before: set[Path]) -> None:
        """What is new and was never synced: files are empty, names in unsynced folders are gone."""
        for path in sorted(self.table.rglob("*"), reverse=True):
            fate = None if path in before else self.kept(path)
            if fate == "its bytes were not synced":
                path.write_bytes(b"")
            elif fate:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def watched(machine: Machine, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every call that changes the file system goes through the machine first."""

    def wrap(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            reads = name == "open" and (not args[1:] or not args[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            if not reads:
                machine.step(name, args[0])
            result = original(*args, **kwargs)
            if name in ("fsync", "fdatasync"):
                machine.synced(args[0])
            return result

        return call

    def opened(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if set(mode) & set("wxa+"):
                machine.step("open", file)
            return original(file, mode, *args, **kwargs)

        return call

    with patch.context() as context:
        for name in CALLS:
            if hasattr(os, name):
                context.setattr(os, name, wrap(name, getattr(os, name)))
        context.setattr(builtins, "open", opened(builtins.open))
        context.setattr(io, "open", opened(io.open))
        yield


Operation = Callable[[Path], object]
WIDE = [{"id": n, "part": f"p{n % 2}", "text": "x" * n} for n in range(40)]
OPERATIONS: dict[str, Operation] = {
    "append": lambda t: tv.append(t, [{"id": 100, "part": "p9", "text": "new"}]),
    "upsert": lambda t: tv.upsert(t, [{"id": n, "part": "p0", "text": "up"} for n in (3, 4, 200)]),
    "update": lambda t: tv.update(t, {"text": "'set'"}, where="id % 3 = 0"),
    "delete": lambda t: tv.delete(t, where="id < 7"),
    "overwrite": lambda t: tv.overwrite(t, WIDE[5:]),
    "restore": lambda t: tv.restore(t, 0),
    "set_key": lambda t: tv.set_key(t, ["id", "part"]),
    "compact": lambda t: tv.compact(t, deleted=0.01) or tv.compact(t, cluster=True),
}
KINDS: dict[str, dict[str, Any]] = {
    "merge-on-read": {},
    "copy-on-write": {"deletes": "copy-on-write"},
    "partitioned": {"partition_by": "part"},
}


def make(path: Path, **options: Any) -> None:
    """A table of two versions."""
    tv.create_table(path, pa.Table.from_pylist(WIDE), key="id", **options)
    tv.delete(path, where="id IN (1, 20)")


def rows(path: Path, ref: Any = "latest") -> list[tuple[Any, ...]]:
    """A version's rows, sorted."""
    return sorted(tuple(row.values()) for row in tv.read_version(path, ref).to_pylist())


@pytest.mark.parametrize("power", ["kept", "lost"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_kill_at_every_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, power: str
) -> None:
    """Whichever call a commit dies in, the last version reads, it is the old one or the whole new one, and the next
    commit works; with the power lost too.
    """
    pristine, table = tmp_path / "pristine", tmp_path / "t"
    make(pristine, **KINDS[kind])
    shutil.copytree(pristine, table)
    OPERATIONS[name](table)
    old, new = rows(pristine), rows(table)
    for die_at in range(1, 500):
        shutil.rmtree(table)
        shutil.copytree(pristine, table)
        before = set(table.rglob("*"))
        machine = Machine(table, die_at)
        try:
            with watched(machine, monkeypatch):
                OPERATIONS[name](table)
            done = True
        except Killed:
            done = False
        if power == "lost":
            machine.lose_power(before)
        head = tv.resolve_version(table, "latest").number
        assert head == 2 if done else head in (1, 2), f"at call {die_at}"
        assert rows(table) == (new if head == 2 else old), f"at call {die_at}"
        assert rows(table, 1) == old, f"at call {die_at}"
        again = tv.append(table, [{"id": 999, "part": "p1", "text": "after"}])
        assert again is not None
        assert again.number == head + 1, f"at call {die_at}"
        assert len(rows(table)) == len(new if head == 2 else old) + 1
        if done:
            assert machine.calls > 5, "the simulation saw next to nothing of the commit"
            return
    pytest.fail("the commit never got through")


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_creation_that_dies_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, power_cut: bool
) -> None:
    """A creation that dies leaves a table with its rows, or none; doing it again works."""
    for die_at in range(1, 200):
        table = tmp_path / f"t{die_at}"
        machine = Machine(table, die_at)
        try:
            with watched(machine, monkeypatch):
                make_first(table)
            return
        except Killed:
            pass
        if power_cut:
            machine.lose_power(set())
        try:
            tv.open_table(table)
        except tv.errors.TableNotFoundError:
            make_first(table)
        assert len(rows(table)) == len(WIDE)
    pytest.fail("the creation never got through")


def make_first(path: Path) -> None:
    tv.create_table(path, pa.Table.from_pylist(WIDE), key="id")


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_commit_is_on_the_disk_when_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """When a write returns, its files, and the folders that name them, are synced; so a power cut loses nothing."""
    table = tmp_path / "t"
    make(table)
    before = set(table.rglob("*"))
    machine = Machine(table)
    with watched(machine, monkeypatch):
        OPERATIONS[name](table)
    expected = rows(table)
    new = [path for path in table.rglob("*") if path not in before and "_tablever" not in path.parts]
    assert new
    assert {path.name: fate for path in new if (fate := machine.kept(path))} == {}
    machine.lose_power(before)
    assert rows(table) == expected


# Real processes

CHILDREN = """
    import io, os, signal, sys
    import tablever as tv
    import tablever.table, tablever.write, tablever.sql, polars, pyarrow.parquet, duckdb, pyroaring
    from tablever.storage import DurableFile
    paths = sys.argv[1:]
    rows = [{"id": n, "part": "p0", "text": "up" * 900} for n in (3, 4, 200)]
    calls = die_at = 0

    def wrap(original):
        def call(*args, **kwargs):
            global calls
            calls += 1
            if calls == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)
        return call

    for path in paths:
        die_at += 1
        # A process of its own for each try; forked before any library has started a thread, so that it starts at once.
        if not (pid := os.fork()):
            for name in ("open", "link", "unlink", "mkdir", "fsync", "utime"):
                setattr(os, name, wrap(getattr(os, name)))
            io.open = wrap(io.open)
            DurableFile.write = wrap(DurableFile.write)
            print(die_at, "acknowledged", tv.upsert(path, rows).number, flush=True)
            os._exit(0)
        if (status := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])) not in (0, -signal.SIGKILL):
            sys.exit(f"try {die_at} ended with {status}")
        if status == 0:
            break
"""


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def test_sigkill_at_every_call(tmp_path: Path) -> None:
    """The same with real processes and a real SIGKILL, at every call of an upsert until one gets through."""
    pristine = tmp_path / "pristine"
    make(pristine)
    old, tables = rows(pristine), [tmp_path / f"t{n}" for n in range(1, 60)]
    for table in tables:
        shutil.copytree(pristine, table)
    out, err = (process := child(CHILDREN, *tables)).communicate(timeout=300)
    assert process.returncode == 0, err
    ((survivor, acknowledged),) = [line.split(" acknowledged ") for line in out.splitlines()]
    assert int(acknowledged) == 2
    assert int(survivor) > 15, "hardly any call was seen"
    heads = set()
    for table in tables[: int(survivor)]:
        head = tv.resolve_version(table, "latest").number
        heads.add(head)
        found = rows(table)
        assert len(found) == 39 if head == 2 else found == old, f"killed at call {table.name[1:]}"
        assert tv.upsert(table, [{"id": 3, "part": "p0", "text": "again"}]) is not None
    assert head == 2
    assert heads == {1, 2}


LOOP = """
    import sys, tablever as tv
    path, start = sys.argv[1], int(sys.argv[2])
    n = start
    while True:
        rows = [{"id": key, "round": n} for key in range(50)] + [{"id": 1000 + n, "round": n}]
        version = tv.upsert(path, rows)
        print(n, version.number, flush=True)
        n += 1
"""


@pytest.mark.parametrize("seed", range(3))
def test_sigkill_at_random_moments(tmp_path: Path, seed: int) -> None:
    """A writer killed again and again at any moment: every acknowledged commit is there, every version is whole."""
    table, chance = tmp_path / "t", random.Random(seed)
    tv.create_table(table, pa.Table.from_pylist([{"id": key, "round": -1} for key in range(50)]), key="id")
    acknowledged: dict[int, int] = {}
    for _ in range(3):
        process = child(LOOP, table, len(tv.list_versions(table)))
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, process.communicate()[1]
        time.sleep(chance.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=60)
        for line in (first + rest).splitlines(keepends=True):
            if line.endswith("\n"):
                batch, number = line.split()
                acknowledged[int(number)] = int(batch)
        head = tv.resolve_version(table, "latest").number
        assert head >= max(acknowledged)
        extra = tv.append(table, [{"id": 10_000 + head, "round": -2}])
        assert extra is not None
        assert extra.number == head + 1
    for version in tv.list_versions(table):
        found = tv.read_version(table, version.number).to_pylist()
        assert len(found) == version.rows
        rounds = {row["round"] for row in found if row["id"] < 50}
        assert len(rounds) == 1, "half a commit"
        if version.number in acknowledged:
            assert rounds == {acknowledged[version.number]}


@pytest.mark.parametrize("damage", ["empty", "half", "stale pointer", "pointer to nothing"])
def test_a_checkpoint_that_did_not_finish(tmp_path: Path, damage: str) -> None:
    """A checkpoint is a convenience: one that is cut, or pointed to and not there, costs nothing but time."""
    table = tmp_path / "t"
    tv.create_table(table, [{"id": 0}], key="id")
    for n in range(1, 53):
        tv.append(table, [{"id": n}])
    log = table / "_delta_log"
    (checkpoint,) = log.glob("*.checkpoint*.parquet")
    data = checkpoint.read_bytes()
    if damage == "stale pointer":
        checkpoint.unlink()
    elif damage == "pointer to nothing":
        (log / "_last_checkpoint").write_text('{"version":52,"size":3}')
    else:
        checkpoint.write_bytes(data[: len(data) // 2] if damage == "half" else b"")
    for number in (49, 50, 52):
        assert rows(table, number) == [(n,) for n in range(number + 1)]
    assert tv.append(table, [{"id": 53}]) is not None
    assert len(rows(table)) == 54


def test_what_a_crash_leaves_behind_is_never_read(tmp_path: Path) -> None:
    """Files that no log entry names, half-written ones among them, change nothing."""
    table = tmp_path / "t"
    make(table)
    before = rows(table)
    (table / "part-00000-of-nobody.parquet").write_bytes(b"PAR1 half")
    (table / "_dv").mkdir(exist_ok=True)
    (table / "_dv" / "deletion_vector_of_nobody.bin").write_bytes(b"\1")
    (table / "_delta_log" / f".{2:020}.json.0123.tmp").write_bytes(b'{"add"')
    (table / "_delta_log" / f"{50:020}.checkpoint.parquet.tmp").write_bytes(b"PAR1")
    assert rows(table) == before
    for reader in reading.THEIRS.values():
        assert sorted(tuple(row.values()) for row in reader(table, 1).to_pylist()) == before
    assert tv.append(table, [{"id": 77, "part": "p1", "text": ""}]) is not None
