"""DuckDB's delta extension and delta-kernel, in a Python environment of their own: made once, kept in the cache."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa

from tests.engines import cache
from tests.engines.child import Absent, Child

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"


def python() -> Path:
    """The interpreter of the environment, which is made where it is not here yet.

    Raises:
        Absent: its packages cannot be installed.
    """
    wanted = f"{REQUIREMENTS.read_text()}\npyarrow=={pa.__version__}\n"
    digest = hashlib.sha256(f"{sys.version}{wanted}".encode()).hexdigest()[:12]
    kept = cache.folder() / f"readers-{digest}"
    if not (kept / "complete").is_file():
        # Made under a name of its own and moved: two processes may make it at once.
        # Its scripts would break; we use none.
        with tempfile.TemporaryDirectory(dir=cache.folder()) as scratch:
            fresh = Path(scratch) / "environment"
            _run([sys.executable, "-m", "venv", str(fresh)])
            packages = [f"pyarrow=={pa.__version__}", "-r", str(REQUIREMENTS)]
            _run(
                [str(fresh / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
            )
            (fresh / "complete").touch()
            try:
                fresh.rename(kept)
            except OSError:
                if not (kept / "complete").is_file():
                    raise
    return kept / "bin" / "python"


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired as error:
        raise Absent("its packages were not installed in 10 minutes") from error
    if done.returncode:
        raise Absent(f"its packages cannot be installed: {(done.stdout + done.stderr).strip()[-500:]}")


class Others(Child):
    """Both readers; ``hello`` names their versions."""

    def __init__(self, scratch: Path) -> None:
        """Start the environment's interpreter; results pass through ``scratch``."""
        scratch.mkdir(parents=True, exist_ok=True)
        self._scratch, self._results = scratch, itertools.count()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
        command = ["env", "-i", *(f"{k}={v}" for k, v in environment.items()), str(python()), "-I"]
        super().__init__([*command, str(HERE / "others_main.py")], log=scratch / "others.log")

    def read(self, reader: str, table: Path, number: int) -> pa.Table:
        """A version of a table, by ``duckdb`` or ``kernel``.

        Raises:
            EngineError: what the reader said.
        """
        into = self._scratch / f"result-{next(self._results)}.arrow"
        if reader == "kernel":
            with tempfile.TemporaryDirectory(dir=self._scratch) as copy:
                self.ask(reader=reader, table=str(until(table, number, Path(copy))), version=number, into=str(into))
        else:
            self.ask(reader=reader, table=str(table), version=number, into=str(into))
        with pa.OSFile(str(into)) as file:
            found = pa.ipc.open_file(file).read_all()
        into.unlink()
        return found


def until(table: Path, number: int, folder: Path) -> Path:
    """A copy of a table whose log ends at a version: for a reader that knows the latest alone."""
    copy = folder / table.name
    shutil.copytree(table, copy, ignore=shutil.ignore_patterns("_tablever"))
    for file in (copy / "_delta_log").iterdir():
        if file.name[:20].isdigit() and int(file.name[:20]) > number:
            file.unlink()
    hint = copy / "_delta_log" / "_last_checkpoint"
    if hint.is_file() and not list((copy / "_delta_log").glob("*.checkpoint*")):
        hint.unlink()
    return copy
