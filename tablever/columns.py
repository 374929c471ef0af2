"""Columns of a table: their names, which schema may follow which, the key, the partitioning, NOT NULL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from tablever.arrow_types import canonical_type, check_distinct
from tablever.errors import InvalidKeyError, SchemaMismatchError
from tablever.texts import did_you_mean, listed

_RESERVED = {"_change_type", "_added_version", "_removed_version"}
BESIDE = "__tv_"  # what the columns are called that tablever lays beside a user's
_RESERVED_PREFIXES = ("_commit_", BESIDE)
OTHER_COLUMNS = "or drop and rename columns with overwrite(…, replace_schema=True)"
"""What a hint says to rows that could be all of a table, but have not its columns."""


def canonical_schema(rows_or_schema: pa.Table | pa.Schema) -> pa.Schema:
    """The schema of a new table that is to hold these rows: names checked, types canonical, NOT NULL kept.

    Raises:
        SchemaMismatchError: no columns, a name or a type that a table cannot have.
    """
    schema = rows_or_schema.schema if isinstance(rows_or_schema, pa.Table) else rows_or_schema
    check_names(schema)
    return pa.schema([pa.field(f.name, canonical_type(f.type, f.name), f.nullable) for f in schema])


def check_names(schema: pa.Schema) -> None:
    """Refuse columns that not every reader of the table could tell apart or name.

    Raises:
        SchemaMismatchError: no columns at all, or a name that is empty, reserved, twice there, equal to another but
            for case, holding a NUL character, or read as a pattern by Polars (``*``, ``^…$``).
    """
    if not len(schema):
        raise SchemaMismatchError("the rows have no columns", hint="a table has at least one column")
    check_distinct(schema.names, "the rows")
    for name in schema.names:
        if is_reserved(name):
            raise SchemaMismatchError(
                f"column name '{name}' is reserved", hint="rename the column", column=name, columns=(name,)
            )


def is_reserved(name: str) -> bool:
    """Whether a column name is kept for what tablever and Delta add to rows."""
    lower = name.lower()
    return lower in _RESERVED or lower.startswith(_RESERVED_PREFIXES)


def refuse_taken(columns: Iterable[str], beside: Iterable[str], what: str) -> None:
    """Refuse a table, which another tool made, with a column of a name that is to stand beside its columns.

    Args:
        beside: the names, SQL does not tell their case apart; ``what``, which they are for, begins the message.

    Raises:
        SchemaMismatchError: ``column`` is the table's.
    """
    taken = {name.lower() for name in beside}
    for name in columns:
        if name.lower() in taken:
            raise SchemaMismatchError(
                f"{what} has a column '{name}' of its own, which the table has too",
                hint="rename the table's column: the name is reserved",
                column=name,
            )


def evolve(current: pa.Schema, rows_schema: pa.Schema) -> pa.Schema:
    """The table's schema with the columns that only the rows have, in their order, at the end, nullable.

    Columns that the rows lack stay; whether their values fit is for ``normalise`` to say.

    Raises:
        SchemaMismatchError: a new column's name or type is one that a table cannot have.
    """
    known = set(current.names)
    added = [f for f in rows_schema if f.name not in known]
    if not added:
        return current
    new = pa.schema([pa.field(f.name, canonical_type(f.type, f.name)) for f in added])
    check_names(new)
    by_lower = {name.lower(): name for name in reversed(current.names)}
    for name in new.names:
        twin = by_lower.get(name.lower())
        if twin is not None:
            raise SchemaMismatchError(
                f"column '{name}' of the rows and '{twin}' of the table are equal but for case",
                hint=f"rename the rows' column to '{twin}'",
                columns=(twin, name),
            )
    return pa.schema([*current, *new])


def unknown_column(name: object, names: Sequence[str], said: str) -> SchemaMismatchError:
    """The error for a column that is not there: what is said of it, the columns that are there, the nearest of them."""
    return SchemaMismatchError(
        f"{said}: the columns are {listed(names)}", hint=did_you_mean(str(name), names), column=name
    )


def check_key(schema: pa.Schema, key: str | Sequence[str] | None) -> tuple[str, ...]:
    """The key's columns in order, empty for None.

    Raises:
        InvalidKeyError: a column that is not there, is named twice or has a type that cannot be a key; no columns.
    """
    if key is None:
        return ()
    names = _named(schema, key, "key")
    for name in names:
        kind = schema.field(name).type
        if pa.types.is_floating(kind) or pa.types.is_nested(kind):
            raise InvalidKeyError(
                f"column '{name}' of type {kind} cannot be a key",
                hint="a key is made of integers, strings, binary, booleans, dates, timestamps or decimals",
                column=name,
                found=kind,
            )
    return names


def check_partition(schema: pa.Schema, partition_by: str | Sequence[str] | None) -> tuple[str, ...]:
    """The partition columns in order, empty for None.

    Raises:
        InvalidKeyError: a column that is not there, is named twice or is nested or binary; every column or none.
    """
    if partition_by is None:
        return ()
    names = _named(schema, partition_by, "partition")
    for name in names:
        kind = schema.field(name).type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_floating(kind):
            raise InvalidKeyError(
                f"column '{name}' of type {kind} cannot partition a table",
                hint="partition by strings, integers, booleans, dates, timestamps or decimals",
                column=name,
                found=kind,
            )
    if len(names) == len(schema):
        raise InvalidKeyError(
            "every column is a partition column, so that no data is left for the files",
            hint="partition by fewer columns",
            columns=names,
        )
    return names


def _named(schema: pa.Schema, wanted: str | Sequence[str], what: str) -> tuple[str, ...]:
    if not isinstance(wanted, Iterable):
        raise InvalidKeyError(f"the {what} is a column's name or a list of names, not {wanted!r}")
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    if not names:
        raise InvalidKeyError(f"the {what} names no column", hint=f"name at least one column, or give no {what}")
    for name in names:
        if name not in schema.names:
            raise InvalidKeyError(
                f"{what} column {name!r} is not there: the columns are {listed(schema.names)}",
                hint=did_you_mean(str(name), schema.names),
                column=name,
            )
        if names.count(name) > 1:
            raise InvalidKeyError(f"the {what} names column '{name}' twice", hint="name it once", column=name)
    return names


def with_not_null(schema: pa.Schema, columns: Iterable[str]) -> pa.Schema:
    """The schema with these columns NOT NULL.

    Raises:
        SchemaMismatchError: a column that is not there.
    """
    for name in columns:
        if name not in schema.names:
            raise unknown_column(name, schema.names, f"no column '{name}'")
        index = schema.get_field_index(name)
        schema = schema.set(index, schema.field(index).with_nullable(False))
    return schema
