"""Checkpoints as states."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tablever.delta import replay
from tablever.delta.actions import Add, DomainMetadata, Remove, Transaction, parse_entry, render_entry
from tablever.delta.checkpoint import parse_part, to_state
from tablever.errors import CorruptionError
from tablever.model import DataFile, DeletionVector, Metadata, Protocol

FIELDS = [{"name": n, "type": t, "nullable": True, "metadata": {}} for n, t in (("a", "long"), ("p", "string"))]
SCHEMA = json.dumps({"type": "struct", "fields": FIELDS})
SETTINGS = [
    Protocol(3, 7, frozenset({"deletionVectors"}), frozenset({"deletionVectors", "domainMetadata"})),
    Metadata("m", SCHEMA, ("p",), {"delta.enableDeletionVectors": "true"}),
]
VECTOR = DeletionVector("i", "^Bg9^0rr910000000000iXQKl0rr91000315c8Xg000f5", 36, 2)
FILES = [
    DataFile("p=1/a", 10, 5, {"p": "1"}, '{"numRecords":9}', {"k": "v"}),
    DataFile("p=/b", 11, 4, {"p": None}, '{"numRecords":8,"tightBounds":false}', None, VECTOR),
    DataFile("c", 12, 6, {"p": "é"}),
]
NAME = "00000000000000000001.checkpoint.parquet"


def parquet(rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
    return sink.getvalue()


def test_a_checkpoint_says_what_its_log_says(tmp_path: Path) -> None:
    """The state from a checkpoint by deltalake equals the state from the log, tombstones apart."""
    folder = tmp_path / "_delta_log"
    folder.mkdir()
    first = [*SETTINGS, *map(Add, FILES), Transaction("app", 3, 7), DomainMetadata("d", "{}", removed=False)]
    second = [Remove(FILES[2], 9), Add(DataFile("d", 1, 2, {"p": "x"}))]
    for number, entry in enumerate((first, second)):
        (folder / f"{number:020d}.json").write_bytes(render_entry(entry))
    DeltaTable(str(tmp_path)).create_checkpoint()
    expected = replay.apply(replay.apply(replay.State(), first), second)
    data = (folder / NAME).read_bytes()
    found = to_state([parse_part(data, name=NAME)], name=NAME)
    assert found == expected


def test_a_bit_that_flips_in_a_page_is_corruption() -> None:
    """A checkpoint whose pages have checksums, as Spark's have, is not read where one differs."""
    rows = [{"txn": {"appId": f"app {n}", "version": n}} for n in range(50)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, write_page_checksum=True, compression="none", use_dictionary=False)
    data = bytearray(sink.getvalue())
    assert len(parse_part(bytes(data), name=NAME).actions) == 50
    data[data.index(b"app 7")] ^= 1
    with pytest.raises(CorruptionError, match="checksum"):
        parse_part(bytes(data), name=NAME)


def test_json_checkpoints_are_read() -> None:
    """A V2 checkpoint in JSON holds settings and the names of its sidecars, files among them."""
    lines = [{"checkpointMetadata": {"version": 1}}, {"sidecar": {"path": "x.parquet", "sizeInBytes": 1}}]
    data = render_entry([*SETTINGS, Add(FILES[0])]) + "\n".join(map(json.dumps, lines)).encode()
    part = parse_part(data, name="00000000000000000001.checkpoint.uuid.json")
    assert part.sidecars == ("x.parquet",)
    assert to_state([part], name="x").files == (FILES[0],)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_cut_checkpoint_is_corruption(keep: int) -> None:
    """A truncated Parquet file raises CorruptionError and names itself."""
    data = parquet([{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}])
    with pytest.raises(CorruptionError) as caught:
        parse_part(data[:keep], name=NAME)
    assert caught.value.file == NAME


@pytest.mark.parametrize("field", ["path", "size", "modificationTime"])
def test_a_file_without_what_it_needs_is_corruption(field: str) -> None:
    """A checkpointed file must have its path, size and time."""
    add = {"path": "a", "size": 1, "modificationTime": 1}
    del add[field]
    with pytest.raises(CorruptionError, match=field):
        parse_part(parquet([{"add": add}]), name=NAME)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_checkpoint_needs_its_settings(missing: int) -> None:
    """A checkpoint without protocol or metadata is not a state."""
    part = parse_part(render_entry([SETTINGS[missing], Add(FILES[0])]), name="1.checkpoint.json")
    with pytest.raises(CorruptionError, match="metaData" if missing == 0 else "protocol"):
        to_state([part], name=NAME)


def test_statistics_kept_as_a_struct_come_back() -> None:
    """Where a checkpoint has statistics only as a struct, they read as the log would have them."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    values = {
        "i": 1,
        "s": "x",
        "d": date(2026, 1, 2),
        "t": moment,
        "n": moment.replace(tzinfo=None),
        "e": Decimal("1.50"),
        "w": Decimal("12345678901234567890.123456789"),
        "f": float("nan"),
        "z": None,
    }
    stats = {"numRecords": 3, "minValues": values, "nullCount": {"i": 0, "z": 3}, "tightBounds": True}
    adds = [
        {"path": "a", "size": 1, "modificationTime": 1, "stats": None, "stats_parsed": stats},
        {"path": "b", "size": 1, "modificationTime": 2, "stats": '{"numRecords":4}', "stats_parsed": stats},
        {"path": "c", "size": 1, "modificationTime": 3, "stats": None, "stats_parsed": None},
    ]
    first, second, third = parse_part(parquet([{"add": add} for add in adds]), name=NAME).files
    assert first.parsed_stats == {
        "numRecords": 3,
        "minValues": {
            "i": 1,
            "s": "x",
            "d": "2026-01-02",
            "t": "2026-01-02T03:04:05.678901Z",
            "n": "2026-01-02T03:04:05.678901",
            "e": 1.5,
        },
        "nullCount": {"i": 0, "z": 3},
        "tightBounds": True,
    }
    assert (second.rows, third.stats) == (4, None)


def test_partition_values_kept_as_a_struct_come_back() -> None:
    """Where a checkpoint has partition values only as a struct, they read as the log would have them."""
    values = {"i": 1, "s": "x", "d": date(2026, 1, 2), "b": True, "e": Decimal("-1.50"), "n": None}
    add = {"path": "a", "size": 1, "modificationTime": 1, "partitionValues_parsed": values}
    [file] = parse_part(parquet([{"add": add}]), name=NAME).files
    expected = {"i": "1", "s": "x", "d": "2026-01-02", "b": "true", "e": "-1.50", "n": None}
    assert dict(file.partition_values) == expected


def test_a_damaged_json_checkpoint_names_itself() -> None:
    """A cut JSON checkpoint raises CorruptionError that speaks of a checkpoint."""
    with pytest.raises(CorruptionError, match="checkpoint file"):
        parse_part(b'{"protocol":', name="00000000000000000001.checkpoint.x.json")


def test_a_log_entry_is_not_taken_for_a_checkpoint() -> None:
    """The same bytes as a log entry and as a JSON checkpoint hold the same files."""
    data = render_entry([*SETTINGS, *map(Add, FILES)])
    actions = parse_entry(data, name="00000000000000000000.json")
    assert to_state([parse_part(data, name="x.checkpoint.json")], name="x") == replay.apply(replay.State(), actions)
