"""Changes of a table's rules: its key, NOT NULL and CHECK constraints, what it keeps.

Rules for rows are validated against every row first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Unpack

import pyarrow as pa

from tablever import constraints, merge
from tablever.batches import text_content
from tablever.columns import check_key, with_not_null
from tablever.commit import commit
from tablever.creation import as_names, key_setting
from tablever.datafiles import Staging
from tablever.errors import AlreadyExistsError, CorruptionError, InvalidInputError
from tablever.fitting import check_not_null
from tablever.frames import load, to_arrow
from tablever.layout import table_schema
from tablever.log import Log, TableLike, open_log
from tablever.model import Metadata, Snapshot, Version
from tablever.options import CommitOptions, record
from tablever.plan import Proposal
from tablever.protocol import protocol_for
from tablever.retention import KEEP_HISTORY, RETENTION, parse_policy, threats_of
from tablever.scan import open_scan
from tablever.schema import extend_delta


def set_key(table: TableLike, key: str | Sequence[str] | None, **options: Unpack[CommitOptions]) -> Version | None:
    """Make columns the table's key: unique and not null, for the rows there are and all to come. None removes it.

    This is also how a table made by another tool gets its key.

    Raises:
        InvalidKeyError: no such column, a type that cannot be a key, or nulls in it.
        DuplicateKeyError: rows share a key.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> set_key(table, "id").operation
        'set-key'
    """
    names = as_names(key, "key")
    log = open_log(table)

    def plan(head: Snapshot, _: Staging) -> Proposal | None:
        if names == _key_of(head.metadata):
            return None
        columns = table_schema(head.metadata)
        check_key(columns, names or None)
        if names:
            merge.check_keys(log, load(open_scan(log, head), names), names)
        kept = {k: v for k, v in head.metadata.configuration.items() if k != "tablever.key"}
        metadata = replace(
            head.metadata,
            schema_string=extend_delta(head.metadata.schema_string, with_not_null(columns, names)),
            configuration={**kept, **key_setting(names)},
        )
        return _settings_change("set-key", head, metadata)

    return commit(log, plan, record(log, options, text_content(repr(names))))


def _key_of(metadata: Metadata) -> tuple[str, ...] | None:
    """The key; None where the property that says it is damaged, or of columns that are gone: it can be set anew."""
    try:
        return metadata.key
    except CorruptionError:
        return None


def set_not_null(table: TableLike, columns: str | Sequence[str], **options: Unpack[CommitOptions]) -> Version | None:
    """Forbid nulls in columns, for the rows there are and all to come.

    Raises:
        SchemaMismatchError: no such column.
        ConstraintError: a row has a null there.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> set_not_null(table, "stars").operation
        'set-not-null'
    """
    names = as_names(columns, "columns")
    log = open_log(table)

    def plan(head: Snapshot, _: Staging) -> Proposal | None:
        columns = table_schema(head.metadata)
        target = with_not_null(columns, names)
        if target.equals(columns):
            return None
        rows = load(open_scan(log, head), names)
        check_not_null(to_arrow(rows, _only(target, names)), _only(target, names))
        text = extend_delta(head.metadata.schema_string, with_not_null(columns, names))
        return _settings_change("set-not-null", head, replace(head.metadata, schema_string=text))

    return commit(log, plan, record(log, options, text_content(repr(names))))


def add_constraint(table: TableLike, name: str, check: str, **options: Unpack[CommitOptions]) -> Version | None:
    """Add a CHECK constraint: a Spark SQL expression that must be true of every row; null fails it.

    Args:
        name: letters, digits and underscores; kept in the table's ``delta.constraints.<name>``.

    Raises:
        AlreadyExistsError: another constraint has that name.
        ConstraintError: a row breaks it; ``rows`` holds up to five.
        UnsupportedFeatureError: an expression that cannot be translated to DuckDB faithfully.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> add_constraint(table, "stars_in_range", "stars BETWEEN 1 AND 5").operation
        'add-constraint'
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise InvalidInputError(f"a constraint's name has letters, digits and underscores, not {name!r}")
    log = open_log(table)

    def plan(head: Snapshot, _: Staging) -> Proposal | None:
        known = {k.lower(): v for k, v in head.metadata.constraints.items()}.get(name.lower())
        if known == check:
            return None
        if known is not None:
            raise AlreadyExistsError(f"'{log.name}' has a constraint '{name}' already: {known}", name=name)
        metadata = replace(
            head.metadata,
            configuration={**head.metadata.configuration, f"delta.constraints.{name}": check},
        )
        _check_all(log, head, metadata)
        return _settings_change("add-constraint", head, metadata)

    return commit(log, plan, record(log, options, text_content(name, check)))


def set_retention(table: TableLike, policy: str | None, **options: Unpack[CommitOptions]) -> Version | None:
    """Store which versions a ``vacuum`` keeps. Nothing goes before one is run.

    Args:
        policy: ``"all"``, ``"pinned"``, ``"90 days"``, ``"10 versions"``, or several with commas between: kept is what
            any of them keeps, and always the head and what tags, runs and pins name. None removes it: all is kept.

    Raises:
        InvalidInputError: no policy.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> set_retention(table, "pinned, 90 days").operation
        'set-retention'
    """
    text = None if policy is None else parse_policy(policy).text
    log = open_log(table)

    def plan(head: Snapshot, _: Staging) -> Proposal | None:
        kept = {k: v for k, v in head.metadata.configuration.items() if k != RETENTION}
        return _properties_change("set-retention", head, kept | ({} if text is None else {RETENTION: text}))

    return commit(log, plan, record(log, options, text_content("set-retention", str(text))))


def protect(table: TableLike, **options: Unpack[CommitOptions]) -> Version | None:
    """Set the properties that keep other Delta writers from destroying history, as tables of ours have them.

    Without them any writer may delete log entries older than 30 days, and a ``VACUUM`` the files of old versions.

    Returns:
        The new Version; None where they are set already.

    Example:
        >>> import deltalake, pyarrow
        >>> deltalake.write_deltalake(folder / "events", pyarrow.table({"id": [1]}))
        >>> protect(folder / "events").operation
        'protect'
        >>> protect(folder / "events") is None
        True
    """
    log = open_log(table)

    def plan(head: Snapshot, _: Staging) -> Proposal | None:
        return _properties_change("protect", head, {**head.metadata.configuration, **KEEP_HISTORY})

    return commit(log, plan, record(log, options, text_content("protect")))


def threats(table: TableLike) -> tuple[str, ...]:
    """What the table's own properties let other Delta writers destroy, in sentences; none where ``protect`` was run."""
    log = open_log(table)
    times = [version.timestamp for version in log.versions()]
    return threats_of(log.head().metadata.configuration, times, datetime.now(UTC))


def _properties_change(operation: str, head: Snapshot, configuration: dict[str, str]) -> Proposal | None:
    if configuration == dict(head.metadata.configuration):
        return None
    return _settings_change(operation, head, replace(head.metadata, configuration=configuration))


def _check_all(log: Log, head: Snapshot, metadata: Metadata) -> None:
    columns = table_schema(head.metadata)
    constraints.check_rows(to_arrow(load(open_scan(log, head)), columns), metadata)


def _only(columns: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([columns.field(name) for name in names])


def _settings_change(operation: str, head: Snapshot, metadata: Metadata) -> Proposal:
    return Proposal(operation, metadata=metadata, protocol=protocol_for(head, metadata))
