"""Ctrl-C and the end of the process: what runs stops, and the exit code is the one that was meant."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import tablever as tv
from tablever.cli.common import was_interrupted
from tablever.cli.interruptible import run_interruptibly
from tablever.cli.prompt import answer
from tablever.errors import QueryError

ENDLESS = "SELECT count(*) FROM range(1000000000000) a, range(1000000) b"


def _interrupt_soon() -> None:
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_stops_a_query_at_the_prompt(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An interrupted statement says so, and the session answers the next one."""
    with tv.connect(tmp_path) as session:
        threading.Thread(target=_interrupt_soon).start()
        answer(session, ENDLESS + ";")
        answer(session, "SELECT 42 AS n;")
    out, err = capfd.readouterr()
    assert (err, out.splitlines()[2].strip()) == ("interrupted\n", "42")


def test_ctrl_c_stops_a_query_of_the_command_line(tmp_path: Path) -> None:
    """`tablever sql` ends with 130 on Ctrl-C, and not with a defect."""
    run = [sys.executable, "-m", "tablever", "sql", ENDLESS, "--root", str(tmp_path)]
    with subprocess.Popen(run, stderr=subprocess.PIPE, text=True) as query:
        time.sleep(3)
        query.send_signal(signal.SIGINT)
        try:
            said = query.communicate(timeout=20)[1]
        finally:
            query.kill()
    assert (query.returncode, said.strip()) == (130, "interrupted")


def test_errors_of_the_work_come_back(tmp_path: Path) -> None:
    """What the interruptible work raises is raised where it was started."""
    with tv.connect(tmp_path) as session, pytest.raises(QueryError):
        run_interruptibly(session, lambda: session.sql("SELEC"))  # type: ignore[arg-type, return-value]


def test_an_interrupt_is_seen_behind_an_engines_error() -> None:
    """Ctrl-C counts as such when an engine wraps it, and no other error does."""
    wrapped = RuntimeError("callback failed")
    wrapped.__cause__ = KeyboardInterrupt()
    assert was_interrupted(wrapped)
    assert was_interrupted(RuntimeError("Query interrupted"))
    assert not was_interrupted(RuntimeError("disk full"))


def test_a_refused_load_ends_with_its_exit_code(tmp_path: Path) -> None:
    """A load that fails after its reader has started never ends the process by a signal."""
    rows = tmp_path / "a.csv"
    rows.write_text("id,v\n1,2\n")
    run = [sys.executable, "-m", "tablever", "create", str(tmp_path / "t"), str(rows), "--partition-by", "nope"]
    codes = [subprocess.run(run, capture_output=True, check=False).returncode for _ in range(6)]
    assert codes == [5] * 6
