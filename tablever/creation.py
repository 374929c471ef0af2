"""A new table: its settings, its protocol, and its first rows in version 0."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

import pyarrow as pa

from tablever import merge
from tablever.batches import rows_content
from tablever.columns import canonical_schema, check_key, check_partition, with_not_null
from tablever.commit import Record, create
from tablever.datafiles import Staging
from tablever.delta.listing import LOG_FOLDER, parse_names
from tablever.errors import AlreadyExistsError, InvalidInputError, StorageError
from tablever.fitting import check_not_null, normalise
from tablever.frames import to_frame
from tablever.incoming import Rows, to_table
from tablever.layout import nullable, table_schema
from tablever.log import Log, entry_path
from tablever.model import Metadata, Version
from tablever.options import CommitOptions, record
from tablever.plan import insertion
from tablever.protocol import protocol_of
from tablever.retention import KEEP_HISTORY
from tablever.schema import arrow_to_delta
from tablever.storage import Storage, open_storage

Deletes = Literal["merge-on-read", "copy-on-write"]


def create_log(
    uri: str | os.PathLike[str],
    rows_or_schema: Rows | pa.Schema,
    *,
    key: str | Sequence[str] | None,
    partition_by: str | Sequence[str] | None,
    deletes: Deletes,
    storage_options: Mapping[str, str] | None,
    options: CommitOptions,
) -> Log:
    """Make the table and return its log. The public verb, ``create_table``, documents the arguments."""
    if deletes not in ("merge-on-read", "copy-on-write"):
        raise InvalidInputError(f"deletes must be 'merge-on-read' or 'copy-on-write', not {deletes!r}")
    storage = open_storage(uri, storage_options)
    refuse_existing_table(storage)
    if options.get("if_version") is not None:
        raise InvalidInputError("if_version has nothing to compare with: creating makes version 0")
    rows = empty_or_rows(rows_or_schema)
    metadata = _settings(rows, key=key, partition_by=partition_by, deletes=deletes)
    columns = table_schema(metadata)
    incoming = normalise(rows, nullable(columns))
    log = Log(storage)
    said = record(log, options, rows_content("create", rows))
    if metadata.key:
        merge.check_keys(log, to_frame(incoming.select(metadata.key)), metadata.key)
    check_not_null(incoming, columns)
    staging = Staging(storage)
    committed = _commit(log, metadata, incoming, staging, said)
    if committed is None:
        raise _exists(storage)
    return log


def _commit(log: Log, metadata: Metadata, rows: pa.Table, staging: Staging, said: Record) -> Version | None:
    made = log.storage.missing_folders()
    try:
        proposal = insertion(staging, "create", metadata, rows)
        proposal = replace(proposal, metadata=metadata, protocol=protocol_of(metadata), parameters={})
        return create(log, proposal, staging, said)
    except BaseException as error:
        with suppress(StorageError):  # why it failed is what the caller must hear
            if not getattr(error, "unsure", False) and not log.storage.exists(entry_path(0)):
                staging.discard()
                log.storage.remove_empty_folders(made)
        raise


def refuse_existing_table(storage: Storage) -> None:
    """Raise AlreadyExistsError where a table, or a file, is there already."""
    there = parse_names(storage.list(LOG_FOLDER))
    if there.entries or there.checkpoints:
        raise _exists(storage)
    if storage.place.kind() == "file":
        raise AlreadyExistsError(f"cannot create a table at '{storage.uri}': that is a file", hint="name a folder")


def _exists(storage: Storage) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"there is a table at '{storage.uri}' already",
        hint="append to it, overwrite it, or choose another folder",
        uri=storage.uri,
    )


def empty_or_rows(rows_or_schema: Rows | pa.Schema) -> pa.Table:
    """The rows, or no rows of the schema."""
    if isinstance(rows_or_schema, pa.Schema):
        return rows_or_schema.empty_table()
    holds_rows = hasattr(rows_or_schema, "__arrow_c_stream__") or hasattr(rows_or_schema, "__arrow_c_array__")
    if hasattr(rows_or_schema, "__arrow_c_schema__") and not holds_rows:
        return pa.schema(rows_or_schema).empty_table()
    return to_table(rows_or_schema, schema=None)


def as_names(names: str | Sequence[str] | None, what: str) -> tuple[str, ...]:
    """One name or several, as a tuple."""
    if names is None:
        return ()
    if isinstance(names, str):
        return (names,)
    found = tuple(names)
    if not all(isinstance(name, str) for name in found):
        raise InvalidInputError(f"{what} must be a column name or a list of them, not {names!r}")
    return found


def _settings(
    rows: pa.Table, *, key: str | Sequence[str] | None, partition_by: str | Sequence[str] | None, deletes: Deletes
) -> Metadata:
    columns = canonical_schema(rows)
    keys = check_key(columns, key)
    columns = with_not_null(columns, keys)
    partitions = check_partition(columns, partition_by)
    configuration: dict[str, Any] = {
        **({"delta.enableDeletionVectors": "true"} if deletes == "merge-on-read" else {}),
        "delta.enableChangeDataFeed": "true",
        **KEEP_HISTORY,
        **key_setting(keys),
    }
    return Metadata(
        id=str(uuid.uuid4()),
        schema_string=arrow_to_delta(columns),
        partition_columns=partitions,
        configuration=configuration,
        created_time=time.time_ns() // 1_000_000,
    )


def key_setting(key: tuple[str, ...]) -> dict[str, str]:
    """The table property that names the key's columns."""
    return {"tablever.key": json.dumps(list(key), ensure_ascii=False)} if key else {}
