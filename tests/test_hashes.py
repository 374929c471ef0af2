"""What the log says of content: every version's hash is that of its rows; entries hold together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable, write_deltalake

import tablever as tv
from tablever import contents, errors, key_filters, plan, sealed, write
from tablever.cli.main import cli
from tablever.delta import seals, vectors
from tablever.delta.actions import Add, decode_path
from tablever.digest_cache import FOLDER, FORMAT
from tablever.digests import Digest, cell_sums, digest_of, render_hash
from tablever.file_digests import DIGEST_TAG
from tablever.key_filters import KeyFilter
from tablever.layout import table_schema
from tablever.log import Log, open_log
from tablever.model import ChangeFile
from tablever.storage import LocalStorage

START = [{"id": n, "g": f"g{n % 3}", "x": n / 4 if n % 5 else None} for n in range(12)]


def recomputed(table: Any, number: int) -> str:
    """A version's hash by reading it."""
    rows = tv.read_version(table, number)
    return render_hash(rows.schema, digest_of(rows))


def assert_entries(table: Path) -> None:
    """Every version of ours says what its rows say, and its entry and files hold what it says of them."""
    log = open_log(table)
    before, parent = Digest(), None
    for version in tv.list_versions(table):
        entry, record = log.entry(version.number), log.record(version.number)
        assert seals.is_whole(entry.data) is True
        assert record.get("parentHash") == parent
        parent = hashlib.sha256(entry.data).hexdigest()
        digest = log.digest(version.number)
        assert digest is not None
        rows = tv.read_version(table, version.number)
        assert digest == digest_of(rows)
        assert version.content_hash == render_hash(rows.schema, digest)
        came = Digest.from_hex(record["rowsAdded"], record["digestAdded"])
        went = Digest.from_hex(record["rowsRemoved"], record["digestRemoved"])
        assert digest == before + came - went
        before = digest
        files = log.snapshot(version.number).files
        if not any(file.vector for file in files):
            tags = [Digest.from_hex(file.rows or 0, (file.tags or {})[DIGEST_TAG] or "") for file in files]
            assert sum(tags, Digest()) == digest
        for action in entry.actions:
            if isinstance(action, Add):
                assert_add(log, version.number, action)
            if isinstance(action, ChangeFile):
                assert action.tags == {"tablever.sha256": sha256(table / decode_path(action.path))}


def assert_add(log: Log, number: int, action: Add) -> None:
    tags = action.file.tags or {}
    assert tags["tablever.sha256"] == sha256(log.storage.path(decode_path(action.file.path)))
    if action.file.vector is not None:
        blob = vectors.encode(vectors.load(log.storage, action.file.vector))
        assert tags["tablever.vector.sha256"] == hashlib.sha256(blob).hexdigest()
    metadata = log.snapshot(number).metadata
    if not metadata.partition_columns:
        stored = pq.ParquetFile(log.storage.path(decode_path(action.file.path))).read()
        assert tags[DIGEST_TAG] == digest_of(stored).hex


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def history(table: Path, *, keyed: bool) -> None:
    """Every operation, one after the other."""
    more = [{"id": 20, "g": "g1", "x": 0.5}, {"id": 21, "g": None if not keyed else "g9", "x": float("nan")}]
    tv.append(table, more)
    tv.append(table, [{"id": 30, "g": "g0", "x": 1.0, "new": [1, None]}], evolve=True)
    tv.update(table, {"x": "id * 2"}, where="id < 4")
    tv.delete(table, where="id = 5 OR id = 20")
    if keyed:
        tv.upsert(table, [{"id": n, "g": "g1", "x": 9.0, "new": None} for n in (1, 2, 40)])
        tv.delete(table, keys=[{"id": 40}])
        tv.revert(table, "latest")
        tv.add_constraint(table, "positive", "id >= 0")
    tv.delete(table, where="g = 'g0'")
    tv.restore(table, 2)
    tv.overwrite(table, [{"id": 1, "g": "g1", "x": 0.25, "new": []}, {"id": 50, "g": "g2", "x": None, "new": None}])
    tv.overwrite(table, pa.table({"id": pa.array([1, 2], pa.int64()), "g": ["a", "b"]}), replace_schema=True)
    tv.restore(table, 3)
    tv.delete(table, where="true")
    tv.restore(table, 0)


