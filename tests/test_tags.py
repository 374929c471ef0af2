"""Tags: a name means one version for ever, and never another one."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import deltalake
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tablever as tv
from tablever import errors, sealed, witness_files
from tablever.refs import Relative, TagName, check_tag_name, parse_ref
from tablever.witnesses import witnessed
from tests.test_crash import Killed, Machine, watched

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def table(tmp_path: Path) -> tv.Table:
    """Three versions of one, two, three rows."""
    made = tv.create_table(tmp_path / "t", [{"id": 0}], key="id")
    for number in (1, 2):
        made.append([{"id": number}])
    return made


def tagger(path: str, worker: int, start: Any, out: Any) -> None:
    start.wait()
    try:
        out.put((worker, tv.tag(path, "v1.0", worker % 3, author=str(worker)).author))
    except errors.AlreadyExistsError:
        out.put((worker, None))


def test_one_of_eight_processes_makes_a_name(table: tv.Table) -> None:
    """Of processes that make the same tag at once one succeeds, the others are told, and the tag is the winner's."""
    start, out = SPAWN.Event(), SPAWN.Queue()
    processes = [SPAWN.Process(target=tagger, args=(table.uri, worker, start, out)) for worker in range(8)]
    for process in processes:
        process.start()
    start.set()
    told = dict(out.get(timeout=180) for _ in processes)
    for process in processes:
        process.join(timeout=60)
    winners = [worker for worker, author in told.items() if author is not None]
    assert len(winners) == 1
    (found,) = table.tags()
    assert (found.author, found.version) == (str(winners[0]), winners[0] % 3)


@pytest.mark.parametrize("power", ["kept", "lost"])
def test_a_maker_that_dies_leaves_a_tag_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, power: str) -> None:
    """Whichever call it dies in, with the power lost too: the tag is there or can be made, and nothing is damaged."""
    pristine, path = tmp_path / "pristine", tmp_path / "t"
    tv.create_table(pristine, [{"id": 0}])
    tv.tag(pristine, "v0")
    for die_at in range(1, 100):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(pristine, path)
        before, machine = set(path.rglob("*")), Machine(path, die_at)
        try:
            with watched(machine, monkeypatch):
                tv.tag(path, "v1.0")
            done = True
        except Killed:
            done = False
        if power == "lost":
            machine.lose_power(before)
        assert not tv.verify(path, level="log").damaged
        names = [tag.name for tag in tv.list_tags(path)]
        assert names in ([["v0", "v1.0"]] if done else [["v0"], ["v0", "v1.0"]])
        if "v1.0" not in names:
            tv.tag(path, "v1.0")
        assert tv.resolve_version(path, "v1.0").number == 0
        tv.tag(path, "v2.0")
        assert not tv.verify(path, level="log").damaged
        if done:
            assert die_at > 5
            return
    pytest.fail("the tag was never made")


def test_a_tag_is_a_ref_wherever_one_is_taken(table: tv.Table) -> None:
    """Reads, ~n, SQL and the record agree on the version that a tag names; it stays there when the table moves on."""
    made = table.tag("v1.0", 1, message="trained on this", author="Ada")
    table.append([{"id": 9}])
    assert (made.version, made.message, made.author) == (1, "trained on this", "Ada")
    assert made.commit_hash == table.version(1).commit_hash
    assert table.tags() == [made]
    assert table.read("v1.0").num_rows == 2
    assert table.version("v1.0~1").number == 0
    assert table.diff("v1.0", "latest").summary.added == 2
    root = Path(table.uri).parent
    assert tv.query("SELECT count(*) AS n FROM t AT (VERSION => 'v1.0')", root=root)["n"].to_pylist() == [2]


def test_names_in_use_and_deleted_names_stay_taken(table: tv.Table) -> None:
    """A tag cannot be made twice or moved; deleted, it is gone from refs and lists, and its name is never free."""
    table.tag("v1.0", 0)
    for ref in (0, 1):
        with pytest.raises(errors.AlreadyExistsError, match="is version 0 already"):
            table.tag("v1.0", ref)
    assert table.delete_tag("v1.0", reason="mistake").version == 0
    assert table.tags() == []
    with pytest.raises(errors.TagNotFoundError, match=r"was deleted by Test Author on .*: mistake"):
        table.read("v1.0")
    with pytest.raises(errors.TagNotFoundError, match="was deleted"):
        table.delete_tag("v1.0")
    with pytest.raises(errors.AlreadyExistsError, match="was deleted"):
        table.tag("v1.0", 0)


