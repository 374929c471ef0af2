"""Row-level writes: append, upsert, update, delete, overwrite. Each is one commit, or none where nothing changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Unpack

import numpy as np
import polars as pl
import pyarrow as pa

from tablever import constraints, engine, merge
from tablever.batches import rows_content, text_content
from tablever.changes import Net, net
from tablever.columns import OTHER_COLUMNS, canonical_schema, check_key, check_partition, with_not_null
from tablever.columns import evolve as evolved
from tablever.commit import Plan, commit
from tablever.datafiles import Staging, write_rows
from tablever.deletions import takes_vector
from tablever.difference import Difference, net_difference, shared_key
from tablever.errors import InvalidInputError, SchemaMismatchError
from tablever.fitting import check_not_null, normalise
from tablever.frames import ROW, find_keys, load, numbered, to_arrow, to_frame
from tablever.incoming import Rows, to_table
from tablever.layout import nullable, table_schema
from tablever.log import Log, TableLike, open_log
from tablever.model import Metadata, Snapshot, Version
from tablever.options import CommitOptions, record
from tablever.plan import MAX_DELETED_CHANGE_ROWS, Proposal, feeds_changes, insertion, row_changes, whole_files
from tablever.protocol import protocol_for
from tablever.read import check_columns
from tablever.replanning import NO_ROWS, Replanning, Subject
from tablever.rows import differs
from tablever.scan import Scan, open_scan
from tablever.schema import arrow_to_delta, extend_delta


def append(table: TableLike, rows: Rows, *, evolve: bool = False, **options: Unpack[CommitOptions]) -> Version | None:
    """Add rows to the end.

    Args:
        rows: anything with the Arrow PyCapsule interface, or a list of dicts; columns are matched by name.
        evolve: let columns that the table lacks be added to it; they are null in the rows before.

    Returns:
        The new Version; None where there are no rows.

    Raises:
        DuplicateKeyError, InvalidKeyError: keys that are there already, come twice, or are null.
        SchemaMismatchError, ConstraintError, InvalidInputError: rows that do not fit; nothing is written.
        ConflictError: ``if_version`` is not the head. A lost race is never surfaced: the append is planned again.
        UnsupportedFeatureError, StorageError: the table cannot be written.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> append(table, [{"id": 2, "stars": 3}], message="second day").rows
        2
    """
    log = open_log(table)
    source = to_table(rows, schema=table_schema(log.head().metadata))

    planned = Replanning(log)

    def plan(head: Snapshot, staging: Staging) -> Proposal | None:
        if (again := planned.again(head, staging)) is not None:
            return again
        incoming, metadata = fit_rows(log, head, source, evolve)
        if not incoming.num_rows and metadata is None:
            return None
        settings = metadata or head.metadata
        keys = to_frame(incoming.select(settings.key))
        if settings.key:
            merge.refuse_existing(log, head, keys)
        proposal = insertion(staging, "append", settings, incoming, origin=id(source))
        proposal = replace(proposal, metadata=metadata, protocol=protocol_for(head, metadata))
        return planned.note(head, staging, _rows_of(keys) if settings.key else NO_ROWS, proposal)

    return commit(log, plan, record(log, options, rows_content("append", source)))


def upsert(table: TableLike, rows: Rows, *, evolve: bool = False, **options: Unpack[CommitOptions]) -> Version | None:
    """Insert rows by key, or replace the row of that key where any value differs.

    A row that equals the one in the table is neither written nor counted. Arguments and errors are those of
    ``append``; InvalidKeyError also where the table has no key.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> v = upsert(table, [{"id": 2, "stars": 4}, {"id": 3, "stars": 1}])
        >>> v.rows_added, v.rows_removed, v.rows_updated
        (2, 1, 1)
    """
    log = open_log(table)
    source = to_table(rows, schema=table_schema(log.head().metadata))

    planned = Replanning(log)

    def plan(head: Snapshot, staging: Staging) -> Proposal | None:
        if (again := planned.again(head, staging)) is not None:
            return again
        key = merge.require_key(log, head, "upsert")
        incoming, metadata = fit_rows(log, head, source, evolve)
        keys = to_frame(incoming.select(key))
        scan = merge.candidates(log, head, keys)
        went = find_keys(scan, keys, scan.schema.names)
        proposal = _commit_net(staging, "upsert", head, scan, went, incoming, metadata, key, origin=id(source))
        return planned.note(head, staging, _rows_of(keys), proposal, scan=scan, found=went)

    return commit(log, plan, record(log, options, rows_content("upsert", source)))


def overwrite(
    table: TableLike,
    rows: Rows,
    *,
    evolve: bool = False,
    replace_schema: bool = False,
    **options: Unpack[CommitOptions],
) -> Version | None:
    """Make the table hold exactly these rows.

    With a key, only what differs is committed: new keys are inserted, missing ones deleted, others updated where a
    value differs. Without one every file is replaced, unless the rows are the same multiset; only rows that differ
    are counted.

    Args:
        evolve: let columns that the table lacks be added to it.
        replace_schema: take the rows' columns and types as the table's; the key's, partitioning's and constraints'
            columns must be among them.

    Returns, raises: as ``append``.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> v = overwrite(table, [{"id": 2, "stars": 3}, {"id": 3, "stars": 1}])
        >>> v.rows_added, v.rows_removed, v.rows_updated
        (1, 1, 0)
    """
    if evolve and replace_schema:
        raise InvalidInputError("evolve and replace_schema exclude each other", hint="replace_schema adds columns too")
    log = open_log(table)
    source = to_table(rows, schema=None if replace_schema else table_schema(log.head().metadata))

    def plan(head: Snapshot, staging: Staging) -> Proposal | None:
        if replace_schema:
            incoming, metadata = _replacing(log, head, source)
        else:
            incoming, metadata = _fit_all(log, head, source, evolve)
        key = head.metadata.key
        scan = open_scan(log, head)
        if key and not replace_schema:
            went = numbered(scan, scan.schema.names)
            return _commit_net(staging, "overwrite", head, scan, went, incoming, metadata, key, origin=id(source))
        went, came = load(scan), to_frame(incoming)
        after = replace(head, metadata=metadata or head.metadata)
        change = net_difference(Difference(went, came), head, after, shared_key(head, after))
        if not change and metadata is None:
            return None
        return replace(
            whole_files(
                staging,
                "overwrite",
                head,
                removed=head.files,
                added=write_rows(staging, after.metadata, incoming, origin=id(source)),
                went=went,
                came=came,
                net=change,
                metadata=metadata,
            ),
            protocol=protocol_for(head, metadata),
            parameters={"mode": "Overwrite"},
        )

    return commit(log, plan, record(log, options, rows_content("overwrite", source)))


def update(
    table: TableLike, assignments: Mapping[str, str], *, where: str, **options: Unpack[CommitOptions]
) -> Version | None:
    """Set columns of the rows for which ``where`` is true.

    Args:
        assignments: column to DuckDB expression, evaluated over the row as it was.
        where: a DuckDB expression; ``"true"`` for every row.

    Returns:
        The new Version; None where no row changes its values.

    Raises:
        QueryError: an expression that DuckDB refuses.
        SchemaMismatchError: no such column, or a value that its type cannot hold without loss.
        DuplicateKeyError, InvalidKeyError, ConstraintError: the new rows break the key or a constraint.
        ConflictError, UnsupportedFeatureError, StorageError: as ``append``.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> update(table, {"stars": "stars + 1"}, where="id = 2").rows_updated
        1
    """
    log = open_log(table)
    if not isinstance(assignments, Mapping):
        raise InvalidInputError(
            f"assignments must map columns to expressions, not {assignments!r}", hint="""{"column": "expression"}"""
        )
    if not assignments:
        raise InvalidInputError(
            "nothing to set: assignments is empty", hint="update(table, {'column': 'expression'}, …)"
        )

    planned = Replanning(log)

    def plan(head: Snapshot, staging: Staging) -> Proposal | None:
        if (again := planned.again(head, staging)) is not None:
            return again
        check_columns(log, head, list(assignments))
        scan = _matching(log, head, where)
        columns = scan.schema.names
        went = _numbered_rows(scan, engine.find_rows(scan, where, columns, positions=True))
        came = _assigned(scan, went, assignments)
        key = head.metadata.key
        if set(key) & set(assignments):
            change = net(went, to_frame(came), columns, key)
            merge.check_keys(log, to_frame(came), key)
            merge.refuse_existing(log, head, to_frame(came)[change.inserted].select(key))
        else:
            changed = differs(went, to_frame(came), columns).arg_true().cast(pl.Int64).to_numpy()
            nothing = np.empty(0, np.int64)
            change = Net(nothing, nothing, changed, changed)
        if not change:
            return None
        _check_rows(came.take(pa.array(change.came)), head.metadata)
        proposal = row_changes(staging, "update", scan, went, came, change, parameters={"predicate": where})
        if set(key) & set(assignments):
            return proposal  # whether the new keys are taken, the whole head tells
        return planned.note(head, staging, _rows_where(where), proposal, scan=scan, found=went)

    content = text_content("update", where, *(f"{name}={text}" for name, text in sorted(assignments.items())))
    return commit(log, plan, record(log, options, content))


def delete(
    table: TableLike, *, where: str | None = None, keys: Rows | None = None, **options: Unpack[CommitOptions]
) -> Version | None:
    """Delete the rows for which ``where`` is true, or those of the given keys.

    Args:
        where: a DuckDB expression; ``"true"`` for every row.
        keys: rows of the key's columns alone; keys that the table does not have are ignored.

    Returns:
        The new Version; None where no row goes.

    Raises:
        InvalidInputError: not exactly one of ``where`` and ``keys``.
        QueryError, InvalidKeyError, SchemaMismatchError: an expression or keys that do not fit the table.
        ConflictError, ConstraintError, UnsupportedFeatureError, StorageError: as ``append``.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> delete(table, where="stars < 4").rows
        1
        >>> delete(table, keys=[{"id": 1}]).rows
        0
    """
    if (where is None) == (keys is None):
        raise InvalidInputError("give either where or keys", hint='where="true" deletes every row')
    log = open_log(table)
    if where is not None:
        return commit(log, _delete_where(log, where), record(log, options, text_content("delete", where)))
    head = log.head()
    names = merge.require_key(log, head, "delete")
    whole = table_schema(head.metadata)
    source = to_table(keys, schema=pa.schema([whole.field(name) for name in names]))

    planned = Replanning(log)

    def plan(head: Snapshot, staging: Staging) -> Proposal | None:
        if (again := planned.again(head, staging)) is not None:
            return again
        key = merge.require_key(log, head, "delete")
        whole = table_schema(head.metadata)
        given = to_frame(normalise(source, pa.schema([whole.field(name) for name in key]))).unique()
        scan = merge.candidates(log, head, given)
        went = find_keys(scan, given, scan.schema.names)
        proposal = _delete_rows(staging, scan, went, {"keys": str(given.height)})
        return planned.note(head, staging, _rows_of(given), proposal, scan=scan, found=went)

    return commit(log, plan, record(log, options, rows_content("delete", source)))


def _delete_where(log: Log, where: str) -> Plan:
    planned = Replanning(log)

    def plan(head: Snapshot, staging: Staging) -> Proposal | None:
        if (again := planned.again(head, staging)) is not None:
            return again
        scan = _matching(log, head, where)
        went = _rows_to_delete(scan, where)
        proposal = _delete_rows(staging, scan, went, {"predicate": where})
        return planned.note(head, staging, _rows_where(where), proposal, scan=scan, found=went)

    return plan


def _rows_of(keys: pl.DataFrame) -> Subject:
    """The rows of some keys."""
    return Subject(lambda head: merge.prune(head, keys), lambda scan: bool(find_keys(scan, keys, keys.columns).height))


def _rows_where(where: str) -> Subject:
    """The rows for which an expression is true."""
    return Subject(
        lambda head: engine.matching_files(head, where),
        lambda scan: bool(engine.find_rows(scan, where, [], positions=True).num_rows),
    )


def _rows_to_delete(scan: Scan, where: str) -> pl.DataFrame:
    """The rows for which ``where`` is true, as ``__tv_row`` alone where they are many and need not be held at once."""
    key = list(scan.snapshot.metadata.key)
    hits = _numbered_rows(scan, engine.find_rows(scan, where, key, positions=True))
    marked = all(takes_vector(scan.snapshot, file.file) for file in scan.files)
    if hits.height > MAX_DELETED_CHANGE_ROWS and (marked or not feeds_changes(scan.snapshot)):
        return hits.select(ROW)
    # DuckDB finds rows faster, Polars fetches them faster: it skips pages, but by values only and not by position.
    here = pl.col(ROW).is_in(hits[ROW].implode())
    if key:
        fetched = find_keys(scan, hits.select(key).unique(), scan.schema.names).filter(here)
        if fetched.height == hits.height:  # else another tool wrote null keys, which are not found
            return fetched
    return numbered(scan, scan.schema.names, here)


def _delete_rows(staging: Staging, scan: Scan, went: pl.DataFrame, parameters: Mapping[str, str]) -> Proposal | None:
    if not went.height:
        return None
    nothing = np.empty(0, np.int64)
    change = Net(np.arange(went.height), nothing, nothing, nothing)
    return row_changes(staging, "delete", scan, went, scan.schema.empty_table(), change, parameters=parameters)


def _commit_net(
    staging: Staging,
    operation: str,
    head: Snapshot,
    scan: Scan,
    went: pl.DataFrame,
    incoming: pa.Table,
    metadata: Metadata | None,
    key: tuple[str, ...],
    *,
    origin: int,
) -> Proposal | None:
    """Set rows of the table against rows by key, and commit what differs."""
    came = to_frame(incoming)
    known = set(went.columns)
    new = [pl.lit(None, dtype=kind).alias(name) for name, kind in came.schema.items() if name not in known]
    change = net(went.with_columns(new), came, incoming.column_names, key)
    if not change and metadata is None:
        return None
    proposal = row_changes(staging, operation, scan, went, incoming, change, metadata=metadata, origin=origin)
    return replace(proposal, protocol=protocol_for(head, metadata))


def fit_rows(log: Log, head: Snapshot, source: pa.Table, evolve: bool) -> tuple[pa.Table, Metadata | None]:
    """The rows in the table's columns and types, checked; and the settings with the columns they add, if any."""
    target = table_schema(head.metadata)
    metadata = None
    if evolve:
        wider = evolved(target, source.schema)
        if wider.names != target.names:
            target = wider
            metadata = replace(head.metadata, schema_string=extend_delta(head.metadata.schema_string, wider))
    return _checked(log, source, target, metadata or head.metadata), metadata


