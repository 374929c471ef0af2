"""verify: every damaged object is found and named with its versions; a table that is whole has no damage."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tablever as tv
from tablever import errors, sealed, witness_files
from tablever.delta import seals, vectors
from tablever.integrity.report import LEVELS, Finding, Report
from tablever.scan import read_footer

HEAD = 53


def make(path: Path) -> tv.Table:
    """A table with every kind of object: stored and inline vectors, change files, a checkpoint, tags, runs, pins."""
    rows = [{"id": n, "label": f"row {n}", "score": n / 7 if n % 5 else None} for n in range(9_000)]
    table = tv.create_table(path, rows, key="id", author="Ada")
    table.upsert([{"id": n, "label": "new", "score": float("nan")} for n in range(40)])  # 1: change file, inline
    table.delete(where="(id * 7919) % 10 < 3")  # 2: a stored vector, change file
    table.append([{"id": 20_000 + n, "label": "later", "score": 1.0, "more": n} for n in range(9)], evolve=True)  # 3
    for n in range(4, HEAD + 1):
        table.append([{"id": 30_000 + n, "label": "small", "score": 0.5, "more": n}])
    table.tag("v1.0", 1, message="first")
    table.tag("v2.0", HEAD)
    table.tag("gone", 3)
    table.delete_tag("gone")
    table.link_run(2, "r1", metrics={"f1": 0.5})
    table.link_run(2, "r1", metrics={"f1": 0.6})
    table.link_run(HEAD, "r2")
    table.pin(0, reason="audit")
    table.pin(HEAD, reason="paper")
    return table


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "t"
    make(path)
    return path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "t")
    return tmp_path / "t"


def verified(path: Path, ref: Any = None, **options: Any) -> Report:
    """The report, of a damaged table too."""
    try:
        return tv.verify(path, ref, **options)
    except errors.CorruptionError as error:
        return error.report  # type: ignore[no-any-return]


def named(report: Report, path: str) -> Finding | None:
    return next((found for found in report.damaged if found.object == path), None)


@dataclass(frozen=True)
class Kind:
    """A kind of object: where its objects lie, the versions that damage of one touches, and what needs which level."""

    glob: str
    level: str
    versions: Callable[[str, Path], set[int]]
    other: str | None = None  # what it is named as, where it is not there to be named itself


def from_name(path: str, _root: Path) -> set[int]:
    return {int(Path(path).name.partition(".")[0])}


def entry_reach(path: str, _root: Path) -> set[int]:
    number = int(Path(path).stem)
    return set(range(number, 50 if number < 50 else HEAD + 1))


def data_reach(path: str, root: Path) -> set[int]:
    """The versions in whose files a data file is, read from the log in the plainest way."""
    live: set[int] = set()
    inside = False
    for number in range(HEAD + 1):
        lines = [json.loads(line) for line in (root / f"_delta_log/{number:020}.json").read_text("utf-8").splitlines()]
        if any("remove" in line and line["remove"]["path"] == path for line in lines):
            inside = False
        if any("add" in line and line["add"]["path"] == path for line in lines):
            inside = True
        live |= {number} if inside else set()
    return live


def change_reach(path: str, root: Path) -> set[int]:
    entries = sorted((root / "_delta_log").glob("*.json"))
    return {int(entry.stem) for entry in entries if f'"cdc":{{"path":"{path}"' in entry.read_text("utf-8")}


def tag_reach(path: str, root: Path) -> set[int]:
    return {json.loads((root / path).read_bytes())["version"]}


KINDS = {
    "data file": Kind("part-*.parquet", "files", data_reach),
    "vector": Kind("_dv/*.bin", "files", lambda _path, _root: set(range(2, HEAD + 1))),
    "change file": Kind("_change_data/*.parquet", "files", change_reach),
    "log entry": Kind("_delta_log/*.json", "log", entry_reach),
    "checkpoint": Kind("_delta_log/*.checkpoint.parquet", "log", lambda _path, _root: {50, 51, 52, 53}),
    "tag": Kind("_tablever/tags/*.json", "log", tag_reach),
    "run": Kind("_tablever/runs/*.json", "log", from_name),
    "pin": Kind("_tablever/pins/*.json", "log", from_name),
}


def objects(root: Path, kind: str) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.glob(KINDS[kind].glob))


def test_a_whole_table_has_no_damage(whole: Path) -> None:
    """At every level, all versions at once and one by one, nothing is damaged and nothing is unrecorded."""
    for level in LEVELS:
        report = tv.verify(whole, level=level)  # type: ignore[arg-type]
        assert (report.damaged, report.unrecorded, report.versions) == ((), (), tuple(range(HEAD + 1)))
    for ref in (0, 1, "v2.0", "latest~1"):
        report = tv.verify(whole, ref, level="rows")
        assert report
        assert report.versions == (tv.resolve_version(whole, ref).number,)
    assert tv.verify(whole, level="rows").keys_checked == (0, 1, 2, HEAD)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found(copy: Path, kind: str) -> None:
    """One bit flipped, anywhere in an object of any kind: it is named, as that kind, with every version it touches."""
    draw = random.Random(kind)
    seen = tv.read_version(copy, 50, where="id >= 20_000")
    tried = 0
    for path in objects(copy, kind)[:6]:
        data = (copy / path).read_bytes()
        versions = KINDS[kind].versions(path, copy)
        places = [0, len(data) - 1, *(draw.randrange(len(data)) for _ in range(10))]
        for place in places:
            damaged = bytearray(data)
            damaged[place] ^= 1 << draw.randrange(8)
            (copy / path).write_bytes(damaged)
            report = verified(copy, level=KINDS[kind].level)
            assert {each.object for each in report.damaged} <= {path}, "others are accused"
            found = named(report, path)
            if kind == "checkpoint" and found is None:  # a bit that no reader looks at
                assert tv.read_version(copy, 50, where="id >= 20_000").equals(seen)
                continue
            assert found is not None, (path, place)
            assert found.kind in (kind, "metrics")
            assert set(found.versions) == versions, (path, place)
            tried += 1
        (copy / path).write_bytes(data)
    assert tried >= 3
    assert tv.verify(copy)


@pytest.mark.parametrize("how", ["cut", "half", "emptied", "longer", "deleted"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_or_deleted_object_is_found(copy: Path, kind: str, how: str) -> None:
    """An object cut by a byte, by half, to nothing, lengthened, or gone: named with every version it touches."""
    for path in objects(copy, kind)[:4]:
        data = (copy / path).read_bytes()
        versions = KINDS[kind].versions(path, copy)
        if how == "deleted":
            (copy / path).unlink()
        else:
            cut = {"cut": data[:-1], "half": data[: len(data) // 2], "emptied": b"", "longer": data + b"x"}
            (copy / path).write_bytes(cut[how])
        report = verified(copy, level=KINDS[kind].level)
        assert {each.object for each in report.damaged} <= {path}, "others are accused"
        found = named(report, path)
        if not (kind == "vector" and how == "longer") and not (kind == "checkpoint" and how == "deleted"):
            assert found is not None, path
            assert set(found.versions) == versions, path
        elif kind == "checkpoint":
            assert found is not None  # _last_checkpoint names it
        (copy / path).write_bytes(data)
    assert tv.verify(copy)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("vector", "checkpoint")])
def test_two_swapped_objects_are_found(copy: Path, kind: str) -> None:
    """Two whole objects of a kind, each under the other's name: both are named."""
    first, second = objects(copy, kind)[:2]
    if kind == "log entry":
        first, second = objects(copy, kind)[5:7]
    data = (copy / first).read_bytes(), (copy / second).read_bytes()
    (copy / first).write_bytes(data[1])
    (copy / second).write_bytes(data[0])
    report = verified(copy, level=KINDS[kind].level)
    assert named(report, first) is not None
    assert named(report, second) is not None