@pytest.mark.parametrize(
    "name",
    [
        *("latest", "LATEST", "3", "-1", "", "v1~2", "sha:abcdef", "2026-11-01T12:00:00Z", "a//b", "a/", "a.", "../x"),
        *(".x", "é", "a b", "a\n", "v" * 81, 3, None, "a\ud800"),
    ],
)
def test_names_that_could_be_another_ref_are_refused(table: tv.Table, name: Any) -> None:
    """A name that is or looks like another ref, or that a path would eat, is a RefError, and nothing is written."""
    with pytest.raises(errors.RefError):
        table.tag(name)
    assert not (Path(table.uri) / "_tablever").exists()


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9._/-]{0,90}", fullmatch=True))
def test_a_name_that_is_allowed_is_read_as_that_tag(name: str) -> None:
    """What ``check_tag_name`` lets pass, ``parse_ref`` takes for that tag and no other ref."""
    try:
        check_tag_name(name)
    except errors.RefError:
        return
    assert parse_ref(name) == TagName(name)
    assert parse_ref("latest") == Relative(0)


@given(st.lists(st.from_regex(r"[A-Za-z][A-Za-z0-9._/-]{0,79}", fullmatch=True), unique=True, max_size=20))
def test_file_names_differ_on_every_file_system(names: list[str]) -> None:
    """Two names never share a file, also where file names differ in more than letter case only; none is a path."""
    files = [witness_files.file_name(name) for name in names]
    assert len({file.lower() for file in files}) == len(files)
    assert all("/" not in file and "." not in file and len(file) <= 150 for file in files)


def test_a_name_is_not_taken_for_the_hash_of_a_long_one(table: tv.Table) -> None:
    """A name that reads like the hash under which a long name is filed is a tag, and a run, of its own."""
    hashed = witness_files.file_name("V" * 80)
    table.tag("V" * 80, 0)
    assert table.tag(hashed, 1).version == table.version(hashed).number == 1
    table.link_run(0, "V" * 80, metrics={"f1": 0.5})
    assert table.link_run(0, hashed).metrics == {}


def test_a_version_whose_files_another_tool_took_is_not_named(tmp_path: Path) -> None:
    """After deltalake's vacuum a version that cannot be read any more gets no tag, run or pin; one that can does."""
    rows = [{"id": n} for n in range(9)]
    table = tv.create_table(tmp_path / "f", rows, key="id", deletes="copy-on-write")
    table.delete(where="id = 3")
    table.tag("early", 0)
    deltalake.DeltaTable(tmp_path / "f").vacuum(0, enforce_retention_duration=False, dry_run=False)
    for name in (lambda: table.tag("late", 0), lambda: table.pin(0, reason="x"), lambda: table.link_run(0, "r")):
        with pytest.raises(errors.VersionVacuumedError, match="is gone"):
            name()
    assert [each.name for each in table.tags()] == ["early"]
    with pytest.raises(errors.CorruptionError, match="tag 'early' keeps it"):
        table.verify("early")
    assert table.tag("late", 1).version == 1
    assert table.runs() == table.pins() == []


def test_letter_case_and_long_names(table: tv.Table) -> None:
    """Names that differ in case are two tags; one of eighty capitals works."""
    for number, name in enumerate(["v1", "V1", "V" * 80]):
        table.tag(name, number)
    assert {each.name: each.version for each in table.tags()} == {"v1": 0, "V1": 1, "V" * 80: 2}
    assert [table.version(name).number for name in ("v1", "V1", "V" * 80)] == [0, 1, 2]


def test_a_tag_of_a_rolled_back_log_is_no_version(table: tv.Table) -> None:
    """Cut back, or cut back and written on, the log has no version that the tag could mean: an error, no rows."""
    table.tag("v2.0", 2)
    log_folder = Path(table.uri) / "_delta_log"
    (log_folder / f"{2:020}.json").unlink()
    cut = tv.open_table(table.uri)
    for ask in (lambda: cut.read("v2.0"), cut.tags, lambda: witnessed(cut.log), lambda: cut.version("v2.0~1")):
        with pytest.raises(errors.CorruptionError, match=r"tag 'v2.0' .* remembers version 2 .* ends at version 1"):
            ask()
    cut.append([{"id": 77}])
    for ask in (lambda: cut.read("v2.0"), cut.tags, lambda: witnessed(cut.log)):
        with pytest.raises(errors.CorruptionError, match="has another version 2"):
            ask()
    cut.delete_tag("v2.0")
    assert cut.tags() == []


def test_a_tag_of_another_table_is_no_version(table: tv.Table, tmp_path: Path) -> None:
    """A tag that was copied from another table names nothing here; a table that was copied whole keeps its tags."""
    table.tag("v1.0", 1)
    other = tv.create_table(tmp_path / "other", [{"id": 0}], key="id")
    other.append([{"id": 1}])
    shutil.copytree(Path(table.uri) / "_tablever", Path(other.uri) / "_tablever")
    with pytest.raises(errors.CorruptionError, match="has another version 1"):
        other.read("v1.0")
    shutil.copytree(table.uri, tmp_path / "copy")
    assert tv.read_version(tmp_path / "copy", "v1.0").num_rows == 2