@pytest.mark.parametrize("deletes", ["merge-on-read", "copy-on-write"])
@pytest.mark.parametrize("partition_by", [None, "g"])
@pytest.mark.parametrize("key", ["id", None])
def test_every_operation(tmp_path: Path, key: str | None, partition_by: str | None, deletes: Any) -> None:
    """Each operation adds and subtracts what it changed: every version's digest and hash are those of its rows."""
    table = tmp_path / "t"
    tv.create_table(table, START, key=key, partition_by=partition_by, deletes=deletes)
    history(table, keyed=key is not None)
    assert_entries(table)


def test_large_deletes_and_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delete of many rows reads them by position; files that leave whole are not read."""
    monkeypatch.setattr(write, "MAX_DELETED_CHANGE_ROWS", 3)
    monkeypatch.setattr(plan, "MAX_DELETED_CHANGE_ROWS", 3)
    table = tmp_path / "t"
    tv.create_table(table, START, key="id")
    tv.append(table, [{"id": n, "g": "h", "x": 0.0} for n in range(100, 110)])
    tv.delete(table, where="id = 101")
    tv.delete(table, where="id < 7")
    tv.delete(table, where="id > 8")
    tv.append(table, [{"id": n, "g": "h", "x": 0.0} for n in range(200, 210)])
    read: list[int] = []
    from tablever import file_digests

    batches = file_digests.batches_at

    def counted(scan: Any, *rest: Any) -> Any:
        read.append(len(scan.files))
        return batches(scan, *rest)

    monkeypatch.setattr(file_digests, "batches_at", counted)
    tv.delete(table, where="id >= 200")
    assert read == [0]
    assert_entries(table)


@pytest.mark.parametrize("key", ["id", None])
def test_lost_races(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    """A commit that is planned again on another parent says the share that it has there."""
    table = tmp_path / "t"
    tv.create_table(table, START, key=key)
    put = LocalStorage.put_if_absent
    rivals: list[Callable[[], object]] = [
        lambda: tv.append(table, [{"id": 100, "g": "r", "x": 1.5}]),
        lambda: tv.delete(table, where="id = 3"),
        lambda: tv.update(table, {"x": "7"}, where="id = 100"),
    ]

    def lose(self: LocalStorage, relative: str, data: bytes) -> bool:
        if rivals and relative.startswith("_delta_log/"):
            rival = rivals.pop()
            rest, rivals[:] = rivals[:], []
            rival()
            rivals[:] = rest
        return put(self, relative, data)

    monkeypatch.setattr(LocalStorage, "put_if_absent", lose)
    tv.append(table, [{"id": 200, "g": "m", "x": None}])
    rivals.append(lambda: tv.delete(table, where="id IN (4, 200)"))
    tv.update(table, {"x": "x + 1"}, where="id > 3")
    assert not rivals
    assert_entries(table)


def test_how_rows_lie_does_not_count(tmp_path: Path) -> None:
    """Partitioned or not, keyed or not, in another order, in many files, by vectors or rewritten: the same hash."""
    rows = [*START, {"id": 99, "g": "g9", "x": 9.0}]
    hashes = set()
    for n, options in enumerate(
        ({}, {"key": "id"}, {"partition_by": "g"}, {"deletes": "copy-on-write"}, {"key": "id", "partition_by": "g"})
    ):
        table = tmp_path / str(n)
        given = rows if n % 2 else rows[::-1]
        tv.create_table(table, given[:5], **options)  # type: ignore[arg-type]
        tv.append(table, given[5:])
        tv.delete(table, where="id = 99")
        hashes.add(tv.resolve_version(table, "latest").content_hash)
    assert len(hashes) == 1
    copy = tv.create_table(tmp_path / "copy", tv.read_version(tmp_path / "2").select(["x", "id", "g"]))
    assert copy.version().content_hash in hashes


def test_a_hash_finds_its_version(tmp_path: Path) -> None:
    """A hash as it is printed, or its beginning, is a ref: to the newest version of that content."""
    table = tv.create_table(tmp_path / "t", START, key="id")
    first = table.version().content_hash
    assert first is not None
    table.delete(where="id = 3")
    second = table.version().content_hash
    table.restore(0)
    assert table.version(first).number == 2
    assert table.version(str(second)[:12]).number == 1


def test_commits_of_others_between(tmp_path: Path) -> None:
    """A commit on a version whose digest nobody recorded says its own share, and no hash."""
    table = tmp_path / "t"
    tv.create_table(table, START)
    write_deltalake(table, pl.DataFrame([{"id": 77, "g": "d", "x": 1.0}]).to_arrow(), mode="append")
    version = tv.append(table, [{"id": 78, "g": "d", "x": None}])
    assert version is not None
    log = open_log(table)
    assert version.content_hash is None
    assert log.digest(2) is None
    record = log.record(2)
    assert record["parentHash"] == log.version(1).commit_hash
    share = digest_of(tv.read_version(table, 2)) - digest_of(tv.read_version(table, 1))
    assert (record["rowsAdded"], record["digestAdded"]) == (1, share.hex)


def foreign_history(table: Path) -> None:
    """Commits of another tool: appends, a delete that rewrites, an overwrite, a new column; ours between."""
    write_deltalake(table, pa.Table.from_pylist(START), partition_by=["g"])
    tv.append(table, [{"id": 60, "g": "g1", "x": 1.0}])
    write_deltalake(table, pa.Table.from_pylist([{"id": 77, "g": "d", "x": 1.0}]), mode="append")
    DeltaTable(table).delete("id < 2")
    tv.delete(table, where="id = 7")
    DeltaTable(table).optimize.compact()
    extra = pa.Table.from_pylist([{"id": 78, "g": "d", "x": 1.0, "n": [1]}])
    write_deltalake(table, extra, mode="append", schema_mode="merge")
    write_deltalake(table, extra, mode="overwrite")


@pytest.mark.parametrize("order", [1, -1])
def test_versions_of_others(tmp_path: Path, order: int) -> None:
    """Asked for, a version by another tool has the hash of its rows, whichever was asked for before; it is kept."""
    table = tmp_path / "t"
    foreign_history(table)
    numbers = range(8)[::order]
    assert [tv.content_hash(table, n) for n in numbers] == [recomputed(table, n) for n in numbers]
    kept = sorted((table / FOLDER).iterdir())
    unrecorded = [v for v in tv.list_versions(table) if v.content_hash is None]
    assert [path.name for path in kept] == [f"{v.number:020}-{v.commit_hash[:16]}.json" for v in unrecorded]
    for path in kept:
        path.unlink()
    assert [tv.content_hash(table, n) for n in numbers] == [recomputed(table, n) for n in numbers]
    assert DeltaTable(table).version() == 7


def test_a_commit_goes_on_from_what_is_kept(tmp_path: Path) -> None:
    """Where the digest of a foreign parent is kept, the commit on it records its hash again."""
    table = tmp_path / "t"
    foreign_history(table)
    tv.content_hash(table)
    version = tv.append(table, [{"id": 300, "g": "q", "x": None, "n": None}])
    assert version is not None
    assert version.content_hash == recomputed(table, version.number)


def test_what_is_kept_is_only_a_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A kept digest that is damaged is told and made again; one of another history is not taken."""
    table = tmp_path / "t"
    write_deltalake(table, pa.Table.from_pylist(START))
    expected = tv.content_hash(table)
    (kept,) = (table / FOLDER).iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole.replace(b'"rows":12', b'"rows":13'))
    assert tv.content_hash(table) == expected
    assert "made again" in caplog.text
    assert kept.read_bytes() == whole
    (table / FOLDER).chmod(0o500)
    try:
        kept_elsewhere = tv.content_hash(table)
    finally:
        (table / FOLDER).chmod(0o700)
    assert kept_elsewhere == expected


