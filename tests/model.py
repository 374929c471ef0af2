"""The specification: what a table must hold after every operation, in plain Python and nothing else.

A ``Model`` is a list of versions, each a frozen ``State`` (columns, key, rows). Every operation is a naive function of
the head's state: no files, no statistics, no vectors. It shares no code with the store that it is the judge of;
pyarrow appears only as the names of types, the errors only as the names of what must be raised.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tablever import errors

Row = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]
Test = Callable[[Mapping[str, Any]], bool | None]


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, its Arrow type (as a word for the Delta type), whether it may hold nulls."""

    name: str
    type: pa.DataType
    nullable: bool = True

    @property
    def delta(self) -> str:
        """The Delta type, as text."""
        return delta_type(self.type)


def delta_type(kind: pa.DataType) -> str:
    """The Delta type that an Arrow type stands for, whichever of Arrow's layouts carries it."""
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_map(kind):
        return f"map<{delta_type(kind.key_type)},{delta_type(kind.item_type)}>"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{delta_type(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return "struct<" + ",".join(f"{child.name}:{delta_type(child.type)}" for child in kind) + ">"
    if pa.types.is_timestamp(kind):
        return "timestamp_ntz" if kind.tz is None else "timestamp"
    text = str(kind)
    return {
        "large_string": "string",
        "string_view": "string",
        "large_binary": "binary",
        "binary_view": "binary",
    }.get(text, text)


def canonical(value: Any, kind: pa.DataType) -> Hashable:
    """What stands for a value: two are the same exactly when the values are equal (reference, "Equality")."""
    if value is None:
        return None
    if pa.types.is_floating(kind):
        return "NaN" if math.isnan(value) else float(value) + 0.0
    if pa.types.is_map(kind):
        pairs = [(pair["key"], pair["value"]) if isinstance(pair, Mapping) else tuple(pair) for pair in value]
        return tuple((canonical(k, kind.key_type), canonical(v, kind.item_type)) for k, v in pairs)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return tuple(canonical(element, kind.value_type) for element in value)
    if pa.types.is_struct(kind):
        return tuple(canonical(value[child.name], child.type) for child in kind)
    if pa.types.is_timestamp(kind):
        return microseconds(value)
    if pa.types.is_binary(kind):
        return bytes(value)
    return value if isinstance(value, Hashable) else repr(value)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, in UTC; a moment without a zone is taken as it stands."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    gap = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds


def identity(row: Mapping[str, Any], columns: Iterable[Column]) -> Hashable:
    """What makes two rows equal: each column's name, Delta type and value. A column that is absent counts as null."""
    return tuple(
        sorted(
            ((c.name, c.delta, canonical(row.get(c.name), c.type)) for c in columns if row.get(c.name) is not None),
            key=lambda cell: cell[0],
        )
    )


def multiset(rows: Rows, columns: Sequence[Column]) -> Counter[Hashable]:
    """How often each row occurs."""
    return Counter(identity(row, columns) for row in rows)


@dataclass(frozen=True)
class Check:
    """A CHECK constraint: a condition on one column in Spark's SQL, and what it says of a row."""

    name: str
    sql: str
    column: str
    test: Test


@dataclass(frozen=True)
class State:
    """What one version holds. ``rows`` are in some order that means nothing."""

    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    checks: tuple[Check, ...] = ()

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def multiset(self) -> Counter[Hashable]:
        return multiset(self.rows, self.columns)

    def key_of(self, row: Mapping[str, Any]) -> tuple[Hashable, ...]:
        return tuple(canonical(row.get(name), self.column(name).type) for name in self.key)

    def by_key(self) -> dict[tuple[Hashable, ...], Row]:
        return {self.key_of(row): row for row in self.rows}

    def identity(self, row: Mapping[str, Any]) -> Hashable:
        return identity(row, self.columns)

    def same_as(self, other: State) -> bool:
        """Whether the two hold the same rows, columns, key and constraints."""
        return (
            self.multiset() == other.multiset()
            and [(c.name, c.delta, c.nullable) for c in self.columns]
            == [(c.name, c.delta, c.nullable) for c in other.columns]
            and self.key == other.key
            and {(c.name, c.sql) for c in self.checks} == {(c.name, c.sql) for c in other.checks}
        )


@dataclass(frozen=True)
class Counts:
    """A version's counts. ``updated`` is None, and only ``added - removed`` binds, where the specification is open."""

    added: int
    removed: int
    updated: int | None = 0


@dataclass(frozen=True)
class Commit:
    """One version: its state, and what its record must say."""

    state: State
    operation: str
    counts: Counts


class Refused(Exception):  # noqa: N818 - what the store must do, not an error of this module
    """The store must raise this error, or one of those that may be told in its place, and leave the table as it was."""

    def __init__(self, kind: type[errors.TableverError], *others: type[errors.TableverError]) -> None:
        super().__init__(kind.__name__)
        self.kind = kind
        self.kinds = (kind, *others)


class Undetermined(Exception):  # noqa: N818
    """The specification does not say what must happen; the question is not asked."""


@dataclass
class Model:
    """A table: versions from 0, and the loads that must not be repeated."""

    versions: list[Commit]
    batches: dict[str, tuple[Hashable, int]] = field(default_factory=dict)

    @classmethod
    def create(cls, columns: Sequence[Column], key: Sequence[str], rows: Rows) -> Model:
        state = checked(State(tuple(columns), tuple(key), tuple(dict(row) for row in rows)))
        return cls([Commit(state, "create", Counts(len(rows), 0))])

    @property
    def head(self) -> State:
        return self.versions[-1].state

    def commit(self, operation: str, after: State, counts: Counts | None = None) -> int | None:
        """Make ``after`` the next version, unless it changes nothing. Returns its number, or None."""
        counts = counts or net(self.head, after)
        schema_stays = replace(after, rows=()).same_as(replace(self.head, rows=()))
        if schema_stays and self.head.multiset() == after.multiset() and not counts.updated:
            return None
        self.versions.append(Commit(after, operation, counts))
        return len(self.versions) - 1

    def append(self, rows: Rows, extra: Sequence[Column] = ()) -> int | None:
        before = self.head
        columns = before.columns + tuple(extra)
        after = checked(replace(before, columns=columns, rows=before.rows + tuple(dict(row) for row in rows)))
        return self.commit("append", after, Counts(len(rows), 0))

    def upsert(self, rows: Rows, extra: Sequence[Column] = ()) -> int | None:
        before = replace(self.head, columns=self.head.columns + tuple(extra))
        if not before.key:
            raise Refused(errors.InvalidKeyError)
        new = checked(replace(before, rows=tuple(dict(row) for row in rows))).by_key()
        old = before.by_key()
        changed = {k for k in new.keys() & old.keys() if before.identity(new[k]) != before.identity(old[k])}
        fresh = new.keys() - old.keys()
        kept = [row for k, row in old.items() if k not in changed]
        after = checked(replace(before, rows=(*kept, *(new[k] for k in new if k in changed or k in fresh))))
        return self.commit("upsert", after, Counts(len(changed) + len(fresh), len(changed), len(changed)))

    def update(self, assignments: Mapping[str, Callable[[Mapping[str, Any]], Any]], where: Test) -> int | None:
        before = self.head
        rows, changed = [], 0
        for row in before.rows:
            new = {**row, **{name: value(row) for name, value in assignments.items()}} if where(row) is True else row
            changed += before.identity(new) != before.identity(row)
            rows.append(new)
        after = checked(replace(before, rows=tuple(rows)))
        if set(assignments) & set(before.key):
            return self.commit("update", after, replace(net(before, after), updated=None))
        return self.commit("update", after, Counts(changed, changed, changed))

    def delete(self, where: Test) -> int | None:
        kept = tuple(row for row in self.head.rows if where(row) is not True)
        return self.commit("delete", replace(self.head, rows=kept), Counts(0, len(self.head.rows) - len(kept)))

    def delete_keys(self, keys: Rows) -> int | None:
        if not self.head.key:
            raise Refused(errors.InvalidKeyError)
        gone = {self.head.key_of(row) for row in keys}
        return self.delete(lambda row: self.head.key_of(row) in gone)

    def overwrite(self, rows: Rows, columns: Sequence[Column] | None = None) -> int | None:
        before = self.head
        after = replace(before, columns=tuple(columns or before.columns), rows=tuple(dict(row) for row in rows))
        return self.commit("overwrite", checked(after))

    def restore(self, number: int) -> int | None:
        return self.commit("restore", self.versions[number].state)

    def revert(self, number: int) -> int | None:
        """Undo version ``number`` on top of the head; asked only where its schema and key are the head's."""
        after = self.versions[number].state
        before = self.versions[number - 1].state if number else replace(after, rows=())
        for state in (before, after):
            if not replace(state, rows=()).same_as(replace(self.head, rows=())):
                raise Undetermined
        if before.multiset() == after.multiset():
            raise Undetermined
        undone = undo_keyed(before, after, self.head) if after.key else undo_keyless(before, after, self.head)
        return self.commit("revert", undone)

    def set_key(self, key: Sequence[str]) -> int | None:
        columns = tuple(replace(c, nullable=c.nullable and c.name not in key) for c in self.head.columns)
        after = checked(replace(self.head, key=tuple(key), columns=columns))
        return self.commit("set-key", after, Counts(0, 0))

    def set_not_null(self, names: Sequence[str]) -> int | None:
        columns = tuple(replace(c, nullable=c.nullable and c.name not in names) for c in self.head.columns)
        return self.commit("set-not-null", checked(replace(self.head, columns=columns)), Counts(0, 0))

    def add_constraint(self, check: Check) -> int | None:
        for known in self.head.checks:
            if known.name.lower() == check.name.lower():
                if known.sql != check.sql:
                    raise Refused(errors.AlreadyExistsError)
                return None
        after = checked(replace(self.head, checks=(*self.head.checks, check)))
        return self.commit("add-constraint", after, Counts(0, 0))


def undo_keyed(before: State, after: State, head: State) -> State:
    """The head without what ``after`` changed; refused where the head's rows of those keys are others by now."""
    old, new, now = before.by_key(), after.by_key(), head.by_key()
    result = dict(now)
    for k in old.keys() | new.keys():
        if k in old and k in new and head.identity(old[k]) == head.identity(new[k]):
            continue
        if (k in now) != (k in new) or (k in now and head.identity(now[k]) != head.identity(new[k])):
            raise Refused(errors.ConflictError)
        result.pop(k, None)
        if k in old:
            result[k] = old[k]
    return checked(replace(head, rows=tuple(result.values())))


def undo_keyless(before: State, after: State, head: State) -> State:
    """The same for a table without a key: the rows added must still be there, as often."""
    gone, came = before.multiset() - after.multiset(), after.multiset() - before.multiset()
    if came - head.multiset():
        raise Refused(errors.ConflictError)
    samples = {head.identity(row): row for row in (*before.rows, *after.rows, *head.rows)}
    left = head.multiset() - came + gone
    return replace(head, rows=tuple(samples[row] for row in left.elements()))


def checked(state: State) -> State:
    """The state itself, if its key, its NOT NULL columns and its constraints hold."""
    broken = [*broken_columns(state), *broken_checks(state)]
    if broken:
        raise Refused(*broken)
    return state


def broken_columns(state: State) -> list[type[errors.TableverError]]:
    """What the key or a NOT NULL column is broken by: the first thing that there is."""
    for column in state.columns:
        if not (column.nullable and column.name not in state.key) and any(
            row.get(column.name) is None for row in state.rows
        ):
            return [errors.InvalidKeyError if column.name in state.key else errors.ConstraintError]
    return [errors.DuplicateKeyError] if state.key and len(state.by_key()) < len(state.rows) else []


def broken_checks(state: State) -> list[type[errors.TableverError]]:
    """What constraints are broken by: rows for which one is false or unknown, or that its column is not there."""
    if not {check.column for check in state.checks} <= {column.name for column in state.columns}:
        return [errors.UnsupportedFeatureError]
    broken = any(check.test(row) is not True for check in state.checks for row in state.rows)
    return [errors.ConstraintError] if broken else []


def net(before: State, after: State) -> Counts:
    """What differs between two states: by key where both have the same, else as multisets of rows."""
    kept = {c.name: c.delta for c in before.columns}
    if any(kept.get(c.name, c.delta) != c.delta for c in after.columns) or kept.keys() - {
        c.name for c in after.columns
    }:
        return Counts(len(after.rows), len(before.rows), None)
    if before.key != after.key:
        return Counts(len(after.rows), len(before.rows), None)
    added, removed = after.multiset() - before.multiset(), before.multiset() - after.multiset()
    if not before.key:
        return Counts(added.total(), removed.total(), 0)
    old, new = before.by_key(), after.by_key()
    updated = sum(before.identity(old[k]) != after.identity(new[k]) for k in old.keys() & new.keys())
    return Counts(added.total(), removed.total(), updated)
