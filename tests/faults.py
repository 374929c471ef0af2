"""Operations to be cut short, and a real process that carries one out while strace kills it or makes its calls fail.

``python -m tests.faults`` is that process: it loads everything, then forks for each line of JSON that it reads: a
child says its number, waits for ``go``, carries the operation out and says how it went. Between the two, strace is
attached to it, so that its calls are counted from the operation on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

import tablever as tv
from tablever.ledger import read_ledger
from tablever.log import open_log

ROOT = Path(__file__).parents[1]
PATIENCE = 120  # seconds for one operation
ROWS = 2_500  # a vector of a third of them lies in a file of its own
Operation = Callable[[Path], object]

# What changes a disk, or finds out that it cannot.
CALLS = (
    "openat", "write", "writev", "pwrite64", "copy_file_range", "fsync", "fdatasync", "link", "linkat", "unlink",
    "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "ftruncate", "utimensat",
)  # fmt: skip
# What a disk may answer to each.
ERRORS: Mapping[str, Sequence[str]] = {
    "openat": ("ENOSPC", "EROFS", "EACCES", "EMFILE", "EIO"),
    "write": ("ENOSPC", "EIO"),
    "fsync": ("EIO", "ENOSPC"),
    "link": ("ENOSPC", "EROFS", "EACCES", "EIO"),
    "unlink": ("EROFS", "EACCES", "EIO"),
    "mkdir": ("ENOSPC", "EROFS", "EACCES"),
    "utimensat": ("EROFS", "EACCES", "EIO"),
    "rename": ("ENOSPC", "EROFS", "EACCES", "EIO"),
}


def _rows(numbers: Sequence[int], text: str) -> pa.Table:
    return pa.table({"id": list(numbers), "part": [n % 2 for n in numbers], "text": [f"{text} {n}" for n in numbers]})


OPERATIONS: dict[str, Operation] = {
    "create": lambda t: tv.create_table(t.parent / "new", _rows(range(50), "new"), key="id"),
    "append": lambda t: tv.append(t, _rows(range(ROWS, ROWS + 50), "appended")),
    "append a column": lambda t: tv.append(t, [{"id": ROWS, "part": 0, "text": "x", "more": 1}], evolve=True),
    "append a batch": lambda t: tv.append(t, _rows(range(ROWS, ROWS + 5), "batch"), batch_id="b"),
    "upsert": lambda t: tv.upsert(t, _rows([3, 4, 700, ROWS + 1], "upserted")),
    "update": lambda t: tv.update(t, {"text": "'set'"}, where="id % 150 = 1"),
    "delete": lambda t: tv.delete(t, where="id < 7"),
    "delete scattered": lambda t: tv.delete(t, where="(id * 7919) % 10 < 3"),
    "overwrite": lambda t: tv.overwrite(t, _rows(range(5, ROWS), "row")),
    "restore": lambda t: tv.restore(t, 0),
    "revert": lambda t: tv.revert(t, -1),
    "set_key": lambda t: tv.set_key(t, ["id", "part"]),
    "set_retention": lambda t: tv.set_retention(t, "pinned"),
    "compact": lambda t: tv.compact(t, deleted=0.001),
    "cluster": lambda t: tv.compact(t, cluster=True),
    "vacuum": lambda t: tv.vacuum(t, keep="1 version", safety="0 days", dry_run=False),
    "tag": lambda t: tv.tag(t, "v2"),
    "delete_tag": lambda t: tv.delete_tag(t, "v1"),
    "link_run": lambda t: tv.link_run(t, "latest", "r2", metrics={"f1": 0.5}),
    "link_run again": lambda t: tv.link_run(t, 0, "r1", metrics={"f1": 0.6}),
    "unlink_run": lambda t: tv.unlink_run(t, 0, "r1"),
    "pin": lambda t: tv.pin(t, "latest", reason="audit"),
    "unpin": lambda t: tv.unpin(t, 0),
    "checkpoint": lambda t: tv.append(t, [{"id": ROWS, "part": 0, "text": "the fiftieth"}]),
    "repair": tv.repair,
}
WITNESSING = ("tag", "delete_tag", "link_run", "link_run again", "unlink_run", "pin", "unpin")
KINDS: dict[str, dict[str, Any]] = {
    "merge-on-read": {},
    "copy-on-write": {"deletes": "copy-on-write"},
    "partitioned": {"partition_by": "part"},
}


def make(path: Path, operation: str = "append", **options: Any) -> None:
    """The table that an operation works on: three versions or more, a tag, a run, a pin."""
    few = operation == "checkpoint"
    tv.create_table(path, _rows(range(20 if few else ROWS), "row"), key="id", author="Ada", **options)
    tv.upsert(path, _rows([1, 2], "changed"), author="Ada")
    if operation == "vacuum":
        tv.overwrite(path, _rows(range(40), "to be freed"), author="Ada")
        tv.overwrite(path, _rows(range(40), "other"), author="Ada")
    tv.delete(path, where="id IN (1, 20)", author="Ada")
    for n in range(100, 146) if few else ():
        tv.append(path, _rows([n], "small"), author="Ada")
    tv.tag(path, "v1", 1)
    tv.link_run(path, 0, "r1", metrics={"f1": 0.5})
    tv.pin(path, 0, reason="paper")
    if operation == "repair":
        tv.append(path, _rows([ROWS], "lost"), author="Ada")
        tv.tag(path, "lost")
        newest = path / "_delta_log" / f"{3:020}.json"
        newest.write_bytes(newest.read_bytes()[:300])


# -- what a table holds


class Contents(NamedTuple):
    """What can be asked of a table: the rows of each version (None: vacuumed), tags, runs and pins."""

    versions: tuple[tuple[int, Any], ...]
    witnesses: tuple[str, ...]

    @property
    def head(self) -> int:
        return self.versions[-1][0]

    def rows(self) -> dict[int, Any]:
        return dict(self.versions)


def contents(path: Path) -> Contents | None:
    """Everything that a table holds, every version read; None where there is no table, or its newest entry is torn."""
    try:
        table = tv.open_table(path)
    except tv.errors.TableNotFoundError:
        return None
    except tv.errors.CorruptionError as error:
        if not str(error.hint).startswith("tablever repair"):
            raise
        return None
    versions: list[tuple[int, Any]] = []
    for version in table.versions():
        try:
            found = table.read(version.number)
        except tv.errors.VersionVacuumedError:
            versions.append((version.number, None))
            continue
        assert found.num_rows == version.rows
        versions.append((version.number, frozenset(zip(*found.to_pydict().values(), strict=True))))
    witnesses = [
        *(f"tag {tag.name} {tag.version}" for tag in table.tags()),
        *(f"run {run.run_id} {run.version} {sorted(run.metrics.items())}" for run in table.runs()),
        *(f"pin {pin.reason} {pin.version}" for pin in table.pins()),
    ]
    return Contents(tuple(versions), tuple(witnesses))


def is_either(found: Contents | None, old: Contents | None, new: Contents | None, operation: str) -> bool:
    """Whether what is found is the table as it was, or as it was to be, and nothing between.

    A vacuum records first and removes then: what it takes may still be read.
    """
    if operation != "vacuum" or found is None or new is None or old is None:
        return found in (old, new)
    before, after = old.rows(), new.rows()
    return found.witnesses == new.witnesses and all(
        rows in (before.get(number), after.get(number)) for number, rows in found.rows().items()
    )


def target(operation: str, path: Path) -> Path:
    """The table that an operation makes or changes."""
    return path.parent / "new" if operation == "create" else path


def needless(path: Path) -> set[str]:
    """The files of a table that no version needs, after a vacuum without an interval."""
    tv.vacuum(path, safety="0 days", dry_run=False)
    there = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    needed = set(read_ledger(open_log(path)).objects)
    kept = re.compile(r"_delta_log/(\d{20}\.(json|checkpoint\.parquet)|_last_checkpoint)|_tablever/.*\.json")
    return {name for name in there - needed if not kept.fullmatch(name)}


@dataclass
class Bench:
    """Tables to try operations on, each made once, and what they hold before and after."""

    folder: Path
    tries: int = 0

    def pristine(self, operation: str, kind: str) -> Path:
        """The table that an operation of a kind starts from; not to be changed."""
        special = operation if operation in ("checkpoint", "vacuum", "repair") else "plain"
        path = self.folder / f"{special} {kind}"
        if not path.exists():
            make(path, operation, **KINDS[kind])
        return path

    def fresh(self, operation: str, kind: str) -> Path:
        """A copy to be changed."""
        self.tries += 1
        path = self.folder / f"try {self.tries}" / "t"
        shutil.copytree(self.pristine(operation, kind), path)
        return path

    def outcome(self, operation: str, kind: str) -> tuple[Contents | None, Contents | None]:
        """What there is before and after."""
        known = self.__dict__.setdefault("_outcomes", {})
        if (operation, kind) not in known:
            path = self.fresh(operation, kind)
            before = contents(target(operation, path))
            OPERATIONS[operation](path)
            known[operation, kind] = before, contents(target(operation, path))
            assert before != known[operation, kind][1] or operation in ("compact", "cluster"), "nothing was done"
            self.clear(path)
        return known[operation, kind]  # type: ignore[no-any-return]

    def clear(self, path: Path) -> None:
        shutil.rmtree(path.parent)

    def check(self, operation: str, kind: str, path: Path, answer: Answer) -> str:
        """Hold a table on which an operation was tried against the law; how it stands: old, new, between.

        Old or new, never a mixture; done is new; an error is ours, says why, and is old, or says which version landed.
        The next commit works, and a vacuum leaves nothing that no version needs.
        """
        old, new = self.outcome(operation, kind)
        place = target(operation, path)
        found = contents(place)
        assert is_either(found, old, new, operation), f"{operation}: neither the old nor the new state"
        done = not answer.killed and answer.error is None
        if done:
            assert found == new, f"{operation}: said to be done, and is not"
        if answer.error is not None:
            assert answer.ours, f"{operation}: {answer.error}: {answer.message}"
            assert answer.message
        state = "new" if found == new else "old" if found == old else "between"
        if operation == "repair":
            tv.repair(place)
            assert contents(place) == new
        elif operation == "create" and found is None:
            OPERATIONS["create"](path)
        elif operation == "vacuum":
            tv.vacuum(place, safety="0 days", dry_run=False)  # what was recorded is ended, no more is taken
            assert contents(place) in (old, new)
        before = contents(place)
        assert before is not None
        version = tv.delete(place, where="id = 11", author="Ada")
        assert version is not None
        assert version.number == before.head + 1
        after = contents(place)
        assert after is not None
        assert after.versions[:-1] == before.versions
        assert len(after.versions[-1][1]) == len(before.versions[-1][1]) - 1
        assert needless(place) == set()
        assert not tv.verify(place).damaged
        return state


# -- the process


class Answer(NamedTuple):
    """How an operation went: killed, done, or refused with an error of some kind."""

    killed: bool
    error: str | None = None
    ours: bool = False
    message: str = ""
    hint: str | None = None
    landed: int | None = None


@dataclass(frozen=True)
class Call:
    """A system call of a process: its name, which one of that name it is of its thread (from 1), and its text."""

    name: str
    nth: int
    text: str
    result: str
    thread: int
    main: bool = True  # whether it is the thread that called the operation


def refusals(call: Call) -> Sequence[str]:
    """What a disk may answer to a call; of writes, to those of the thread that called the operation.

    Of another thread's the number does not tell whose it is: by writes an engine's threads wake each other.
    """
    return ERRORS.get(call.name, ()) if call.main or call.name != "write" else ()


class Zygote:
    """The process that forks for each operation."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            bufsize=1,
        )
        assert self._line() == "ready"

    def run(self, operation: str, path: Path, strace: Sequence[str] = (), twice: bool = False) -> list[Answer]:
        """Carry an operation out, watched by strace with these arguments; once, or again after it failed."""
        self._say(json.dumps({"operation": operation, "path": str(path), "twice": twice}))
        number = int(self._line())
        watcher = _attached(strace, number) if strace else None
        patience = threading.Timer(PATIENCE, os.kill, (number, signal.SIGKILL))
        patience.start()
        self._say("go")
        answers = [Answer(**json.loads(line)) for line in iter(self._line, "end")]
        assert patience.is_alive(), f"{operation} did not end within {PATIENCE} s"
        patience.cancel()
        if watcher is not None:
            watcher.communicate(timeout=60)
        return answers

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process that forks is gone"
        return line.rstrip("\n")