def widened(table: Path, column: str, kind: str) -> None:
    """Commit another type of a column, as a tool that knows type widening does."""
    values = [json.loads(line) for line in (table / "_delta_log" / f"{0:020}.json").read_text("utf-8").splitlines()]
    (metadata,) = (value["metaData"] for value in values if "metaData" in value)
    schema = json.loads(metadata["schemaString"])
    (field,) = (each for each in schema["fields"] if each["name"] == column)
    field |= {"type": kind, "metadata": {"delta.typeChanges": [{"fromType": field["type"], "toType": kind}]}}
    (protocol,) = (value["protocol"] for value in values if "protocol" in value)
    for name in ("readerFeatures", "writerFeatures"):
        protocol[name] = sorted({*protocol[name], "typeWidening", "timestampNtz"})
    protocol |= {"minReaderVersion": 3, "minWriterVersion": 7}
    commit_by_others(table, 1, {"protocol": protocol}, {"metaData": metadata | {"schemaString": json.dumps(schema)}})


def commit_by_others(table: Path, number: int, *actions: dict[str, Any]) -> None:
    info = {"commitInfo": {"timestamp": 1_900_000_000_000 + number, "operation": "CHANGE"}}
    text = "".join(json.dumps(action) + "\n" for action in (info, *actions))
    (table / "_delta_log" / f"{number:020}.json").write_text(text, "utf-8")


