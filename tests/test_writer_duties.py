"""What the features of a table ask of its writers, on tables that are deltalake's but for an entry that names them."""

from __future__ import annotations

import json
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

import tablever as tv
from tablever.errors import UnsupportedFeatureError
from tablever.log import open_log
from tests import reading
from tests.model import Column

HOUR = 3_600_000
OF_WRITERS = {"inCommitTimestamp", "domainMetadata"}
OF_READERS = {"vacuumProtocolCheck", "v2Checkpoint"}
DOMAINS = {"delta.clustering": '{"clusteringColumns":[["id"]]}', "ünï/1": ""}
PROPERTIES = {
    "inCommitTimestamp": {"delta.enableInCommitTimestamps": "true", "delta.inCommitTimestampEnablementVersion": "1"},
    "v2Checkpoint": {"delta.checkpointPolicy": "v2"},
}
COLUMNS = [Column("id", pa.int64()), Column("text", pa.string())]


def rows(*numbers: int) -> list[dict[str, Any]]:
    return [{"id": number, "text": f"row {number}"} for number in numbers]


def entry(path: Path, number: int) -> Path:
    return path / "_delta_log" / f"{number:020}.json"


def actions(path: Path, number: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in entry(path, number).read_text("utf-8").splitlines()]


def put(file: Path, *lines: dict[str, Any]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def make(path: Path, *features: str, ahead: int = 0) -> None:
    """A table by deltalake, with three rows; its version 1 gives it features, of a moment that is so far ahead."""
    write_deltalake(path, pa.Table.from_pylist(rows(1, 2, 3)))
    settings = next(action["metaData"] for action in actions(path, 0) if "metaData" in action)
    moment = time.time_ns() // 1_000_000 + ahead
    info: dict[str, Any] = {"timestamp": moment, "operation": "SET TBLPROPERTIES", "operationParameters": {}}
    protocol: dict[str, Any] = {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": sorted(features)}
    if OF_READERS & set(features):
        protocol |= {"minReaderVersion": 3, "readerFeatures": sorted(OF_READERS & set(features))}
    for feature in features:
        settings["configuration"] |= PROPERTIES.get(feature, {})
    if "inCommitTimestamp" in features:
        settings["configuration"]["delta.inCommitTimestampEnablementTimestamp"] = str(moment)
        info["inCommitTimestamp"] = moment
    said = DOMAINS if "domainMetadata" in features else {}
    domains = [{"domainMetadata": {"domain": d, "configuration": text, "removed": False}} for d, text in said.items()]
    put(entry(path, 1), {"commitInfo": info}, {"protocol": protocol}, {"metaData": settings}, *domains)


def assert_rising(path: Path) -> None:
    """From version 1 on each entry begins with an in-commit time, later than the one before, and the version's time."""
    versions = tv.list_versions(path)[1:]
    moments = [actions(path, version.number)[0]["commitInfo"]["inCommitTimestamp"] for version in versions]
    assert all(before < after for before, after in pairwise(moments)), moments
    assert [round(version.timestamp.timestamp() * 1000) for version in versions] == moments
    assert [tv.resolve_version(path, version.timestamp) for version in versions] == versions


@pytest.mark.parametrize("features", [OF_WRITERS, OF_WRITERS | OF_READERS], ids=["of writers", "of readers, too"])
def test_duties_of_features(tmp_path: Path, features: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever we commit, the protocol, the properties and the domains stay as they are, through our checkpoint, too;
    in-commit times rise; deltalake reads the table where it knows the features.
    """
    path = tmp_path / "t"
    make(path, *features)
    before = open_log(path).head()
    assert dict(before.domains) == DOMAINS
    monkeypatch.setattr("tablever.commit.CHECKPOINT_INTERVAL", last := 6)
    done = [
        tv.protect(path),
        tv.append(path, rows(4, 5)),
        tv.delete(path, where="id = 2"),
        tv.compact(path),
        tv.vacuum(path, keep="0 days", safety="0 days", dry_run=False).version,
    ]
    assert [version and version.number for version in done] == list(range(2, last + 1))
    assert len(list(path.glob("*.parquet"))) == 1, "the vacuum left something"
    log = open_log(path)
    for version in range(1, last + 1):
        assert log.snapshot(version).protocol == before.protocol
        assert log.snapshot(version).domains == before.domains
        assert log.snapshot(version).metadata.configuration.items() >= before.metadata.configuration.items()
    assert_rising(path)
    assert tv.verify(path, level="rows").damaged == ()

    (checkpoint,) = path.glob("_delta_log/*.checkpoint*")
    assert checkpoint.name == f"{last:020}.checkpoint.parquet"
    cleaned = tmp_path / "cleaned"
    shutil.copytree(path, cleaned)
    for number in range(last):
        entry(cleaned, number).unlink()
    head = open_log(cleaned).head()
    assert (head.protocol, head.metadata, head.domains) == (before.protocol, log.head().metadata, before.domains)
    for table in (path, cleaned):
        for name, reader in reading.OURS.items():
            reading.assert_rows(reader(table, last), COLUMNS, rows(1, 3, 4, 5), name)
        for name, reader in reading.THEIRS.items():
            if features == OF_WRITERS:
                reading.assert_rows(reader(table, last), COLUMNS, rows(1, 3, 4, 5), name)


def test_in_commit_times_rise_above_a_head_of_the_future(tmp_path: Path) -> None:
    """Where the head's in-commit time lies ahead of our clock, each of our commits is later than the one before it."""
    path = tmp_path / "t"
    make(path, "inCommitTimestamp", ahead=HOUR)
    tv.append(path, rows(4))
    tv.set_key(path, "id")
    tv.upsert(path, [{"id": 4, "text": "again"}])
    tv.delete(path, where="id = 1")
    tv.compact(path)
    tv.restore(path, 0)
    assert len(tv.list_versions(path)) == 8
    assert_rising(path)
    reading.assert_rows(reading.query_builder(path, 7), COLUMNS, rows(1, 2, 3), "QueryBuilder")


def test_we_commit_on_top_of_a_v2_checkpoint(tmp_path: Path) -> None:
    """A log that begins at a V2 checkpoint, in JSON, takes our commits; what the checkpoint held, they have."""
    path = tmp_path / "t"
    make(path, "v2Checkpoint", "domainMetadata")
    state = [*(action for action in actions(path, 0) if "add" in action), *actions(path, 1)[1:]]
    name = f"{1:020}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json"
    put(path / "_delta_log" / name, {"checkpointMetadata": {"version": 1}}, *state)
    entry(path, 0).unlink()
    tv.append(path, rows(4))
    tv.delete(path, where="id = 1")
    tv.compact(path)
    assert dict(open_log(path).head().domains) == DOMAINS
    for reader, read in {**reading.OURS, "QueryBuilder": reading.query_builder}.items():
        reading.assert_rows(read(path, 4), COLUMNS, rows(2, 3, 4), reader)
    assert tv.verify(path, level="rows").damaged == ()


@pytest.mark.parametrize("unknown", ["rowTracking", None])
def test_a_vacuum_asks_the_protocol(tmp_path: Path, unknown: str | None) -> None:
    """Where a table has a writer feature that we do not know, a vacuum is refused by its name and no file goes."""
    path = tmp_path / "t"
    make(path, "vacuumProtocolCheck", *([unknown] if unknown else []))
    (path / "part-00000-left.snappy.parquet").write_bytes(b"what a crashed writer left")
    before = reading.contents(path)
    if unknown is None:
        assert tv.vacuum(path, safety="0 days", dry_run=False).removals
        return
    with pytest.raises(UnsupportedFeatureError) as caught:
        tv.vacuum(path, safety="0 days", dry_run=False)
    assert caught.value.feature == unknown
    assert reading.contents(path) == before
