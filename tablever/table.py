"""Table: a small frozen handle with the verbs as methods, one line each, so that completion finds them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import pyarrow as pa

from tablever import compaction, contents, creation, pins, read, runs, settings, tags, undo, versions, write
from tablever.incoming import Rows
from tablever.layout import table_schema
from tablever.log import Log, open_log
from tablever.model import Pin, Run, Tag, Version
from tablever.options import CommitOptions, RecordOptions
from tablever.refs import Ref

if TYPE_CHECKING:
    import polars as pl

    from tablever.diff.audits import Audit
    from tablever.diff.sides import ScopeOptions, Tolerance
    from tablever.diff.value import Diff
    from tablever.findings import Plan
    from tablever.history.events import RowEvent
    from tablever.integrity.report import Level, Progress, Report
    from tablever.repairing import Repair
    from tablever.usage import Usage
    from tablever.vacuuming import Vacuum


@dataclass(frozen=True)
class Table:
    """A versioned table. Holds no version and no mood: every question names the version it is about."""

    log: Log

    @property
    def uri(self) -> str:
        """Where the table is."""
        return self.log.uri

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.log.name

    @property
    def schema(self) -> pa.Schema:
        """The head's columns in canonical Arrow types; NOT NULL ones are not nullable."""
        return table_schema(self.log.head().metadata)

    @property
    def key(self) -> tuple[str, ...]:
        """The head's key columns; empty without a key."""
        return self.log.head().metadata.key

    @property
    def partition_columns(self) -> tuple[str, ...]:
        """The columns that the head is partitioned by."""
        return self.log.head().metadata.partition_columns

    @property
    def constraints(self) -> dict[str, str]:
        """The head's CHECK constraints: name to Spark SQL expression."""
        return self.log.head().metadata.constraints

    def __repr__(self) -> str:
        return f"Table({self.uri!r})"

    def append(self, rows: Rows, *, evolve: bool = False, **options: Unpack[CommitOptions]) -> Version | None:
        """See ``tablever.append``."""
        return write.append(self, rows, evolve=evolve, **options)

    def upsert(self, rows: Rows, *, evolve: bool = False, **options: Unpack[CommitOptions]) -> Version | None:
        """See ``tablever.upsert``."""
        return write.upsert(self, rows, evolve=evolve, **options)

    def update(self, assignments: Mapping[str, str], *, where: str, **options: Unpack[CommitOptions]) -> Version | None:
        """See ``tablever.update``."""
        return write.update(self, assignments, where=where, **options)

    def delete(
        self, *, where: str | None = None, keys: Rows | None = None, **options: Unpack[CommitOptions]
    ) -> Version | None:
        """See ``tablever.delete``."""
        return write.delete(self, where=where, keys=keys, **options)

    def overwrite(
        self, rows: Rows, *, evolve: bool = False, replace_schema: bool = False, **options: Unpack[CommitOptions]
    ) -> Version | None:
        """See ``tablever.overwrite``."""
        return write.overwrite(self, rows, evolve=evolve, replace_schema=replace_schema, **options)

    def restore(self, ref: Ref, **options: Unpack[CommitOptions]) -> Version | None:
        """See ``tablever.restore``."""
        return undo.restore(self, ref, **options)

    def revert(self, ref: Ref, **options: Unpack[CommitOptions]) -> Version | None:
        """See ``tablever.revert``."""
        return undo.revert(self, ref, **options)

    def set_key(self, key: str | Sequence[str] | None, **options: Unpack[CommitOptions]) -> Version | None:
        """See ``tablever.set_key``."""
        return settings.set_key(self, key, **options)

    def set_not_null(self, columns: str | Sequence[str], **options: Unpack[CommitOptions]) -> Version | None:
        """See ``tablever.set_not_null``."""
        return settings.set_not_null(self, columns, **options)

    def add_constraint(self, name: str, check: str, **options: Unpack[CommitOptions]) -> Version | None:
        """See ``tablever.add_constraint``."""
        return settings.add_constraint(self, name, check, **options)

    def tag(self, name: str, ref: Ref = "latest", *, message: str | None = None, author: str | None = None) -> Tag:
        """See ``tablever.tag``."""
        return tags.tag(self, name, ref, message=message, author=author)

    def tags(self) -> list[Tag]:
        """See ``tablever.list_tags``."""
        return tags.list_tags(self)

    def delete_tag(self, name: str, *, reason: str | None = None, author: str | None = None) -> Tag:
        """See ``tablever.delete_tag``."""
        return tags.delete_tag(self, name, reason=reason, author=author)

    def link_run(
        self,
        ref: Ref,
        run_id: str,
        *,
        name: str | None = None,
        role: str = "train",
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, Any] | None = None,
        artifacts: Sequence[str] | None = None,
        author: str | None = None,
    ) -> Run:
        """See ``tablever.link_run``."""
        return runs.link_run(
            self,
            ref,
            run_id,
            name=name,
            role=role,
            metrics=metrics,
            params=params,
            artifacts=artifacts,
            author=author,
        )

    def unlink_run(
        self, ref: Ref, run_id: str, *, role: str = "train", reason: str | None = None, author: str | None = None
    ) -> Run:
        """See ``tablever.unlink_run``."""
        return runs.unlink_run(self, ref, run_id, role=role, reason=reason, author=author)

    def runs(self, ref: Ref | None = None) -> list[Run]:
        """See ``tablever.runs_of``."""
        return runs.runs_of(self, ref)

    def pin(self, ref: Ref, *, reason: str, author: str | None = None) -> Pin:
        """See ``tablever.pin``."""
        return pins.pin(self, ref, reason=reason, author=author)

    def unpin(self, ref: Ref, *, reason: str | None = None, author: str | None = None) -> list[Pin]:
        """See ``tablever.unpin``."""
        return pins.unpin(self, ref, reason=reason, author=author)

    def pins(self) -> list[Pin]:
        """See ``tablever.list_pins``."""
        return pins.list_pins(self)

    def verify(
        self,
        ref: Ref | None = None,
        *,
        level: Level = "files",
        expect: str | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """See ``tablever.verify``."""
        from tablever.integrity import verification

        return verification.verify(self, ref, level=level, expect=expect, progress=progress)

    def compact(
        self,
        *,
        target: str | int = "256 MB",
        min_files: int = 2,
        deleted: float = 0.2,
        cluster: bool = False,
        **options: Unpack[RecordOptions],
    ) -> Version | None:
        """See ``tablever.compact``."""
        return compaction.compact(self, target=target, min_files=min_files, deleted=deleted, cluster=cluster, **options)

    def set_retention(self, policy: str | None, **options: Unpack[CommitOptions]) -> Version | None:
        """See ``tablever.set_retention``."""
        return settings.set_retention(self, policy, **options)

    def protect(self, **options: Unpack[CommitOptions]) -> Version | None:
        """See ``tablever.protect``."""
        return settings.protect(self, **options)

    def vacuum(
        self,
        *,
        keep: str | None = None,
        dry_run: bool = True,
        safety: str | timedelta = "1 day",
        **options: Unpack[RecordOptions],
    ) -> Vacuum:
        """See ``tablever.vacuum``."""
        from tablever import vacuuming

        return vacuuming.vacuum(self, keep=keep, dry_run=dry_run, safety=safety, **options)

    def repair(
        self,
        *,
        give_up: Sequence[str] = (),
        reason: str | None = None,
        author: str | None = None,
        dry_run: bool = False,
    ) -> Repair:
        """See ``tablever.repair``."""
        from tablever import repairing

        return repairing.repair(self, give_up=give_up, reason=reason, author=author, dry_run=dry_run)

    def du(self) -> Usage:
        """See ``tablever.du``."""
        from tablever import usage

        return usage.du(self)

    def versions(self) -> list[Version]:
        """See ``tablever.list_versions``."""
        return versions.list_versions(self)

    def version(self, ref: Ref = "latest") -> Version:
        """See ``tablever.resolve_version``."""
        return versions.resolve_version(self, ref)

    def content_hash(self, ref: Ref = "latest") -> str:
        """See ``tablever.content_hash``."""
        return contents.content_hash(self, ref)

    def read(self, ref: Ref = "latest", *, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """See ``tablever.read_version``."""
        return read.read_version(self, ref, columns=columns, where=where)

    def scan(self, ref: Ref = "latest") -> pl.LazyFrame:
        """See ``tablever.scan_version``."""
        return read.scan_version(self, ref)

    def batches(
        self,
        ref: Ref = "latest",
        *,
        batch_size: int = 65_536,
        columns: Sequence[str] | None = None,
        where: str | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """See ``tablever.iter_batches``."""
        return read.iter_batches(self, ref, batch_size=batch_size, columns=columns, where=where)

    @overload
    def diff(self, a: Ref, b: Ref, *, preview: Literal[False] = False, **scope: Unpack[ScopeOptions]) -> Diff: ...

    @overload
    def diff(self, a: Ref, b: Ref, *, preview: Literal[True], **scope: Unpack[ScopeOptions]) -> Plan: ...

    def diff(
        self,
        a: Ref,
        b: Ref,
        *,
        key: str | Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        tolerance: Tolerance | None = None,
        preview: bool = False,
    ) -> Diff | Plan:
        """See ``tablever.diff_versions``."""
        from tablever.diff import value

        scope: ScopeOptions = {"key": key, "columns": columns, "exclude": exclude, "tolerance": tolerance}
        return (
            value.diff_versions(self, a, b, preview=True, **scope)
            if preview
            else value.diff_versions(self, a, b, **scope)
        )

    def diff_rows(
        self,
        rows: Rows,
        *,
        ref: Ref = "latest",
        key: str | Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        tolerance: Tolerance | None = None,
        evolve: bool = False,
    ) -> Diff:
        """See ``tablever.diff_rows``."""
        from tablever.diff import value

        return value.diff_rows(
            self, rows, ref=ref, key=key, columns=columns, exclude=exclude, tolerance=tolerance, evolve=evolve
        )

    def changes(self, ref: Ref = "latest") -> Diff:
        """See ``tablever.version_changes``."""
        from tablever.diff import value

        return value.version_changes(self, ref)

    def history(self, key: Any) -> list[RowEvent]:
        """See ``tablever.row_history``."""
        from tablever.history import events

        return events.row_history(self, key)

    def runs_that_saw(self, key: Any) -> list[Run]:
        """See ``tablever.runs_that_saw``."""
        from tablever.history import sightings

        return sightings.runs_that_saw(self, key)

    def blame(self, ref: Ref = "latest", *, keys: Rows | None = None, cells: bool = False) -> pa.Table:
        """See ``tablever.blame``."""
        from tablever.history import authors

        return authors.blame(self, ref, keys=keys, cells=cells)

    def audit(self) -> Audit:
        """See ``tablever.audit``."""
        from tablever.diff import audits

        return audits.audit(self)

    def apply(self, file: str | os.PathLike[str], **options: Unpack[CommitOptions]) -> Version | None:
        """See ``tablever.apply_patch``."""
        from tablever.diff import patches

        return patches.apply_patch(self, file, **options)


def create_table(
    uri: str | os.PathLike[str],
    rows_or_schema: Rows | pa.Schema,
    *,
    key: str | Sequence[str] | None = None,
    partition_by: str | Sequence[str] | None = None,
    deletes: creation.Deletes = "merge-on-read",
    storage_options: Mapping[str, str] | None = None,
    **options: Unpack[CommitOptions],
) -> Table:
    """Create a table; the rows land in version 0.

    Args:
        uri: a folder, or a URI (``file://``, ``s3://``, ``gs://``, ``az://``), that holds no table yet.
        rows_or_schema: the first rows, or an Arrow schema for a table without rows.
        key: columns that identify a row: unique, never null.
        partition_by: columns by whose values files are kept apart: strings, integers, booleans, dates, timestamps
            or decimals.
        deletes: ``merge-on-read`` marks deleted rows beside the files; ``copy-on-write`` rewrites the files, for
            readers that do not understand deletion vectors.
        storage_options: how to reach an object store, beside what the environment says.

    Raises:
        AlreadyExistsError: a table is there.
        InvalidKeyError, DuplicateKeyError, SchemaMismatchError, InvalidInputError: rows that cannot be stored so.
        StorageError: the disk refused.

    Example:
        >>> create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id", message="first").key
        ('id',)
    """
    return Table(
        creation.create_log(
            uri,
            rows_or_schema,
            key=key,
            partition_by=partition_by,
            deletes=deletes,
            storage_options=storage_options,
            options=options,
        )
    )


def open_table(
    uri: str | os.PathLike[str],
    *,
    storage_options: Mapping[str, str] | None = None,
    allow_folders: Sequence[str | os.PathLike[str]] = (),
) -> Table:
    """Open a Delta table, ours or not, as it is.

    Args:
        uri: its folder or URI.
        storage_options: how to reach an object store, beside what the environment says.
        allow_folders: folders elsewhere in which files of the table may lie, as a shallow clone's do, or to which
            links in its folder may lead. They are read only. A table cannot allow any by itself.

    Raises:
        TableNotFoundError: no Delta table there.
        InvalidInputError: ``allow_folders`` names what is no folder.
        UnsupportedFeatureError, CorruptionError: there is one that cannot be read right.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> open_table(folder / "reviews").schema.names
        ['id', 'stars']
    """
    log = open_log(uri, storage_options, allow_folders=allow_folders)
    log.head()
    return Table(log)