@pytest.mark.parametrize("kind", ["timestamp_ntz", "string"])
def test_files_from_before_a_partition_column_had_another_type(tmp_path: Path, kind: str) -> None:
    """The digest that is kept with a file is not taken where its partition's value has become another."""
    table = tmp_path / "t"
    days = pa.array([f"2026-11-0{n % 3 + 1}" for n in range(9)]).cast(pa.date32())
    tv.create_table(table, pa.table({"id": range(9), "d": days}), partition_by="d")
    gone, *_ = open_log(table).snapshot(0).files
    widened(table, "d", kind)
    assert tv.content_hash(table, 1) == recomputed(table, 1)
    commit_by_others(table, 2, {"remove": {"path": gone.path, "dataChange": True, "size": gone.size}})
    assert tv.content_hash(table, 2) == recomputed(table, 2)


def test_a_damaged_entry_is_not_gone_on_from(tmp_path: Path) -> None:
    """What an entry that is not as it was written says of its rows is not handed out, and no commit is made on it."""
    for digit in (b"0", b"Z"):
        table = tmp_path / digit.decode()
        tv.create_table(table, START, key="id")
        entry = table / "_delta_log" / f"{0:020}.json"
        before, field, after = entry.read_bytes().partition(b'"digest":"')
        entry.write_bytes(before.replace(b'"rows":12', b'"rows":13') + field + digit * 4 + after[4:])
        with pytest.raises(errors.CorruptionError, match="its digest does not fit"):
            tv.content_hash(table, 0)
        with pytest.raises(errors.CorruptionError, match="its digest does not fit"):
            tv.append(table, [{"id": 100, "g": "r", "x": 1.5}])
        with pytest.raises(errors.CorruptionError, match="its digest does not fit"):
            tv.verify(table, level="log")


