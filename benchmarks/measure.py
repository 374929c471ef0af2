"""Time one task in a process of its own, on a copy of its table; ``python -m benchmarks.measure`` is that process."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.tables import Size, copy
from benchmarks.tasks import TASKS


@dataclass(frozen=True)
class Measured:
    """One process: seconds of each call, peak memory, what was read from disk and written, the last call's answer."""

    seconds: list[float]
    peak_mb: float
    read_mb: float
    written_mb: float
    answer: Any


def measured(task: str, root: Path, table: str, size: Size, *, fresh: bool = True) -> Measured:
    """Run a task on a copy of a table below ``root``; ``fresh``: in a new process, else in this one."""
    target, warm = root / "work" / table, root / "work" / "warm"
    copy(root / table, target)
    copy(root / f"{table.partition('-')[0]}-small", warm)
    before = set(target.rglob("*"))
    try:
        if fresh:
            arguments = json.dumps([task, str(target), str(warm), asdict(size)])
            command = [sys.executable, "-m", "benchmarks.measure", arguments]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            seconds, peak, read, answer = json.loads(output.splitlines()[-1])
        else:
            seconds, peak, read, answer = run(task, target, warm, size)
        new = [path for path in target.rglob("*") if path not in before and path.is_file()]
        return Measured(seconds, peak, read, sum(path.stat().st_size for path in new) / 1e6, answer)
    finally:
        shutil.rmtree(root / "work")


def run(task: str, table: Path, warm: Path, size: Size) -> tuple[list[float], float, float, Any]:
    """Warm up on the small table, so that libraries are loaded; then time each call on the real one."""
    for call in TASKS[task](warm, Size(rows=1_000, changed=10, many=0, appends=2)):
        call()
    seconds = []
    result: object = None
    calls = TASKS[task](table, size)
    read = _bytes_read()
    for call in calls:
        result = None
        began = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return seconds, peak, (_bytes_read() - read) / 1e6, _answer(result)


def _bytes_read() -> int:
    """What this process had fetched from the disk so far; the page cache's hits do not count."""
    counters = Path("/proc/self/io")
    if not counters.exists():
        return 0
    lines = dict(line.split(": ") for line in counters.read_text().splitlines())
    return int(lines["read_bytes"])


def _answer(result: object) -> Any:
    if not isinstance(result, pa.Table):
        return None
    return result.num_rows if result.num_rows > 100 else json.loads(json.dumps(result.to_pylist()))


if __name__ == "__main__":
    name, table, warm, size = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps(run(name, Path(table), Path(warm), Size(**size))) + "\n")
