"""The bar of a long load and of a check: where a terminal watches standard error, and nowhere else."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tablever.cli.progress import WORTH_SHOWING

RUN = "import json, sys; from tablever.cli.main import exit_code\nfor line in json.loads(sys.argv[1]): exit_code(line)"


def told(lines: Sequence[Sequence[str]], *, watched: bool) -> tuple[str, str]:
    """What command lines write to standard output, a pipe, and to standard error: a terminal, or a pipe too."""
    reader, writer = pty.openpty() if watched else os.pipe()
    with (
        os.fdopen(reader, "rb", buffering=0) as screen,
        subprocess.Popen(
            [sys.executable, "-c", RUN, json.dumps(lines)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=writer,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        ) as process,
    ):
        os.close(writer)
        sent = b"".join(_chunks(screen))
        assert process.stdout
        return process.stdout.read().decode(), sent.decode()


def _chunks(file: io.FileIO) -> Iterator[bytes]:
    with suppress(OSError):  # Linux ends a terminal that nobody holds with EIO
        while chunk := file.read(65_536):
            yield chunk


@pytest.mark.parametrize("watched", [True, False], ids=["a terminal", "a pipe"])
def test_the_bar_is_for_terminals(tmp_path: Path, watched: bool) -> None:
    """A long load and a check show how far they are on a terminal, and write nothing into a pipe; a check its rate."""
    rows = pa.table({"blob": [os.urandom(1000) for _ in range(WORTH_SHOWING // 1000 + 100)]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    table = str(tmp_path / "t")
    out, err = told([["create", table, str(tmp_path / "rows.parquet")], ["verify", table]], watched=watched)
    assert "version 0: create +4,100" in out
    assert " MB/s)\n" in out
    assert [word in err for word in ("reading", "checking", "MB")] == [watched] * 3
    assert watched or err == ""
