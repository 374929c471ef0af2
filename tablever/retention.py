"""Which versions a table keeps: a policy, as people write it and as a rule over the times of versions.

A policy is ``"all"``, ``"pinned"``, an age (``"90 days"``), a number (``"10 versions"``), or several of them with
commas between: kept is what any of them keeps. The head, and what tags, runs and pins name, is kept under every policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from tablever.errors import InvalidInputError
from tablever.quantities import parse_span

RETENTION = "tablever.retention"
KEEP_ALL = "all"

# Delta's defaults destroy history after 30 days; "interval 36500 days" is the longest that every writer understands.
KEEP_HISTORY = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
}

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]

_VERSIONS = re.compile(r"([0-9]{1,15})\s+versions?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Policy:
    """What is kept besides the head and what is pinned.

    Attributes:
        text: as it was written, in one spelling.
        everything: all versions.
        age: the versions that were the head at any moment in this span before now.
        count: so many of the newest that changed the table, and what came after them.
    """

    text: str
    everything: bool = False
    age: timedelta | None = None
    count: int = 0

    def keeps(self, times: Sequence[datetime], now: datetime, upkeep: Sequence[bool] = ()) -> Flags:
        """For each of the versions made at ``times``, oldest first and the head last, whether it is kept.

        ``upkeep`` says of each whether it is a vacuum's or a compaction's. Those change nothing that one could want
        back, and are not counted: else each vacuum would use up one of the versions that it is told to keep.
        """
        kept = np.zeros(len(times), np.bool_)
        kept[-1:] = True
        if self.everything:
            kept[:] = True
        if self.count:
            counted = np.flatnonzero(~np.array(upkeep, np.bool_)) if len(upkeep) else np.arange(len(times))
            kept[counted[-self.count :][0] if len(counted) else 0 :] = True
        if self.age is not None:
            since = now - self.age
            kept[:-1] |= np.array([replaced > since for replaced in times[1:]], np.bool_)
        return kept


def parse_policy(text: str) -> Policy:
    """The policy that a text says.

    Raises:
        InvalidInputError: it says none.
    """
    if not isinstance(text, str):
        raise _no_policy(text)
    everything, ages, counts, words = False, [], [0], []
    for part in text.split(","):
        word = " ".join(part.split()).lower()
        found = _VERSIONS.fullmatch(word)
        if word == KEEP_ALL:
            everything = True
        elif found:
            counts.append(int(found[1]))
        elif word and word != "pinned":
            try:
                ages.append(parse_span(word))
            except InvalidInputError as error:
                raise _no_policy(text) from error
        elif not word:
            raise _no_policy(text)
        words.append(word)
    return Policy(", ".join(dict.fromkeys(words)), everything, max(ages, default=None), max(counts))


def stored_policy(configuration: Mapping[str, str]) -> Policy:
    """The policy that a table's properties hold; without one, everything is kept."""
    return parse_policy(configuration.get(RETENTION, KEEP_ALL))


def threats_of(configuration: Mapping[str, str], times: Sequence[datetime], now: datetime) -> tuple[str, ...]:
    """What a table's properties let other Delta writers destroy, of versions made at ``times``."""
    found = []
    log = configuration.get("delta.logRetentionDuration", "interval 30 days")
    cleaned = configuration.get("delta.enableExpiredLogCleanup", "true").lower() != "false"
    if cleaned and log != KEEP_HISTORY["delta.logRetentionDuration"]:
        old = _older(times, now, log)
        found.append(
            f"log entries older than {_plain(log)} may go whenever another tool writes, once there is a checkpoint"
            + ("" if old is None else f": {old:,} of {len(times):,} versions are that old today")
        )
    files = configuration.get("delta.deletedFileRetentionDuration", "interval 1 week")
    if files != KEEP_HISTORY["delta.deletedFileRetentionDuration"]:
        old = _older(times[1:], now, files)
        found.append(
            f"files that left the table more than {_plain(files)} ago go with a VACUUM of another tool"
            + ("" if old is None else f": {old:,} of {len(times):,} versions may lose theirs today")
        )
    return tuple(found)


def _plain(interval: str) -> str:
    return interval.lower().removeprefix("interval").strip()


def _older(times: Sequence[datetime], now: datetime, interval: str) -> int | None:
    """How many of the times are before the interval; None where it is in words that we do not know."""
    try:
        since = now - parse_span(_plain(interval))
    except InvalidInputError:
        return None
    return sum(time < since for time in times)


def _no_policy(text: object) -> InvalidInputError:
    return InvalidInputError(
        f"{text!r} is no retention policy", hint="write it so: 'all', 'pinned', '90 days', '10 versions, 30 days'"
    )
