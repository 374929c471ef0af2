"""Random operations in a real process that is killed, or refused by the disk, at a random call; then opened again.

``python -m tests.campaigns.crashes [--minutes N | --rounds N] [--seed S]``; ``--every`` tries each call of each
operation once instead. Each round holds what is left against the law of ``faults.Bench.check``.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests import faults
from tests.faults import Bench, Call, Zygote


class Fault(NamedTuple):
    """What is done to which call of which operation."""

    operation: str
    kind: str
    call: Call
    what: str
    for_ever: bool


@dataclass
class Tally:
    """What was tried, and what was found."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    kills_by_call: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    found: list[str] = field(default_factory=list)

    def note(self, fault: Fault, answer: faults.Answer, state: str) -> None:
        if fault.what == "signal=KILL" and answer.killed:
            self.kills[fault.operation] += 1
            self.kills_by_call[fault.call.name] += 1
            self.states[f"killed: {state}"] += 1
        elif fault.what != "signal=KILL":
            self.errors[f"{fault.what.partition('=')[2]} at {fault.call.name}"] += 1
            self.states[f"{'refused' if answer.error else 'done all the same'}: {state}"] += 1
        else:
            self.missed += 1

    def lines(self, seconds: float) -> Iterator[str]:
        tried = f"{self.kills.total()} kills, {self.errors.total()} errors injected"
        yield f"{self.rounds} rounds in {seconds:.0f} s: {tried}"
        for name, counts in (
            ("kills by operation", self.kills),
            ("kills by call", self.kills_by_call),
            ("errors", self.errors),
            ("the table afterwards", self.states),
        ):
            if counts:
                yield f"{name}: " + ", ".join(f"{key} {count}" for key, count in sorted(counts.items()))
        if self.missed:
            yield f"{self.missed} processes ended before the call at which they were to be killed"
        yield f"{len(self.found)} violations" if self.found else "no violation"
        yield from self.found


def random_faults(process: Zygote, bench: Bench, chance: random.Random) -> Iterator[Fault]:
    """Faults for ever: half of them kills."""
    known: dict[tuple[str, str], list[Call]] = {}
    while True:
        operation, kind = chance.choice(list(faults.OPERATIONS)), chance.choice(list(faults.KINDS))
        if (operation, kind) not in known:
            known[operation, kind] = faults.traced(process, bench, operation, kind)[0]
        call = chance.choice(known[operation, kind])
        errors = faults.refusals(call)
        if not errors or chance.random() < 0.5:
            yield Fault(operation, kind, call, "signal=KILL", for_ever=False)
        else:
            yield Fault(operation, kind, call, f"error={chance.choice(errors)}", for_ever=chance.random() < 0.5)


def every_fault(process: Zygote, bench: Bench) -> Iterator[Fault]:
    """A kill at each call of each operation, and each error."""
    for operation in faults.OPERATIONS:
        for call in faults.traced(process, bench, operation, "merge-on-read")[0]:
            yield Fault(operation, "merge-on-read", call, "signal=KILL", for_ever=False)
            for error in faults.refusals(call):
                yield Fault(operation, "merge-on-read", call, f"error={error}", for_ever=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 1 where a violation was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.crashes", description="kill and refuse, at random")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", action="store_true", help="each call of each operation, once each")
    options = parser.parse_args(arguments)
    lacking = faults.why_no_strace()
    if lacking:
        parser.error(lacking)
    started, tally = time.monotonic(), Tally()
    until = started + 60 * options.minutes if options.minutes else float("inf")
    rounds = options.rounds or (None if options.minutes or options.every else 100)
    with tempfile.TemporaryDirectory() as folder, faults.zygote() as process:
        bench = Bench(Path(folder))
        chance = random.Random(options.seed)
        for fault in every_fault(process, bench) if options.every else random_faults(process, bench, chance):
            if time.monotonic() > until or (rounds is not None and tally.rounds >= rounds):
                break
            tally.rounds += 1
            try:
                tally.note(fault, *faults.inject(process, bench, *fault[:4], for_ever=fault.for_ever))
            except Exception as error:  # noqa: BLE001 - a finding, told at the end
                first = str(error).split("\n", 1)[0]
                how = f"{fault.what} {'from' if fault.for_ever else 'at'} {fault.call.name} {fault.call.nth}"
                tally.found.append(f"{fault.operation}, {fault.kind}, {how}: {type(error).__name__}: {first}")
    print("\n".join(tally.lines(time.monotonic() - started)))
    return int(bool(tally.found))


if __name__ == "__main__":
    raise SystemExit(main())