@pytest.mark.parametrize("kind", ["vector", "checkpoint"])
def test_two_swapped_vectors_or_checkpoints_are_found(tmp_path: Path, kind: str) -> None:
    """Of a table with two stored vectors and two checkpoints: two of a kind under each other's names are both named,
    with their versions, and nothing else is accused.
    """
    path = tmp_path / "t"
    table = tv.create_table(path, [{"id": n} for n in range(9_000)], key="id")
    for number in (1, 2):
        table.delete(where=f"(id * 7919) % 10 = {number}")
        deltalake.DeltaTable(path).create_checkpoint()
    assert table.verify(level="rows")
    first, second = objects(path, kind)
    data = (path / first).read_bytes(), (path / second).read_bytes()
    (path / first).write_bytes(data[1])
    (path / second).write_bytes(data[0])
    damaged = verified(path, level=KINDS[kind].level).damaged
    assert {(found.object, found.kind) for found in damaged} == {(first, kind), (second, kind)}
    assert {found.versions for found in damaged} == {(1,), (2,)}


@pytest.mark.parametrize("witness", ["tag", "run", "pin"])
def test_a_log_that_was_rolled_back_is_found(tmp_path: Path, witness: str) -> None:
    """The newest version is gone and the rest is whole: a tag, a run or a pin alone that remembers it tells."""
    table = tv.create_table(tmp_path / "r", [{"id": 1}], key="id")
    table.append([{"id": 2}])
    {
        "tag": lambda: table.tag("v1"),
        "run": lambda: table.link_run("latest", "r"),
        "pin": lambda: table.pin("latest", reason="x"),
    }[witness]()
    newest = Path(table.uri) / "_delta_log" / f"{1:020}.json"
    data = newest.read_bytes()
    newest.unlink()
    for ref in (None, 0):
        report = verified(Path(table.uri), ref, level="log")
        (found,) = report.damaged
        assert (found.object, found.problem, found.versions) == (f"_delta_log/{1:020}.json", "rolled-back", (1,))
        assert witness in found.detail
    tv.append(table.uri, [{"id": 3}])
    (found,) = verified(Path(table.uri), level="log").damaged
    assert (found.object, found.problem, found.versions) == (f"_delta_log/{1:020}.json", "other", (1,))
    newest.write_bytes(data)
    assert tv.verify(tv.open_table(table.uri), level="log")


def reseal(entry: Path, *changes: tuple[bytes, bytes]) -> None:
    """Change a log entry as somebody would who knows how it is sealed."""
    data = entry.read_bytes()
    for old, new in changes:
        assert old in data
        data = data.replace(old, new, 1)
    recorded = seals.recorded(data)
    assert recorded is not None
    entry.write_bytes(seals.seal(data.replace(recorded.encode(), seals.UNSEALED.encode(), 1)))


def test_a_rewritten_entry_with_a_right_seal_is_found_by_the_next(copy: Path) -> None:
    """Whoever changes an entry and seals it anew has changed the hash that the next one names."""
    reseal(copy / "_delta_log" / f"{7:020}.json", (b'"author":"', b'"author":"M'))
    (found,) = verified(copy, level="log").damaged
    assert (found.object, found.problem) == (f"_delta_log/{7:020}.json", "changed")
    assert found.versions == tuple(range(7, 50))


