"""The store against the model: any sequence of operations, every version read in every way after each of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import tablever as tv
from tablever import errors
from tablever.model import Version
from tablever.spans import numbers_of
from tests import content_hash, reading
from tests.model import Check, Column, Commit, Counts, Model, Refused, Row, State, Undetermined, identity, multiset
from tests.strategies import (
    KEY_TYPES,
    NESTED,
    PRIMITIVES,
    Shape,
    arrow_table,
    assignments,
    checks,
    more_columns,
    predicates,
    retyped,
    shapes,
)

EFFORT = {"quick": (3, 6), "default": (12, 10), "thorough": (300, 25)}
EXAMPLES, STEPS = EFFORT[os.environ.get("HYPOTHESIS_PROFILE", "default")]
CHECKS = ("First", "second")
CHANGES = {"insert": 1, "update_postimage": 1, "delete": -1, "update_preimage": -1}


class Store(RuleBasedStateMachine):
    """One table and its model; subclasses choose the kind of table."""

    keyed: bool | None = None
    partitioned: bool | None = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tablever-model-"))
        self.path: Path | str = self.folder / "t"
        self.order: dict[int, list[Any]] = {}
        self.returned: dict[int, Version] = {}
        self.loads: dict[str, tuple[str, list[Row], tuple[Column, ...], int]] = {}
        self.lost: set[int] = set()
        self.tags: dict[str, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "session"):
            self.session.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # What is known

    @property
    def head(self) -> State:
        return self.model.head

    @property
    def shape(self) -> Shape:
        return replace(retyped(self.base, self.head.columns), key=self.head.key)

    def run(self, expected: Callable[[], int | None], actual: Callable[[], Version | None]) -> None:
        """Do the same in the model and in the store, which must agree on the outcome."""
        before = reading.contents(self.path)
        try:
            number = expected()
        except Undetermined:
            return
        except Refused as refused:
            with pytest.raises(refused.kinds):
                actual()
            assert reading.contents(self.path) == before, "a refused write left something behind"
            return
        version = actual()
        if number is None:
            assert version is None, f"nothing changes, yet there is {version}"
            assert reading.contents(self.path) == before, "a write that changes nothing left something behind"
        else:
            assert version is not None, "a write that changes something returned None"
            assert version.number == number
            self.returned[number] = version

    def options(self, data: st.DataObject) -> dict[str, Any]:
        """Message, author, metadata, and the head that is expected."""
        chosen: dict[str, Any] = {}
        if data.draw(st.booleans(), label="described"):
            chosen["message"] = data.draw(st.sampled_from(["first", "ünï 😀", "two\nlines"]))
            chosen["author"] = "Ada <ada@example.org>"
            chosen["metadata"] = {"source": {"url": "x", "rows": [1, None, 2.5]}}
        if data.draw(st.integers(0, 4), label="if_version") == 0:
            chosen["if_version"] = data.draw(st.sampled_from([len(self.model.versions) - 1, "latest", -1]))
        return chosen

    def given(self, data: st.DataObject, rows: Sequence[Row], columns: Sequence[Column], *, new: bool = False) -> Any:
        """The rows in one of the forms that people have them in."""
        table = arrow_table(rows, [replace(column, nullable=True) for column in columns])
        forms = ["arrow", "shuffled", "reader"]
        if not any(pa.types.is_map(column.type) or pa.types.is_nested(column.type) for column in columns):
            forms.append("polars")
        if not new:
            forms.append("dicts")
        form = data.draw(st.sampled_from(forms), label="form")
        if form == "shuffled":
            return table.select(data.draw(st.permutations(table.column_names)))
        if form == "reader":
            return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=2))
        if form == "polars":
            return pl.from_arrow(table)
        return table.to_pylist() if form == "dicts" else table

    # Operations

    @initialize(data=st.data())
    def create(self, data: st.DataObject) -> None:
        self.base = data.draw(shapes(keyed=self.keyed, partitioned=self.partitioned), label="shape")
        likely = self.base.unique_rows(min_size=3, max_size=8)
        rows = data.draw(likely if data.draw(st.integers(0, 5)) else self.base.rows(), label="rows")
        options: dict[str, Any] = {
            "key": list(self.base.key) or None,
            "partition_by": list(self.base.partition_by) or None,
            "deletes": self.base.deletes,
        }
        try:
            self.model = Model.create(self.base.columns, self.base.key, rows)
        except Refused as refused:
            with pytest.raises(refused.kinds):
                tv.create_table(self.path, arrow_table(rows, self.base.columns), **options)
            assert not reading.contents(self.path), "a refused creation left something behind"
            self.model = Model.create(self.base.columns, self.base.key, [])
            rows = []
        given = arrow_table(rows, self.base.columns) if rows else self.base.schema
        tv.create_table(self.path, given, **options)
        self.session = tv.connect(tables={"t": self.path})

    def wider(self, data: st.DataObject) -> tuple[Column, ...]:
        """New columns now and then."""
        return data.draw(more_columns(self.head.columns), label="more") if data.draw(st.integers(0, 3)) == 0 else ()

    @rule(data=st.data())
    def append(self, data: st.DataObject) -> None:
        extra = self.wider(data)
        columns = self.head.columns + extra
        rows = data.draw(self.shape.rows(columns, max_size=4), label="rows")
        given, options = self.given(data, rows, columns, new=bool(extra)), self.options(data)
        self.run(
            lambda: self.model.append(rows, extra), lambda: tv.append(self.path, given, evolve=bool(extra), **options)
        )

    @rule(data=st.data())
    def upsert(self, data: st.DataObject) -> None:
        extra = self.wider(data)
        columns = self.head.columns + extra
        rows = data.draw(self.shape.unique_rows(columns) | self.shape.rows(columns, max_size=3), label="rows")
        given, options = self.given(data, rows, columns, new=bool(extra)), self.options(data)
        self.run(
            lambda: self.model.upsert(rows, extra), lambda: tv.upsert(self.path, given, evolve=bool(extra), **options)
        )

    @precondition(lambda self: self.head.key and self.head.rows)
    @rule(data=st.data())
    def upsert_what_is_there(self, data: st.DataObject) -> None:
        """Equal rows, zeroes of the other sign: nothing changes."""
        rows = [flipped(row) for row in data.draw(st.lists(st.sampled_from(self.head.rows), max_size=4))]
        distinct = list({self.head.key_of(row): row for row in rows}.values())
        given = self.given(data, distinct, self.head.columns)
        self.run(lambda: self.model.upsert(distinct), lambda: tv.upsert(self.path, given))

    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        chosen = data.draw(assignments(self.shape, self.head.columns), label="set")
        if not chosen:
            return
        where = data.draw(predicates(self.head.columns, self.shape.pools, self.head.rows), label="where")
        options = self.options(data)
        self.run(
            lambda: self.model.update({a.column: a.value for a in chosen}, where.test),
            lambda: tv.update(self.path, {a.column: a.sql for a in chosen}, where=where.sql, **options),
        )

    @rule(data=st.data())
    def delete_where(self, data: st.DataObject) -> None:
        where = data.draw(predicates(self.head.columns, self.shape.pools, self.head.rows), label="where")
        options = self.options(data)
        self.run(
            lambda: self.model.delete(where.test),
            lambda: tv.delete(self.path, where=where.sql, **options),
        )

    @rule(data=st.data())
    def delete_keys(self, data: st.DataObject) -> None:
        columns = [self.head.column(name) for name in self.head.key] or [self.head.columns[0]]
        keys = data.draw(self.shape.unique_rows(columns, max_size=3), label="keys")
        present: bool = data.draw(st.booleans())
        if present and self.head.rows:
            row = data.draw(st.sampled_from(self.head.rows), label="there")
            keys = [{column.name: row[column.name] for column in columns}]
        given = self.given(data, keys, columns)
        self.run(lambda: self.model.delete_keys(keys), lambda: tv.delete(self.path, keys=given))

    @rule(data=st.data())
    def overwrite(self, data: st.DataObject) -> None:
        kept = data.draw(st.lists(st.sampled_from(self.head.rows), max_size=4)) if self.head.rows else []
        rows = kept + data.draw(self.shape.rows(max_size=3), label="rows")
        unique: int = data.draw(st.integers(0, 4))
        if unique and self.head.key:
            rows = list({self.head.key_of(row): row for row in rows}.values())
        given, options = self.given(data, rows, self.head.columns), self.options(data)
        self.run(lambda: self.model.overwrite(rows), lambda: tv.overwrite(self.path, given, **options))

    @rule(data=st.data())
    def overwrite_and_evolve(self, data: st.DataObject) -> None:
        columns = self.head.columns + data.draw(more_columns(self.head.columns), label="more")
        rows = data.draw(self.shape.unique_rows(columns), label="rows")
        given = self.given(data, rows, columns, new=True)
        self.run(lambda: self.model.overwrite(rows, columns), lambda: tv.overwrite(self.path, given, evolve=True))

    @rule(data=st.data())
    def overwrite_and_replace_schema(self, data: st.DataObject) -> None:
        fixed = {*self.head.key, *self.base.partition_by}
        checked = {check.column for check in self.head.checks}  # of another type, a condition may have another meaning
        columns: list[Column] = []
        for column in self.head.columns:
            choice = (
                data.draw(st.sampled_from(["keep", "keep", "drop", "retype"])) if column.name not in fixed else "keep"
            )
            if choice == "retype" and column.name not in checked:
                column = replace(column, type=data.draw(st.sampled_from(PRIMITIVES + NESTED)))  # noqa: PLW2901
            if choice != "drop":
                columns.append(column)
        columns += data.draw(more_columns([*self.head.columns, *columns]), label="more")
        rows = data.draw(retyped(self.shape, columns).unique_rows(columns), label="rows")
        table = arrow_table(rows, columns)
        self.run(
            lambda: self.model.overwrite(rows, columns), lambda: tv.overwrite(self.path, table, replace_schema=True)
        )

    def readable(self, data: st.DataObject) -> int:
        """A version that no vacuum took."""
        there = [number for number in range(len(self.model.versions)) if number not in self.lost]
        return data.draw(st.sampled_from(there), label="version")

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        number = self.readable(data)
        ref, options = self.ref(data, number), self.options(data)
        self.run(lambda: self.model.restore(number), lambda: tv.restore(self.path, ref, **options))

    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        number = self.readable(data)
        if number - 1 in self.lost:
            return  # whether that can be told depends on which of its files are left
        ref = self.ref(data, number)
        self.run(lambda: self.model.revert(number), lambda: tv.revert(self.path, ref))

    @rule(data=st.data())
    def set_key(self, data: st.DataObject) -> None:
        able = [column.name for column in self.head.columns if column.type in KEY_TYPES]
        if able:
            key = data.draw(st.lists(st.sampled_from(able), min_size=1, max_size=2, unique=True), label="key")
            self.run(lambda: self.model.set_key(key), lambda: tv.set_key(self.path, key))

    @rule(data=st.data())
    def set_not_null(self, data: st.DataObject) -> None:
        able = [c.name for c in self.head.columns if all(row.get(c.name) is not None for row in self.head.rows)]
        names = able if able and data.draw(st.booleans(), label="able") else [c.name for c in self.head.columns]
        chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True), label="columns")
        self.run(lambda: self.model.set_not_null(chosen), lambda: tv.set_not_null(self.path, chosen))

    @precondition(lambda self: len(self.head.checks) < len(CHECKS))
    @rule(data=st.data())
    def add_constraint(self, data: st.DataObject) -> None:
        """Once added, it is there whatever the letters of its name, and no other has it."""
        check = data.draw(checks(self.head.columns, CHECKS[len(self.head.checks)]), label="check")
        options = self.options(data)
        self.constrain(check, **options)
        if check in self.head.checks:
            self.constrain(replace(check, name=check.name.upper()))
            self.constrain(replace(check, sql=f"{check.sql} OR false"))

    def constrain(self, check: Check, **options: Any) -> None:
        self.run(
            lambda: self.model.add_constraint(check),
            lambda: tv.add_constraint(self.path, check.name, check.sql, **options),
        )

    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        """Other files, the same rows: a version of its own in which nothing changed."""
        target = data.draw(st.sampled_from(["1 B", "3 KB", "256 MB"]), label="target")
        deleted = data.draw(st.sampled_from([0.01, 0.5, 1.0]), label="deleted")
        before = tv.read_version(self.path)
        version = tv.compact(self.path, target=target, deleted=deleted)
        if version is not None:
            number = len(self.model.versions)
            assert version.number == number
            self.model.versions.append(Commit(self.head, "compact", Counts(0, 0)))
            self.returned[number] = version
            if not self.base.partition_by:
                after = tv.read_version(self.path)
                assert reading.ordered(after, self.head) == reading.ordered(before, self.head)

    @rule(data=st.data())
    def null_where_none_may_be(self, data: st.DataObject) -> None:
        firm = [c.name for c in self.head.columns if not c.nullable or c.name in self.head.key]
        if firm:
            row = {**data.draw(self.shape.row()), data.draw(st.sampled_from(firm), label="null"): None}
            given = self.given(data, [row], self.head.columns)
            self.run(lambda: self.model.append([row]), lambda: tv.append(self.path, given))

    @rule(data=st.data(), batch=st.sampled_from(["2026-11-01", "b/ü"]))
    def load(self, data: st.DataObject, batch: str) -> None:
        """A batch is loaded once, however often it is tried; the same name with other rows is an error."""
        if batch not in self.loads:
            verb = "upsert" if self.head.key else "append"
            rows = data.draw(self.shape.unique_rows(max_size=3), label="rows")
            columns, number = self.head.columns, len(self.model.versions)
            given = self.given(data, rows, columns)
            self.run(
                lambda: getattr(self.model, verb)(rows), lambda: getattr(tv, verb)(self.path, given, batch_id=batch)
            )
            if len(self.model.versions) > number:
                self.loads[batch] = (verb, rows, columns, number)
            return
        verb, rows, columns, number = self.loads[batch]
        before = reading.contents(self.path)
        again = getattr(tv, verb)(
            self.path, self.given(data, rows, columns, new=columns != self.head.columns), batch_id=batch
        )
        assert again is not None
        assert again.number == number, "a repeated batch returns the first load's version"
        others = [{**rows[0]}, {**rows[0]}] if rows else []
        if len(others) > len(rows):
            with pytest.raises(errors.TableverError):
                getattr(tv, verb)(self.path, arrow_table(others, columns), batch_id=batch)
        assert reading.contents(self.path) == before

    @precondition(lambda self: len(self.model.versions) > 1)
    @rule(data=st.data())
    def stale(self, data: st.DataObject) -> None:
        """Whoever wants an older head than there is gets a conflict, whatever the write."""
        number = data.draw(st.integers(0, len(self.model.versions) - 2), label="if_version")
        row = data.draw(self.shape.row())
        before = reading.contents(self.path)
        with pytest.raises(errors.ConflictError):
            tv.append(self.path, arrow_table([row], self.head.columns), if_version=number)
        with pytest.raises(errors.ConflictError):
            tv.delete(self.path, where="true", if_version=number)
        assert reading.contents(self.path) == before

    # What must hold after each

    def ref(self, data: st.DataObject, number: int) -> Any:
        """Any way to name a version."""
        back = len(self.model.versions) - 1 - number
        versions = tv.list_versions(self.path)
        moment, content = versions[number].timestamp, versions[number].content_hash or ""
        newest = number == len(self.model.versions) - 1
        last_of_content = all(version.content_hash != content for version in versions[number + 1 :])
        refs = [
            number,
            str(number),
            -1 - back,
            f"latest~{back}",
            moment,
            moment.isoformat(),
            *(["latest"] if newest else []),
            *([content, content[:10]] if content and last_of_content else []),  # sha: and 6 digits or more
            *(f"{name}~{tagged - number}" for name, tagged in self.tags.items() if tagged >= number),
        ]
        ref = data.draw(st.sampled_from(refs), label="ref")
        times = [version.timestamp for version in versions]
        if ref in (moment, moment.isoformat()) and times.count(moment) > 1:
            return number
        return ref

    @rule(data=st.data())
    def refs(self, data: st.DataObject) -> None:
        """A version is found under each of its names, and at any time until the next came."""
        number = data.draw(st.integers(0, len(self.model.versions) - 1), label="version")
        assert tv.resolve_version(self.path, self.ref(data, number)).number == number
        times = [version.timestamp for version in tv.list_versions(self.path)]
        moment = times[number] + timedelta(microseconds=data.draw(st.sampled_from([-1000, -1, 0, 1, 999, 10**9])))
        expected = bisect_right(times, moment) - 1
        if expected < 0:
            with pytest.raises(errors.VersionNotFoundError):
                tv.resolve_version(self.path, moment)
        else:
            assert tv.resolve_version(self.path, moment).number == expected

    @rule(data=st.data())
    def some_columns_where(self, data: st.DataObject) -> None:
        """A projection and a predicate give what filtering the whole version by hand gives."""
        number = self.readable(data)
        state = self.model.versions[number].state
        where = data.draw(predicates(state.columns, {}, state.rows), label="where")
        columns = data.draw(st.lists(st.sampled_from(state.columns), min_size=1, unique_by=lambda c: c.name))
        names, rows = [c.name for c in columns], [row for row in state.rows if where.test(row) is True]
        found = tv.read_version(self.path, number, columns=names, where=where.sql)
        reading.assert_rows(found, columns, rows, f"read_version where {where.sql}")
        batches = list(tv.iter_batches(self.path, number, batch_size=3, columns=names, where=where.sql))
        if batches:
            reading.assert_rows(pa.Table.from_batches(batches), columns, rows, f"iter_batches where {where.sql}")
        else:
            assert not rows
        found = self.sql(f"SELECT * FROM t AT (VERSION => {number}) WHERE {where.sql}")
        reading.assert_state(found, replace(state, rows=tuple(rows)), f"SQL where {where.sql}")

    @invariant()
    def every_version_reads_back(self) -> None:
        readers: dict[str, reading.Reader] = {**reading.OURS, "sql": self.in_session}
        for number, commit in enumerate(self.model.versions):
            for name, reader in readers.items():
                if number in self.lost:
                    with pytest.raises(errors.VersionVacuumedError):
                        reader(self.path, number)
                    continue
                found, what = reader(self.path, number), f"version {number} through {name}"
                reading.assert_state(found, commit.state, what)
                order = self.order.setdefault(number, reading.ordered(found, commit.state))
                assert reading.ordered(found, commit.state) == order, f"{what}: the order of rows changed"
                if name == "read_version":
                    assert_types(found.schema, commit.state.columns)
            if number not in self.lost:
                self.shell_reads_back(number, commit.state)

        reading.assert_state(self.sql("FROM t"), self.head, "the head through a session that is as old as the table")
        reading.assert_state(reading.sql(self.path, number), self.head, "the head through a new session")

    def in_session(self, _table: Path, number: int) -> pa.Table:
        return self.sql(f"SELECT * FROM t AT (VERSION => {number})")

    def sql(self, statement: str) -> pa.Table:
        return self.session.sql(statement).to_arrow_table()

    def shell_reads_back(self, number: int, state: State) -> None:
        rows = reading.shell(self.path, number, state.columns)
        assert [state.identity(row) for row in rows] == self.order[number], f"version {number} through the shell"

    @invariant()
    def counts_add_up(self) -> None:
        versions = tv.list_versions(self.path)
        assert [version.number for version in versions] == list(range(len(self.model.versions)))
        assert versions == sorted(versions, key=lambda version: version.timestamp)
        rows = 0
        for version, commit in zip(versions, self.model.versions, strict=True):
            assert version.operation == commit.operation
            assert version.rows == len(commit.state.rows)
            assert version.rows_added is not None
            assert version.rows_removed is not None
            assert version.rows == rows + version.rows_added - version.rows_removed
            assert_counts(version, commit.counts)
            assert version == self.returned.get(version.number, version), "the log and the writer differ"
            rows = version.rows

    @invariant()
    def content_hash_is_that_of_the_rows(self) -> None:
        version = tv.resolve_version(self.path, "latest")
        schema = pa.schema([(column.name, column.type) for column in self.head.columns])
        expected = content_hash.content_hash(self.head.rows, schema)
        assert tv.content_hash(self.path) == expected
        ours = tv.open_table(self.path).log.record(version.number)
        assert version.content_hash == (expected if ours else None)

    @invariant()
    def change_rows_rebuild_the_version(self) -> None:
        number = len(self.model.versions) - 1
        before = self.model.versions[number - 1].state if number else replace(self.head, rows=())
        feed = f"SELECT * FROM table_changes('t', {number}, {number})"
        types = {c.name: c.delta for c in self.head.columns}
        if before.rows and any(types.get(c.name, c.delta) != c.delta for c in before.columns):
            # rows of the old type cannot stand in a column of the new one, and are not cast or dropped silently
            with pytest.raises(errors.SchemaMismatchError):
                tv.query(feed, tables={"t": self.path})
            return
        changes = tv.query(feed, tables={"t": self.path})
        if (
            not {c.name: c.delta for c in before.columns}.items()
            <= {c.name: c.delta for c in self.head.columns}.items()
        ):
            return
        rebuilt = multiset(before.rows, before.columns)
        for row in reading.rows_of(changes):
            assert row["_commit_version"] == number
            cell = identity(row, self.head.columns)
            rebuilt[cell] += CHANGES[row["_change_type"]]
        assert not [count for count in rebuilt.values() if count < 0], "a row was removed that was not there"
        assert +rebuilt == self.head.multiset(), "version 0's change rows, then each next one's, give another table"


NAMES = st.sampled_from(["v1", "V1", "release/2", "latest-good"])
RUNS = st.sampled_from(["f3a9", "F3A9", "ü/1"])


class Remembered(Store):
    """A table whose versions are tagged, linked to runs, pinned and vacuumed: what is named is kept, byte for byte."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted: set[str] = set()
        self.runs: set[tuple[int, str]] = set()
        self.unlinked: set[tuple[int, str]] = set()
        self.pins: list[int] = []

    @property
    def kept(self) -> set[int]:
        return {*self.tags.values(), *(number for number, _ in self.runs), *self.pins}

    def any(self, data: st.DataObject) -> int:
        return data.draw(st.integers(0, len(self.model.versions) - 1), label="version")

    def named(self, number: int, make: Callable[[], Any]) -> bool:
        """Whether a version that can still be read was named; one that was vacuumed cannot be."""
        if number in self.lost:
            with pytest.raises(errors.VersionVacuumedError):
                make()
            return False
        assert make().version == number
        return True

    @rule(data=st.data(), name=NAMES)
    def tag(self, data: st.DataObject, name: str) -> None:
        number = self.any(data)
        if name in self.tags or name in self.deleted:
            with pytest.raises(errors.AlreadyExistsError):
                tv.tag(self.path, name, number)
        elif self.named(number, lambda: tv.tag(self.path, name, self.ref(data, number))):
            self.tags[name] = number

    @rule(name=NAMES)
    def delete_tag(self, name: str) -> None:
        if name not in self.tags:
            with pytest.raises(errors.TagNotFoundError):
                tv.delete_tag(self.path, name)
            return
        assert tv.delete_tag(self.path, name).version == self.tags.pop(name)
        self.deleted.add(name)

    @rule(data=st.data(), run=RUNS)
    def link_run(self, data: st.DataObject, run: str) -> None:
        number = self.any(data)
        if (number, run) in self.unlinked:
            with pytest.raises((errors.AlreadyExistsError, errors.VersionVacuumedError)):
                tv.link_run(self.path, number, run)
        elif self.named(number, lambda: tv.link_run(self.path, number, run, metrics={"f1": 0.5})):
            self.runs.add((number, run))

    @rule(data=st.data(), run=RUNS)
    def unlink_run(self, data: st.DataObject, run: str) -> None:
        number = self.any(data)
        if (number, run) not in self.runs:
            with pytest.raises(errors.NotFoundError):
                tv.unlink_run(self.path, number, run)
            return
        tv.unlink_run(self.path, number, run)
        self.runs.remove((number, run))
        self.unlinked.add((number, run))

    @rule(data=st.data())
    def pin(self, data: st.DataObject) -> None:
        number = self.any(data)
        if self.named(number, lambda: tv.pin(self.path, number, reason="audit")):
            self.pins.append(number)

    @rule(data=st.data())
    def unpin(self, data: st.DataObject) -> None:
        number = self.any(data)
        if number not in self.pins:
            with pytest.raises(errors.NotFoundError):
                tv.unpin(self.path, number)
            return
        assert len(tv.unpin(self.path, number)) == self.pins.count(number)
        self.pins = [pin for pin in self.pins if pin != number]

    @rule(keep=st.sampled_from(["pinned", "2 versions", "all", "1 day"]))
    def vacuum(self, keep: str) -> None:
        """What the policy keeps, what is named and the head stay; the loss is a version, in which nothing changed."""
        versions = self.model.versions
        report = tv.vacuum(self.path, keep=keep, safety="0 days", dry_run=False)
        lost = set(numbers_of(report.lost))
        changed = [n for n, commit in enumerate(versions) if commit.operation not in ("compact", "vacuum")]
        policy = {"pinned": set(), "2 versions": set(range(changed[-2:][0], len(versions)))}
        kept = policy.get(keep, set(range(len(versions)))) | self.kept | {len(versions) - 1}
        assert not lost & (kept - self.lost)
        if report.version is not None:
            self.returned[len(versions)] = report.version
            versions.append(Commit(self.head, "vacuum", Counts(0, 0)))
        assert not lost & self.kept
        self.lost = lost

    @invariant()
    def what_is_named_is_there(self) -> None:
        assert {tag.name: tag.version for tag in tv.list_tags(self.path)} == self.tags
        assert {(run.version, run.run_id) for run in tv.runs_of(self.path)} == self.runs
        assert sorted(pin.version for pin in tv.list_pins(self.path)) == sorted(self.pins)
        for name, number in self.tags.items():
            found = tv.read_version(self.path, name)
            reading.assert_state(found, self.model.versions[number].state, f"tag {name}")
            assert tv.resolve_version(self.path, f"{name}~{number}").number == 0
            with pytest.raises(errors.VersionNotFoundError):
                tv.resolve_version(self.path, f"{name}~{number + 1}")
        for number, run in self.runs:
            assert any(each.version == number for each in tv.versions_of(self.path, run))
        assert tv.verify(self.path).damaged == ()


