"""What was measured, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Measured:
    """One process: what ``peers.child.measure`` says, and by how many megabytes the table's folder grew."""

    seconds: list[float]
    peak_mb: float
    read_mb: float
    written_mb: float
    grown_mb: float
    answer: Any
    libraries: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A contender's rounds. Times in milliseconds; ``median`` is over the rounds' medians."""

    rounds: tuple[Measured, ...]

    @property
    def times(self) -> list[float]:
        """One time a round: the median of its calls."""
        return [1_000 * median(measured.seconds) for measured in self.rounds]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.times)

    @property
    def slowest_call(self) -> float:
        """The slowest of all calls, as a median over the rounds: for appends, the one that writes a checkpoint."""
        return median(1_000 * max(measured.seconds) for measured in self.rounds)

    @property
    def peak_mb(self) -> float:
        """Peak resident memory of the process, libraries and the rows that it was given included."""
        return median(measured.peak_mb for measured in self.rounds)

    @property
    def read_mb(self) -> float:
        """Bytes read from the disk: what was not in the page cache."""
        return median(measured.read_mb for measured in self.rounds)

    @property
    def written_mb(self) -> float:
        """Bytes written, in whole pages, as the kernel counts them."""
        return median(measured.written_mb for measured in self.rounds)

    @property
    def grown_mb(self) -> float:
        """By how much the table's folder grew."""
        return median(measured.grown_mb for measured in self.rounds)

    @property
    def answer(self) -> Any:
        """What the first round gave."""
        return self.rounds[0].answer