def _fit_all(log: Log, head: Snapshot, source: pa.Table, evolve: bool) -> tuple[pa.Table, Metadata | None]:
    """``fit_rows`` for rows that are to be all that the table holds: so its columns could be theirs, too."""
    try:
        return fit_rows(log, head, source, evolve)
    except SchemaMismatchError as error:
        if error.facts.get("missing"):
            error.hint = f"{error.hint}; {OTHER_COLUMNS}"
        raise


def _replacing(log: Log, head: Snapshot, source: pa.Table) -> tuple[pa.Table, Metadata | None]:
    """The rows in types of their own, and the settings with their columns, where those are others than before."""
    key = head.metadata.key
    target = canonical_schema(source)
    check_key(target, key or None)
    target = with_not_null(target, key)
    partitions = head.metadata.partition_columns
    missing = [name for name in partitions if name not in target.names]
    if missing:
        raise SchemaMismatchError(
            f"'{log.name}' is partitioned by '{missing[0]}', which the new rows do not have",
            hint="keep the partition columns, or create another table",
            column=missing[0],
        )
    check_partition(target, partitions or None)
    if target.equals(table_schema(head.metadata)):
        metadata = None
    else:
        metadata = replace(head.metadata, schema_string=arrow_to_delta(target))
    return _checked(log, source, target, metadata or head.metadata), metadata