def flipped(row: Mapping[str, Any]) -> Row:
    """The row with every zero's sign turned: an equal row."""
    return {name: -value if isinstance(value, float) and value == 0 else value for name, value in row.items()}


def assert_types(schema: pa.Schema, columns: Sequence[Column]) -> None:
    """Rows come in the canonical Arrow types, never in views or dictionaries."""
    assert [(field.name, field.type) for field in schema] == [(column.name, column.type) for column in columns]


def assert_counts(version: Version, counts: Counts) -> None:
    """A version's counts are the model's, as far as the specification goes."""
    assert version.rows_added is not None
    assert version.rows_removed is not None
    if counts.updated is None:
        assert version.rows_added - version.rows_removed == counts.added - counts.removed
        return
    found = (version.rows_added, version.rows_removed, version.rows_updated)
    assert found == (counts.added, counts.removed, counts.updated), version


def machine(store: type[Store], *, keyed: bool, partitioned: bool, steps: int = STEPS) -> Any:
    """The test of a store's laws for one kind of table."""
    kind: Any = type(store.__name__, (store,), {"keyed": keyed, "partitioned": partitioned})
    case = kind.TestCase
    case.settings = settings(
        max_examples=EXAMPLES, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    return case


TestKeyed = machine(Store, keyed=True, partitioned=False)
TestKeyless = machine(Store, keyed=False, partitioned=False)
TestKeyedPartitioned = machine(Store, keyed=True, partitioned=True)
TestKeylessPartitioned = machine(Store, keyed=False, partitioned=True)
TestRemembered = machine(Remembered, keyed=True, partitioned=False)
TestRememberedPartitioned = machine(Remembered, keyed=False, partitioned=True)
