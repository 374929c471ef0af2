"""Checkpoints: a version's whole state in Parquet or JSON files (Delta protocol, "Checkpoints").

Classic (one file or several parts) and V2 (a top-level file, Parquet or JSON, and sidecars) alike are parts that
``to_state`` puts together. Tombstones are left out: no snapshot needs them. Files are taken column by column, not row
by row: 10,000 of them in some 50 ms.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise, repeat
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tablever.delta.actions import Action, Add, build_actions, decode_entry, decode_percent
from tablever.delta.replay import State, apply, from_files
from tablever.errors import CorruptionError
from tablever.model import EMPTY, DataFile, DeletionVector

MOST_VALUES = 1 << 26
MOST_BYTES = 1 << 31
_ACTIONS = ("protocol", "metaData", "txn", "domainMetadata")
_ADD_FIELDS = (
    "path",
    "size",
    "modificationTime",
    "partitionValues",
    "stats",
    "tags",
    "deletionVector",
    "baseRowId",
    "defaultRowCommitVersion",
    "clusteringProvider",
)


@dataclass(frozen=True)
class Part:
    """One checkpoint file: its live files, its other actions, and the names of the sidecars it points to."""

    files: tuple[DataFile, ...]
    actions: tuple[Action, ...] = ()
    sidecars: tuple[str, ...] = ()


def parse_part(data: bytes, *, name: str) -> Part:
    """A checkpoint file, part or sidecar from its bytes; ``name`` tells JSON from Parquet.

    Raises CorruptionError (fact ``file``) where it is cut, damaged, or lacks a required field.
    """
    return _parse_json(data, name) if name.endswith(".json") else _parse_parquet(data, name)


def sidecars_of(parts: Iterable[Part], *, name: str) -> list[str]:
    """The names of the sidecars that a checkpoint's parts point to, each once; what sidecars name is nothing.

    Raises CorruptionError where one would lie elsewhere than in the folder of sidecars.
    """
    paths = dict.fromkeys(path for part in parts for path in part.sidecars)
    names = {decode_percent(path).removeprefix("_delta_log/_sidecars/"): path for path in paths}
    for each, path in names.items():
        if not each or "/" in each or "\0" in each or each in (".", ".."):
            raise CorruptionError(
                f"checkpoint '{name}' names the sidecar {path[:80]!r}, which is no file's name", file=name
            )
    return list(names)


def to_state(parts: Iterable[Part], *, name: str) -> State:
    """The state that a checkpoint's parts and sidecars hold. Raises CorruptionError where they are not complete."""
    parts = list(parts)
    state = apply(State(), (action for part in parts for action in part.actions))
    for missing, there in (("protocol", state.protocol), ("metaData", state.metadata)):
        if there is None:
            raise CorruptionError(f"checkpoint '{name}' has no '{missing}' action", file=name, missing=missing)
    return from_files(state, (file for part in parts for file in part.files))


def _parse_json(data: bytes, name: str) -> Part:
    values = decode_entry(data, name=name)
    actions = build_actions(values, name=name)
    sidecars = [value["sidecar"] for value in values if value.get("sidecar") is not None]
    return Part(
        files=tuple(action.file for action in actions if isinstance(action, Add)),
        actions=tuple(action for action in actions if not isinstance(action, Add)),
        sidecars=_sidecars(sidecars, name),
    )


def _parse_parquet(data: bytes, name: str) -> Part:
    try:
        source = pa.BufferReader(data)
        file = pq.ParquetFile(source, coerce_int96_timestamp_unit="us", page_checksum_verification=True)
        table = _read(file, _columns(file.schema_arrow))
        return Part(
            files=_files(table, name),
            actions=tuple(build_actions(_rows(table, _ACTIONS), name=name)),
            sidecars=_sidecars([row["sidecar"] for row in _rows(table, ("sidecar",))], name),
        )
    except MemoryError:  # says nothing of the file, which a repair would move aside
        raise
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError, OverflowError) as error:
        reason = str(error).split("\n")[0]
        raise CorruptionError(f"checkpoint '{name}' cannot be read: {reason}", file=name) from error


