"""deltalake as a writer of a campaign: its deeds, what the model says of them, and what it was told.

Every write but an append is given no retries: then it is refused where the head has moved. With retries deltalake 1.6
lets a stale overwrite, delete or merge commit over what came in between, whoever wrote that (tests/test_foreign.py);
``optimize`` ignores the setting, and doubles rows beside any other writer, so it is left out unless it is asked for.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from tests.campaigns import deeds
from tests.campaigns.deeds import COLUMNS, FOREIGN, KEYS, MORE, Deed, Hand, Told, extra_columns
from tests.model import Column, Model, Row


def to_arrow(rows: Sequence[Row], columns: Sequence[Column]) -> pa.Table:
    """Rows under their columns, of which the id alone holds no nulls."""
    return pa.Table.from_pylist(list(rows), pa.schema([pa.field(c.name, c.type, c.name != "id") for c in columns]))


def _rows(args: Mapping[str, Any]) -> pa.Table:
    return to_arrow(args["rows"], args["columns"])


def _where(args: Mapping[str, Any]) -> str:
    return f"id >= {args['low']} AND id <= {args['high']}"


def _write(path: str, args: Mapping[str, Any], said: CommitProperties, mode: Any) -> None:
    schema_mode: Any = "merge" if args["evolve"] else None
    write_deltalake(path, _rows(args), mode=mode, schema_mode=schema_mode, commit_properties=said)


def _merge(path: str, args: Mapping[str, Any], said: CommitProperties) -> None:
    merger = DeltaTable(path).merge(
        _rows(args),
        "t.id = s.id",
        source_alias="s",
        target_alias="t",
        merge_schema=args["evolve"],
        commit_properties=said,
    )
    merger.when_matched_update_all().when_not_matched_insert_all().execute()


DELTALAKE: Mapping[str, Callable[[str, Mapping[str, Any], CommitProperties], object]] = {
    "append": lambda p, a, s: _write(p, a, s, "append"),
    "overwrite": lambda p, a, s: _write(p, a, s, "overwrite"),
    "upsert": _merge,
    "delete": lambda p, a, s: DeltaTable(p).delete(_where(a), commit_properties=s),
    "update": lambda p, a, s: DeltaTable(p).update(
        updates={"n": f"n + {a['by']}", "text": "'updated'"}, predicate=_where(a), commit_properties=s
    ),
    "restore": lambda p, a, s: DeltaTable(p).restore(a["version"], commit_properties=s),
    "set properties": lambda p, a, s: DeltaTable(p).alter.set_table_properties(
        a["properties"], raise_if_not_exists=False, commit_properties=s
    ),
    "compact": lambda p, a, s: DeltaTable(p).optimize.compact(commit_properties=s),  # noqa: ARG005
}
RATES = {"append": 6, "overwrite": 1, "upsert": 4, "delete": 3, "update": 3, "restore": 1, "set properties": 1}


def _merged(model: Model, args: Mapping[str, Any]) -> int | None:
    """A row that is there keeps its values in columns that the rows of a MERGE lack; a new one has nulls there."""
    known = model.head.by_key()
    rows = [{**known.get(model.head.key_of(row), {}), **row} for row in args["rows"]]
    return model.upsert(rows, extra_columns(model, args))


MODEL: Mapping[str, Callable[[Model, Mapping[str, Any]], int | None]] = {
    **deeds.MODEL,
    "append": lambda m, a: m.append(a["rows"], extra_columns(m, a)),
    "overwrite": lambda m, a: m.overwrite(a["rows"], [*m.head.columns, *extra_columns(m, a)]),
    "upsert": _merged,
}


def draw(hand: Hand, rates: Mapping[str, int], head: int) -> Deed:
    """A deed that deltalake can do; its appends bring rows of its own, since it knows no keys.

    Where its rows may lack columns of the table, or bring new ones, deltalake is to merge the schemas.
    """
    hand.drawn += 1
    name = hand.chance.choices(list(rates), list(rates.values()))[0]
    options = {FOREIGN: uuid.uuid4().hex}
    if name in ("append", "overwrite", "upsert"):
        columns = _columns(hand)
        rows = hand.rows(columns, hand.chance.randint(1, 5), fresh={"append": 1.0}.get(name, 0.2))
        return Deed(name, {"rows": rows, "columns": columns, "evolve": hand.evolves}, options)
    if name == "compact":
        return Deed(name, {}, options)
    if name == "set properties":
        return Deed(name, {"properties": {"campaign.drawn": str(hand.drawn)}}, options)
    if name == "restore":
        return Deed(name, {"version": hand.past(head)}, options)
    low = hand.chance.randrange(KEYS)
    args = {"low": low, "high": low + hand.chance.randrange(4), "shift": 0, "by": hand.chance.randint(0, 2)}
    return Deed(name, args, options)


def _columns(hand: Hand) -> Sequence[Column]:
    return (*COLUMNS, hand.chance.choice(MORE)) if hand.evolves and hand.chance.random() < 0.1 else COLUMNS


def write(
    path: str, worker: int, seed: int, seconds: float, rates: Mapping[str, int], *, evolves: bool = True
) -> list[Told]:
    """Do random deeds for a while, and note what deltalake said."""
    hand = Hand(worker, random.Random(f"{seed}/deltalake {worker}"), {}, evolves=evolves)
    told, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        start = DeltaTable(path, without_files=True).version()
        deed, error = draw(hand, rates, start), None
        tries = 15 if deed.name == "append" else 0
        said = CommitProperties(custom_metadata={FOREIGN: deed.options[FOREIGN]}, max_commit_retries=tries)
        try:
            DELTALAKE[deed.name](path, deed.args, said)
        except Exception as raised:  # noqa: BLE001 - the judge says which are right
            error = type(raised).__name__, str(raised)[:300]
        told.append(Told(deed, start, DeltaTable(path, without_files=True).version(), None, error))
    return told
