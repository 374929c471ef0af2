"""deltalake as a writer of a campaign: its deeds, and under which version the log has them.

Every write but an append is given no retries: then it is refused where the head has moved. With retries deltalake 1.6
lets a stale overwrite, delete or merge commit over what came in between, whoever wrote that (tests/test_foreign.py);
``optimize`` ignores the setting, and doubles rows beside any other writer, so it is left out unless it is asked for.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from tests.campaigns.deeds import COLUMNS, KEYS, Deed, Hand
from tests.campaigns.judging import FOREIGN, Told


def _rows(args: Mapping[str, Any]) -> pa.Table:
    schema = pa.schema([pa.field(c.name, c.type, nullable=c.name != "id") for c in args["columns"]])
    return pa.Table.from_pylist(args["rows"], schema=schema)


def _where(args: Mapping[str, Any]) -> str:
    return f"id >= {args['low']} AND id <= {args['high']}"


def _merge(path: str, args: Mapping[str, Any], said: CommitProperties) -> None:
    merger = DeltaTable(path).merge(
        _rows(args), "t.id = s.id", source_alias="s", target_alias="t", commit_properties=said
    )
    merger.when_matched_update_all().when_not_matched_insert_all().execute()


DELTALAKE: Mapping[str, Callable[[str, Mapping[str, Any], CommitProperties], object]] = {
    "append": lambda p, a, s: write_deltalake(p, _rows(a), mode="append", commit_properties=s),
    "overwrite": lambda p, a, s: write_deltalake(p, _rows(a), mode="overwrite", commit_properties=s),
    "upsert": _merge,
    "delete": lambda p, a, s: DeltaTable(p).delete(_where(a), commit_properties=s),
    "update": lambda p, a, s: DeltaTable(p).update(
        updates={"n": f"n + {a['by']}", "text": "'updated'"}, predicate=_where(a), commit_properties=s
    ),
    "compact": lambda p, a, s: DeltaTable(p).optimize.compact(commit_properties=s),  # noqa: ARG005
}
RATES = {"append": 6, "overwrite": 1, "upsert": 4, "delete": 3, "update": 3}


def draw(hand: Hand, rates: Mapping[str, int]) -> Deed:
    """A deed that deltalake can do; its appends bring rows of its own, since it knows no keys."""
    hand.drawn += 1
    name = hand.chance.choices(list(rates), list(rates.values()))[0]
    options = {FOREIGN: uuid.uuid4().hex}
    if name in ("append", "overwrite", "upsert"):
        rows = hand.rows(COLUMNS, hand.chance.randint(1, 5), fresh={"append": 1.0}.get(name, 0.2))
        return Deed(name, {"rows": rows, "columns": COLUMNS, "evolve": False}, options)
    if name == "compact":
        return Deed(name, {}, options)
    low = hand.chance.randrange(KEYS)
    args = {"low": low, "high": low + hand.chance.randrange(4), "shift": 0, "by": hand.chance.randint(0, 2)}
    return Deed(name, args, options)


def write(path: str, worker: int, seed: int, seconds: float, rates: Mapping[str, int]) -> list[Told]:
    """Do random deeds for a while, and note what deltalake said."""
    hand = Hand(worker, random.Random(f"{seed}/deltalake {worker}"), {})
    told, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        deed, error = draw(hand, rates), None
        tries = 15 if deed.name == "append" else 0
        said = CommitProperties(custom_metadata={FOREIGN: deed.options[FOREIGN]}, max_commit_retries=tries)
        try:
            DELTALAKE[deed.name](path, deed.args, said)
        except Exception as raised:  # noqa: BLE001 - the judge says which are right
            error = type(raised).__name__, str(raised)[:300]
        told.append(Told(deed, 0, 0, None, error))
    return told
