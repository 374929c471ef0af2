"""Tables made by deltalake: opened as they are, read at every version, written to without raising their protocol."""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

import tablever as tv
from tablever import errors
from tests import reading
from tests.model import Column, multiset

SPECIAL = [
    "plain",
    "with space",
    "a/b",
    "100%",
    "x=y",
    "ünï",
    "a:b",
    "#tag",
    "?",
    "[x]",
    "*",
    "'q\"",
    "a+b",
    "日本",
    "%2F",
    None,
]
BASE = [{"id": n, "text": f"row {n}", "part": SPECIAL[n % len(SPECIAL)], "score": n / 2} for n in range(64)]


def arrow(rows: list[dict[str, Any]]) -> pa.Table:
    schema = pa.schema([("id", pa.int64()), ("text", pa.string()), ("part", pa.string()), ("score", pa.float64())])
    return pa.Table.from_pylist(rows, schema=schema)


def plain(path: Path, **options: Any) -> None:
    """Create, append, update, delete, merge, overwrite: all by deltalake."""
    write_deltalake(path, arrow(BASE[:40]), **options)
    write_deltalake(path, arrow(BASE[40:]), mode="append")
    foreign = DeltaTable(path)
    foreign.update(predicate="id < 5", updates={"text": "'updated'"})
    foreign.delete("id % 7 = 0")
    source = arrow([{"id": n, "text": "merged", "part": "x=y", "score": None} for n in (1, 2, 500)])
    merge = DeltaTable(path).merge(source, "t.id = s.id", source_alias="s", target_alias="t")
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


MADE: dict[str, Callable[[Path], None]] = {
    "plain": plain,
    "partitioned": lambda path: plain(path, partition_by=["part"]),
    "change feed": lambda path: plain(path, configuration={"delta.enableChangeDataFeed": "true"}),
    "partitioned, change feed": lambda path: plain(
        path, partition_by=["part"], configuration={"delta.enableChangeDataFeed": "true"}
    ),
}


def states(path: Path) -> dict[int, list[dict[str, Any]]]:
    """Each version as deltalake reads it."""
    return {n: reading.query_builder(path, n).to_pylist() for n in range(DeltaTable(path).version() + 1)}


def assert_states(path: Path, expected: Mapping[int, list[dict[str, Any]]]) -> None:
    """Each version, in each of our ways, is what is expected."""
    for number, rows in expected.items():
        found = tv.read_version(path, number)
        columns = [Column(field.name, field.type) for field in found.schema]
        for name, reader in reading.OURS.items():
            reading.assert_rows(reader(path, number), columns, rows, f"version {number} through {name}")


def agree(path: Path) -> None:
    """deltalake and Polars read what we read, at every version."""
    for number in range(DeltaTable(path).version() + 1):
        found = tv.read_version(path, number)
        columns = [Column(field.name, field.type) for field in found.schema]
        for name, reader in reading.THEIRS.items():
            reading.assert_rows(reader(path, number), columns, found.to_pylist(), f"version {number} through {name}")


@pytest.mark.parametrize("kind", MADE)
def test_every_version_of_a_foreign_table(tmp_path: Path, kind: str) -> None:
    """Every version that deltalake wrote reads as deltalake reads it, special characters in partitions included."""
    path = tmp_path / "t"
    MADE[kind](path)
    before = reading.contents(path)
    expected = states(path)
    assert_states(path, expected)
    versions = tv.list_versions(path)
    assert [version.number for version in versions] == list(expected)
    assert all(version.operation and version.timestamp.tzinfo for version in versions)
    assert reading.contents(path) == before, "reading wrote something"


