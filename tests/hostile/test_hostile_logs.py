"""Logs, checkpoints and vectors made to exhaust or mislead a reader: a clear error or a right answer, soon."""

from __future__ import annotations

import contextlib
import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

import tablever as tv
from tablever import constraints
from tablever.delta import checkpoint, roaring, vectors
from tablever.errors import CorruptionError, StorageError, TableverError, UnsupportedFeatureError
from tablever.model import DeletionVector
from tablever.scan import deleted_positions
from tablever.storage import LocalStorage, protocol
from tests.hostile.making import actions_of, entry_file, everything, good_table, replaced, survive, write_entry

NOWHERE = LocalStorage(Path("/nowhere"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return good_table(tmp_path / "orders")


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def own(**fields: Any) -> str:
    return json.dumps({"commitInfo": {"timestamp": 1_900_000_000_000, "tablever": {"operation": "append", **fields}}})


TEXTS = {
    "deep JSON": '{"commitInfo":' + nested(50_000) + "}",
    "JSON that is just too deep": '{"commitInfo":' + nested(300) + "}",
    "deep metadata of ours": '{"commitInfo":{"timestamp":1,"tablever":{"operation":"append","metadata":'
    + nested(300)
    + "}}}",
    "a deep list": "[" * 900 + "]" * 900,
    "an integer of 5,000 digits": '{"txn":{"appId":"x","version":' + "9" * 5000 + "}}",
    "an integer of 4,000 digits": '{"txn":{"appId":"x","version":' + "9" * 4000 + "}}",
    "NaN": '{"txn":{"appId":"x","version":NaN}}',
    "Infinity in what we do not know": '{"commitInfo":{"x":Infinity}}',
    "a key twice": '{"txn":{"appId":"x","version":1,"version":2}}',
    "a key twice among 200,000": '{"commitInfo":{' + ",".join(f'"{n}":1' for n in range(200_000)) + ',"199999":1}}',
    "an action twice": '{"txn":{"appId":"x","version":1},"txn":{"appId":"y","version":2}}',
    "half a surrogate": '{"txn":{"appId":"\\ud800","version":1}}',
    "bytes that are no text": "\x00\x01\x02",
}


@pytest.mark.timeout(60)  # what took the square of the keys took an hour
@pytest.mark.parametrize("name", TEXTS)
def test_an_entry_that_is_no_plain_json_is_refused(table: Path, name: str) -> None:
    """What parsers disagree on, or fall over, is damage that names the entry; older versions can still be read."""
    write_entry(table, 1, TEXTS[name])
    for call in (tv.read_version, tv.list_versions, tv.verify):
        with pytest.raises(CorruptionError, match=r"00000000000000000001\.json"):
            call(table)
    assert tv.read_version(table, 0).num_rows == 4


@pytest.mark.parametrize("number", [10**9, 10**18, 2**63, 10**20 - 1])
def test_a_log_that_claims_a_billion_versions_costs_nothing(table: Path, number: int) -> None:
    """An entry far away is a hole that is told at once; a number that no version has is no entry."""
    entry_file(table, number).write_bytes(entry_file(table, 0).read_bytes())
    found = survive(table)
    if number < 2**63:
        assert isinstance(found["read"], CorruptionError)
        assert isinstance(found["verify"], CorruptionError)
    else:
        assert found["read"] is None


@pytest.mark.timeout(60)
def test_a_log_that_begins_at_the_billionth_version_costs_what_is_there(tmp_path: Path) -> None:
    """A checkpoint and the entry after it, all before cleaned: reads, commits and checks look at those alone."""
    path = tmp_path / "t"
    write_deltalake(path, pa.table({"id": [1]}))
    DeltaTable(path).create_checkpoint()
    write_deltalake(path, pa.table({"id": [2]}), mode="append")
    log, number = path / "_delta_log", 10**9
    (log / f"{0:020}.checkpoint.parquet").rename(log / f"{number:020}.checkpoint.parquet")
    (log / f"{1:020}.json").rename(log / f"{number + 1:020}.json")
    (log / f"{0:020}.json").unlink()
    pointer = log / "_last_checkpoint"
    pointer.write_text(json.dumps({**json.loads(pointer.read_text()), "version": number}))
    for folder in ("_sidecars", "_staged_commits"):
        (log / folder / "inner").mkdir(parents=True)
    assert tv.verify(path).versions == (number, number + 1)
    version = tv.append(path, [{"id": 3}])
    assert version is not None
    assert version.number == number + 2
    assert [each.number for each in tv.list_versions(path)] == [number + 1, number + 2]
    assert tv.read_version(path).num_rows == 3
    assert tv.content_hash(path) == tv.content_hash_of(tv.read_version(path))
    assert not tv.verify(path, level="rows").damaged


def test_a_vacuum_that_claims_every_version_costs_nothing(table: Path) -> None:
    """Spans of all numbers there are, and a chain of records that leads back to itself, end."""
    everything = [[0, 2**62]]
    record = {"operation": "vacuum", "vacuumed": everything, "vacuumedChanges": everything, "lastVacuum": 1}
    entry = {"commitInfo": {"timestamp": 1_900_000_000_000, "operation": "VACUUM", "tablever": record}}
    write_entry(table, 1)
    entry_file(table, 1).write_text(
        json.dumps(entry) + "\n" + json.dumps({"txn": {"appId": "tablever.vacuum", "version": 1}}) + "\n"
    )
    survive(table)


def test_an_object_too_large_to_be_a_log_is_not_read(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log entry of a gigabyte is refused before a byte of it is read."""
    with entry_file(table, 1).open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(StorageError, match="1,000,000,000 bytes"):
        tv.read_version(table)
    monkeypatch.setattr(protocol, "MOST_BYTES", 10)
    with pytest.raises(StorageError):
        tv.read_version(table, 0)


def test_a_checkpoint_too_large_to_be_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint above the limit is passed over where older entries lead to the version, and is no damage; where it
    is all that is left, it is refused by its size, with what to do.
    """
    table = tmp_path / "theirs"
    for number in range(4):
        write_deltalake(table, pa.table({"id": [number]}), mode="append")
    DeltaTable(table).create_checkpoint()
    (file,) = (table / "_delta_log").glob("*.checkpoint.parquet")
    monkeypatch.setattr(protocol, "MOST_BYTES", file.stat().st_size - 1)
    assert all(each.stat().st_size < protocol.MOST_BYTES for each in (table / "_delta_log").glob("*.json"))
    assert tv.read_version(table).num_rows == 4
    report = tv.verify(table)
    assert [found.object for found in report.unrecorded if found.kind == "checkpoint"] == [f"_delta_log/{file.name}"]
    assert not tv.repair(table).moved
    for number in range(4):
        entry_file(table, number).unlink()
    for call in (tv.read_version, tv.verify):
        with pytest.raises(UnsupportedFeatureError, match=f"{file.stat().st_size:,} bytes") as caught:
            call(table)
        assert "partSize" in str(caught.value.hint)


def roaring_of_runs(containers: int) -> bytes:
    """A bitmap in which every number of so many containers is set: 65,536 of them in fourteen bytes."""
    data = struct.pack("<QI", 1, 0) + struct.pack("<I", 12347 | (containers - 1) << 16)
    data += b"\xff" * ((containers + 7) // 8)
    data += b"".join(struct.pack("<HH", i, 65535) for i in range(containers))
    data += b"\0" * 4 * containers * (containers >= 4)
    return data + struct.pack("<HHH", 1, 0, 65535) * containers


VECTORS = {
    "past the end": (vectors.encode([5]), 1),
    "another cardinality": (vectors.encode([0]), 3),
    "a negative cardinality": (vectors.encode([0]), -1),
    "a huge cardinality": (vectors.encode([0]), 2**62),
    "a billion rows": (vectors.MAGIC + roaring_of_runs(15_258), 15_258 * 65_536),
    "a billion rows, called four": (vectors.MAGIC + roaring_of_runs(15_258), 4),
    "all 32-bit rows": (vectors.MAGIC + roaring_of_runs(65_536), 2**32),
    "unordered": (vectors.MAGIC + struct.pack("<QIIIHHIHHH", 1, 0, 12346, 1, 0, 2, 16, 3, 2, 1), 3),
    "more parts than bytes": (vectors.MAGIC + struct.pack("<Q", 2**60), 1),
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_that_lies_is_refused(table: Path, name: str) -> None:
    """Rows that a file does not have, counts that differ, bitmaps that are none: damage, and nothing is expanded."""
    blob, cardinality = VECTORS[name]
    vector = {
        "storageType": "i",
        "pathOrInlineDv": vectors.render_z85(blob),
        "sizeInBytes": len(blob),
        "cardinality": cardinality,
    }
    write_entry(table, 1, *replaced(table, deletionVector=vector))
    with pytest.raises(CorruptionError):
        tv.read_version(table)
    with pytest.raises(CorruptionError):
        tv.verify(table, level="rows")


def deleting(containers: int) -> DeletionVector:
    """An inline vector that deletes so many times 65,536 rows."""
    return vectors.inline(vectors.MAGIC + roaring_of_runs(containers), containers * 65_536)


def described(vector: DeletionVector) -> dict[str, Any]:
    """A vector as a log entry has it."""
    return {
        "storageType": vector.storage_type,
        "pathOrInlineDv": vector.path_or_inline,
        "sizeInBytes": vector.size,
        "cardinality": vector.cardinality,
    }


def test_rows_that_only_a_log_promises_cost_nothing(table: Path) -> None:
    """Beside a vector that deletes nearly all of them, the rows of a file are counted in the file."""
    lie = json.dumps({"numRecords": 2**24 - 1})
    write_entry(table, 1, *replaced(table, stats=lie, deletionVector=described(deleting(255))))
    asked = everything(table, writes=False)
    for name in ("read", "sql", "diff"):
        tracemalloc.start()
        with pytest.raises(CorruptionError):
            asked[name]()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32 << 20, name


def test_a_diff_lays_out_no_rows_that_only_a_log_promises(table: Path) -> None:
    """Two versions that agree on rows that their file has not are told by the file, before a vector is expanded."""
    lie = json.dumps({"numRecords": 2**24 - 1})
    write_entry(table, 1, *replaced(table, stats=lie))
    write_entry(table, 2, *replaced(table, stats=lie, deletionVector=described(deleting(255))))
    tracemalloc.start()
    with pytest.raises(CorruptionError):
        tv.diff_versions(table, 1, 2).summary  # noqa: B018 - it reads
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


def test_a_vector_is_kept_as_it_lies() -> None:
    """What stays in memory of vectors that were read is their bytes, not a number for each deleted row."""
    found = [deleting(containers) for containers in (14, 15, 16)]
    tracemalloc.start()
    assert [len(deleted_positions(NOWHERE, each, 2**21)) for each in found] == [each.cardinality for each in found]
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 1 << 20


@pytest.mark.parametrize(("size", "offset"), [(10**15, 1), (-1, 1), (5, -3), (5, 10**18), (2**70, 0)])
def test_a_vector_that_claims_bytes_that_are_not_there(table: Path, size: int, offset: int) -> None:
    """Sizes and offsets that no file has are refused without asking for that memory."""
    file = table / "deletion_vector_00000000-0000-0000-0000-000000000000.bin"
    file.write_bytes(vectors.file_bytes([vectors.encode([0])]))
    vector = {"storageType": "u", "pathOrInlineDv": "0" * 20, "sizeInBytes": size, "cardinality": 1, "offset": offset}
    write_entry(table, 1, *replaced(table, deletionVector=vector))
    with pytest.raises(CorruptionError):
        tv.read_version(table)


def test_the_shape_of_a_bitmap_is_what_the_library_reads() -> None:
    """The count that is worked out from the bytes is the library's, for arrays, bitsets and runs."""
    rng = np.random.default_rng(0)
    for rows in (
        [],
        [0],
        range(5000),
        rng.integers(0, 2**20, 3000),
        rng.integers(0, 2**40, 3000),
        range(0, 200_000, 2),
    ):
        blob = vectors.encode(rows)
        assert roaring.cardinality(blob[4:]) == len(set(map(int, rows))) == len(vectors.decode(blob))


@pytest.mark.parametrize("rows", [10**12, 2**31, 0, -5, 10**300, True, 1.5, "7", None])
def test_a_row_count_that_lies_loses_and_adds_nothing(table: Path, rows: object) -> None:
    """Reads rest on the file; where the log's count is trusted, a difference is an error, and no memory is laid out."""
    write_entry(table, 1, *replaced(table, stats=json.dumps({"numRecords": rows})))
    with contextlib.suppress(TableverError):
        assert tv.read_version(table).num_rows == 4
    survive(table, writes=False)


def test_a_checkpoint_that_unpacks_to_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dictionary that says a long text many times is counted while it is unpacked, a few rows at a time."""
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 1 << 20)
    texts = pa.array(["y" * 10_000] * 2000)
    for ids, why in ((texts, "unpacked"), (texts.dictionary_encode(), "dictionaries")):
        rows = pa.StructArray.from_arrays([ids, pa.array(np.zeros(2000, np.int64))], names=["appId", "version"])
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"txn": rows}), sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        assert len(data) < 100_000
        with pytest.raises(CorruptionError, match=why):
            checkpoint.parse_part(data, name="00000000000000000001.checkpoint.parquet")


def test_sidecars_that_name_themselves_end(table: Path) -> None:
    """A sidecar's own sidecars are nothing, and one that is named a thousand times is read once."""
    sidecar = json.dumps({"sidecar": {"path": "self.json", "sizeInBytes": 1, "modificationTime": 1}}) + "\n"
    folder = table / "_delta_log" / "_sidecars"
    folder.mkdir()
    (folder / "self.json").write_text(sidecar * 1000)
    name = f"{0:020d}.checkpoint.{'a' * 8}-bbbb-cccc-dddd-{'e' * 12}.json"
    settings = [{kind: actions_of(table, kind)[0]} for kind in ("protocol", "metaData", "add")]
    (table / "_delta_log" / name).write_text("".join(json.dumps(each) + "\n" for each in settings) + sidecar * 1000)
    assert tv.read_version(table).num_rows == 4
    tv.verify(table)


def metadata_of(table: Path, column: dict[str, Any] | None = None, **configuration: str) -> dict[str, Any]:
    metadata = actions_of(table, "metaData")[0]
    schema = json.loads(metadata["schemaString"])
    schema["fields"] += [column] if column else []
    changed = {**metadata["configuration"], **configuration}
    return {"metaData": {**metadata, "schemaString": json.dumps(schema), "configuration": changed}}


@pytest.mark.parametrize("depth", [20, 65, 130, 1000])
def test_deeply_nested_columns_are_refused_by_name(table: Path, depth: int) -> None:
    """Columns in twenty structs are read; in too many, every verb says so."""
    kind: Any = '"long"'
    for _ in range(depth):
        kind = '{"type":"struct","fields":[{"name":"a","nullable":true,"metadata":{},"type":' + kind + "}]}"
    metadata = metadata_of(table, {"name": "deep", "type": "KIND", "nullable": True, "metadata": {}})
    metadata["metaData"]["schemaString"] = metadata["metaData"]["schemaString"].replace('"KIND"', kind)
    write_entry(table, 1, metadata)
    found = survive(table)
    assert (found["read"] is None) == (depth <= 64)
    assert depth <= 64 or isinstance(found["append"], UnsupportedFeatureError | CorruptionError)


NAMES = ["a b", "a.b", 'q"q', "q'q", "; DROP TABLE x; --", "\x1b[31m", "\u202e", "a\0b", "\ud800", "", "*", "^a$"]


@pytest.mark.parametrize("name", [*NAMES, "file_row_number", "__tv_row", "_change_type", "c0", "{x}", "\\", "a" * 9999])
def test_column_names_are_names(table: Path, name: str) -> None:
    """Whatever a column is called, its name is no SQL, no pattern and no path."""
    write_entry(table, 1, metadata_of(table, {"name": name, "type": "long", "nullable": True, "metadata": {}}))
    found = survive(table, writes=False)
    if found["read"] is None:
        assert tv.read_version(table).column(name).to_pylist() == [None] * 4


CHECKS = {
    "deep": "(" * 5000 + "id > 0" + ")" * 5000,
    "closing and opening": "id > 0) OR getenv('HOME') = 'x' OR (true",
    "a subquery": "id > (SELECT 1)",
    "two statements": "id > 0; DROP TABLE x",
    "a chain": "id > 0 OR " * 3000 + "true",
    "a file": "read_text('/etc/passwd') IS NOT NULL",
    "negations": "NOT " * 5000 + "true",
    "digits of others": "id > \u0661",
    "a list of long texts": f"(label LIKE '{'a' * 40_000}') IN ({', '.join(['true'] * 10_000)})",
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_is_an_expression_or_refused(table: Path, name: str) -> None:
    """A CHECK of a table runs as nothing but a condition over one row; deep ones are refused as others are."""
    protocol = actions_of(table, "protocol")[0]
    protocol["writerFeatures"] = sorted({*protocol.get("writerFeatures", ()), "checkConstraints"})
    write_entry(table, 1, {"protocol": protocol}, metadata_of(table, **{"delta.constraints.c": CHECKS[name]}))
    with pytest.raises(UnsupportedFeatureError):
        tv.append(table, [{"id": 99, "label": "new"}])
    assert tv.read_version(table).num_rows == 4


COSTLY = {
    "sums": "id" + " + 1" * 10 + " > 0",
    "negations": "- " * 10 + "id < 99",
    "ranges": "(" * 20 + "id > 0" + ") BETWEEN false AND true" * 20,
    "lists": "(" * 12 + "id > 0" + ") IN (false, true, true)" * 12,
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_short_check_is_no_long_condition(name: str) -> None:
    """What stands for a CHECK grows with its text, not with a power of it, or is refused before it is made."""
    schema = pa.schema([("id", pa.int64())])
    with contextlib.suppress(UnsupportedFeatureError):
        assert len(constraints.translate("c", COSTLY[name], schema)) < 100 * len(COSTLY[name])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tablever.key", "[" * 5000),
        ("tablever.key", '["nope"]'),
        ("tablever.key", '["id", "id"]'),
        ("tablever.retention", "rubbish"),
        ("tablever.retention", "9" * 14 + " days"),
        ("tablever.retention", "9" * 15 + " versions"),
        ("delta.columnMapping.mode", "nonsense"),
        ("delta.logRetentionDuration", "interval 99999999999 days"),
    ],
)
def test_properties_are_only_properties(table: Path, name: str, value: str) -> None:
    """Nonsense in a table's properties is an error of ours, or nothing."""
    write_entry(table, 1, metadata_of(table, **{name: value}))
    survive(table)
