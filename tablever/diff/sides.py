"""What is compared: two sides, the columns that decide, the types in which they are set against each other, the key.

Rows of both sides are read into frames of one layout, so that what follows need not know whose they are: each column
in the type that holds both sides' values exactly. A column whose types have none in common stands there twice, once
for each side and null on the other: then any value on either side makes a row another, and nulls are alike.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TypedDict

import polars as pl
import pyarrow as pa

from tablever.arrow_json import type_name
from tablever.arrow_types import common_type
from tablever.columns import check_key, unknown_column
from tablever.errors import InvalidInputError, InvalidKeyError, SchemaMismatchError
from tablever.findings import SchemaChange
from tablever.frames import polars_types
from tablever.layout import mapping_mode, nullable, table_schema
from tablever.log import Log
from tablever.model import EMPTY, Metadata, Snapshot, Version
from tablever.schema import DeltaField, fields_by_name
from tablever.texts import did_you_mean, listed

Tolerance = float | tuple[float, float] | Mapping[str, float | tuple[float, float]]

AFTER = "__tv_after_"


class ScopeOptions(TypedDict, total=False):
    """Keywords of every comparison, as ``diff_versions`` describes them."""

    key: str | Sequence[str] | None
    columns: Sequence[str] | None
    exclude: Sequence[str] | None
    tolerance: Tolerance | None


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a version of a table, rows that are not committed, or (all None) nothing.

    Attributes:
        rows: in the columns and canonical types of a table; ``log`` and ``snapshot`` are None then.
    """

    log: Log | None = None
    snapshot: Snapshot | None = None
    rows: pa.Table | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether there is no version and there are no rows."""
        return self.snapshot is None and self.rows is None

    @property
    def name(self) -> str:
        """What messages call it."""
        if self.log is None or self.snapshot is None:
            return "nothing" if self.rows is None else "the rows"
        return f"version {self.snapshot.version} of '{self.log.name}'"

    @cached_property
    def version(self) -> Version | None:
        """What the log says of the version; None without one."""
        return self.log.version(self.snapshot.version) if self.log and self.snapshot else None

    @property
    def schema(self) -> pa.Schema | None:
        """Its columns in canonical types; None for nothing, which takes the other side's."""
        if self.snapshot is not None:
            return table_schema(self.snapshot.metadata)
        return None if self.rows is None else self.rows.schema

    @property
    def key(self) -> tuple[str, ...] | None:
        """The key that the version declares, empty without one; None for what is no version."""
        return None if self.snapshot is None else self.snapshot.metadata.key

    @property
    def row_count(self) -> int | None:
        """Its rows; None where the log does not say."""
        if self.snapshot is not None:
            return self.snapshot.rows
        return 0 if self.rows is None else self.rows.num_rows