@contextmanager
def zygote() -> Iterator[Zygote]:
    process = Zygote()
    try:
        yield process
    finally:
        process.close()


def _attached(arguments: Sequence[str], number: int) -> subprocess.Popen[str]:
    watcher = subprocess.Popen(
        ["strace", "-p", str(number), *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert watcher.stderr is not None
    line = watcher.stderr.readline()
    assert "attached" in line, line
    return watcher


@cache
def why_no_strace() -> str | None:
    """Why strace cannot be used here; None where it can."""
    if shutil.which("strace") is None:
        return "there is no strace"
    with tempfile.TemporaryDirectory() as folder:
        command = ["strace", "-f", "-qq", "-o", f"{folder}/log", "-e", "inject=unlink:error=EIO:when=1", "true"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"strace may not trace here: {done.stderr.strip()[:100]}"


_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")


def calls(log: Path) -> list[Call]:
    """The calls that strace logged (``-f -y -o``), in the order of their ends."""
    seen: dict[tuple[int, str], int] = {}
    begun: dict[int, tuple[str, int, str]] = {}
    found = []
    lines = log.read_text("utf-8", "replace").splitlines()
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        thread, resumed, name, rest = int(match[1]), match[2], match[3], match[4]
        if resumed:
            name, nth, before = begun.pop(thread, (resumed, 0, ""))
            rest = before + rest
        else:
            nth = seen[thread, name] = seen.get((thread, name), 0) + 1
            if rest.endswith("<unfinished ...>"):
                begun[thread] = name, nth, rest.removesuffix("<unfinished ...>")
                continue
        text, _, result = rest.rpartition(" = ")
        found.append(Call(name, nth, text, result, thread, thread == int(lines[0].split()[0])))
    return found


def places(log: Path, folder: Path) -> list[Call]:
    """The calls about a folder, in their order; of openings, those that make a file."""
    found = [call for call in calls(log) if call.name in CALLS and str(folder) in f"{call.text}{call.result}"]
    return [call for call in found if call.name != "openat" or "O_CREAT" in call.text]


def traced(process: Zygote, bench: Bench, operation: str, kind: str) -> tuple[list[Call], list[Call]]:
    """An operation carried out once: its calls about its table, and all that were watched."""
    path = bench.fresh(operation, kind)
    log = path.parent / "log"
    (answer,) = process.run(operation, path, ["-f", "-y", "-s", "20", "-o", str(log), "-e", f"trace={','.join(CALLS)}"])
    assert answer == Answer(killed=False), answer
    found = places(log, target(operation, path)), calls(log)
    bench.check(operation, kind, path, answer)
    bench.clear(path)
    return found


def inject(
    process: Zygote, bench: Bench, operation: str, kind: str, call: Call, what: str, *, for_ever: bool = False
) -> tuple[Answer, str]:
    """Carry an operation out with ``signal=KILL`` or ``error=ENOSPC`` at a call (or from it on); check what is left."""
    path = bench.fresh(operation, kind)
    lasts = for_ever and call.name != "write"  # by writes an engine's threads wake each other
    when = f"{call.nth}+" if lasts else f"{call.nth}"
    arguments = [
        *([] if call.main else ["-f"]),
        "-o",
        os.devnull,
        "-e",
        f"trace={call.name}",
        "-e",
        f"inject={call.name}:{what}:when={when}",
    ]
    (answer,) = process.run(operation, path, arguments)
    state = bench.check(operation, kind, path, answer)
    bench.clear(path)
    return answer, state


_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_FILE = re.compile(r"\d+<([^>]*)>")
_ENTRY = re.compile(r".*/_delta_log/\d{20}\.json")


def unsynced(found: Sequence[Call], folder: Path) -> list[str]:
    """What was not on the disk when it had to be: when a log entry got its name, and when the operation was done.

    Power may go at any moment: what a log entry names has its bytes and its names synced before the entry is there,
    the entry its bytes; and all that was made has both when the call returns.
    """
    wrong: list[str] = []
    bytes_, names = set[str](), set[str]()

    def check(moment: str) -> None:
        wrong.extend(f"{moment}: the bytes of {path}" for path in sorted(bytes_))
        wrong.extend(f"{moment}: the name of {path}" for path in sorted(names) if not path.endswith(".tmp"))

    for call in (call for call in found if not call.result.startswith("-1")):
        file = _FILE.match(call.text)
        about = [text for text in _TEXT.findall(call.text) if text.startswith(str(folder))]
        if call.name == "write" and file and file[1].startswith("pipe:") and "killed" in call.text:
            check("when it returned")
            break
        if call.name == "openat" and about and "O_CREAT" in call.text:
            names.add(about[0])
        elif call.name in ("write", "writev", "pwrite64", "ftruncate") and file and file[1].startswith(str(folder)):
            bytes_.add(file[1])
        elif call.name in ("fsync", "fdatasync") and file:
            bytes_.discard(file[1])
            names = {path for path in names if os.path.dirname(path) != file[1]}  # noqa: PTH120 - of a text
        elif call.name in ("mkdir", "mkdirat") and about:
            names.add(about[0])
        elif call.name in ("link", "linkat", "rename", "renameat", "renameat2") and about:
            source, made = about[0], about[-1]
            if _ENTRY.fullmatch(made):
                check(f"when {os.path.basename(made)} was there")  # noqa: PTH119
            names.add(made)
            if call.name.startswith("rename"):
                names.discard(source)
                bytes_ = {made if path == source else path for path in bytes_}
        elif call.name in ("unlink", "unlinkat") and about:
            names.discard(about[0])
            bytes_.discard(about[0])
    else:
        wrong.append("it never returned")
    return wrong


# -- the other side


def _serve() -> None:
    _load()
    print("ready", flush=True)
    while line := sys.stdin.readline():
        task = json.loads(line)
        number = os.fork()
        if not number:
            try:
                _carry_out(task)
            finally:
                os._exit(70)
        ended = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        if ended == -signal.SIGKILL:
            print(json.dumps({"killed": True}), flush=True)
        elif ended:
            print(json.dumps({"killed": False, "error": f"exit {ended}"}), flush=True)
        print("end", flush=True)


def _load() -> None:
    """Load what the operations load: another process carries some out first, and says what it has then."""
    with tempfile.TemporaryDirectory() as folder:
        code = (
            "import sys, pathlib, pandas\nfrom tests import faults\n"
            f"path = pathlib.Path({folder!r}) / 't'\nfaults.make(path, 'checkpoint')\n"
            "for name in ('checkpoint', 'upsert', 'restore', 'compact', 'vacuum'): faults.OPERATIONS[name](path)\n"
            "print(*sys.modules)"
        )
        names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        with suppress(ImportError):
            import_module(name)
    import_module("tablever.authorship").default_author()  # asks git, once


def _carry_out(task: Mapping[str, Any]) -> None:
    print(os.getpid(), flush=True)
    assert sys.stdin.readline() == "go\n"
    for _ in range(2 if task["twice"] else 1):
        try:
            OPERATIONS[task["operation"]](Path(task["path"]))
        except BaseException as error:  # noqa: BLE001 - told to the test
            ours = isinstance(error, tv.errors.TableverError)
            said = {
                "killed": False,
                "error": type(error).__name__,
                "ours": ours,
                "message": str(error),
                "hint": error.hint if ours else None,
                "landed": error.facts.get("version") if ours else None,
            }
            print(json.dumps(said, default=str), flush=True)
        else:
            print(json.dumps({"killed": False}), flush=True)
            break
    os._exit(0)


if __name__ == "__main__":
    _serve()