@pytest.mark.parametrize("kind", MADE)
def test_the_protocol_is_left_alone(tmp_path: Path, kind: str) -> None:
    """Every verb works on a foreign table, copying files rather than writing vectors, under its own protocol."""
    path = tmp_path / "t"
    MADE[kind](path)
    protocol, expected = DeltaTable(path).protocol(), states(path)
    tv.append(path, arrow([{"id": 900, "text": "ours", "part": "a/b", "score": 1.0}]))
    tv.delete(path, where="id % 5 = 0")
    tv.update(path, {"text": "'ours too'"}, where="id > 50")
    tv.overwrite(path, arrow(BASE[:20]))
    tv.restore(path, 4)
    tv.revert(path, 4)
    assert DeltaTable(path).protocol() == protocol
    assert not list(path.rglob("*deletion_vector*"))
    assert_states(path, expected)
    agree(path)
    columns = [Column(field.name, field.type) for field in tv.read_version(path).schema]
    assert multiset(tv.read_version(path).to_pylist(), columns) == multiset(expected[3], columns), "4 was reverted"
    for version in tv.list_versions(path)[5:]:
        changes = tv.query(f"SELECT * FROM table_changes('t', {version.number}, {version.number})", tables={"t": path})
        kinds = changes["_change_type"].to_pylist()
        came = sum(kind in ("insert", "update_postimage") for kind in kinds)
        went = sum(kind in ("delete", "update_preimage") for kind in kinds)
        assert version.rows_added is not None
        assert version.rows_removed is not None
        assert came - went == version.rows_added - version.rows_removed


def test_taking_turns(tmp_path: Path) -> None:
    """deltalake and tablever commit in turns to one table: nothing is lost, every version stays as it was."""
    path = tmp_path / "t"
    plain(path)
    expected = states(path)
    for turn in range(4):
        write_deltalake(
            path, arrow([{"id": 1000 + turn, "text": "theirs", "part": None, "score": None}]), mode="append"
        )
        theirs = {"id": 1000 + turn, "text": "theirs", "part": None, "score": None}
        expected[len(expected)] = [*expected[len(expected) - 1], theirs]
        tv.append(path, arrow([{"id": 2000 + turn, "text": "ours", "part": "", "score": 0.5}]))
        expected[len(expected)] = [
            *expected[len(expected) - 1],
            {"id": 2000 + turn, "text": "ours", "part": "", "score": 0.5},
        ]
        if turn == 1:
            DeltaTable(path).create_checkpoint()
        if turn == 2:
            DeltaTable(path).delete("id = 2000")
            expected[len(expected)] = [row for row in expected[len(expected) - 1] if row["id"] != 2000]
    assert_states(path, expected)
    agree(path)


def test_a_handle_sees_foreign_commits(tmp_path: Path) -> None:
    """A handle that is open finds what others committed since; an old version that it read stays what it was."""
    path = tmp_path / "t"
    plain(path)
    table = tv.open_table(path)
    before = tv.read_version(table, "latest")
    write_deltalake(path, arrow(BASE[:3]), mode="append")
    assert tv.read_version(table).num_rows == before.num_rows + 3
    assert tv.read_version(table, 4).equals(before)
    assert len(tv.list_versions(table)) == 6


def test_set_key_adopts_a_foreign_table(tmp_path: Path) -> None:
    """``set_key`` gives a foreign table a key, after looking at every row; upserts work from then on."""
    path = tmp_path / "t"
    plain(path)
    protocol = DeltaTable(path).protocol()
    with pytest.raises(errors.InvalidKeyError):
        tv.upsert(path, arrow(BASE[:1]))
    with pytest.raises(errors.InvalidKeyError):
        tv.set_key(path, "part")
    with pytest.raises(errors.DuplicateKeyError):
        tv.set_key(path, "text")
    assert DeltaTable(path).version() == 4
    version = tv.set_key(path, "id")
    assert version is not None
    assert (version.number, version.rows_added, version.rows_removed) == (5, 0, 0)
    assert tv.set_key(path, "id") is None
    assert tv.upsert(path, arrow([{**BASE[1], "text": "up"}, {**BASE[1], "id": 7000}])) is not None
    with pytest.raises(errors.DuplicateKeyError):
        tv.append(path, arrow([{**BASE[1], "id": 7000}]))
    after = DeltaTable(path).protocol()
    assert after.min_reader_version == protocol.min_reader_version, "a reader needs no more than before"
    agree(path)
    write_deltalake(path, arrow([{**BASE[1], "id": 7001}]), mode="append")
    assert tv.read_version(path, where="id = 7001").num_rows == 1


