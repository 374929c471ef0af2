"""A peer's environment: a virtual environment with what its requirements file pins, made once and kept.

A contender with a file ``peers/NAME.txt`` has one of its own; the others run in this one.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PEERS = Path(__file__).resolve().parent / "peers"
CACHE = Path(
    os.environ.get("TABLEVER_BENCHMARKS_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tablever-benchmarks"
)


class Absent(Exception):  # noqa: N818 - not a failure: a contender that is left out, and why
    """A peer cannot be had here; the reason."""


def python(peer: str, folder: Path, *, make: bool) -> str:
    """The interpreter that a contender's script runs in.

    Args:
        folder: where environments are kept.
        make: install what is not there.

    Raises:
        Absent: it has an environment of its own, which is not there or cannot be made.
    """
    pinned = PEERS / f"{peer}.txt"
    if not pinned.exists():
        return sys.executable
    kept = folder / f"{peer}-{hashlib.sha256(f'{sys.version}{pinned.read_text()}'.encode()).hexdigest()[:12]}"
    if not (kept / "complete").exists():
        if not make:
            raise Absent(f"its environment is not installed below {folder}")
        _make(kept, pinned)
    return str(kept / "bin" / "python")


def _make(kept: Path, pinned: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    # Made under another name and moved, so that half of one is never taken for one. Its scripts break; none is used.
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        fresh = Path(scratch) / "environment"
        install = [str(fresh / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", str(fresh)], [*install, "-r", str(pinned)]):
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=1_200, check=False)
            except subprocess.TimeoutExpired as error:
                raise Absent("it was not installed in 20 minutes") from error
            if done.returncode:
                said = (done.stdout + done.stderr).strip()
                raise Absent(f"it cannot be installed: {said[-300:]}")
        (fresh / "complete").touch()
        fresh.rename(kept)
