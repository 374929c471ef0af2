"""The shell, run in this process: exit code, standard output, standard error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tablever.cli.main import exit_code


@dataclass(frozen=True)
class Answer:
    """What a command line gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Shell = Callable[..., Answer]


@pytest.fixture
def shell(capfd: pytest.CaptureFixture[str]) -> Shell:
    """``shell("log", table)``: the Answer of that command line."""

    def run(*arguments: object) -> Answer:
        capfd.readouterr()
        code = exit_code([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return run


@pytest.fixture
def reviews(tmp_path: Path, shell: Shell) -> Path:
    """A table of three rows in two versions: id (the key), label, score."""
    first = tmp_path / "first.csv"
    first.write_text("id,label,score\n1,pos,0.5\n2,neg,\n")
    second = tmp_path / "second.jsonl"
    second.write_text('{"id": 2, "label": "pos", "score": 1}\n{"id": 3, "label": ""}\n')
    table = tmp_path / "reviews"
    assert shell("create", table, first, "--key", "id", "-m", "first").code == 0
    assert shell("upsert", table, second, "-m", "second", "--author", "Ada <ada@example.org>").code == 0
    return table
