"""The content hash a second time, in plain Python over the C reference of XXH3: what tests compare with.

It shares nothing with the package but the page that it follows, docs/reference/content-hash.md.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import xxhash

MASK = (1 << 128) - 1
NAMES = {
    "int8": "byte", "int16": "short", "int32": "integer", "int64": "long", "float": "float", "double": "double",
    "bool": "boolean", "string": "string", "binary": "binary", "date32[day]": "date",
    "timestamp[us, tz=UTC]": "timestamp", "timestamp[us]": "timestamp_ntz",
}  # fmt: skip


def x(data: bytes, seed: int) -> int:
    return xxhash.xxh3_128_intdigest(data, seed)


def b(number: int) -> bytes:
    return number.to_bytes(16, "little")


def seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def cell(value: Any, kind: pa.DataType, name: str) -> int:
    """Step 1."""
    return 0 if value is None else x(value_bytes(value, kind), seed(name))


def value_bytes(value: Any, kind: pa.DataType) -> bytes:
    """The table of types."""
    if pa.types.is_struct(kind):
        return b(sum(cell(value[f.name], f.type, f.name) for f in kind) & MASK)
    if pa.types.is_map(kind):
        pair = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        return value_bytes([{"key": k, "value": v} for k, v in value], pa.list_(pair))
    if pa.types.is_list(kind):
        slots = b"".join(slot(item, kind.value_type) for item in value)
        return b(x(slots, 0)) + b(x(bytes(item is not None for item in value), 0))
    if pa.types.is_string(kind):
        return bytes(value.encode())
    if pa.types.is_binary(kind):
        return bytes(value)
    return fixed(value, kind)


def fixed(value: Any, kind: pa.DataType) -> bytes:
    if pa.types.is_floating(kind):
        if math.isnan(value):
            return bytes.fromhex("000000000000f87f")
        return struct.pack("<d", value or 0.0)
    if pa.types.is_decimal(kind):
        scaled = int(Decimal(value).scaleb(kind.scale, Context(prec=80)))
        return scaled.to_bytes(16, "little", signed=True)
    if pa.types.is_date(kind):
        value = (value - date(1970, 1, 1)).days
    elif pa.types.is_timestamp(kind):
        gap = value.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        value = (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds
    return int(value).to_bytes(8, "little", signed=True)


def slot(value: Any, kind: pa.DataType) -> bytes:
    own = pa.types.is_nested(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind)
    if value is None:
        return bytes(16 if own or pa.types.is_decimal(kind) else 8)
    return b(x(value_bytes(value, kind), 0)) if own else fixed(value, kind)


def row(values: Mapping[str, Any], schema: pa.Schema) -> int:
    """Step 2."""
    return x(b(sum(cell(values.get(f.name), f.type, f.name) for f in schema) & MASK), 0)


def digest(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> str:
    """Step 3."""
    return f"{sum(row(values, schema) for values in rows) & MASK:032x}"


def content_hash(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> str:
    """Step 4."""
    columns = [{"name": f.name, "type": type_name(f.type)} for f in schema]
    columns.sort(key=lambda column: column["name"])
    header = json.dumps(columns, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    text = f"tablever.content/v1\n{header}\n{len(rows)}\n{digest(rows, schema)}\n"
    return "sha:" + hashlib.sha256(text.encode("ascii")).hexdigest()


def type_name(kind: pa.DataType) -> Any:
    if pa.types.is_struct(kind):
        return {"type": "struct", "fields": [{"name": f.name, "type": type_name(f.type)} for f in kind]}
    if pa.types.is_map(kind):
        return {"type": "map", "keyType": type_name(kind.key_type), "valueType": type_name(kind.item_type)}
    if pa.types.is_list(kind):
        return {"type": "array", "elementType": type_name(kind.value_type)}
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    return NAMES[str(kind)]
