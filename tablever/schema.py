"""Arrow schemas ↔ Delta schemas. Source: Delta protocol, "Schema Serialization Format" and "Column Metadata"."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow as pa

from tablever import strict_json
from tablever.arrow_types import ELEMENT, UTC_MICROSECONDS, canonical_type
from tablever.errors import CorruptionError, UnsupportedFeatureError

_PRIMITIVES = {
    "string": pa.string(),
    "long": pa.int64(),
    "integer": pa.int32(),
    "short": pa.int16(),
    "byte": pa.int8(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": UTC_MICROSECONDS,
    "timestamp_ntz": pa.timestamp("us"),
}
_NAMES = {kind: name for name, kind in _PRIMITIVES.items()}
MOST_NESTED = 64
_DECIMAL = re.compile(r"decimal(?:\((\d+),(\d+)\))?")


@dataclass(frozen=True)
class DeltaField:
    """One field of a Delta schema as its JSON has it.

    Attributes:
        type: the JSON value: a name such as ``"long"``, or an object for a struct, array or map.
        children: of a struct its fields; of an array one named ``element``; of a map ``key`` and ``value``.
    """

    name: str
    type: Any
    nullable: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)
    children: tuple[DeltaField, ...] = ()

    @property
    def physical_name(self) -> str:
        """The column's name in data files; the same as ``name`` without column mapping."""
        return str(self.metadata.get("delta.columnMapping.physicalName", self.name))

    @property
    def field_id(self) -> int | None:
        """The column's Parquet field id under column mapping."""
        return self.metadata.get("delta.columnMapping.id")

    @property
    def invariant(self) -> str | None:
        """The SQL expression of the column's invariant."""
        text = self.metadata.get("delta.invariants")
        return None if text is None else str(strict_json.loads(text)["expression"]["expression"])

    @property
    def generation_expression(self) -> str | None:
        """The SQL expression that a generated column is computed by."""
        return self.metadata.get("delta.generationExpression")

    @property
    def type_changes(self) -> tuple[Mapping[str, Any], ...]:
        """What type widening did to the column, oldest first."""
        return tuple(self.metadata.get("delta.typeChanges", ()))


@lru_cache(maxsize=64)
def fields_by_name(schema_string: str) -> Mapping[str, DeltaField]:
    """``fields``, by their names. Raises as it does."""
    return {field.name: field for field in fields(schema_string)}


@lru_cache(maxsize=64)
def fields(schema_string: str) -> tuple[DeltaField, ...]:
    """The fields of a Delta schema, with their metadata.

    Raises:
        CorruptionError: the text is not a Delta schema.
    """
    try:
        whole = strict_json.loads(schema_string)
        if whole["type"] != "struct":
            raise ValueError(f"a table is no {whole['type']!r}")
        found = _children(whole)
        _check_tellable([item.name for item in found])
        return found
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptionError(f"the log holds a schema that cannot be read: {error!r}") from error


def _check_tellable(names: Sequence[str]) -> None:
    """Refuse columns that an engine below would take for others, for a pattern or for two names."""
    for name in names:
        if not name or "\0" in name or name == "*" or (name.startswith("^") and name.endswith("$")):
            raise UnsupportedFeatureError(f"the table has a column named {name!r}, which is not read", feature="names")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UnsupportedFeatureError(f"the table has two columns named {twice!r}", feature="names")


def _children(kind: Any, depth: int = 0) -> tuple[DeltaField, ...]:
    if isinstance(kind, str):
        return ()
    if depth > MOST_NESTED:
        raise UnsupportedFeatureError(
            f"the table has columns nested more than {MOST_NESTED} deep", feature="deeply nested columns"
        )
    if kind["type"] == "struct":
        return tuple(_field(f["name"], f["type"], f["nullable"], depth, f.get("metadata")) for f in kind["fields"])
    if kind["type"] == "array":
        return (_field(ELEMENT, kind["elementType"], kind["containsNull"], depth),)
    if kind["type"] == "map":
        key = _field("key", kind["keyType"], False, depth)
        return key, _field("value", kind["valueType"], kind["valueContainsNull"], depth)
    raise ValueError(f"unknown type {kind['type']!r}")


def _field(name: Any, kind: Any, nullable: Any, depth: int, metadata: Any = None) -> DeltaField:
    if not isinstance(name, str) or not isinstance(nullable, bool) or not isinstance(metadata or {}, dict):
        raise TypeError(f"a field {str(name)[:40]!r} is not written as Delta has it")
    return DeltaField(name, kind, nullable, metadata or {}, _children(kind, depth + 1))


