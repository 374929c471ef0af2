"""Which protocols we read and write under."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tablever.delta.features import WRITTEN, check_readable, check_writable, column_invariants
from tablever.errors import CorruptionError, UnsupportedFeatureError
from tablever.model import Metadata, Protocol


def metadata(type_: Any = "long", *, field: dict[str, Any] | None = None, **configuration: str) -> Metadata:
    """A table of one column."""
    column = {"name": "a", "type": type_, "nullable": True, "metadata": field or {}}
    properties = {key.replace("_", "."): value for key, value in configuration.items()}
    return Metadata("m", json.dumps({"type": "struct", "fields": [column]}), configuration=properties)


def features(*names: str) -> Protocol:
    return Protocol(3, 7, frozenset(names), frozenset(names))


READ = "deletionVectors columnMapping timestampNtz typeWidening typeWidening-preview v2Checkpoint vacuumProtocolCheck"


@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(1, 2),
        Protocol(2, 5),
        Protocol(2, 7, None, frozenset({"columnMapping"})),
        features(),
        features(*READ.split()),
    ],
)
def test_what_is_read(protocol: Protocol) -> None:
    """The features that we read, and reader versions 1 and 2, are accepted."""
    check_readable(protocol, metadata())


@pytest.mark.parametrize("feature", ["rowTracking", "domainMetadata", "appendOnly", "identityColumns"])
def test_features_that_ask_nothing_of_a_reader(feature: str) -> None:
    """Writer features do not stand in a reader's way, wherever they are listed."""
    check_readable(features(feature), metadata())


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        (features("catalogManaged", "deletionVectors"), "catalogManaged"),
        (features("futureFeature"), "futureFeature"),
        (Protocol(99, 7, frozenset(), frozenset()), "reader version 99"),
        (Protocol(0, 0), "reader version 0"),
    ],
)
def test_what_is_not_read_is_named(protocol: Protocol, name: str) -> None:
    """An unknown reader feature or version is refused by its name."""
    with pytest.raises(UnsupportedFeatureError) as caught:
        check_readable(protocol, metadata())
    assert caught.value.feature == name
    assert name in str(caught.value)


@pytest.mark.parametrize("type_", ["variant", {"type": "array", "elementType": "variant", "containsNull": True}])
def test_variant_is_refused_where_it_is_used(type_: Any) -> None:
    """The variant feature matters only where a column has that type, to a writer as to a reader."""
    for check in (check_readable, check_writable):
        check(features("variantType"), metadata())
        with pytest.raises(UnsupportedFeatureError, match="variantType"):
            check(features("variantType"), metadata(type_))


def test_a_list_of_features_must_be_there() -> None:
    """Reader version 3 and writer version 7 without their lists are damage."""
    with pytest.raises(CorruptionError):
        check_readable(Protocol(3, 7, None, frozenset()), metadata())
    with pytest.raises(CorruptionError):
        check_writable(Protocol(2, 7), metadata())


@pytest.mark.parametrize("writer", range(1, 7))
def test_legacy_tables_are_written(writer: int) -> None:
    """A writer version below 7 does not stand in the way where nothing uses what it implies."""
    check_writable(Protocol(1, writer), metadata())


def test_features_that_are_written() -> None:
    """Everything that we write under is accepted together."""
    check_writable(Protocol(3, 7, frozenset({"deletionVectors"}), WRITTEN), metadata())


@pytest.mark.parametrize(
    ("writer", "used", "name"),
    [
        (4, metadata(field={"delta.generationExpression": "1"}), "generatedColumns"),
        (5, metadata(delta_columnMapping_mode="name"), "columnMapping"),
        (6, metadata(field={"delta.identity.start": 1}), "identityColumns"),
        (2, metadata(field={"delta.invariants": "{}"}), "invariants"),
        (8, metadata(), "writer version 8"),
    ],
)
def test_what_is_used_and_not_written_is_named(writer: int, used: Metadata, name: str) -> None:
    """A write to a table that uses a feature we do not write under is refused by that name."""
    with pytest.raises(UnsupportedFeatureError) as caught:
        check_writable(Protocol(1, writer), used)
    assert caught.value.feature == name


@pytest.mark.parametrize("name", ["rowTracking", "identityColumns", "columnMapping", "typeWidening", "clustering"])
def test_other_writer_features_are_named(name: str) -> None:
    """A writer feature outside our list refuses the write, and not the read."""
    protocol = Protocol(1, 7, None, frozenset({name, "appendOnly"}))
    check_readable(protocol, metadata())
    with pytest.raises(UnsupportedFeatureError) as caught:
        check_writable(protocol, metadata())
    assert caught.value.feature == name


def test_column_invariants_are_found_in_nested_fields() -> None:
    """A column's invariant is its Spark SQL expression, under the column's dotted path."""
    text = json.dumps({"expression": {"expression": "b > 3"}})
    inner = {"name": "b", "type": "long", "nullable": True, "metadata": {"delta.invariants": text}}
    assert column_invariants(metadata({"type": "struct", "fields": [inner]})) == {"a.b": "b > 3"}