UNREADABLE = {
    "of a newer release": {"kind": "tablever.digest/v2"},
    "without rows": {"rows": None},
    "with other rows": {"rows": "12"},
    "with another sum": {"sum": 5},
    "with no sum": {"sum": "zz"},
    "a folder": None,
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_kept_stops_nothing(tmp_path: Path, name: str) -> None:
    """A kept digest that cannot be read, for whatever reason, neither fails a hash nor a commit, nor is believed."""
    table = tmp_path / "t"
    write_deltalake(table, pa.Table.from_pylist(START))
    expected = tv.content_hash(table)
    (kept,) = (table / FOLDER).iterdir()
    path = kept.relative_to(table).as_posix()
    values = {n: v for n, v in json.loads(kept.read_bytes()).items() if n not in ("digest", "object", "format")}
    kept.unlink()
    change = UNREADABLE[name]
    if change is None:
        kept.mkdir()
    else:
        kind = change.get("kind", FORMAT)
        kept.write_bytes(sealed.render(path, kind, {**values, **{n: v for n, v in change.items() if n != "kind"}}))
    before = kept.stat()
    assert tv.content_hash(table) == expected
    if change is None or "kind" in change:
        assert kept.stat().st_ino == before.st_ino
    assert tv.content_hash(table) == expected
    assert tv.append(table, [{"id": 78, "g": "d", "x": None}]) is not None
    assert tv.content_hash(table) == recomputed(table, 1)


def test_going_on_reads_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign version next to one whose digest is known is not read as a whole."""
    table = tmp_path / "t"
    tv.create_table(table, pa.table({"id": range(50_000)}))
    write_deltalake(table, pa.table({"id": pa.array([1, 2], pa.int64())}), mode="append")
    monkeypatch.setattr(contents, "digest_of_scan", pytest.fail)
    assert tv.content_hash(table) == recomputed(table, 1)


def test_rows_without_a_table(tmp_path: Path) -> None:
    """Rows of any form have the hash that a table of them would have; what no table holds is refused."""
    rows = pa.table({"u": pa.array([1, None], pa.uint16()), "t": pa.array(["a", "b"], pa.large_string())})
    expected = tv.create_table(tmp_path / "t", rows).content_hash()
    assert tv.content_hash_of(rows) == expected
    assert tv.content_hash_of(pl.from_arrow(rows)) == expected
    assert tv.content_hash_of(rows.to_reader()) == expected
    with pytest.raises(errors.SchemaMismatchError):
        tv.content_hash_of(pa.table({"t": pa.array([1], pa.time64("us"))}))


def test_the_shell(tmp_path: Path) -> None:
    """``tablever hash`` prints what ``content_hash`` gives, of any version."""
    table = tmp_path / "t"
    write_deltalake(table, pa.Table.from_pylist(START))
    assert CliRunner().invoke(cli, ["hash", f"{table}@0"]).output == recomputed(table, 0) + "\n"
    tv.append(table, [{"id": 100, "g": "q", "x": None}])
    assert CliRunner().invoke(cli, ["hash", str(table)]).output == recomputed(table, 1) + "\n"
    found = CliRunner().invoke(cli, ["hash", str(table), "--json"])
    assert json.loads(found.output)["content_hash"] == tv.content_hash(table)
    assert tv.resolve_version(table, tv.content_hash_of(tv.read_version(table))).number == 1


def test_foreign_tables(tmp_path: Path) -> None:
    """A table made elsewhere: our deletes and updates read what they change, and say it."""
    table = tmp_path / "t"
    write_deltalake(table, pa.Table.from_pylist(START), partition_by=["g"])
    tv.delete(table, where="g = 'g1'")
    tv.update(table, {"x": "1.5"}, where="id < 3")
    log = open_log(table)
    for number in (1, 2):
        record = log.record(number)
        came = Digest.from_hex(record["rowsAdded"], record["digestAdded"])
        went = Digest.from_hex(record["rowsRemoved"], record["digestRemoved"])
        before, after = (digest_of(tv.read_version(table, n)) for n in (number - 1, number))
        assert after == before + came - went
    assert DeltaTable(table).version() == 2


def test_keys_of_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that changes few rows holds their keys, without a key the rows; one that changes many holds none."""
    monkeypatch.setattr(key_filters, "MAX_ROWS", 13)
    for key in ("id", None):
        table = tmp_path / str(key)
        tv.create_table(table, START, key=key)
        history(table, keyed=key is not None)
        log = open_log(table)
        for version in tv.list_versions(table):
            number = version.number
            changed = changes_of(log, number)
            held = log.record(number).get("keys")
            same_key = number == 0 or log.snapshot(number - 1).metadata.key == log.snapshot(number).metadata.key
            if not 0 < changed.num_rows <= 13:
                assert held is None
            elif same_key:
                keys = KeyFilter.from_json(held)
                assert keys.columns == ((key,) if key else ())
                assert key_filters.may_hold(keys, cell_sums(changed.select([key]) if key else changed)).all()


def changes_of(log: Log, number: int) -> pa.Table:
    """The rows that a version takes out and brings in, in the wider of both schemas."""
    after = tv.read_version(log, number)
    before = after.slice(0, 0) if number == 0 else tv.read_version(log, number - 1)
    names = [*after.column_names, *(n for n in before.column_names if n not in after.column_names)]
    kinds = {f.name: f.type for f in [*table_schema(log.snapshot(number).metadata), *before.schema]}
    sides = [
        [json.dumps({n: row.get(n) for n in names}, default=str) for row in rows.to_pylist()]
        for rows in (before, after)
    ]
    parts = []
    for rows, own, other in ((before, *sides), (after, *reversed(sides))):
        left, keep = list(other), []
        for i, row in enumerate(own):
            if row in left:
                left.remove(row)
            else:
                keep.append(i)
        parts.append(rows.take(pa.array(keep, pa.int64())))
    schema = pa.schema([(n, kinds[n]) for n in names])
    return pa.concat_tables([pa.Table.from_pylist(part.to_pylist(), schema=schema) for part in parts])


def test_entries_that_were_changed() -> None:
    """A sealed entry tells any change of its bytes; one of others tells nothing."""
    entry = seals.seal(b'{"commitInfo":{"tablever":{"entryDigest":"' + b"0" * 64 + b'","rows":1}}}\n')
    assert seals.is_whole(entry)
    assert seals.recorded(entry) == seals.digest(entry)
    for at in range(len(entry)):
        changed = entry[:at] + bytes([entry[at] ^ 1]) + entry[at + 1 :]
        assert seals.is_whole(changed) is not True
    assert seals.is_whole(entry[:-1]) is False
    assert seals.is_whole(b'{"commitInfo":{}}') is None
    with pytest.raises(AssertionError, match="begins with its digest"):
        seals.seal(b'{"commitInfo":{}}')