@dataclass(frozen=True)
class Scope:
    """What a comparison looks at.

    Attributes:
        key: the columns that name a row, empty for a comparison of multisets.
        given: whether the key was named at the call, and not by the table.
        compared: the columns that decide, those of the key included; in the order of the right side's columns, then
            those that only the left has.
        carried: the columns of one side only that are shown and decide nothing.
        types: of compared and carried columns, the type that holds both sides' values; None where there is none.
        tolerance: column to (absolute, relative).
        before, after: the columns that are shown of each side, in its order and its types, all nullable.
    """

    key: tuple[str, ...]
    given: bool
    compared: tuple[str, ...]
    carried: tuple[str, ...]
    types: Mapping[str, pa.DataType | None]
    tolerance: Mapping[str, tuple[float, float]] = field(default_factory=lambda: EMPTY)
    before: pa.Schema = field(default_factory=lambda: pa.schema([]))
    after: pa.Schema = field(default_factory=lambda: pa.schema([]))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Compared and carried columns: those of the right side in its order, then those only the left has."""
        names = dict.fromkeys([*self.after.names, *self.before.names])
        return tuple(names)

    @cached_property
    def shared(self) -> frozenset[str]:
        """The columns that both sides have."""
        return frozenset(self.before.names) & frozenset(self.after.names)

    @cached_property
    def layout(self) -> Mapping[str, pl.DataType]:
        """The columns of the frames in which rows are netted."""
        kinds: dict[str, pa.DataType] = {}
        for name in self.columns:
            kind = self.types[name]
            if kind is None:
                kinds[name] = self.before.field(name).type
                kinds[AFTER + name] = self.after.field(name).type
            else:
                kinds[name] = kind
        return polars_types(pa.schema(list(kinds.items())))

    @cached_property
    def deciding(self) -> tuple[str, ...]:
        """The columns of ``layout`` in which rows that differ are different."""
        return tuple(name for name in self.layout if name.removeprefix(AFTER) in self.compared)


def scope_of(
    left: Side,
    right: Side,
    *,
    key: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    tolerance: Tolerance | None = None,
) -> Scope:
    """What to compare of two sides.

    Raises:
        InvalidKeyError: a key that the sides cannot both have, or that is excluded.
        SchemaMismatchError: a column that neither side has.
        InvalidInputError: columns or tolerances that make no sense.
    """
    before, after = _schemas(left, right)
    names = _key(left, right, before, after, key)
    of_before = set(before.names)
    shared = [name for name in after.names if name in of_before]
    either = list(dict.fromkeys([*after.names, *before.names]))
    asked = _asked(either, columns, exclude, names)
    both = set(shared)
    if asked is None:
        compared, carried = tuple(shared), tuple(name for name in either if name not in both)
    else:
        default = shared if columns is None else either
        compared, carried = tuple(name for name in default if name in asked or name in names), ()
    shown = {*compared, *carried}
    if not compared or not shown & {*before.names} or not shown & {*after.names}:
        raise SchemaMismatchError(
            f"{left.name} and {right.name} have no column to compare: the one has {listed(before.names)}, "
            f"the other {listed(after.names)}",
            hint="name columns of both: one that a side lacks counts as null there",
        )
    types = {name: _type(before, after, name) for name in either if name in shown}
    return Scope(
        key=names,
        given=key is not None and bool(names),
        compared=compared,
        carried=carried,
        types=types,
        tolerance=_tolerances(tolerance, names, compared, types),
        before=nullable(pa.schema([item for item in before if item.name in shown])),
        after=nullable(pa.schema([item for item in after if item.name in shown])),
    )


def _schemas(left: Side, right: Side) -> tuple[pa.Schema, pa.Schema]:
    before, after = left.schema, right.schema
    if before is None and after is None:
        raise InvalidInputError("there is nothing on either side to compare")
    return (after if before is None else before), (before if after is None else after)


def _key(
    left: Side, right: Side, before: pa.Schema, after: pa.Schema, key: str | Sequence[str] | None
) -> tuple[str, ...]:
    if key is None:
        own = [side.key for side in (left, right) if side.key is not None]
        same = own and all(names == own[0] for names in own)
        there = same and all(name in before.names and name in after.names for name in own[0])
        comparable = there and all(_type(before, after, name) is not None for name in own[0])
        return own[0] if comparable else ()
    if isinstance(key, list | tuple) and not key:
        return ()
    for schema in (before, after):
        names = check_key(schema, key)
    for name in names:
        if _type(before, after, name) is None:
            kinds = [type_name(schema.field(name).type) for schema in (before, after)]
            raise InvalidKeyError(
                f"column '{name}' cannot be the key: it is {kinds[0]} in {left.name} and {kinds[1]} in {right.name}",
                hint="name a key whose values can be compared, or key=[] to compare without one",
                column=name,
            )
    return names


def _asked(
    either: Sequence[str], columns: Sequence[str] | None, exclude: Sequence[str] | None, key: Sequence[str]
) -> set[str] | None:
    """The columns that the call asks for, None where it does not say."""
    if columns is None and exclude is None:
        return None
    if columns is not None and exclude is not None:
        raise InvalidInputError(
            "columns and exclude were both given", hint="columns= names what is compared, exclude= all but that"
        )
    named = columns if columns is not None else exclude
    what = "columns" if columns is not None else "exclude"
    if isinstance(named, str):
        raise InvalidInputError(f"{what} must be a list of names, not the text {named!r}", hint=f"{what}=[{named!r}]")
    if not isinstance(named, Iterable):
        raise InvalidInputError(f"{what} must be a list of names, not {named!r}")
    names = list(named)
    for name in names:
        if name not in either:
            raise unknown_column(name, either, f"{what} names '{name}', which neither side has")
        if exclude is not None and name in key:
            raise InvalidKeyError(
                f"column '{name}' is of the key, by which rows are told apart: it cannot be excluded",
                hint="key=[] compares without a key",
                column=name,
            )
    return {name for name in either if (name in names) == (columns is not None)}


def _type(before: pa.Schema, after: pa.Schema, name: str) -> pa.DataType | None:
    kinds = [schema.field(i).type for schema in (before, after) if (i := schema.get_field_index(name)) >= 0]
    return kinds[0] if len(kinds) == 1 else common_type(*kinds)


def _tolerances(
    tolerance: Tolerance | None, key: Sequence[str], compared: Sequence[str], types: Mapping[str, pa.DataType | None]
) -> Mapping[str, tuple[float, float]]:
    if tolerance is None:
        return EMPTY
    if not key:
        raise InvalidInputError(
            "a tolerance needs a key: without one, rows that are nearly equal cannot be matched", hint="give key="
        )
    able = [name for name in compared if name not in key and _has_tolerance(types[name])]
    if not isinstance(tolerance, Mapping):
        return dict.fromkeys(able, _bounds(tolerance))
    for name in tolerance:
        if name not in able:
            raise InvalidInputError(
                f"column '{name}' cannot have a tolerance: float and decimal columns that are compared can: "
                + (listed(able) if able else "there are none"),
                hint=did_you_mean(str(name), able),
                column=name,
            )
    return {name: _bounds(value) for name, value in tolerance.items()}


def _has_tolerance(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _bounds(value: object) -> tuple[float, float]:
    pair = value if isinstance(value, tuple | list) else (value, 0.0)
    numbers = [float(n) for n in pair if isinstance(n, int | float | Decimal) and n is not True and n is not False]
    if len(pair) != 2 or len(numbers) != 2 or not all(math.isfinite(n) and n >= 0 for n in numbers):
        raise InvalidInputError(
            f"a tolerance is a number from 0, or a pair (absolute, relative) of them, not {value!r}",
            hint="tolerance={'score': 1e-6} or {'score': (1e-6, 1e-3)}",
        )
    return numbers[0], numbers[1]


def schema_changes(left: Side, right: Side) -> tuple[SchemaChange, ...]:
    """How the columns and settings of two sides differ; none where a side is nothing.

    In this order: columns added and removed, retyped, reordered (one change, of the columns that both have), nullable
    or not; of two versions also properties, how they are partitioned, and the key.
    """
    before, after = left.schema, right.schema
    if before is None or after is None:
        return ()
    was, now = list(before.names), list(after.names)
    both = [name for name in now if name in was]
    changes = [SchemaChange("added", n, None, type_name(after.field(n).type)) for n in now if n not in was]
    changes += [SchemaChange("removed", n, type_name(before.field(n).type), None) for n in was if n not in now]
    changes += [
        SchemaChange("retyped", n, type_name(before.field(n).type), type_name(after.field(n).type))
        for n in both
        if before.field(n).type != after.field(n).type
    ]
    order = [name for name in was if name in now]
    if order != both:
        changes.append(SchemaChange("reordered", "columns", ", ".join(order), ", ".join(both)))
    if left.snapshot is not None and right.snapshot is not None:
        changes += [
            SchemaChange("nullability", n, _truth(before.field(n).nullable), _truth(after.field(n).nullable))
            for n in both
            if before.field(n).nullable != after.field(n).nullable
        ]
        changes += _settings(left.snapshot.metadata, right.snapshot.metadata)
    return tuple(changes)


def _settings(before: Metadata, after: Metadata) -> list[SchemaChange]:
    old, new = before.configuration, after.configuration
    names = sorted({*old, *new} - {"tablever.key"})
    changes = [SchemaChange("property", n, old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n)]
    for kind, name, was, now in (
        ("property", "partitioning", before.partition_columns, after.partition_columns),
        ("key", "key", before.key, after.key),
    ):
        if was != now:
            changes.append(SchemaChange(kind, name, ", ".join(was) or None, ", ".join(now) or None))  # type: ignore[arg-type]
    return changes


def _truth(value: bool) -> str:
    return "true" if value else "false"


def physical(side: Side, column: str) -> str:
    """What tells a column from others that had its name before; equal for the same column of two versions.

    It is the name in the files, or under column mapping by id the id, and the same of every field within the column;
    a partition column is not in the files.
    """
    return "" if side.snapshot is None else physical_in(side.snapshot.metadata, column)


def physical_in(metadata: Metadata, column: str) -> str:
    """As ``physical``, by a version's settings; empty for a column that it does not have."""
    found = fields_by_name(metadata.schema_string).get(column)
    if found is None:
        return ""
    name = _field_identity(found, mapping_mode(metadata))
    return f"partition {name}" if column in metadata.partition_columns else name


def _field_identity(item: DeltaField, mode: str) -> str:
    if mode == "id" and item.field_id is not None:
        own = f"id {item.field_id}"
    else:
        own = item.name if mode == "none" else item.physical_name
    within = [_field_identity(child, mode) for child in item.children]
    return json.dumps([own, *within], ensure_ascii=False) if within else own


def read_as(scope: Scope, rows: pl.DataFrame, came: bool) -> pl.DataFrame:
    """Rows in whichever columns, as ``scope.layout`` has them; null where they have none.

    ``came`` says which side they are of, where a column has no type that holds both sides' values.
    """
    columns, there = [], {series.name: series for series in rows.get_columns()}
    for column, kind in scope.layout.items():
        name = column.removeprefix(AFTER)
        torn = scope.types[name] is None
        if name not in there or (torn and came != column.startswith(AFTER)):
            columns.append(pl.Series(column, dtype=kind).clear(rows.height))  # null literals of maps lose their type
        elif there[name].dtype == kind:
            columns.append(there[name].alias(column))
        else:
            columns.append(there[name].cast(kind).alias(column))
    return pl.DataFrame(columns)
