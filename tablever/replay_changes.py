"""Changes onto a head that need not be the version they were made from: what revert and apply share.

All or nothing, as ``git apply`` is: a row to remove or replace must be in the head as the changes have it, in every
column; a key to insert must be free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa

from tablever import constraints, merge
from tablever.arrow_types import holds_floats
from tablever.changes import net
from tablever.datafiles import Staging
from tablever.errors import ConflictError
from tablever.fitting import check_not_null
from tablever.frames import ROW, find_keys, numbered, polars_types, to_arrow
from tablever.layout import table_schema
from tablever.log import Log
from tablever.model import Metadata, Snapshot
from tablever.plan import Proposal, row_changes
from tablever.protocol import protocol_for
from tablever.scan import Scan, open_scan


def plan_changes(
    log: Log,
    head: Snapshot,
    staging: Staging,
    went: pl.DataFrame,
    came: pl.DataFrame,
    *,
    operation: str,
    what: str,
    hint: str,
    parameters: Mapping[str, str] | None = None,
    metadata: Metadata | None = None,
) -> Proposal | None:
    """Take rows out of the head, and put others in; None where that changes nothing.

    Args:
        went, came: the rows to remove and to add; columns that they lack are null.
        what: the deed, for messages: "revert version 3 of 'orders'". ``hint`` says what else could be done.
        metadata: the settings from now on, where the changes add columns.

    Raises:
        ConflictError: rows to remove are not there or have other values, or keys to insert are taken; ``missing``,
            ``different`` and ``existing`` hold up to five keys of each, or without a key rows, and ``keys`` the first
            five of all. Also where a column of the changes has another type in the table, or is gone.
        DuplicateKeyError, InvalidKeyError, ConstraintError: the rows to add break the table's rules.
    """
    columns = table_schema(metadata or head.metadata)
    leaving, coming = (_aligned(frame, columns, what, hint) for frame in (went, came))
    find = _met_by_key if head.metadata.key else _met_by_value
    scan, present = find(log, head, leaving, coming)
    present = _widened(present, columns)
    missing, different, existing, staying = _compared(present, leaving, coming, head.metadata.key)
    if missing.height or different.height or existing.height:
        raise _not_so(what, hint, {"missing": missing, "different": different, "existing": existing})
    present = present.filter(~staying)
    merge.check_keys(log, coming, head.metadata.key)
    change = net(present, coming, columns.names, head.metadata.key)
    if not change and metadata is None:
        return None
    rows = to_arrow(coming, columns)
    check_not_null(rows, columns)
    constraints.check_rows(rows, metadata or head.metadata)
    proposal = row_changes(
        staging, operation, scan, present, rows, change, metadata=metadata, parameters=parameters, origin=id(came)
    )
    return replace(proposal, protocol=protocol_for(head, metadata))


def _aligned(frame: pl.DataFrame, columns: pa.Schema, what: str, hint: str) -> pl.DataFrame:
    """The rows in the table's columns; those that a row did not have are null."""
    types = polars_types(columns)
    for name, kind in frame.schema.items():
        if types.get(name) != kind:
            now = f"{types[name]} now" if name in types else "gone"
            raise ConflictError(f"cannot {what}: its column '{name}' ({kind}) is {now}", hint=hint, column=name)
    return _widened(frame, columns).select(columns.names)


def _widened(frame: pl.DataFrame, columns: pa.Schema) -> pl.DataFrame:
    types = polars_types(columns)
    return frame.with_columns(
        pl.lit(None, dtype=kind).alias(name) for name, kind in types.items() if name not in frame.columns
    )


def _met_by_key(log: Log, head: Snapshot, went: pl.DataFrame, came: pl.DataFrame) -> tuple[Scan, pl.DataFrame]:
    """The head's rows with the keys of the changes."""
    key = head.metadata.key
    keys = pl.concat([went.select(key), came.select(key)]).drop_nulls().unique()
    scan = merge.candidates(log, head, keys) if keys.height else open_scan(log, head, ())
    return scan, find_keys(scan, keys, scan.schema.names)


def _met_by_value(log: Log, head: Snapshot, went: pl.DataFrame, _came: pl.DataFrame) -> tuple[Scan, pl.DataFrame]:
    """The head's rows among which those to remove must be."""
    if not went.height:
        scan = open_scan(log, head, ())
        return scan, numbered(scan, scan.schema.names)
    flat = [f.name for f in table_schema(head.metadata) if not holds_floats(f.type) and not pa.types.is_nested(f.type)]
    firm = [name for name in flat if not went[name].has_nulls()]
    if not firm:
        scan = open_scan(log, head)
        return scan, numbered(scan, scan.schema.names)
    keys = went.select(firm).unique()  # what can be looked up as a key is, so that a few rows do not cost the table
    scan = merge.candidates(log, head, keys)
    return scan, find_keys(scan, keys, scan.schema.names).select(*scan.schema.names, ROW)


def _compared(
    present: pl.DataFrame, went: pl.DataFrame, came: pl.DataFrame, key: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.Series]:
    """Keys (or rows) that are missing, different, there already; and which present rows are not to go.

    Rows are matched as a multiset, of equal ones the earliest: another tool may have given a key twice.
    """
    left = net(present, went, went.columns)
    staying = pl.Series(np.isin(np.arange(present.height), left.deleted))
    absent = went[left.inserted]
    if not key:
        return absent, absent.clear(), absent.clear(), staying
    absent, taken = (frame.select(key).unique(maintain_order=True) for frame in (absent, present.filter(staying)))
    missing, different = _parted(absent, taken)
    _, existing = _parted(_parted(taken, different)[0], came.select(key))
    return missing, different, existing, staying


def _parted(keys: pl.DataFrame, others: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keys that are not among the others, and those that are; in their order."""
    without = keys.join(others, on=keys.columns, how="anti", nulls_equal=True, maintain_order="left")
    return without, keys.join(others, on=keys.columns, how="semi", nulls_equal=True, maintain_order="left")


_WORDS = {"missing": "not there", "different": "not as it has them", "existing": "there already"}


def _not_so(what: str, hint: str, found: Mapping[str, pl.DataFrame]) -> ConflictError:
    shown = {kind: merge.show_keys(rows) for kind, rows in found.items()}
    said = [
        f"{rows.height} of its rows are {_WORDS[kind]}: "
        + ", ".join(map(repr, shown[kind]))
        + (", …" if rows.height > len(shown[kind]) else "")
        for kind, rows in found.items()
        if rows.height
    ]
    keys = [key for each in shown.values() for key in each][: merge.SHOWN_KEYS]
    return ConflictError(f"cannot {what}: " + "; ".join(said), hint=hint, keys=keys, **shown)
