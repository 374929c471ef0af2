"""Which tables we read, and which we write to, by the features of their protocol (Delta protocol, "Table Features").

A reader must understand every reader feature and a writer every writer feature, or keep its hands off: the one that
we do not understand is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tablever import strict_json
from tablever.errors import CorruptionError, UnsupportedFeatureError
from tablever.model import Metadata, Protocol

READ = frozenset(
    {
        "columnMapping",
        "deletionVectors",
        "timestampNtz",
        "typeWidening",
        "typeWidening-preview",
        "v2Checkpoint",
        "vacuumProtocolCheck",
    }
)
# Features of writers only: they ask nothing of a reader, also where a protocol lists them for readers.
WRITER_ONLY = frozenset(
    {
        "allowColumnDefaults",
        "appendOnly",
        "changeDataFeed",
        "checkConstraints",
        "checkpointProtection",
        "clustering",
        "domainMetadata",
        "generatedColumns",
        "icebergCompatV1",
        "icebergCompatV2",
        "identityColumns",
        "inCommitTimestamp",
        "inCommitTimestamp-preview",
        "invariants",
        "rowTracking",
    }
)
# Features that ask nothing of anybody in a table in which no column has their type. deltalake 1.6 lists the first
# where it sets a property of a table.
UNUSED_WITHOUT_TYPE = {"variantType": "variant", "variantType-preview": "variant", "variantShredding": "variant"}
WRITTEN = frozenset(
    {
        "appendOnly",
        "changeDataFeed",
        "checkConstraints",
        "deletionVectors",
        "domainMetadata",
        "inCommitTimestamp",
        "invariants",
        "timestampNtz",
        "v2Checkpoint",
        "vacuumProtocolCheck",
    }
)
READER_VERSIONS = range(1, 4)
WRITER_VERSIONS = range(1, 8)


def check_readable(protocol: Protocol, metadata: Metadata) -> None:
    """Raises UnsupportedFeatureError, CorruptionError (reader version 3 without its list of features)."""
    if protocol.min_reader not in READER_VERSIONS:
        raise _unsupported("read", f"reader version {protocol.min_reader}")
    if protocol.min_reader < max(READER_VERSIONS):
        return
    if protocol.reader_features is None:
        raise CorruptionError("the table's protocol has reader version 3 and no list of reader features")
    for feature in _asking(protocol.reader_features - READ - WRITER_ONLY, metadata):
        raise _unsupported("read", feature)


def check_writable(protocol: Protocol, metadata: Metadata) -> None:
    """Raises UnsupportedFeatureError, CorruptionError (writer version 7 without its list of features).

    Below writer version 7 the number implies features; those of them that we do not write under stand in the way
    only where the schema or the properties use them. A column invariant (an expression in a field's
    ``delta.invariants``) is refused as well: NOT NULL is the part of ``invariants`` that we enforce.
    """
    check_readable(protocol, metadata)
    if protocol.min_writer not in WRITER_VERSIONS:
        raise _unsupported("write to", f"writer version {protocol.min_writer}")
    if protocol.min_writer == max(WRITER_VERSIONS):
        if protocol.writer_features is None:
            raise CorruptionError("the table's protocol has writer version 7 and no list of writer features")
        for feature in _asking(protocol.writer_features - WRITTEN, metadata):
            raise _unsupported("write to", feature)
    for feature in _in_use(protocol, metadata):
        raise _unsupported("write to", feature)


def column_invariants(metadata: Metadata) -> dict[str, str]:
    """Column (dotted path) to the Spark SQL expression of its ``delta.invariants``."""
    found = {}
    for path, field in _fields(_schema(metadata), ()):
        text = (field.get("metadata") or {}).get("delta.invariants")
        if text is not None:
            found[".".join(path)] = str(strict_json.loads(text)["expression"]["expression"])
    return found


def _asking(features: frozenset[str], metadata: Metadata) -> Iterator[str]:
    """Those of some features that ask something of who opens the table."""
    for feature in sorted(features):
        kind = UNUSED_WITHOUT_TYPE.get(feature)
        if kind is None or kind in set(_types(_schema(metadata))):
            yield feature


def _in_use(protocol: Protocol, metadata: Metadata) -> Iterator[str]:
    """Features that we do not write under, and that the schema or the properties use."""
    keys = {key for _, field in _fields(_schema(metadata), ()) for key in field.get("metadata") or {}}
    if "delta.invariants" in keys and protocol.min_writer >= 2:
        yield "invariants"
    if "delta.generationExpression" in keys and protocol.min_writer >= 4:
        yield "generatedColumns"
    if metadata.configuration.get("delta.columnMapping.mode", "none") != "none" and protocol.min_writer >= 5:
        yield "columnMapping"
    if any(key.startswith("delta.identity.") for key in keys) and protocol.min_writer >= 6:
        yield "identityColumns"


def _schema(metadata: Metadata) -> Any:
    """A table's schema as JSON. Raises CorruptionError."""
    try:
        return strict_json.loads(metadata.schema_string)
    except ValueError as error:
        raise CorruptionError(f"the log holds a schema that cannot be read: {error}") from error


def _unsupported(verb: str, feature: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        f"cannot {verb} the table: it needs the Delta feature '{feature}', which tablever does not support",
        hint="use the tool that made the table, or a copy of its rows in a table made by tablever",
        feature=feature,
    )


def _fields(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every field of a schema's JSON, nested ones included, with its path."""
    if not isinstance(node, dict):
        return
    for field in node.get("fields") or ():
        here = (*path, str(field.get("name")))
        yield here, field
        yield from _fields(field.get("type"), here)
    for step, key in (("element", "elementType"), ("key", "keyType"), ("value", "valueType")):
        yield from _fields(node.get(key), (*path, step))


def _types(node: Any) -> Iterator[str]:
    """Every type name in a schema's JSON."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key in ("type", "elementType", "keyType", "valueType"):
            yield from _types(node.get(key))
        for field in node.get("fields") or ():
            yield from _types(field)