def test_a_table_made_by_deltalake_can_be_tagged(tmp_path: Path) -> None:
    """Tags need nothing of a table but its log."""
    deltalake = pytest.importorskip("deltalake")
    import pyarrow as pa

    for number in range(2):
        deltalake.write_deltalake(tmp_path / "d", pa.table({"id": [number]}), mode="append")
    tv.tag(tmp_path / "d", "first", 0)
    tv.append(tmp_path / "d", [{"id": 9}])
    assert tv.read_version(tmp_path / "d", "first")["id"].to_pylist() == [0]


@pytest.mark.parametrize("damage", ["flip", "cut", "other", "newer"])
def test_a_tag_that_cannot_be_read_is_an_error(table: tv.Table, damage: str) -> None:
    """A flipped bit, a cut, another tag's bytes and a newer format are told; none is taken for 'not found'."""
    table.tag("v1.0", 1)
    table.tag("v2.0", 2)
    path = Path(table.uri) / witness_files.tag_path("v1.0")
    data = path.read_bytes()
    values = {name: value for name, value in json.loads(data).items() if name not in ("digest", "format", "object")}
    path.write_bytes(
        {
            "flip": data.replace(b'"version":1', b'"version":0'),
            "cut": data[:-20],
            "other": (path.parent / "v2%2E0.json").read_bytes(),
            "newer": sealed.render(witness_files.tag_path("v1.0"), "tablever.tag/v2", values),
        }[damage]
    )
    expected = errors.UnsupportedFeatureError if damage == "newer" else errors.CorruptionError
    for ask in (lambda: table.read("v1.0"), table.tags, lambda: witnessed(table.log)):
        with pytest.raises(expected, match=r"v1%2E0\.json"):
            ask()
    assert table.read("v2.0").num_rows == 3


@given(st.binary(min_size=1, max_size=3), st.integers(0, 400), st.integers(0, 7))
def test_a_seal_finds_every_flipped_bit(extra: bytes, place: int, bit: int) -> None:
    """An object with one bit flipped, cut or lengthened is not read."""
    data = sealed.render("_tablever/tags/a.json", "tablever.tag/v1", {"name": "a", "version": 3, "message": "é"})
    assert sealed.parse(data, path="_tablever/tags/a.json", kind="tablever.tag/v1")["message"] == "é"
    place %= len(data)
    flipped = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
    for damaged in (flipped, data[:place], data + extra):
        with pytest.raises(errors.CorruptionError):
            sealed.parse(damaged, path="_tablever/tags/a.json", kind="tablever.tag/v1")


def test_refused_versions_leave_no_tag(table: tv.Table) -> None:
    """A version that is not there cannot be tagged, and the name stays free."""
    with pytest.raises(errors.VersionNotFoundError):
        table.tag("v1.0", 7)
    with pytest.raises(errors.InvalidInputError):
        table.tag("v1.0", message="\ud800")
    assert table.tag("v1.0").version == 2


def test_a_tag_that_cannot_be_entered_into_the_journal(table: tv.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the tag was made and the journal's entry was not, the error says that it is there; it counts."""
    storage = type(table.log.storage)
    put = storage.put_if_absent

    def refusing(self: Any, path: str, data: bytes) -> bool:
        if path.startswith(witness_files.JOURNAL):
            raise errors.StorageError("cannot write: the network is down", reason="the network is down")
        return put(self, path, data)

    monkeypatch.setattr(storage, "put_if_absent", refusing)
    with pytest.raises(errors.StorageError, match="was made and counts") as caught:
        tv.tag(table, "v1.0", 1)
    assert caught.value.made == witness_files.tag_path("v1.0")
    assert caught.value.reason == "the network is down"
    monkeypatch.undo()
    assert [(each.name, each.version) for each in tv.list_tags(table)] == [("v1.0", 1)]
    assert tv.resolve_version(table, "v1.0").number == 1


def test_whether_a_name_is_free_is_not_guessed(table: tv.Table) -> None:
    """A tag of which nothing is left but a damaged deletion is neither made again nor said to be free."""
    tv.tag(table, "v1.0", 1)
    gone = tv.delete_tag(table, "v1.0")
    folder = Path(table.uri)
    (folder / gone.object).unlink()
    (folder / witness_files.deleted_path(gone.object)).write_bytes(b"{}")
    with pytest.raises(errors.CorruptionError, match="deleted/"):
        tv.tag(table, "v1.0", 2)