@lru_cache(maxsize=64)
def delta_to_arrow(schema_string: str) -> pa.Schema:
    """The canonical Arrow schema of a Delta schema: 32-bit offsets, microseconds, UTC, list items named ``element``.

    Raises:
        CorruptionError: the text is not a Delta schema.
        UnsupportedFeatureError: a column has a type that we do not read (variant, void, interval, …).
    """
    return pa.schema([_arrow_field(item, item.name) for item in fields(schema_string)])


def _arrow_field(item: DeltaField, path: str) -> pa.Field:
    return pa.field(item.name, _arrow_type(item, path), item.nullable)


def _arrow_type(item: DeltaField, path: str) -> pa.DataType:
    if isinstance(item.type, str):
        return _primitive(item.type, path)
    inner = [_arrow_field(child, f"{path}.{child.name}") for child in item.children]
    if item.type["type"] == "struct":
        return pa.struct(inner)
    return pa.list_(inner[0]) if item.type["type"] == "array" else pa.map_(inner[0].type, inner[1])


def _primitive(name: str, path: str) -> pa.DataType:
    if name in _PRIMITIVES:
        return _PRIMITIVES[name]
    match = _DECIMAL.fullmatch(name.replace(" ", ""))
    if match:
        precision, scale = (int(match[1]), int(match[2])) if match[1] else (10, 0)
        if 1 <= precision <= 38 and scale <= precision:
            return pa.decimal128(precision, scale)
    raise UnsupportedFeatureError(
        f"column '{path}' has the type '{name}', which is not supported", feature=name, column=path, type=name
    )


def arrow_to_delta(schema: pa.Schema) -> str:
    """The Delta schema (JSON) of an Arrow schema; NOT NULL is kept, types are made canonical first.

    Raises:
        SchemaMismatchError: a type that Delta cannot hold.
    """
    return _rendered([_rendered_field(f.name, canonical_type(f.type, f.name), f.nullable) for f in schema])


def extend_delta(schema_string: str, schema: pa.Schema) -> str:
    """The Delta schema of an Arrow schema in which columns that stay as they were keep their metadata.

    Args:
        schema_string: the table's schema up to now.
        schema: its columns from now on. Where name and type are the same, only ``nullable`` may change.

    Raises:
        CorruptionError, UnsupportedFeatureError: as ``delta_to_arrow``.
        SchemaMismatchError: as ``arrow_to_delta``.
    """
    known = {item.name: item for item in fields(schema_string)}
    types = {item.name: item.type for item in delta_to_arrow(schema_string)}
    rendered = []
    for column in schema:
        kind = canonical_type(column.type, column.name)
        one = _rendered_field(column.name, kind, column.nullable)
        if types.get(column.name) == kind:
            one |= {"type": known[column.name].type, "metadata": dict(known[column.name].metadata)}
        rendered.append(one)
    return _rendered(rendered)


def _rendered(columns: list[dict[str, Any]]) -> str:
    return json.dumps({"type": "struct", "fields": columns}, ensure_ascii=False, separators=(",", ":"))


def _rendered_field(name: str, kind: pa.DataType, nullable: bool) -> dict[str, Any]:
    return {"name": name, "type": _rendered_type(kind), "nullable": nullable, "metadata": {}}


def _rendered_type(kind: pa.DataType) -> Any:
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_struct(kind):
        return {"type": "struct", "fields": [_rendered_field(f.name, f.type, f.nullable) for f in kind]}
    if pa.types.is_list(kind):
        item = kind.value_field
        return {"type": "array", "elementType": _rendered_type(item.type), "containsNull": item.nullable}
    if pa.types.is_map(kind):
        return {
            "type": "map",
            "keyType": _rendered_type(kind.key_type),
            "valueType": _rendered_type(kind.item_type),
            "valueContainsNull": kind.item_field.nullable,
        }
    return _NAMES[kind]


def plain_type(kind: pa.DataType) -> Any:
    """The Delta type (a JSON value) of a canonical Arrow type, without what a column allows: a content hash's words."""
    if pa.types.is_struct(kind):
        return {"type": "struct", "fields": [{"name": f.name, "type": plain_type(f.type)} for f in kind]}
    if pa.types.is_list(kind):
        return {"type": "array", "elementType": plain_type(kind.value_type)}
    if pa.types.is_map(kind):
        return {"type": "map", "keyType": plain_type(kind.key_type), "valueType": plain_type(kind.item_type)}
    return _rendered_type(kind)


def uses_timestamp_ntz(schema: pa.Schema) -> bool:
    """Whether a timestamp without a zone occurs at any depth (Delta feature ``timestampNtz``)."""
    return any(pa.types.is_timestamp(kind) and kind.tz is None for kind in _all_types(schema))


def _all_types(holder: Iterable[pa.Field]) -> Iterator[pa.DataType]:
    for item in holder:
        yield item.type
        if pa.types.is_nested(item.type):
            yield from _all_types(item.type.field(i) for i in range(item.type.num_fields))