def test_evolved_by_others(tmp_path: Path) -> None:
    """Columns that deltalake added are null in older files; older versions keep their columns."""
    path = tmp_path / "t"
    plain(path)
    write_deltalake(path, pa.table({"id": [1], "more": ["x"]}), mode="append", schema_mode="merge")
    write_deltalake(path, pa.table({"other": [1.5]}), mode="overwrite", schema_mode="overwrite")
    assert_states(path, states(path))
    assert tv.read_version(path, 4).column_names == ["id", "text", "part", "score"]
    assert tv.read_version(path, 5).column_names == ["id", "text", "part", "score", "more"]
    assert tv.read_version(path, 6).column_names == ["other"]
    tv.restore(path, 5)
    agree(path)


def test_checkpointed_and_cleaned_by_others(tmp_path: Path) -> None:
    """Where a foreign log begins at a checkpoint, what is left reads, and its log lists what is left."""
    path = tmp_path / "t"
    plain(path)
    expected = states(path)
    DeltaTable(path, version=2).create_checkpoint()
    for number in (0, 1):
        (path / "_delta_log" / f"{number:020}.json").unlink()
    assert_states(path, {number: expected[number] for number in (2, 3, 4)})
    with pytest.raises((errors.VersionVacuumedError, errors.VersionNotFoundError)):
        tv.read_version(path, 1)
    assert tv.list_versions(path)[-1].number == 4
    tv.delete(path, where="id = 1")
    agree_from(path, 2)


def agree_from(path: Path, first: int) -> None:
    for number in range(first, DeltaTable(path).version() + 1):
        found = tv.read_version(path, number)
        columns = [Column(field.name, field.type) for field in found.schema]
        reading.assert_rows(reading.query_builder(path, number), columns, found.to_pylist(), f"version {number}")


def test_vacuumed_by_others(tmp_path: Path) -> None:
    """A version whose files another tool vacuumed is said to be gone; it is never read in part."""
    path = tmp_path / "t"
    plain(path)
    expected = states(path)
    DeltaTable(path).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    head = DeltaTable(path).version()
    assert_states(path, {head: expected[4]})
    for number in range(4):
        for reader in reading.OURS.values():
            with pytest.raises(errors.VersionVacuumedError):
                reader(path, number)


def test_the_log_of_others(tmp_path: Path) -> None:
    """A foreign log is told in our words: operations, times, authors and metadata where there are any, counts that
    are known, and no guess where they are not.
    """
    path = tmp_path / "t"
    write_deltalake(path, arrow(BASE[:3]), commit_properties=CommitProperties(custom_metadata={"run": "17"}))
    write_deltalake(path, arrow(BASE[3:5]), mode="append")
    DeltaTable(path).delete("id = 1")
    versions = tv.list_versions(path)
    assert [version.number for version in versions] == [0, 1, 2]
    assert [version.rows for version in versions] == [3, 5, 4]
    times = [version.timestamp for version in versions]
    assert times == sorted(times)
    for version in versions:
        entry = (path / "_delta_log" / f"{version.number:020}.json").read_text().splitlines()
        info = next(json.loads(line)["commitInfo"] for line in entry if "commitInfo" in line)
        assert round(version.timestamp.timestamp() * 1000) == info["timestamp"]
        assert version.content_hash is None


