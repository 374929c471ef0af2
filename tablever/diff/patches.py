"""Changes written as a patch, and a patch applied to a table."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

import polars as pl
import pyarrow as pa

from tablever.batches import text_content
from tablever.columns import evolve
from tablever.commit import commit
from tablever.datafiles import Staging
from tablever.diff.patch_files import Patch, no_patch, read_patch, save
from tablever.diff.sides import Side, scope_of
from tablever.errors import ConflictError, InvalidInputError, TableverError, UnsupportedFeatureError
from tablever.frames import to_frame
from tablever.layout import table_schema
from tablever.log import TableLike, open_log
from tablever.model import Metadata, Snapshot, Version
from tablever.options import CommitOptions, record
from tablever.plan import Proposal
from tablever.replay_changes import plan_changes
from tablever.rows import digest
from tablever.schema import arrow_to_delta, extend_delta
from tablever.texts import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tablever.diff.value import Diff
    from tablever.findings import SchemaChange


def write_patch(diff: Diff, file: str | os.PathLike[str]) -> int:
    """Write the changes of a diff to a file, which takes its name when it is whole.

    Columns that only one side has are compared for it, so that their values are in the patch.

    Rows and added columns are in it. Other changes of columns, rules and settings (``diff.schema``) are not.

    Returns:
        The number of rows added, removed and updated.

    Raises:
        InvalidInputError: the diff has a tolerance, or leaves columns out: it is not all that changed; or it tells
            rows apart by another key than the left version has, which would refuse the patch.
        StorageError: the disk refuses.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> v = upsert(table, [{"id": 1, "stars": 4}, {"id": 2, "stars": 3}])
        >>> write_patch(diff_versions(table, 0, 1), folder / "fix.patch")
        2
        >>> copy = create_table(folder / "copy", [{"id": 1, "stars": 5}], key="id")
        >>> apply_patch(copy, folder / "fix.patch").rows
        2
    """
    whole = _whole(diff)
    counts = {"added": whole.summary.added, "removed": whole.summary.removed, "updated": whole.summary.updated}
    before, after = _schema_of(whole.left), _schema_of(whole.right)
    footer = {
        "table": _name_of(whole),
        "base": _version_of(whole.left),
        "target": _version_of(whole.right),
        "key": list(whole.key),
        "before": None if before is None else json.loads(before),
        "after": None if after is None else json.loads(after),
        "counts": counts,
    }
    changes = whole.changes()
    save(file, changes.schema, changes, footer)
    return sum(counts.values())


def _whole(diff: Diff) -> Diff:
    """The diff with every column compared, those of one side too; InvalidInputError where it leaves any out."""
    scope = diff.scope
    either = dict.fromkeys(name for schema in (diff.right.schema, diff.left.schema) if schema for name in schema.names)
    if scope.tolerance:
        raise InvalidInputError(
            "a diff with a tolerance cannot be a patch: it leaves out what changed by less",
            hint="make the patch without a tolerance",
        )
    missing = [name for name in either if name not in scope.columns]
    if missing:
        raise InvalidInputError(
            f"a diff of some columns cannot be a patch: it leaves out {listed(missing)}",
            hint="make the patch without columns or exclude",
        )
    own = None if diff.left.snapshot is None else diff.left.snapshot.metadata.key
    if own is not None and own != scope.key:
        raise InvalidInputError(
            f"a diff by {_keyed(scope.key)} cannot be a patch: {diff.left.name} has {_keyed(own)}, and would refuse it",
            hint="make the patch without key, from versions that have the same key; set_key(table, 'column') sets it",
        )
    if not scope.carried:
        return diff
    key = None if scope.key and not scope.given else list(scope.key)
    return replace(diff, scope=scope_of(diff.left, diff.right, key=key, columns=list(either)))


def not_carried(diff: Diff) -> tuple[SchemaChange, ...]:
    """The changes of the schema that a patch of a diff does not make: all but added columns."""
    return tuple(change for change in diff.schema if change.change != "added")


def _schema_of(side: Side) -> str | None:
    if side.snapshot is not None:
        return side.snapshot.metadata.schema_string
    return None if side.rows is None else arrow_to_delta(side.rows.schema)


def _name_of(diff: Diff) -> str:
    log = diff.right.log or diff.left.log
    return "" if log is None else log.name


def _version_of(side: Side) -> dict[str, Any] | None:
    version = side.version
    if version is None:
        return None
    return {
        "number": version.number,
        "commit_hash": version.commit_hash or None,
        "content_hash": version.content_hash,
    }


def apply_patch(table: TableLike, file: str | os.PathLike[str], **options: Unpack[CommitOptions]) -> Version | None:
    """Commit the changes of a patch on top of the head, which need not be the version they were made from.

    All or nothing: every row to remove or update must be there and equal its old image in every column (without a
    key: as often as it is removed), every key to insert must be free. Columns that the patch adds are added. What
    else differs between its two sides (NOT NULL, constraints, properties) is no part of a patch: the table's own
    rules hold.

    Returns:
        The new Version; None where the patch changes nothing.

    Raises:
        NotFoundError, InvalidInputError: no such file, or no patch.
        ConflictError: rows are missing, different or there already: ``missing``, ``different`` and ``existing`` hold
            up to five keys of each (without a key, rows); or the table has another key. Nothing is written.
        UnsupportedFeatureError: the patch drops columns or gives them another type.
        DuplicateKeyError, InvalidKeyError, ConstraintError, StorageError: as ``append``.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> v = update(table, {"stars": "1"}, where="true")
        >>> write_patch(diff_versions(table, 1, 0), folder / "back.patch")
        1
        >>> apply_patch(table, folder / "back.patch").rows_updated
        1
    """
    log = open_log(table)
    patch = read_patch(file)
    what = f"apply '{os.fspath(file)}' to '{log.name}'"
    added = _added_columns(patch, what)
    went, came = _frames(patch, file)

    def plan(head: Snapshot, staging: Staging) -> Proposal | None:
        if head.metadata.key != patch.key:
            raise ConflictError(
                f"cannot {what}: the patch has {_keyed(patch.key)}, the table has {_keyed(head.metadata.key)}",
                hint="make the patch from versions that have the table's key",
                key=head.metadata.key,
            )
        return plan_changes(
            log,
            head,
            staging,
            went,
            came,
            operation="apply",
            what=what,
            hint=_hint(patch),
            parameters={"table": patch.table, "base": _number(patch.base), "target": _number(patch.target)},
            metadata=_with_columns(head.metadata, added),
        )

    content = text_content("apply", digest(patch.rows), json.dumps(patch.key), str(patch.after_schema))
    return commit(log, plan, record(log, options, content))


def _added_columns(patch: Patch, what: str) -> pa.Schema:
    """The columns that only the after side has; UnsupportedFeatureError where it lacks or retypes one."""
    left, right = (pa.schema([]) if s is None else s for s in (patch.before_schema, patch.after_schema))
    for column in left:
        if column.name not in right.names:
            how = "drops"
        elif right.field(column.name).type != column.type:
            how = "retypes"
        else:
            continue
        raise UnsupportedFeatureError(
            f"cannot {what}: it {how} column '{column.name}'",
            hint="a patch changes rows and adds columns: overwrite(…, replace_schema=True) gives a table other ones",
            feature=f"a patch that {how} a column",
            column=column.name,
        )
    return pa.schema([column for column in right if column.name not in left.names])


def _frames(patch: Patch, file: str | os.PathLike[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    try:
        return to_frame(patch.went), to_frame(patch.came)
    except TableverError as error:
        raise no_patch(file, f"its rows are not of the types that its footer names: {error}") from error


def _with_columns(settings: Metadata, added: pa.Schema) -> Metadata | None:
    """The settings with the columns that the table lacks; None where it lacks none."""
    now = table_schema(settings)
    wider = evolve(now, added)
    if wider.names == now.names:
        return None
    return replace(settings, schema_string=extend_delta(settings.schema_string, wider))


def _keyed(key: tuple[str, ...]) -> str:
    return f"the key {listed(key)}" if key else "no key"


def _number(version: Mapping[str, Any] | None) -> str:
    return "" if version is None else str(version.get("number", ""))


def _hint(patch: Patch) -> str:
    if patch.base is None:
        return "perhaps it is applied already"
    return f"it was made from version {_number(patch.base)} of '{patch.table}'; perhaps it is applied already"
