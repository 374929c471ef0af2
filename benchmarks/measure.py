"""Run a contender's script in a process of its own, on a copy of a table, and say what it took."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import python
from benchmarks.figures import Contender, Figure
from benchmarks.peers import child
from benchmarks.recipes import Step
from benchmarks.results import Measured
from benchmarks.sizes import Size

HERE = Path(__file__).resolve().parent
INPUTS = ("rows", "keys", "before", "after")  # parameters that name a file of benchmarks.inputs
# Files that their owners change in place; all others are only ever added, so that a copy may share them.
CHANGED_IN_PLACE = ("*.db*", "*.ducklake*", "*.mdb")


class Failed(Exception):  # noqa: N818 - an outcome that is written down
    """A contender did not do what it was asked; what it said."""


@dataclass(frozen=True)
class Workshop:
    """Where things are, below one folder: inputs, tables, and the place where one is worked on.

    A table is built, and measured, at one and the same path, for formats that note it: it is kept elsewhere meanwhile.

    Attributes:
        environments: where those of the peers are kept.
        install: make those that are not there.
        fresh: a process for each task, also for contenders of this environment.
        seconds: how long a task may take.
    """

    root: Path
    environments: Path
    install: bool = True
    fresh: bool = True
    seconds: float = 900

    def inputs(self, size: Size) -> Path:
        """The folder of the inputs of that size."""
        return self.root / f"inputs-{size.rows}"

    def kept(self, maker: str, recipe: str, size: Size) -> Path:
        """Where a finished table is kept."""
        return self.root / "tables" / f"{maker}-{recipe}-{size.rows}"

    def place(self, *, warm: bool) -> Path:
        """Where a table is built and measured."""
        return self.root / ("warm" if warm else "at")

    def build(self, maker: str, start: str, steps: tuple[Step, ...], into: Path, size: Size, *, warm: bool) -> None:
        """Make a table by a contender's script, from nothing or from another one.

        Raises:
            Absent: the contender is not to be had.
            Failed: it did not do it.
        """
        place = self.place(warm=warm)
        self._lay(self.kept(maker, start, size) if start else None, place)
        said = [
            {"verb": step.verb, "parameters": self._given(step.parameters, size), "marked": step.marked}
            for step in steps
        ]
        try:
            self.ask({"do": "build", "peer": maker, "folder": str(place), "steps": said}, seconds=8 * self.seconds)
            into.parent.mkdir(exist_ok=True)
            place.rename(into)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def measured(
        self, figure: Figure, contender: Contender, warm: Contender | None, size: Size, small: Size
    ) -> Measured:
        """A contender's task, once.

        Args:
            warm: the same on the small table, to be done before; ``None``: the first call of a process is measured.

        Raises:
            Absent: the contender is not to be had.
            Failed: it did not do it, or not in time.
        """
        place = self.place(warm=False)
        request: dict[str, Any] = {"do": "measure", "peer": contender.peer, "verb": contender.verb, "warm": None}
        request |= {"cold": figure.cold, "state": figure.writes} | self._set_out(contender, size, place)
        try:
            if warm is not None and not figure.first:
                request["warm"] = self._set_out(warm, small, self.place(warm=True))
            before = _size_of(place / "data")
            answer = self.ask(request, seconds=self.seconds)
            return Measured(grown_mb=(_size_of(place / "data") - before) / 1e6, **answer)
        finally:
            for folder in (place, self.place(warm=True)):
                shutil.rmtree(folder, ignore_errors=True)

    def ask(self, request: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        """The answer of a contender's script."""
        interpreter = python(request["peer"], self.environments, make=self.install)
        if not self.fresh and interpreter == python("ours", self.environments, make=False):
            return child.carry_out(request)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
        try:
            done = subprocess.run(
                [interpreter, "-m", "benchmarks.peers.child"],
                input=json.dumps(request) + "\n",
                text=True,
                capture_output=True,
                timeout=seconds,
                check=False,
                cwd=HERE.parent,
                env=environment,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"not done in {seconds:,.0f} s") from error
        if done.returncode or not done.stdout:
            raise Failed(f"its process ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        if "error" in answer:
            raise Failed(answer["error"][:300])
        return answer

    def _set_out(self, contender: Contender, size: Size, place: Path) -> dict[str, Any]:
        """A copy of the contender's table, and the names of its inputs."""
        self._lay(self.kept(contender.maker, contender.table, size) if contender.table else None, place)
        return {"folder": str(place), "parameters": self._given(contender.parameters, size)}

    def _given(self, parameters: Mapping[str, Any], size: Size) -> dict[str, Any]:
        folder = self.inputs(size)
        return {name: str(folder / f"{v}.parquet") if name in INPUTS else v for name, v in parameters.items()}

    def _lay(self, kept: Path | None, place: Path) -> None:
        shutil.rmtree(place, ignore_errors=True)
        if kept is None:
            place.mkdir(parents=True)
        else:
            shutil.copytree(kept, place, copy_function=_copy)


def _copy(source: str, target: str) -> None:
    if any(Path(source).match(pattern) for pattern in (*CHANGED_IN_PLACE, "marks.json")):
        shutil.copy2(source, target)
    else:
        os.link(source, target)


def _size_of(folder: Path) -> int:
    """Bytes below it; of files with holes, what is there."""
    found = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum(min(status.st_size, status.st_blocks * 512) for status in found)