def test_features_that_we_do_not_write_under(tmp_path: Path) -> None:
    """A table with a writer feature that we do not know reads, and refuses every write by that feature's name."""
    path = tmp_path / "t"
    plain(path)
    before = tv.read_version(path).num_rows
    protocol = {
        "minReaderVersion": 1,
        "minWriterVersion": 7,
        "writerFeatures": ["appendOnly", "invariants", "icebergCompatV2"],
    }
    (path / "_delta_log" / f"{5:020}.json").write_text(json.dumps({"protocol": protocol}) + "\n")
    assert tv.read_version(path).num_rows == before
    contents = reading.contents(path)
    writes: list[Callable[[], object]] = [
        lambda: tv.append(path, arrow(BASE[:1])),
        lambda: tv.delete(path, where="true"),
        lambda: tv.set_key(path, "id"),
        lambda: tv.restore(path, 0),
    ]
    for write in writes:
        with pytest.raises(errors.UnsupportedFeatureError, match="icebergCompatV2") as caught:
            write()
        assert caught.value.feature == "icebergCompatV2"
    assert reading.contents(path) == contents


def stale(path: Path, late: Callable[[DeltaTable], object], between: Callable[[Path], object]) -> int:
    """Have deltalake do on a version what it planned there, though another commit came in between; the rows then."""
    tv.create_table(path, arrow(BASE[:10]), key="id")
    tv.append(path, arrow(BASE[10:20]))
    before = DeltaTable(path)
    between(path)
    late(before)
    return tv.read_version(path).num_rows


COMPACT: dict[str, Callable[[Path], object]] = {
    "ours": tv.compact,
    "theirs": lambda path: DeltaTable(path).optimize.compact(),
}
STRICT = CommitProperties(max_commit_retries=0)


@pytest.mark.parametrize("by", COMPACT)
def test_what_deltalake_loses_by_itself(tmp_path: Path, by: str) -> None:
    """Known of deltalake 1.6, whoever compacted in between: its overwrite and its delete of all rows, which must leave
    1 row and none, bring back all; its compaction doubles them. It is told so in docs/how-to/adopt-a-delta-table.md.
    """
    between = COMPACT[by]
    one = arrow(BASE[:1])
    assert stale(tmp_path / "overwrite", lambda t: write_deltalake(t, one, mode="overwrite"), between) == 21
    assert stale(tmp_path / "delete", lambda t: t.delete(), between) == 20
    assert stale(tmp_path / "compact", lambda t: t.optimize.compact(commit_properties=STRICT), between) == 40


@pytest.mark.parametrize("by", COMPACT)
@pytest.mark.parametrize(
    "late",
    [
        lambda t: write_deltalake(t, arrow(BASE[:1]), mode="overwrite", commit_properties=STRICT),
        lambda t: t.delete(commit_properties=STRICT),
        lambda t: t.delete("id = 1", commit_properties=STRICT),
        lambda t: t.update(updates={"text": "'x'"}, predicate="id = 1", commit_properties=STRICT),
        lambda t: t.restore(0, commit_properties=STRICT),
    ],
    ids=["overwrite", "delete all", "delete", "update", "restore"],
)
def test_deltalake_without_retries(tmp_path: Path, late: Callable[[DeltaTable], object], by: str) -> None:
    """Given no retries, deltalake refuses to write over a commit that came in between: so it may write beside us."""
    with pytest.raises(CommitFailedError):
        stale(tmp_path / "t", late, COMPACT[by])
    assert tv.read_version(tmp_path / "t").num_rows == 20


def test_properties_that_others_set(tmp_path: Path) -> None:
    """deltalake may set a property of a table of ours, though it then lists variantType, which no column uses: we go on
    writing, under what was set, and leave its list alone.
    """
    path = tmp_path / "t"
    tv.create_table(path, BASE[:3], key="id")
    DeltaTable(path).alter.set_table_properties({"delta.appendOnly": "true"})
    listed = set(DeltaTable(path).protocol().writer_features or ())
    assert "variantType" in listed, "deltalake is mended: so may this test be"
    assert tv.append(path, BASE[3:5]) is not None
    with pytest.raises(errors.ConstraintError, match="append-only"):
        tv.delete(path, where="id = 1")
    DeltaTable(path).alter.set_table_properties({"delta.appendOnly": "false"})
    assert tv.upsert(path, [{**BASE[0], "score": 9.5}, {**BASE[9], "more": 1}], evolve=True) is not None
    assert set(DeltaTable(path).protocol().writer_features or ()) == listed
    ours, theirs = tv.read_version(path), reading.query_builder(path, 4)
    assert sorted(map(repr, ours.to_pylist())) == sorted(map(repr, theirs.to_pylist()))


