"""What the names in a ``_delta_log`` folder say: which log entries and which whole checkpoints are there."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

LOG_FOLDER = "_delta_log"
SIDECAR_FOLDER = f"{LOG_FOLDER}/_sidecars"

LAST_VERSION = 2**63 - 1  # a version is a long (Delta protocol, "Delta Log Entries")
_ENTRY = re.compile(r"([0-9]{20})\.json")
_CHECKPOINT = re.compile(
    r"([0-9]{20})\.checkpoint\.(?:parquet|([0-9]{10})\.([0-9]{10})\.parquet|[0-9A-Za-z-]{36}\.(?:parquet|json))"
)


@dataclass(frozen=True, order=True)
class CheckpointFiles:
    """The top-level files of one checkpoint, parts in their order; sidecars are named inside."""

    number: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """Numbers of the log entries, ascending; checkpoints with all their parts, ascending."""

    entries: tuple[int, ...] = ()
    checkpoints: tuple[CheckpointFiles, ...] = ()

    @property
    def head(self) -> int | None:
        """The newest version that left a trace; None for an empty folder."""
        newest = [*self.entries[-1:], *(checkpoint.number for checkpoint in self.checkpoints[-1:])]
        return max(newest, default=None)

    @property
    def first_readable(self) -> int | None:
        """The oldest version that an entry 0 or a checkpoint lets one build; None where nothing does."""
        if self.entries and self.entries[0] == 0:
            return 0
        return self.checkpoints[0].number if self.checkpoints else None

    def checkpoints_before(self, number: int) -> tuple[CheckpointFiles, ...]:
        """Checkpoints of this version and older ones, newest first."""
        end = bisect_right(self.checkpoints, number, key=lambda checkpoint: checkpoint.number)
        return self.checkpoints[:end][::-1]

    def missing(self, after: int, number: int) -> int | None:
        """The first of the versions ``after`` + 1 to ``number`` (inclusive) that has no entry; None if all have."""
        start = bisect_left(self.entries, after + 1)
        expected = after + 1
        for found in self.entries[start : start + number - after]:
            if found != expected:
                break
            expected += 1
        return expected if expected <= number else None


def entry_name(number: int) -> str:
    """The file name of a version's log entry."""
    return f"{number:020d}.json"


def entry_path(number: int) -> str:
    """The path, relative to the table, of a version's log entry."""
    return f"{LOG_FOLDER}/{number:020d}.json"


def parse_names(names: Iterable[str]) -> Listing:
    """The listing of a folder's file names, in any order.

    Other files (compacted logs, checksums) are passed over, and names with numbers that no version can have.
    """
    entries = []
    checkpoints: list[CheckpointFiles] = []
    parts: dict[tuple[int, int], dict[int, str]] = defaultdict(dict)
    for name in names:
        match = _ENTRY.fullmatch(name) or _CHECKPOINT.fullmatch(name)
        if match is None or int(match[1]) > LAST_VERSION:
            continue
        if match.re is _ENTRY:
            entries.append(int(match[1]))
        else:
            if match[2]:
                parts[int(match[1]), int(match[3])][int(match[2])] = name
            else:
                checkpoints.append(CheckpointFiles(int(match[1]), (name,)))
    for (number, count), found in parts.items():
        if sorted(found) == list(range(1, count + 1)):
            checkpoints.append(CheckpointFiles(number, tuple(found[part] for part in sorted(found))))
    return Listing(tuple(sorted(entries)), tuple(sorted(checkpoints)))