def rewrite_file(path: Path, entry: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Give a file other rows, and its entry the new size and hash."""
    rows, before = pq.read_table(path), path.read_bytes()
    pq.write_table(change(rows), path, write_page_checksum=True)
    after = path.read_bytes()
    old_hash, new_hash = (hashlib.sha256(data).hexdigest().encode() for data in (before, after))
    old_size, new_size = (b'"size":%d,' % len(data) for data in (before, after))
    reseal(entry, (old_hash, new_hash), (old_size, new_size))


def test_wrong_rows_under_right_checksums_are_found(copy: Path) -> None:
    """A data file rewritten with other values, its new size and hash put into a sealed log: level rows tells."""
    path = max(copy.glob("part-*.parquet"))

    def relabelled(rows: pa.Table) -> pa.Table:
        return rows.set_column(rows.column_names.index("label"), "label", pa.array(["other"] * len(rows), pa.string()))

    rewrite_file(path, copy / "_delta_log" / f"{HEAD:020}.json", relabelled)
    shutil.rmtree(copy / "_tablever")
    assert tv.verify(copy, level="files")
    found = named(verified(copy, level="rows"), path.name)
    assert found is not None
    assert (found.problem, found.versions) == ("rows", (HEAD,))


CHANGES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "another value": lambda rows: rows.set_column(
        rows.column_names.index("x"), "x", pa.array([9] * len(rows), pa.int64())
    ),
    "a row less": lambda rows: rows.slice(1),
    "a row twice": lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]),
    "what came and what went taken for each other": lambda rows: rows.set_column(
        rows.column_names.index("_change_type"),
        "_change_type",
        pa.array([{"update_preimage": "insert"}.get(kind, "delete") for kind in rows["_change_type"].to_pylist()]),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_wrong_change_rows_under_right_checksums_are_found(tmp_path: Path, change: str) -> None:
    """A change file with other rows than the version added and removed, its new size and hash put into a sealed log:
    level rows tells, and accuses nothing else.
    """
    table = tv.create_table(tmp_path / "t", [{"id": n, "x": n} for n in range(9)], key="id")
    table.upsert([{"id": 1, "x": 5}, {"id": 2, "x": 6}, {"id": 20, "x": 7}])
    (path,) = (tmp_path / "t").glob("_change_data/*.parquet")
    rewrite_file(path, tmp_path / "t" / "_delta_log" / f"{1:020}.json", CHANGES[change])
    assert table.verify(level="files")
    (found,) = verified(tmp_path / "t", level="rows").damaged
    assert found.object == path.relative_to(tmp_path / "t").as_posix()
    assert (found.kind, found.problem, found.versions) == ("change file", "rows", (1,))


def test_counts_that_do_not_add_up_are_found(copy: Path) -> None:
    """An entry, sealed anew, that says other rows than its parent's plus its own share: named at level log."""
    rows = tv.resolve_version(copy).rows
    assert rows is not None
    reseal(copy / "_delta_log" / f"{HEAD:020}.json", (b'"rows":%d' % rows, b'"rows":%d' % (rows + 1)))
    shutil.rmtree(copy / "_tablever")
    (found,) = verified(copy, level="log").damaged
    assert (found.object, found.problem) == (f"_delta_log/{HEAD:020}.json", "inconsistent")


def test_a_witness_of_another_table_is_found(copy: Path, tmp_path: Path) -> None:
    """A tag that was made for another table is named."""
    other = tv.create_table(tmp_path / "other", [{"id": 1}])
    tag = other.tag("alien")
    shutil.copy(Path(other.uri) / tag.object, copy / tag.object)
    assert named(verified(copy, level="log"), tag.object).problem == "other"  # type: ignore[union-attr]


def test_a_journal_that_was_cut_is_found(copy: Path) -> None:
    """An entry of the journal that is gone, or changed, is named; without the journal's last, its object is told."""
    entries = sorted((copy / "_tablever" / "journal").glob("*.json"))
    path, data = entries[3], entries[3].read_bytes()
    name = path.relative_to(copy).as_posix()
    path.unlink()
    assert named(verified(copy, level="log"), name).problem == "missing"  # type: ignore[union-attr]
    path.write_bytes(data[:-9])
    assert named(verified(copy, level="log"), name).problem == "changed"  # type: ignore[union-attr]
    path.write_bytes(data)
    entries[-1].unlink()
    assert [found.kind for found in tv.verify(copy, level="log").unrecorded] == ["pin"]


def test_damage_of_other_versions_does_not_stop_a_gate(copy: Path) -> None:
    """With a ref, damage that touches other versions alone is not that version's."""
    path = max(copy.glob("part-*.parquet"))
    path.write_bytes(path.read_bytes()[:-1])
    assert tv.verify(copy, "v1.0", level="rows")
    with pytest.raises(errors.CorruptionError) as caught:
        tv.verify(copy, "v2.0")
    assert path.name in str(caught.value)
    assert caught.value.report.damaged[0].versions == (HEAD,)


def test_an_expected_hash_is_a_gate(whole: Path) -> None:
    """The version's own content hash passes; any other, a hash of no form, or one without a ref, does not."""
    table = tv.open_table(whole)
    right = table.version("v1.0").content_hash
    other = table.version("v2.0").content_hash
    assert right is not None
    for level in LEVELS:
        assert table.verify("v1.0", level=level, expect=right)
        with pytest.raises(errors.CorruptionError, match="expected was"):
            table.verify("v1.0", level=level, expect=other)
    for ref, expect in ((None, right), (1, "sha:abc"), (1, right[4:]), (1, right.upper())):
        with pytest.raises(errors.InvalidInputError):
            table.verify(ref, expect=expect)
    with pytest.raises(errors.InvalidInputError):
        table.verify(level="all")  # type: ignore[arg-type]


def test_tables_of_others_are_unrecorded_not_right(tmp_path: Path) -> None:
    """What deltalake wrote has no digests: it is listed as not recorded; its own damage that shows is still damage."""
    path = tmp_path / "d"
    for n in range(3):
        deltalake.write_deltalake(path, pa.table({"id": [n, n + 10], "s": ["a", None]}), mode="append")
    deltalake.DeltaTable(path).delete("id = 1")
    tv.append(path, [{"id": 99, "s": "ours"}])
    tv.tag(path, "v1", 1)
    for level in LEVELS:
        report = tv.verify(path, level=level)
        kinds = {found.kind for found in report.unrecorded}
        deeper = {"log": set(), "files": {"data file"}, "rows": {"data file", "version"}}[level]
        assert kinds == {"log entry", *deeper}
        entries = [found.object for found in report.unrecorded if found.kind == "log entry"]
        assert entries == [f"_delta_log/{n:020}.json" for n in (0, 2)]  # 1 is tagged, 3 is named by 4, which is ours
    rows = tv.verify(path, level="rows")
    assert {n for found in rows.unrecorded if found.kind == "version" for n in found.versions} == set(range(5))
    assert tv.verify(path, 2, expect=tv.content_hash_of(tv.read_version(path, 2)))
    with pytest.raises(errors.CorruptionError, match="expected was"):
        tv.verify(path, 2, expect="sha:" + "0" * 64)
    file = next(path.glob("part-*.parquet"))
    file.write_bytes(file.read_bytes()[:-3])
    assert named(verified(path), file.name).problem == "size"  # type: ignore[union-attr]


def test_what_another_tools_vacuum_removed_is_told_apart(tmp_path: Path) -> None:
    """Files that only old versions need and that deltalake's vacuum took are listed as vacuumed, with the tool."""
    path = tmp_path / "d"
    deltalake.write_deltalake(path, pa.table({"id": [1]}))
    deltalake.write_deltalake(path, pa.table({"id": [2]}), mode="overwrite")
    gone = deltalake.DeltaTable(path).vacuum(0, dry_run=False, enforce_retention_duration=False)
    deltalake.write_deltalake(path, pa.table({"id": [3]}), mode="append")
    report = tv.verify(path)
    assert [found.object for found in report.vacuumed] == gone
    assert "delta-rs" in report.vacuumed[0].detail
    assert report.vacuumed[0].versions == (0,)
    assert report.versions == tuple(range(1, tv.resolve_version(path).number + 1))
    assert tv.verify(path, level="rows").vacuumed == report.vacuumed
    with pytest.raises(errors.VersionVacuumedError, match="delta-rs"):
        tv.verify(path, 0)
    for file in path.glob("part-*.parquet"):
        file.unlink()
    assert {found.problem for found in verified(path).damaged} == {"missing"}


def test_what_a_vacuum_recorded_is_told_apart(tmp_path: Path) -> None:
    """A file that only versions recorded as vacuumed need is listed, not damage; one that another needs is damage."""
    table = tv.create_table(tmp_path / "t", [{"id": 1}])
    for number in (2, 3):
        table.overwrite([{"id": number}])
    table.append([{"id": 4}])
    path = Path(table.uri)
    entry = path / "_delta_log" / f"{3:020}.json"
    reseal(entry, (b'"operation":"append"', b'"operation":"vacuum","vacuumed":[[0,0]],"vacuumedChanges":[]'))
    first, second = sorted(path.glob("part-*.parquet"))[:2]
    first.unlink()
    for level in LEVELS:
        report = tv.verify(path, level=level)
        assert report.versions == (1, 2, 3)
        assert [found.object for found in report.vacuumed] == ([] if level == "log" else [first.name])
    second.unlink()
    assert [found.object for found in verified(path).damaged] == [second.name]


def test_progress_counts_every_byte_once(whole: Path) -> None:
    """Progress never goes back and ends at its total."""
    told: list[tuple[int, int]] = []
    tv.verify(whole, level="rows", progress=lambda done, total: told.append((done, total)))
    done = [each for each, _ in told]
    assert done == sorted(done)
    assert len({total for _, total in told}) == 1
    assert told[-1][0] == told[-1][1]


VALUES = {
    "i": st.integers(-(2**63), 2**63 - 1),
    "f": st.floats(width=64),
    "s": st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    "b": st.binary(max_size=3),
    "t": st.datetimes().map(lambda moment: moment),
    "l": st.lists(st.one_of(st.none(), st.integers(-9, 9)), max_size=3),
}
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("i", pa.int64()),
        ("f", pa.float64()),
        ("s", pa.string()),
        ("b", pa.binary()),
        ("t", pa.timestamp("us")),
        ("l", pa.list_(pa.int64())),
    ]
)
ROWS = st.lists(
    st.fixed_dictionaries({"id": st.integers(0, 12), **{name: st.none() | value for name, value in VALUES.items()}}),
    max_size=6,
    unique_by=lambda row: row["id"],
)
STEPS = st.lists(st.tuples(st.sampled_from(["upsert", "delete", "overwrite", "restore", "revert"]), ROWS), max_size=7)


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(first=ROWS, steps=STEPS, partitioned=st.booleans(), deletes=st.sampled_from(["merge-on-read", "copy-on-write"]))
def test_random_histories_have_no_damage(
    tmp_path_factory: pytest.TempPathFactory, first: Any, steps: Any, partitioned: bool, deletes: Any
) -> None:
    """Whatever was committed, in whatever order, verify finds it as it was committed, with nothing unrecorded."""
    path = tmp_path_factory.mktemp("random") / "t"
    for row in first if partitioned else []:
        row["i"] = row["id"] % 2
    rows = pa.Table.from_pylist(first, SCHEMA)
    table = tv.create_table(path, rows, key="id", partition_by=["i"] if partitioned else None, deletes=deletes)
    for number, (operation, changed) in enumerate(steps):
        for row in changed if partitioned else []:
            row["i"] = row["id"] % 2
        given_rows = pa.Table.from_pylist(changed, SCHEMA)
        if operation in ("upsert", "overwrite"):
            getattr(table, operation)(given_rows)
        elif operation == "delete":
            table.delete(where=f"id % 3 = {number % 3}")
        else:
            try:
                getattr(table, operation)(table.version(-1).number // 2 if operation == "restore" else -1)
            except errors.TableverError:
                continue
    table.tag("v1")
    report = table.verify(level="rows")
    assert (report.damaged, report.unrecorded) == ((), ())


GOLDEN = Path(__file__).parent / "data" / "golden"


@pytest.mark.parametrize(
    "path", sorted({log.parent for log in GOLDEN.rglob("_delta_log")}), ids=lambda p: p.parent.name
)
def test_what_spark_wrote_is_no_damage(path: Path) -> None:
    """Tables that Delta on Spark made are not damaged; those whose log lacks entries, a protocol or a schema are."""
    if path.parent.name in ("canonicalized-paths-special-b", "deltalog-invalid-protocol-version"):
        with pytest.raises(errors.UnsupportedFeatureError):
            tv.verify(path)
        return
    report = verified(path, level="rows")
    lacking = ("versions-not-contiguous", "without-protocol", "without-metadata")
    assert bool(report) == (not path.parent.name.endswith(lacking)), report.damaged
    assert not [found for found in report.unrecorded if "fastparquet" in found.detail]


def test_changes_of_schema_are_no_damage(tmp_path: Path) -> None:
    """Columns that come, go and change their type, another key, a restore over all that: nothing is damaged."""
    path = tmp_path / "t"
    table = tv.create_table(path, [{"id": 1, "a": 1}, {"id": 2, "a": None}], key="id")
    table.append([{"id": 3, "a": 3, "b": "new"}], evolve=True)
    table.delete(where="id = 2")
    table.upsert([{"id": 3, "a": 4, "b": None, "c": 1.5}], evolve=True)
    table.overwrite([{"id": 3, "a": "text"}, {"id": 4, "a": None}], replace_schema=True)
    table.set_key(None)
    table.append([{"id": 3, "a": "text"}])
    table.restore(1)
    table.append([{"id": 7, "a": 7, "b": "x"}])
    report = table.verify(level="rows")
    assert (report.damaged, report.unrecorded) == ((), ())
    assert len(report.versions) == table.version().number + 1


def test_commits_of_others_between_ours_are_no_damage(tmp_path: Path) -> None:
    """deltalake appends to and deletes from a table of ours: what it did is unrecorded, what we did is checked."""
    path = tmp_path / "t"
    table = tv.create_table(path, [{"id": n, "s": "a"} for n in range(9)], deletes="copy-on-write")
    deltalake.write_deltalake(path, pa.table({"id": [10], "s": ["theirs"]}), mode="append")
    table.append([{"id": 11, "s": "ours"}])
    deltalake.DeltaTable(path).delete("id = 3")
    table.delete(where="id = 10")
    report = tv.verify(path, level="rows")
    assert report
    versions = {number for found in report.unrecorded if found.kind == "version" for number in found.versions}
    assert versions >= {1, 3}
    assert 0 not in versions


def test_a_commit_or_a_tag_made_meanwhile_is_no_damage(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version and its tag that appear after the log was listed are neither damage nor a log rolled back."""
    from tablever.integrity import verification

    listed = verification.list_log

    def list_and_commit(storage: Any) -> Any:
        found = listed(storage)
        table = tv.open_table(copy)
        table.delete(where="id = 11")
        table.tag("meanwhile")
        deltalake.DeltaTable(copy).create_checkpoint()
        return found

    monkeypatch.setattr(verification, "list_log", list_and_commit)
    assert tv.verify(copy, level="rows").versions == tuple(range(HEAD + 1))


def test_two_keys_or_a_null_in_a_key_are_found(tmp_path: Path) -> None:
    """Another tool appends a key that is there, and one that is null: level rows names the version."""
    path = tmp_path / "t"
    tv.create_table(path, [{"id": 1}, {"id": 2}], key="id", deletes="copy-on-write")
    deltalake.write_deltalake(path, pa.table({"id": [2]}), mode="append")
    assert tv.verify(path, level="files")
    report = verified(path, level="rows")
    (found,) = report.damaged
    assert (found.object, found.problem, found.versions) == ("version 1", "key", (1,))
    assert report.keys_checked == (0, 1)
    assert tv.verify(path, 0, level="rows")


def test_a_newer_format_is_not_called_damage(copy: Path) -> None:
    """A tag in a format of a later release is an UnsupportedFeatureError."""
    path = witness_files.tag_path("v9")
    (copy / path).write_bytes(sealed.render(path, "tablever.tag/v2", {"name": "v9"}))
    with pytest.raises(errors.UnsupportedFeatureError):
        tv.verify(copy, level="log")


def all_objects(root: Path) -> Iterator[tuple[str, str]]:
    for kind in KINDS:
        yield from ((kind, path) for path in objects(root, kind))


def test_every_object_of_the_table_is_of_a_tried_kind(whole: Path) -> None:
    """The kinds above are all there are: no file of the table is left out of the trial but the ones named here."""
    tried = {path for _, path in all_objects(whole)}
    left = {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()} - tried
    assert {Path(path).parts[:2] for path in left} == {
        ("_delta_log", "_last_checkpoint"),
        ("_tablever", "journal"),
        ("_tablever", "tags"),
    }


def vacuumed_table(path: Path) -> tv.Table:
    """Versions 1 to 3 are vacuumed: two stored vectors of theirs are gone, the data file is still needed by 0 and 4."""
    table = tv.create_table(path, [{"id": n, "x": n % 7} for n in range(9_000)], key="id")
    table.delete(where="(id * 7919) % 10 < 3")
    table.delete(where="id % 11 = 4")
    table.append([{"id": 10_000, "x": 1}])
    table.upsert([{"id": n, "x": 8} for n in range(3)])
    table.vacuum(keep="1 version", dry_run=False, safety="0 hours")
    return table


def test_after_a_vacuum_the_rest_is_whole_and_still_checked(tmp_path: Path) -> None:
    """After a real vacuum, in a fresh process: no damage at any level; a changed byte touches no vacuumed version."""
    path = tmp_path / "t"
    vacuumed_table(path)
    for level in LEVELS:
        command = [sys.executable, "-m", "tablever", "verify", str(path), "--level", level, "--json"]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, (level, done.stderr)
        assert json.loads(done.stdout)["versions"] == [0, 4, 5]
    (left,) = path.glob("_dv/*.bin")
    flip(left, 40)
    (found,) = verified(path, level="rows").damaged
    assert (found.object, found.versions) == (left.relative_to(path).as_posix(), (4, 5))
    flip(left, 40)
    data = max(path.glob("part-*.parquet"), key=lambda each: each.stat().st_size)
    flip(data, 400)
    (found,) = verified(path, level="rows").damaged
    assert (found.object, found.versions) == (data.name, (0, 4, 5))


def test_a_vacuum_meanwhile_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that a vacuum takes after the log was read are listed as vacuumed."""
    from tablever.integrity import verification

    table = tv.create_table(tmp_path / "t", [{"id": n} for n in range(9)], key="id", deletes="copy-on-write")
    table.delete(where="id = 3")
    read = verification.read_history

    def read_and_vacuum(*given: Any) -> Any:
        history = read(*given)
        if history.head == 1:
            tv.vacuum(tmp_path / "t", keep="1 version", dry_run=False, safety="0 hours")
        return history

    monkeypatch.setattr(verification, "read_history", read_and_vacuum)
    report = table.verify(level="rows")
    assert report.versions == (1, 2)
    assert {found.versions for found in report.vacuumed} == {(0,)}


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_cannot_be_read_is_named(copy: Path, kind: str) -> None:
    """A folder in an object's place, which the disk refuses to read: named, and other damage is found beside it."""
    path = copy / objects(copy, kind)[0]
    path.unlink()
    path.mkdir()
    other = copy / objects(copy, "change file" if kind == "data file" else "data file")[0]
    flip(other, 50)
    assert {found.object for found in verified(copy).damaged} == {
        path.relative_to(copy).as_posix(),
        other.relative_to(copy).as_posix(),
    }


def test_every_byte_of_a_footer_at_level_rows(tmp_path: Path) -> None:
    """A bit flipped in the footer of a data file, whatever a Parquet reader says of it: named at level rows."""
    tv.create_table(tmp_path / "t", [{"id": n} for n in range(9)], key="id")
    (path,) = (tmp_path / "t").glob("part-*.parquet")
    end = path.stat().st_size
    for place in range(end - 400, end, 8):
        flip(path, place)
        read_footer.cache_clear()
        assert named(verified(tmp_path / "t", level="rows"), path.name) is not None, place
        flip(path, place)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_gate_does_not_open_for_a_vacuumed_version(tmp_path: Path) -> None:
    """A version that is recorded as vacuumed is refused at every level, its recorded hash expected or not."""
    table = vacuumed_table(tmp_path / "t")
    for level in LEVELS:
        with pytest.raises(errors.VersionVacuumedError, match="was vacuumed by version 5"):
            table.verify(2, level=level, expect=table.version(2).content_hash)


def test_a_vector_that_is_gone_is_named_at_level_rows(copy: Path) -> None:
    """A stored vector that was deleted by hand is damage at level rows too, and nothing else is accused."""
    path = Path(objects(copy, "vector")[0])
    (copy / path).unlink()
    command = [sys.executable, "-m", "tablever", "verify", str(copy), "--level", "rows", "--json"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 7, done.stderr
    assert {found["object"] for found in json.loads(done.stdout)["damaged"]} == {path.as_posix()}


@pytest.mark.parametrize("name", ["x.json", f"{0:020d} copy.json", f"{10**15:020d}.json", "-5.json"])
def test_a_stray_file_in_the_journal_is_named(tmp_path: Path, name: str) -> None:
    """A file that is no entry of the journal, or one of a far number, is named at once; tags are made all the same."""
    table = tv.create_table(tmp_path / "t", [{"id": 1}])
    table.tag("v1")
    (tmp_path / "t" / witness_files.JOURNAL / name).write_text("{}")
    table.tag("v2")
    named = {found.object.rpartition("/")[2] for found in verified(tmp_path / "t", level="log").damaged}
    assert named == ({name, f"{1:020d}.json"} if name[:2] == "00" and " " not in name else {name})


def test_damage_of_a_tag_hides_no_damage_of_rows(tmp_path: Path) -> None:
    """A key that occurs twice is found beside a damaged tag of that version, and a damaged journal."""
    path = tmp_path / "t"
    table = tv.create_table(path, [{"id": 1}, {"id": 2}], key="id", deletes="copy-on-write")
    deltalake.write_deltalake(path, pa.table({"id": [2]}), mode="append")
    table.tag("v1")
    flip(path / witness_files.tag_path("v1"), 100)
    flip(path / witness_files.journal_path(0), 100)
    found = verified(path, level="rows").damaged
    assert {(each.kind, each.versions) for each in found} == {("tag", (1,)), ("journal", (1,)), ("version", (1,))}


def test_what_a_damaged_entry_did_is_not_laid_to_others(copy: Path, tmp_path: Path) -> None:
    """After a vacuum no file is called gone because an entry cannot be read; nor an entry after two swapped ones."""
    path = tmp_path / "v"
    table = tv.create_table(path, [{"id": n} for n in range(9)], key="id")
    for n in range(10, 60):
        table.append([{"id": n}])
        if n == 49:
            table.delete(where="id >= 20")
    table.vacuum(keep="1 version", dry_run=False, safety="0 hours")
    flip(path / "_delta_log" / f"{30:020}.json", 500)
    assert {found.object for found in verified(path).damaged} == {f"_delta_log/{30:020}.json"}
    table = tv.create_table(tmp_path / "w", [{"id": n} for n in range(9)], deletes="copy-on-write")
    table.append([{"id": 10}])
    table.delete(where="id > 3")
    table.append([{"id": 11}])
    table.vacuum(keep="2 versions", dry_run=False, safety="0 hours")
    flip(tmp_path / "w" / "_delta_log" / f"{2:020}.json", 500)
    assert {found.object for found in verified(tmp_path / "w").damaged} == {f"_delta_log/{2:020}.json"}
    first, second = (copy / "_delta_log" / f"{number:020}.json" for number in (30, 34))
    data = first.read_bytes(), second.read_bytes()
    first.write_bytes(data[1])
    second.write_bytes(data[0])
    names = {found.object for found in verified(copy).damaged}
    assert names == {f"_delta_log/{first.name}", f"_delta_log/{second.name}"}


def test_a_bit_of_the_seal_itself_makes_no_foreign_entry(tmp_path: Path) -> None:
    """Any bit in the first bytes of an entry of ours, the next one being another tool's: it is damaged, not foreign."""
    path = tmp_path / "t"
    tv.create_table(path, [{"id": 1}], deletes="copy-on-write").append([{"id": 2}])
    deltalake.write_deltalake(path, pa.table({"id": [3]}), mode="append")
    entry = path / "_delta_log" / f"{1:020}.json"
    for place in range(120):
        flip(entry, place)
        assert named(verified(path, level="log"), f"_delta_log/{entry.name}") is not None, place
        flip(entry, place)
    assert tv.verify(path, level="log")


@pytest.mark.parametrize("text", [b'"more":28', b'"label":"small"', b"minValues", b"numRecords", b"nullCount"])
def test_a_bit_of_the_statistics_in_a_checkpoint_is_found(copy: Path, text: bytes) -> None:
    """A name, a value or a quote of the statistics of a checkpoint, changed so that they parse or not: named."""
    (checkpoint,) = copy.glob("_delta_log/*.checkpoint.parquet")
    start = checkpoint.read_bytes().index(text)
    for place in range(start, start + len(text)):
        flip(checkpoint, place)
        assert named(verified(copy, level="log"), f"_delta_log/{checkpoint.name}") is not None, place - start
        flip(checkpoint, place)


@pytest.mark.parametrize("level", ["files", "rows"])
@pytest.mark.parametrize("keep", ["tag", "run", "pin"])
def test_what_a_witness_keeps_nobody_may_take(tmp_path: Path, keep: str, level: Any) -> None:
    """A file of a version that a tag, a run or a pin names is damage where it is gone, whichever tool took it."""
    path = tmp_path / "d"
    deltalake.write_deltalake(path, pa.table({"id": [1]}))
    for number in (2, 3):
        deltalake.write_deltalake(path, pa.table({"id": [number]}), mode="overwrite")
    makers: dict[str, Callable[[], object]] = {
        "tag": lambda: tv.tag(path, "v1.0", 1),
        "run": lambda: tv.link_run(path, 1, "r1"),
        "pin": lambda: tv.pin(path, 1, reason="audit"),
    }
    makers[keep]()
    kept = deltalake.DeltaTable(path, version=1).file_uris()
    gone = deltalake.DeltaTable(path).vacuum(0, dry_run=False, enforce_retention_duration=False)
    report = verified(path, level=level)
    (found,) = report.damaged
    assert (found.problem, found.versions) == ("missing", (1,))
    assert kept[0].endswith(found.object)
    assert keep in found.detail
    assert [each.object for each in report.vacuumed] == [name for name in gone if name != found.object]
    assert len(verified(path, 1, level=level).damaged) == 1
    done = subprocess.run(
        [sys.executable, "-m", "tablever", "verify", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7


def test_a_damaged_record_of_a_vacuum_is_told_once(tmp_path: Path) -> None:
    """Where the entry that recorded a vacuum is damaged, that is the damage; what it took is listed beside it."""
    table = tv.create_table(tmp_path / "t", [{"id": 1}])
    for number in (2, 3, 4):
        table.overwrite([{"id": number}])
    path = Path(table.uri)
    taken = tv.vacuum(path, keep="pinned", safety="0 days", dry_run=False)
    assert taken.version is not None
    entry = path / "_delta_log" / f"{taken.version.number:020}.json"
    whole = entry.read_bytes()
    assert b"[[0,2]]" in whole
    for damaged in (whole[:-40], whole.replace(b"[[0,2]]", b"[[0,0]]")):
        entry.write_bytes(damaged)
        report = verified(path)
        assert [found.object for found in report.damaged] == [f"_delta_log/{entry.name}"]
        listed = {found.object for found in report.unrecorded} | {found.object for found in report.vacuumed}
        assert {removal.path for removal in taken.removals} <= listed
        with pytest.raises(errors.TableverError):
            tv.verify(path, 1)
    entry.write_bytes(whole)
    assert tv.verify(path).damaged == ()


@pytest.mark.parametrize("data", [b"", b"{}", b'{"digest":"0"}\n', b"by hand"])
def test_a_damaged_deletion_takes_nothing_away(tmp_path: Path, data: bytes) -> None:
    """A record of a deletion that is not as it was written is damage, and what it was about stands, and keeps."""
    table = tv.create_table(tmp_path / "t", [{"id": 1}])
    table.tag("v1.0")
    table.link_run(0, "r1")
    table.pin(0, reason="audit")
    table.overwrite([{"id": 2}])
    path = Path(table.uri)
    made = [name for folder in ("tags", "runs", "pins") for name in (path / "_tablever" / folder).glob("*.json")]
    for each in made:
        (each.parent / "deleted").mkdir(exist_ok=True)
        (each.parent / "deleted" / each.name).write_bytes(data)
    assert len(made) == 3
    assert [tag.name for tag in tv.list_tags(path)] == ["v1.0"]
    assert tv.read_version(path, "v1.0")["id"].to_pylist() == [1]
    assert [run.run_id for run in tv.runs_of(path)] == ["r1"]
    assert [pin.reason for pin in tv.list_pins(path)] == ["audit"]
    assert tv.vacuum(path, keep="pinned", safety="0 days").lost == ()
    assert {found.kind for found in verified(path, level="log").damaged} == {"deletion"}
    for take in (
        lambda: tv.delete_tag(path, "v1.0"),
        lambda: tv.unlink_run(path, 0, "r1"),
        lambda: tv.unpin(path, 0),
    ):
        with pytest.raises(errors.CorruptionError):
            take()
    with pytest.raises(errors.AlreadyExistsError, match="is version 0 already"):
        tv.tag(path, "v1.0", 1)


def test_progress_of_the_log(whole: Path) -> None:
    """At level "log", too, progress is told, never goes back, and ends at its total."""
    told: list[tuple[int, int]] = []
    tv.verify(whole, level="log", progress=lambda done, total: told.append((done, total)))
    done = [each for each, _ in told]
    assert len(told) == HEAD + 1
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]
    assert all(each <= total for each, total in told)


def test_a_damaged_entry_names_no_content(tmp_path: Path) -> None:
    """What a damaged entry says of its version's content is not repeated: it is refused, and no ref finds it."""
    table = tv.create_table(tmp_path / "t", [{"id": 1}])
    table.append([{"id": 2}])
    hash_ = tv.content_hash(table, 1)
    entry = Path(table.uri) / "_delta_log" / f"{1:020}.json"
    other = f"sha:{'0' * 64}"
    entry.write_bytes(entry.read_bytes().replace(hash_.encode(), other.encode()))
    for ref in (1, other, hash_):
        with pytest.raises(errors.CorruptionError, match="its digest does not fit its bytes"):
            tv.resolve_version(table.uri, ref)


def test_a_vector_of_another_writer_beside_our_tags(tmp_path: Path) -> None:
    """A vector that another writer gave to a file of ours is no damage where it kept our tags, as Spark does; nor is
    it after our restore and our next delete; ours, before and after, are checked as ever.
    """
    table = tv.create_table(tmp_path / "t", [{"id": n} for n in range(20)], key="id")
    table.delete(where="id = 3")
    log = tmp_path / "t" / "_delta_log"
    file = next(
        json.loads(line)["add"] for line in (log / f"{1:020d}.json").read_text().splitlines() if '"add"' in line
    )
    theirs = vectors.inline(vectors.encode([3, 7]), 2)
    added = {**file, "deletionVector": {**file["deletionVector"], "cardinality": 2, "sizeInBytes": theirs.size}}
    added["deletionVector"]["pathOrInlineDv"] = theirs.path_or_inline
    gone = {"path": file["path"], "dataChange": True, "deletionVector": file["deletionVector"], "deletionTimestamp": 1}
    told = {"operation": "DELETE", "timestamp": file["modificationTime"] + 1_000, "engineInfo": "another"}
    actions = [{"commitInfo": told}, {"remove": gone}, {"add": added}]
    (log / f"{2:020d}.json").write_text("".join(json.dumps(action) + "\n" for action in actions))
    table.delete(where="id = 9")
    table.restore(2)
    report = table.verify(level="rows")
    assert not report.damaged
    assert {found.versions for found in report.unrecorded if found.kind == "vector"} == {(2, 4)}
    assert sorted(row["id"] for row in table.read(4).to_pylist()) == [n for n in range(20) if n not in (3, 7)]