@pytest.mark.parametrize("feature", ["catalogManaged", "somethingNew"])
def test_features_that_we_cannot_read(tmp_path: Path, feature: str) -> None:
    """A table with a reader feature that we do not know is refused by that feature's name, never read wrongly."""
    path = tmp_path / "t"
    plain(path)
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": [feature], "writerFeatures": [feature]}
    (path / "_delta_log" / f"{5:020}.json").write_text(json.dumps({"protocol": protocol}) + "\n")
    for reader in reading.OURS.values():
        with pytest.raises(errors.UnsupportedFeatureError, match=feature):
            reader(path, 5)
    assert tv.read_version(path, 4).num_rows > 0, "earlier versions need nothing new"


def test_rows_of_files_that_are_decoded_are_deleted(tmp_path: Path) -> None:
    """A delete whose predicate asks for no column works on files that no engine reads right by itself, as on others."""
    path = tmp_path / "t"
    moments = pa.table({"at": pa.array([1, 2_000_000, None], pa.timestamp("us", "UTC"))})
    write_deltalake(path, moments)
    file, entry = next(path.glob("*.parquet")), path / "_delta_log" / f"{0:020d}.json"
    size = file.stat().st_size
    pq.write_table(moments, file, use_deprecated_int96_timestamps=True)
    entry.write_text(entry.read_text().replace(f'"size":{size}', f'"size":{file.stat().st_size}'))
    assert tv.read_version(path).equals(moments)
    assert tv.delete(path, where="true") is not None
    assert tv.read_version(path).num_rows == 0
    assert tv.read_version(path, 0).equals(moments)


