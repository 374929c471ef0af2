"""How the log is asked about rows: the steps, and what to do where files are gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from tablever.errors import VersionVacuumedError
from tablever.history.probe import Probe
from tablever.history.steps import Journal, Step, plan_steps, without_lost
from tablever.history.view import View
from tablever.log import Log

T = TypeVar("T")


def read_told(log: Log, journal: Journal, view: View, probe: Probe | None, read: Callable[[Sequence[Step]], T]) -> T:
    """What is read from the steps; where files are gone, from the versions that can still be read."""
    steps = plan_steps(log, journal, view, probe)
    if not any(step.lost for step in steps):
        with suppress(VersionVacuumedError):  # a file, a deletion vector
            return read(steps)
    return read(without_lost(log, journal, view, probe, steps))
