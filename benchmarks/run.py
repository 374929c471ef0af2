"""A run: inputs and tables first, then every contender in turn, round by round."""

from __future__ import annotations

import compileall
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import tablever
from benchmarks import inputs
from benchmarks.environments import Absent
from benchmarks.figures import LABELS, Contender, Figure
from benchmarks.measure import INPUTS, Failed, Workshop
from benchmarks.questions import figures
from benchmarks.recipes import order, recipes
from benchmarks.report import entry
from benchmarks.results import Measured, Result
from benchmarks.sizes import WARM, Size


def tell(text: str) -> None:
    """Progress, apart from the results."""
    sys.stderr.write(text + "\n")


@dataclass
class Run:
    """What a run has found so far, by contender: figures share one that they have in common."""

    workshop: Workshop
    size: Size
    chosen: Mapping[str, Figure]
    warm: bool
    found: dict[str, list[Measured]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Write the inputs and make the tables; a table that cannot be made is a reason why its users are missing."""
        # As pip does: a checkout would be compiled at each start of a process where Python may not write what it made.
        compileall.compile_dir(Path(tablever.__file__).parent, quiet=1)
        for size, small in ((self.size, False), *(((WARM, True),) if self.warm else ())):
            known = recipes(size)
            contenders = [c for name in self.chosen for c in self._twins(name, size)]
            tables = order({(c.maker, c.table) for c in contenders if c.table}, size)
            given = [c.parameters for c in contenders]
            given += [step.parameters for _, recipe in tables for step in known[recipe].steps]
            names = {value for parameters in given for name, value in parameters.items() if name in INPUTS}
            # In another process, which gives its memory back.
            writer = get_context("spawn").Process(target=inputs.write, args=(self.workshop.inputs(size), names, size))
            writer.start()
            writer.join()
            if writer.exitcode:
                raise Failed("the inputs were not written")
            for maker, name in tables:
                self._make(maker, name, size, small=small)

    def _make(self, maker: str, name: str, size: Size, *, small: bool) -> None:
        recipe, into = recipes(size)[name], self.workshop.kept(maker, name, size)
        if into.exists():
            return
        if recipe.start and (reason := self.failed.get(f"{maker}-{recipe.start}-{size.rows}")):
            self.failed[into.name] = reason
            return
        if not small:
            tell(f"make {LABELS.get(maker, maker)}'s table: {name}")
        try:
            self.workshop.build(maker, recipe.start, recipe.steps, into, size, warm=small)
        except (Absent, Failed) as error:
            self.failed[into.name] = f"its table was not made: {error}" if isinstance(error, Failed) else str(error)
            tell(f"  {error}")

    def measure(self, rounds: int) -> Iterator[dict[str, dict[str, Any]]]:
        """All contenders, every second round in the opposite order; after each round, what there is so far."""
        turns = {
            key: (figure, number, name)
            for name, figure in self.chosen.items()
            for number, contender in enumerate(figure.contenders)
            for key in [_key(figure, contender)]
        }
        for round_ in range(rounds):
            tell(f"round {round_ + 1} of {rounds}")
            for key, (figure, number, name) in list(turns.items())[:: -1 if round_ % 2 else 1]:
                if round_ < figure.rounds and key not in self.failed:
                    self._turn(key, figure, figure.contenders[number], name, number)
            yield {
                name: entry(figure, *self._results(figure), self.size)
                for name, figure in self.chosen.items()
                if _key(figure, figure.contenders[0]) in self.found
            }

    def _turn(self, key: str, figure: Figure, contender: Contender, name: str, number: int) -> None:
        small = self._twins(name, WARM)[number] if self.warm else None
        for one, size in ((contender, self.size), *(((small, WARM),) if small else ())):
            table = self.workshop.kept(one.maker, one.table, size).name
            if one.table and table in self.failed:
                self.failed[key] = self.failed[table]
                return
        try:
            measured = self.workshop.measured(figure, contender, small, self.size, WARM)
            self.found.setdefault(key, []).append(measured)
        except (Absent, Failed) as error:
            self.failed[key] = str(error)
            tell(f"  {name}, {contender.label}: {error}")

    def _results(self, figure: Figure) -> tuple[dict[str, Result], dict[str, str]]:
        """Of a figure, by label: results, and why others are missing."""
        keys = {contender.label: _key(figure, contender) for contender in figure.contenders}
        found = {label: Result(tuple(self.found[key])) for label, key in keys.items() if key in self.found}
        return found, {label: self.failed[key] for label, key in keys.items() if key in self.failed}

    def _twins(self, name: str, size: Size) -> tuple[Contender, ...]:
        """The contenders of a figure, at another size; those that were chosen."""
        labels = {contender.label for contender in self.chosen[name].contenders}
        return tuple(contender for contender in figures(size)[name].contenders if contender.label in labels)


def _key(figure: Figure, contender: Contender) -> str:
    words = [contender.peer, contender.verb, contender.maker, contender.table, dict(contender.parameters)]
    return json.dumps([*words, figure.cold, figure.first, figure.writes])


def chosen(names: list[str], peers: list[str] | None, size: Size) -> dict[str, Figure]:
    """The figures that the names or patterns mean, all without any; of their contenders ours and those peers."""
    found = {}
    for name, figure in figures(size).items():
        if not names or any(fnmatch(name, pattern) for pattern in names):
            kept = [c for c in figure.contenders if peers is None or c.peer in {"ours", *peers}]
            found[name] = Figure(**{**vars(figure), "contenders": tuple(kept)})
    return found