def test_a_bit_that_flips_in_a_file_that_is_decoded_is_found(tmp_path: Path) -> None:
    """Where no engine reads a file right by itself, every read of ours compares the checksums that its pages have."""
    path = tmp_path / "t"
    rows = pa.table({"at": pa.array(range(100), pa.timestamp("us", "UTC")), "x": [n / 7 for n in range(100)]})
    write_deltalake(path, rows)
    file, entry = next(path.glob("*.parquet")), path / "_delta_log" / f"{0:020d}.json"
    size = file.stat().st_size
    pq.write_table(
        rows,
        file,
        use_deprecated_int96_timestamps=True,
        write_page_checksum=True,
        compression="none",
        use_dictionary=False,
    )
    entry.write_text(entry.read_text().replace(f'"size":{size}', f'"size":{file.stat().st_size}'))
    assert tv.read_version(path).equals(rows)
    column = pq.read_metadata(file).row_group(0).column(1)
    data = bytearray(file.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    file.write_bytes(data)
    for reader in reading.OURS.values():
        with pytest.raises(errors.CorruptionError, match="checksum"):
            reader(path, 0)


def test_append_only_tables(tmp_path: Path) -> None:
    """A table that its owner made append-only takes appends and refuses to lose or change rows."""
    path = tmp_path / "t"
    write_deltalake(path, arrow(BASE[:3]), configuration={"delta.appendOnly": "true"})
    assert tv.append(path, arrow(BASE[3:4])) is not None
    contents = reading.contents(path)
    writes: list[Callable[[], object]] = [
        lambda: tv.delete(path, where="id = 1"),
        lambda: tv.update(path, {"text": "'x'"}, where="true"),
        lambda: tv.overwrite(path, arrow(BASE[:1])),
        lambda: tv.restore(path, 0),
    ]
    for write in writes:
        with pytest.raises(errors.TableverError, match="append"):
            write()
    assert reading.contents(path) == contents


def pad(path: Path) -> Path:
    """The table, one version before its 50th: the entries of the others say nothing."""
    for number in range(1, 50):
        (path / "_delta_log" / f"{number:020}.json").write_text('{"commitInfo": {"timestamp": 1}}\n')
    return path


def checkpoints(path: Path) -> list[str]:
    return [file.name for file in path.glob("_delta_log/*.checkpoint.parquet")]


CLEANED = {"delta.logRetentionDuration": "interval 9 days"}
KEPT = {"delta.enableExpiredLogCleanup": "false"}


def test_a_checkpoint_warns_where_the_log_would_be_cleaned(tmp_path: Path) -> None:
    """With our checkpoint others may clean the log: the caller's line is told so, under the table's own words."""
    write_deltalake(tmp_path / "t", arrow(BASE[:3]), configuration=CLEANED)
    path = pad(tmp_path / "t")
    with pytest.warns(UserWarning, match="entries older than interval 9 days once a checkpoint exists") as told:
        tv.append(path, arrow(BASE[3:4]))
    assert [Path(each.filename) for each in told] == [Path(__file__)]
    assert checkpoints(path) == [f"{50:020}.checkpoint.parquet"]


@pytest.mark.parametrize("whose", ["ours", "theirs, kept"])
def test_a_checkpoint_that_costs_nothing_warns_of_nothing(tmp_path: Path, whose: str) -> None:
    """No warning where no log is cleaned: on tables of ours, and of others that say so."""
    if whose == "ours":
        tv.create_table(tmp_path / "t", arrow(BASE[:3]))
    else:
        write_deltalake(tmp_path / "t", arrow(BASE[:3]), configuration=KEPT)
    path = pad(tmp_path / "t")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        tv.append(path, arrow(BASE[3:4]))
    assert told == []
    assert checkpoints(path) == [f"{50:020}.checkpoint.parquet"]


def test_warnings_that_are_errors_cost_no_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Under ``-W error`` the commit returns its version, the checkpoint is there, and the warning is in the log."""
    write_deltalake(tmp_path / "t", arrow(BASE[:3]))
    path = pad(tmp_path / "t")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        version = tv.append(path, arrow(BASE[3:4]))
    assert version is not None
    assert checkpoints(path) == [f"{50:020}.checkpoint.parquet"]
    assert "interval 30 days once a checkpoint exists" in caplog.text


def test_constraints_of_others(tmp_path: Path) -> None:
    """CHECK constraints that deltalake set hold for our writes; a null fails a CHECK, and NOT NULL holds too."""
    path = tmp_path / "t"
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("score", pa.float64())])
    write_deltalake(path, pa.table({"id": [1], "score": [0.5]}, schema=schema))
    DeltaTable(path).alter.add_constraint({"positive": "score > 0"})
    assert tv.append(path, [{"id": 2, "score": 1.0}]) is not None
    contents = reading.contents(path)
    for rows in ([{"id": 3, "score": -1.0}], [{"id": 3, "score": None}], [{"id": None, "score": 1.0}]):
        with pytest.raises(errors.ConstraintError):
            tv.append(path, rows)
    with pytest.raises(errors.ConstraintError, match="positive"):
        tv.update(path, {"score": "-score"}, where="id = 1")
    assert reading.contents(path) == contents


def test_paths_that_lead_out_of_the_table(tmp_path: Path) -> None:
    """A log that names files elsewhere on the machine is refused: a table must not make its reader open them."""
    path = tmp_path / "t"
    secret = tmp_path / "secret.parquet"
    pl.DataFrame({"id": [42]}).write_parquet(secret)
    write_deltalake(path, pa.table({"id": [1]}))
    for place in ("../secret.parquet", str(secret), f"file://{secret}", "%2E%2E/secret.parquet"):
        add = {
            "path": place,
            "partitionValues": {},
            "size": secret.stat().st_size,
            "modificationTime": 1,
            "dataChange": True,
        }
        (path / "_delta_log" / f"{1:020}.json").write_text(json.dumps({"add": add}) + "\n")
        for reader in reading.OURS.values():
            with pytest.raises(errors.UnsupportedFeatureError):
                reader(path, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("-0.001", "0.0-1"),
        ("-0.500", "0.-500"),
        ("-1.050", "-1.-50"),
        ("-12.000", "-12.000"),
        ("-12345678901234567890123456789012345.678", "-12345678901234567890123456789012345.-678"),
    ],
)
def test_negative_decimals_in_partitions_of_deltalake(tmp_path: Path, value: str, text: str) -> None:
    """deltalake 1.6.6 commits texts that are no decimals and cannot read them; here they are what was meant."""
    path = tmp_path / "t"
    rows = pa.table({"id": [1], "amount": pa.array([Decimal(value)], pa.decimal128(38, 3))})
    with contextlib.suppress(DeltaError):
        write_deltalake(path, rows, partition_by=["amount"])
    assert f'"{text}"' in (path / "_delta_log" / f"{0:020}.json").read_text()
    assert_states(path, {0: rows.to_pylist()})
    assert tv.read_version(path, where=f"amount = {value}").num_rows == 1
    assert tv.query(f"SELECT id FROM t WHERE amount < 0 AND amount = {value}", root=tmp_path).num_rows == 1


def test_negative_decimals_that_deltalake_compacts(tmp_path: Path) -> None:
    """What its `optimize` makes of our table, unreadable to itself, is the same rows to us."""
    path = tmp_path / "t"
    schema = pa.schema([("id", pa.int64()), ("amount", pa.decimal128(5, 2))])
    rows = [{"id": n, "amount": Decimal("-0.01")} for n in range(2)]
    tv.create_table(path, pa.Table.from_pylist(rows[:1], schema), partition_by=["amount"])
    tv.append(path, pa.Table.from_pylist(rows[1:], schema))
    with pytest.raises(DeltaError, match=re.escape("'0.-1'")):
        DeltaTable(path).optimize.compact()
    assert_states(path, {0: rows[:1], 1: rows, 2: rows})
    assert not tv.diff_versions(path, 1, 2)


def test_a_partition_text_that_is_no_decimal(tmp_path: Path) -> None:
    """It is named, whoever wrote it."""
    path = tmp_path / "t"
    rows = pa.table({"id": [1], "amount": pa.array([Decimal("1.50")], pa.decimal128(5, 2))})
    write_deltalake(path, rows, partition_by=["amount"])
    entry = path / "_delta_log" / f"{0:020}.json"
    for text in ("1.5O", "1.-500", "--1.-50", "1-.50"):
        entry.write_text(
            entry.read_text().replace('{"amount":"1.50"}', json.dumps({"amount": text}, ensure_ascii=False))
        )
        with pytest.raises(errors.CorruptionError, match=re.escape(f"not a decimal128(5, 2): '{text}'")):
            tv.read_version(path)
        entry.write_text(
            entry.read_text().replace(json.dumps({"amount": text}, ensure_ascii=False), '{"amount":"1.50"}')
        )


@pytest.mark.parametrize(
    "name",
    [
        *(
            "with space",
            "a%20b",
            "[glob]*?",
            "ünï",
            "{x}",
            "it's",
            'q"q',
            "a=b",
            "a@b",
            "new\nline",
            "-dash",
            "x.delta",
        ),
        *("\u202etxt.evil", "\x1b[31mred", '"; DROP TABLE t; --', "t' AT (VERSION => 0)", "$(id)"),
    ],
)
def test_a_folder_with_odd_characters(tmp_path: Path, name: str) -> None:
    """The folder's own name, and those above it, may hold anything that a path can."""
    path = tmp_path / name / name
    tv.create_table(path, arrow(BASE), partition_by=["part"])
    tv.delete(path, where="id = 3")
    tv.append(path, arrow(BASE[:2]))
    left = [row for row in BASE if row["id"] != 3]
    assert_states(path, {0: BASE, 1: left, 2: left + BASE[:2]})
    found = tv.query(f'SELECT count(*) AS n FROM "{name.replace(chr(34), chr(34) * 2)}"', root=tmp_path / name)
    assert found["n"].to_pylist() == [65]
    assert tv.query("SELECT count(*) AS n FROM t WHERE part IS NULL", tables={"t": path})["n"].to_pylist() == [4]