def _checked(log: Log, source: pa.Table, target: pa.Schema, settings: Metadata) -> pa.Table:
    """The rows in the table's columns and types, keys and constraints checked."""
    incoming = normalise(source, nullable(target))
    if settings.key:
        merge.check_keys(log, to_frame(incoming.select(settings.key)), settings.key)
    _check_rows(incoming, settings)
    return incoming


def _check_rows(rows: pa.Table, metadata: Metadata) -> None:
    check_not_null(rows, table_schema(metadata))
    constraints.check_rows(rows, metadata)


def _matching(log: Log, head: Snapshot, where: str) -> Scan:
    return open_scan(log, head, engine.matching_files(head, where))


def _numbered_rows(scan: Scan, found: pa.Table) -> pl.DataFrame:
    """Rows found by DuckDB, with ``__tv_row``."""
    frame = to_frame(found)
    files = frame[engine.FILE].to_numpy()
    rows = scan.offsets[files] + frame[engine.POSITION].to_numpy() if frame.height else np.empty(0, np.int64)
    return frame.drop(engine.FILE, engine.POSITION).with_columns(pl.Series(ROW, rows, dtype=pl.Int64))


def _assigned(scan: Scan, went: pl.DataFrame, assignments: Mapping[str, str]) -> pa.Table:
    """The rows with the assigned columns replaced, in the table's types."""
    target = scan.schema
    old = to_arrow(went, target)
    values = engine.evaluate(old, dict(assignments))
    for name in assignments:
        kind = target.field(name).type
        column = values.column(name)
        if column.null_count == len(column):
            column = pa.chunked_array([pa.nulls(len(column), kind)])
        new = normalise(pa.table({name: column}), pa.schema([target.field(name).with_nullable(True)]))
        old = old.set_column(target.get_field_index(name), target.field(name), new.column(0))
    return old
