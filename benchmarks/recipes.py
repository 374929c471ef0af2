"""The tables that are measured on: what is done to make one, in steps that every contender has a verb for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from benchmarks.sizes import EACH, Size

LARGE = 4  # times the rows


@dataclass(frozen=True)
class Step:
    """A verb of a contender's script and its parameters; ``marked``: each of its calls makes a version to refer to."""

    verb: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    marked: bool = True


@dataclass(frozen=True)
class Recipe:
    """Steps on top of another table, or from nothing."""

    start: str
    steps: tuple[Step, ...]


def step(verb: str, *, marked: bool = True, **parameters: Any) -> Step:
    """A step."""
    return Step(verb, MappingProxyType(parameters), marked)


def recipes(size: Size) -> dict[str, Recipe]:
    """All of them, each behind the one that it starts from.

    ``base`` holds ``size.rows`` reviews in one commit, ``tracked`` is told that versions will be
    compared. ``merged`` has seen a dozen small upserts before, ``upserted`` a hundred; ``compacted`` is that with its
    files merged. ``deleted`` lacks 1 %. The last commit of ``changed``, ``much`` and ``half`` corrects few, many and
    half of the reviews; that of ``large`` few of four times as many. ``rewritten`` and ``shuffled`` hold what
    ``changed`` does, written whole again, in the same order or another. ``few``, ``some`` and ``most`` are versions
    of 100 rows each. ``tens`` and ``thousands`` are histories of commits that correct ten or a thousand rows each.
    """
    few, some, most = size.versions
    change = f"scattered-{size.changed}-1"
    thousand = min(1_000, size.history_rows // 10)

    def fill(first: int, last: int) -> Step:
        return step("append", rows=f"filler-{first}-{last}", each=EACH, marked=False)

    return {
        "base": Recipe("", (step("create", rows="base"),)),
        "tracked": Recipe("", (step("create", rows="base", tracked=True),)),
        "deleted": Recipe("base", (step("delete", keys=f"keys-{size.rows // 100}"),)),
        "merged": Recipe("base", (step("upsert", rows=f"lots-{size.changed}-{size.merges}", each=size.changed),)),
        "changed": Recipe("tracked", (step("upsert", rows=change),)),
        "much": Recipe("tracked", (step("upsert", rows=f"scattered-{size.many}-1"),)),
        "half": Recipe("tracked", (step("upsert", rows=f"scattered-{size.rows // 2}-1"),)),
        "upserted": Recipe("tracked", (step("upsert", rows=f"lots-{size.changed}-{size.upserts}", each=size.changed),)),
        "compacted": Recipe("upserted", (step("compact"),)),
        "large": Recipe(
            "base", (*(step("append", rows=f"more-{n}") for n in range(1, LARGE)), step("upsert", rows=change))
        ),
        "rewritten": Recipe("base", (step("overwrite", rows=f"after-{size.changed}-1"),)),
        "shuffled": Recipe("base", (step("overwrite", rows=f"shuffled-{size.changed}-1"),)),
        "few": Recipe("base", (fill(0, few),)),
        "some": Recipe("few", (fill(few, some),)),
        "most": Recipe("some", (fill(some, most),)),
        "early": Recipe("", (step("create", rows="early"),)),
        "tens": Recipe("early", (step("upsert", rows=f"early-10-{size.history}", each=10, marked=False),)),
        "thousands": Recipe(
            "early", (step("upsert", rows=f"early-{thousand}-{size.history}", each=thousand, marked=False),)
        ),
    }


def order(needed: set[tuple[str, str]], size: Size) -> list[tuple[str, str]]:
    """Makers and recipes, those included that they start from, in an order in which they can be made."""
    known = recipes(size)
    wanted = set(needed)
    for maker, name in needed:
        while name := known[name].start:
            wanted.add((maker, name))
    return sorted(wanted, key=lambda item: (item[0], list(known).index(item[1])))