def _read(file: pq.ParquetFile, columns: list[str]) -> pa.Table:
    """A checkpoint's columns, a few rows at a time where few bytes may stand for many.

    Raises ValueError where they are more than any log needs: a dictionary can say a megabyte a million times.
    """
    if any(_holds_dictionaries(field.type) for field in file.schema_arrow):
        raise ValueError("it has a column of dictionaries, as no checkpoint has")
    footer = file.metadata
    chunks = [footer.row_group(i).column(j) for i in range(footer.num_row_groups) for j in range(footer.num_columns)]
    values = max((chunk.num_values for chunk in chunks), default=0)
    largest = max((chunk.total_uncompressed_size for chunk in chunks), default=0)
    if not (0 <= footer.num_rows <= MOST_VALUES and values <= MOST_VALUES and 0 <= largest <= MOST_BYTES):
        raise ValueError(f"it says that it holds {footer.num_rows} rows, of up to {values} values and {largest} bytes")
    batch_rows = min(max(1, MOST_BYTES // max(largest, 1)), 1 << 20)
    if footer.num_rows <= batch_rows:
        return file.read(columns=columns, use_threads=False)
    batches, held = [], 0
    for batch in file.iter_batches(batch_rows, columns=columns, use_threads=False):
        held += batch.nbytes
        if held > MOST_BYTES:
            raise ValueError(f"it holds more than {MOST_BYTES} bytes, unpacked")
        batches.append(batch)
    return pa.Table.from_batches(batches) if batches else file.read(columns=columns, use_threads=False)


def _holds_dictionaries(kind: pa.DataType) -> bool:
    """Whether Arrow would give a type back packed, so that its bytes say nothing of its values."""
    if pa.types.is_nested(kind):
        return any(_holds_dictionaries(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_dictionary(kind))


def _sidecars(values: Sequence[Mapping[str, Any]], name: str) -> tuple[str, ...]:
    paths = [value.get("path") for value in values]
    if not all(isinstance(path, str) for path in paths):
        raise CorruptionError(f"checkpoint '{name}' names a sidecar without a path", file=name)
    return tuple(str(path) for path in paths)


def _columns(schema: pa.Schema) -> list[str]:
    """The leaves to read: parsed statistics and partition values only where the log's own form of them is missing."""
    columns = [name for name in (*_ACTIONS, "sidecar") if name in schema.names]
    if "add" not in schema.names:
        return columns
    there = {field.name for field in schema.field("add").type}
    wanted = [field for field in _ADD_FIELDS if field in there]
    wanted += ["stats_parsed"] if "stats_parsed" in there else []
    wanted += ["partitionValues_parsed"] if "partitionValues" not in there and "partitionValues_parsed" in there else []
    return columns + [f"add.{field}" for field in wanted]


def _rows(table: pa.Table, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """The actions of some kinds as JSON objects."""
    result = []
    for kind in kinds:
        if kind in table.column_names:
            column = table.column(kind)
            result += [{kind: row} for row in column.drop_null().to_pylist(maps_as_pydicts="strict")]
    return result


def _files(table: pa.Table, name: str) -> tuple[DataFile, ...]:
    if "add" not in table.column_names:
        return ()
    chunks = table.column("add").drop_null().chunks
    if not chunks:
        return ()
    adds = pa.concat_arrays(chunks)
    fields = {field.name: adds.field(index) for index, field in enumerate(adds.type)}
    paths, sizes, times = (_required(fields, key, name) for key in ("path", "size", "modificationTime"))
    values = _maps(fields["partitionValues"]) if "partitionValues" in fields else _parsed_values(fields, len(adds))
    tags = fields.get("tags")
    return tuple(
        map(
            DataFile,
            paths,
            sizes,
            times,
            values,
            _stats(fields, len(adds)),
            repeat(None) if tags is None or tags.null_count == len(adds) else _optional_maps(tags),
            _vectors(fields.get("deletionVector"), len(adds)),
            _optional(fields.get("baseRowId")),
            _optional(fields.get("defaultRowCommitVersion")),
            _optional(fields.get("clusteringProvider")),
        )
    )


def _required(fields: Mapping[str, pa.Array], key: str, name: str) -> list[Any]:
    if key not in fields or fields[key].null_count:
        raise CorruptionError(f"checkpoint '{name}' has files without '{key}'", file=name, missing=key)
    return list(fields[key].to_pylist())


def _optional(column: pa.Array | None) -> Iterable[Any]:
    return repeat(None) if column is None or column.null_count == len(column) else column.to_pylist()


def _maps(column: pa.MapArray) -> list[Mapping[str, str | None]]:
    offsets = column.offsets.to_pylist()
    if offsets[0] == offsets[-1]:
        return [EMPTY] * len(column)
    keys, items = column.keys.to_pylist(), column.items.to_pylist()
    return [dict(zip(keys[start:end], items[start:end], strict=True)) for start, end in pairwise(offsets)]


def _optional_maps(column: pa.MapArray) -> list[Mapping[str, str | None] | None]:
    there = column.is_valid().to_pylist()
    return [value if valid else None for value, valid in zip(_maps(column), there, strict=True)]


def _vectors(column: pa.StructArray | None, count: int) -> Iterable[DeletionVector | None]:
    if column is None or column.null_count == count:
        return repeat(None)
    there = column.is_valid().to_pylist()
    kinds, texts = column.field("storageType").to_pylist(), column.field("pathOrInlineDv").to_pylist()
    sizes, rows = column.field("sizeInBytes").to_pylist(), column.field("cardinality").to_pylist()
    names = {field.name for field in column.type}
    offsets = column.field("offset").to_pylist() if "offset" in names else [None] * count
    fields = zip(there, kinds, texts, sizes, rows, offsets, strict=True)
    return [DeletionVector(*rest) if valid else None for valid, *rest in fields]


def _stats(fields: Mapping[str, pa.Array], count: int) -> Iterable[str | None]:
    texts = fields.get("stats")
    parsed = fields.get("stats_parsed")
    if parsed is None or (texts is not None and not texts.null_count):
        return _optional(texts)
    given = [None] * count if texts is None else texts.to_pylist()
    return [text or _render_stats(row) for text, row in zip(given, parsed.to_pylist(), strict=True)]


def _render_stats(row: Mapping[str, Any] | None) -> str | None:
    """Statistics that a checkpoint holds as a struct, in the form that they have in the log."""
    if row is None or row.get("numRecords") is None:
        return None
    return json.dumps(_plain(row), ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """A statistic as a JSON value; None, which promises nothing, where JSON has no exact form of it."""
    if isinstance(value, dict):
        plain = {key: _plain(item) for key, item in value.items()}
        return {key: item for key, item in plain.items() if item is not None}
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z" if value.tzinfo else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _exact_number(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | bool | int) else None


def _exact_number(value: Decimal) -> int | float | None:
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else None


def _parsed_values(fields: Mapping[str, pa.Array], count: int) -> list[Mapping[str, str | None]]:
    parsed = fields.get("partitionValues_parsed")
    if parsed is None:
        return [EMPTY] * count
    return [{key: _partition_text(value) for key, value in (row or {}).items()} for row in parsed.to_pylist()]


def _partition_text(value: Any) -> str | None:
    """A partition value in the form that it has in the log (Delta protocol, "Partition Value Serialization")."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case bytes():
            return value.decode("utf-8")
        case datetime() if value.tzinfo:
            return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        case datetime():
            return value.isoformat(sep=" ")
        case date():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case _:
            return str(value)
