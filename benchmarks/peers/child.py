"""One task of one contender, in a process of its own: a JSON request on standard input, a JSON answer on the output.

It runs in the environment of the contender, so it needs Python's own library alone.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

Call = Callable[[], object]
Task = Callable[..., Sequence[Call]]

# What a request says by number, and a contender in its own way: see ``build``.
MARKED = ("version", "older", "newer")


def carry_out(request: Mapping[str, Any]) -> dict[str, Any]:
    """Build a table, or measure a task."""
    contender = importlib.import_module(f"benchmarks.peers.{request['peer']}")
    done = build(contender, request) if request["do"] == "build" else measure(contender, request)
    return done | {"libraries": {name: version(name) for name in contender.LIBRARIES}}


def build(contender: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Run the steps of a recipe; after each call that is to be referred to, note what the contender calls its state."""
    folder = Path(request["folder"])
    notes = folder / "marks.json"
    marks = json.loads(notes.read_text()) if notes.exists() else []
    for step in request["steps"]:
        for call in getattr(contender, step["verb"])(folder / "data", **step["parameters"]):
            call()
            if step["marked"]:
                marks.append(contender.head(folder / "data"))
    notes.write_text(json.dumps(marks))
    return {}


def measure(contender: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Warm up on the small table, where one is given; then time each call on the real one.

    The answer: seconds of each call, peak memory of the process, bytes that it had fetched from the disk and had
    written to it in the calls, and what the last call gave or, after a write, what the table then holds.
    """
    task: Task = getattr(contender, request["verb"])
    if request["warm"]:
        for call in _calls(task, request["warm"]):
            call()
    calls = _calls(task, request)
    if request["cold"]:
        forget(Path(request["folder"]), *map(Path, request["parameters"].get("files", ())))
    seconds = []
    result: object = None
    before = _bytes()
    for call in calls:
        result = None
        began = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - began)
    after, peak = _bytes(), _peak()
    if request["state"]:
        result = contender.state(Path(request["folder"]) / "data")
    return {
        "seconds": seconds,
        "peak_mb": peak,
        "read_mb": (after[0] - before[0]) / 1e6,
        "written_mb": (after[1] - before[1]) / 1e6,
        "answer": comparable(result),
    }


def _calls(task: Task, request: Mapping[str, Any]) -> Sequence[Call]:
    folder, parameters = Path(request["folder"]), dict(request["parameters"])
    for name in MARKED:
        if name in parameters:
            parameters[name] = json.loads((folder / "marks.json").read_text())[parameters[name]]
    return task(folder / "data", **parameters)


def comparable(result: Any) -> Any:
    """What is compared between contenders: small tables whole, large ones by their number of rows."""
    if hasattr(result, "to_pylist") and hasattr(result, "num_rows"):
        result = result.to_pylist() if result.num_rows <= 100 else result.num_rows
    return json.loads(json.dumps(result, default=str))


def forget(*paths: Path) -> None:
    """Take files out of the page cache, so that reading them is reading from the disk."""
    for path in (inner for outer in paths for inner in (outer.rglob("*") if outer.is_dir() else [outer])):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _bytes() -> tuple[int, int]:
    """Fetched from the disk, and written to it, by this process so far. Hits of the page cache are no reads."""
    counters = Path("/proc/self/io")
    if not counters.exists():
        return 0, 0
    lines = dict(line.split(": ") for line in counters.read_text().splitlines())
    return int(lines["read_bytes"]), int(lines["write_bytes"])


def _peak() -> float:
    """Megabytes. Of this program alone: ``getrusage`` would count what its parent had when it was started."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def main() -> None:
    """Answer one request."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # where memory ends, it is this process that goes
    try:
        answer = carry_out(json.loads(sys.stdin.readline()))
    except BaseException as error:  # noqa: BLE001 - a peer's panic is an answer too
        answer = {"error": f"{type(error).__name__}: {error}"}
    json.dump(answer, answers)
    answers.flush()
    sys.stderr.flush()
    os._exit(0)  # deltalake 1.6.6 may die of its own threads where the interpreter ends


if __name__ == "__main__":
    main()
