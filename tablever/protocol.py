"""Which Delta protocol a table of ours declares: exactly the features that it uses."""

from __future__ import annotations

from tablever.errors import UnsupportedFeatureError
from tablever.layout import table_schema
from tablever.model import Metadata, Protocol, Snapshot
from tablever.schema import uses_timestamp_ntz

READER_FEATURES = frozenset({"deletionVectors", "timestampNtz"})
LEGACY_WRITER_VERSION = {"invariants": 2, "checkConstraints": 3}


def protocol_of(metadata: Metadata) -> Protocol:
    """The protocol of a new table with these settings."""
    writer = needed_features(metadata)
    reader = writer & READER_FEATURES
    return Protocol(3 if reader else 1, 7, reader or None, writer)


def needed_features(metadata: Metadata) -> frozenset[str]:
    """The table features that settings make use of."""
    schema = table_schema(metadata)
    used = {
        "deletionVectors": metadata.flag("delta.enableDeletionVectors"),
        "changeDataFeed": metadata.flag("delta.enableChangeDataFeed"),
        "appendOnly": metadata.flag("delta.appendOnly"),
        "checkConstraints": bool(metadata.constraints),
        "invariants": any(not field.nullable for field in schema),
        "timestampNtz": uses_timestamp_ntz(schema),
    }
    return frozenset(name for name, is_used in used.items() if is_used)


def protocol_for(head: Snapshot, metadata: Metadata | None) -> Protocol | None:
    """The protocol that new settings need, or None where the table's suffices.

    A table with feature lists gets the missing ones added. One with version numbers alone is raised to the number
    that the constraint asked for needs, never to feature lists: those would shut out its older readers.

    Raises:
        UnsupportedFeatureError: the table's protocol has no room for what is asked.
    """
    if metadata is None:
        return None
    new = needed_features(metadata) - needed_features(head.metadata)
    protocol = head.protocol
    if protocol.writer_features is not None:
        missing = new - protocol.writer_features
        if not missing:
            return None
        reader = missing & READER_FEATURES
        if reader and protocol.reader_features is None and protocol.min_reader < 3:
            protocol = Protocol(3, 7, frozenset(), protocol.writer_features)
        features = None if protocol.reader_features is None else protocol.reader_features | reader
        return Protocol(protocol.min_reader, 7, features, protocol.writer_features | missing)  # type: ignore[operator]
    beyond = sorted(new - LEGACY_WRITER_VERSION.keys())
    if beyond:
        raise UnsupportedFeatureError(
            f"the table's protocol (reader {protocol.min_reader}, writer {protocol.min_writer}) has no {beyond[0]}, "
            "which this change needs",
            hint="a table made elsewhere keeps its protocol: raise it with the tool that made it, or copy the rows "
            "into a table of tablever's",
            feature=beyond[0],
        )
    writer = max([protocol.min_writer, *(LEGACY_WRITER_VERSION[name] for name in new)])
    return None if writer == protocol.min_writer else Protocol(protocol.min_reader, writer)
