"""Paths and links that lead out of a table: nothing outside is read, written or removed, but what a caller allows."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tablever as tv
from tablever import fences
from tablever.delta import vectors
from tablever.errors import CorruptionError, InvalidInputError, TableverError, UnsupportedFeatureError
from tablever.log import open_log
from tests.cli.conftest import Shell
from tests.hostile.making import actions_of, added, entry_file, good_table, replaced, survive, write_entry
from tests.hostile.test_hostile_sql import contents

READERS = ("read", "where", "batches", "scan", "sql", "history", "diff", "blame", "hash")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return good_table(tmp_path / "orders")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A Parquet file outside the table that fits its columns."""
    (tmp_path / "outside").mkdir()
    path = tmp_path / "outside" / "part-secret.parquet"
    rows = {"id": pa.array([7, 8], pa.int64()), "label": ["secret", "b"]}
    pq.write_table(pa.table(rows), path)
    return path


def link_to(target: Path, at: Path) -> str:
    at.symlink_to(target)
    return at.name


PLACES: dict[str, Callable[[Path, Path], str]] = {
    "absolute": lambda _, secret: str(secret),
    "dots": lambda _, secret: f"../outside/{secret.name}",
    "dots inside": lambda table, secret: f"{table}/../outside/{secret.name}",
    "encoded dots": lambda _, secret: f"%2e%2e/outside/{secret.name}",
    "encoded slash": lambda _, secret: quote(str(secret), safe=""),
    "file URI": lambda _, secret: f"file://{secret}",
    "file URI with a host": lambda _, secret: f"file://localhost{secret}",
    "other scheme": lambda *_: "s3://bucket/part.parquet",
    "a link": lambda table, secret: link_to(secret, table / "link.parquet"),
    "a link of links": lambda table, secret: link_to(
        table / link_to(secret, table / "first.parquet"), table / "second.parquet"
    ),
    "a folder that is a link": lambda table, secret: link_to(secret.parent, table / "sub") + f"/{secret.name}",
}


@pytest.mark.parametrize("where", PLACES)
def test_a_file_outside_is_not_read(table: Path, secret: Path, where: str) -> None:
    """However a log says it, a file outside the table is named in a refusal; nothing outside changes."""
    before = contents(secret.parent)
    write_entry(table, 1, added(PLACES[where](table, secret), secret.stat().st_size))
    found = survive(table)
    for name in READERS:
        assert isinstance(found[name], UnsupportedFeatureError), name
        assert "outside the table" in str(found[name])
        assert "allow_folders" in str(found[name].hint)
    assert contents(secret.parent) == before


@pytest.mark.parametrize("where", PLACES)
def test_change_rows_and_vectors_outside_are_not_read(table: Path, secret: Path, where: str) -> None:
    """The same for change files, and for vectors by absolute path."""
    if where == "other scheme":
        pytest.skip("no file")
    blob = vectors.encode([0])
    secret.write_bytes(vectors.file_bytes([blob]))
    path = PLACES[where](table, secret)
    before = contents(secret.parent)
    vector = {"storageType": "p", "pathOrInlineDv": path, "sizeInBytes": len(blob), "cardinality": 1, "offset": 1}
    write_entry(table, 1, *replaced(table, deletionVector=vector))
    found = survive(table, writes=False)
    assert isinstance(found["read"], UnsupportedFeatureError)
    write_entry(table, 1, {"cdc": {"path": path, "size": secret.stat().st_size, "partitionValues": {}}})
    found = survive(table, writes=False)
    assert isinstance(found["changes"], UnsupportedFeatureError)
    survive(table)
    assert contents(secret.parent) == before


@pytest.mark.parametrize(
    "where", [where for where in PLACES if where not in ("other scheme", "dots", "encoded dots", "dots inside")]
)
def test_what_the_caller_allows_is_read_and_never_written(table: Path, secret: Path, where: str, shell: Shell) -> None:
    """A shallow clone reads where its files' folder is allowed, everything works on it, and the files stay."""
    before = contents(secret.parent)
    write_entry(table, 1, added(PLACES[where](table, secret), secret.stat().st_size))
    opened = tv.open_table(table, allow_folders=[secret.parent])
    assert sorted(row["id"] for row in tv.read_version(opened).to_pylist()) == [0, 1, 2, 3, 7, 8]
    assert tv.query("SELECT count(*) AS n FROM orders", root=table.parent, tables={"orders": opened}).to_pylist() == [
        {"n": 6}
    ]
    asked = ["sql", "SELECT count(*) AS n FROM orders", "--root", table.parent, "--json"]
    assert shell(*asked).code == 5
    assert shell(*asked, "--allow-folder", secret.parent).lines == [{"n": 6}]
    assert len(shell("--allow-folder", secret.parent, "read", table, "--json").lines) == 6
    tv.delete(opened, where="id = 7")
    tv.update(opened, {"label": "'z'"}, where="id = 8")
    tv.verify(opened)
    tv.compact(opened, min_files=1)
    assert sorted(row["id"] for row in tv.read_version(opened).to_pylist()) == [0, 1, 2, 3, 8]
    tv.vacuum(opened, keep="0 days", safety="0 days", dry_run=False)
    assert sorted(row["id"] for row in tv.read_version(opened).to_pylist()) == [0, 1, 2, 3, 8]
    assert contents(secret.parent) == before


def test_another_folder_allows_nothing(table: Path, secret: Path, tmp_path: Path) -> None:
    """What is allowed is a folder, not a table: paths elsewhere stay refused, and dots are always."""
    (tmp_path / "other").mkdir()
    write_entry(table, 1, added(str(secret), secret.stat().st_size))
    with pytest.raises(UnsupportedFeatureError):
        tv.read_version(tv.open_table(table, allow_folders=[tmp_path / "other"]))
    write_entry(table, 1, added(f"{tmp_path}/other/../outside/{secret.name}", secret.stat().st_size))
    with pytest.raises(UnsupportedFeatureError):
        tv.read_version(tv.open_table(table, allow_folders=[tmp_path / "other", secret.parent]))
    with pytest.raises(InvalidInputError):
        tv.open_table(table, allow_folders=str(secret.parent))  # type: ignore[arg-type]


def test_no_setting_of_a_table_allows_anything(table: Path, secret: Path) -> None:
    """Properties of the table are its maker's: none of them opens a folder."""
    metadata = actions_of(table, "metaData")[0]
    names = ("allow_folders", "tablever.allowFolders", "tablever.allow_folders", "allowFolders")
    metadata["configuration"] |= dict.fromkeys(names, f'["{secret.parent}"]')
    write_entry(table, 1, {"metaData": metadata}, added(str(secret), secret.stat().st_size))
    with pytest.raises(UnsupportedFeatureError):
        tv.read_version(table)


@pytest.mark.parametrize("folder", ["_delta_log", "_dv", "_change_data", "_tablever"])
def test_writes_do_not_follow_links_out(table: Path, tmp_path: Path, folder: str) -> None:
    """A folder of the table that is a link out takes nothing: what would write there is refused."""
    outside = tmp_path / "outside"
    if (table / folder).exists():
        shutil.move(table / folder, outside)
    else:
        outside.mkdir()
    (table / folder).symlink_to(outside)
    before = contents(outside)
    found = survive(table)
    if folder != "_dv":  # small vectors lie in the log
        assert any(isinstance(error, UnsupportedFeatureError) for error in found.values())
    assert contents(outside) == before


def test_a_partition_folder_that_is_a_link_takes_nothing(tmp_path: Path) -> None:
    """The same for the folder of a partition, also where the folder is allowed for reading."""
    table, outside = tmp_path / "orders", tmp_path / "outside"
    tv.create_table(table, [{"id": 1, "label": "a"}], partition_by="label")
    shutil.move(table / "label=a", outside)
    (table / "label=a").symlink_to(outside)
    before = contents(outside)
    opened = tv.open_table(table, allow_folders=[outside])
    assert tv.read_version(opened).num_rows == 1
    with pytest.raises(UnsupportedFeatureError, match="cannot write"):
        tv.append(opened, [{"id": 2, "label": "a"}])
    assert contents(outside) == before


def test_links_inside_a_table_and_a_table_that_is_a_link_are_fine(table: Path, tmp_path: Path) -> None:
    """What lies in the table is the table's, by whatever name; so is a table that is reached through a link."""
    part = next(table.glob("part-*.parquet"))
    (table / "data").mkdir()
    moved = table / "data" / part.name
    part.rename(moved)
    part.symlink_to(moved)
    (tmp_path / "alias").symlink_to(table)
    for name in (table, tmp_path / "alias"):
        assert tv.read_version(name).num_rows >= 4
        tv.append(name, [{"id": 100 + len(tv.list_versions(name)), "label": "x"}])


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_absolute_paths_inside_a_table_work(table: Path, scheme: str) -> None:
    """A log may name the table's own files by absolute paths: they are read, deleted from, and compacted."""
    write_entry(table, 1, *replaced(table, path=f"{scheme}{table}/{actions_of(table, 'add')[0]['path']}"))
    assert tv.read_version(table).num_rows == 4
    tv.delete(table, where="id = 0")
    tv.append(table, [{"id": 50, "label": "x"}])
    assert tv.compact(table) is not None
    assert sorted(row["id"] for row in tv.read_version(table).to_pylist()) == [1, 2, 3, 50]
    tv.vacuum(table, keep="0 days", safety="0 days", dry_run=False)
    assert sorted(row["id"] for row in tv.read_version(table).to_pylist()) == [1, 2, 3, 50]


@pytest.mark.parametrize("name", ["../x.parquet", "/etc/passwd", "%2e%2e%2fx.parquet", "..", "", "a/b.parquet"])
def test_sidecars_have_names_not_paths(table: Path, name: str) -> None:
    """A checkpoint that points its sidecars elsewhere is refused."""
    protocol, metadata = actions_of(table, "protocol")[0], actions_of(table, "metaData")[0]
    sidecar = {"sidecar": {"path": name, "sizeInBytes": 1, "modificationTime": 1}}
    checkpoint = f"{0:020d}.checkpoint.{'a' * 8}-bbbb-cccc-dddd-{'e' * 12}.json"
    write_entry(table, 0, {"protocol": protocol}, {"metaData": metadata}, sidecar)
    entry_file(table, 0).rename(table / "_delta_log" / checkpoint)
    with pytest.raises(CorruptionError, match="sidecar"):
        tv.read_version(table)


def test_vacuum_stays_inside(table: Path, secret: Path) -> None:
    """What looks like a leftover, but lies behind a link or is one, is not removed; nor is a file that a log names."""
    (table / "sub").symlink_to(secret.parent)
    (table / secret.name).symlink_to(secret)
    write_entry(table, 1, added(f"sub/{secret.name}", secret.stat().st_size))
    write_entry(table, 2, {"remove": {"path": f"sub/{secret.name}", "dataChange": True, "deletionTimestamp": 1}})
    before = contents(secret.parent)
    removed = tv.vacuum(table, keep="0 days", safety="0 days", dry_run=False).removals
    assert not [removal for removal in removed if secret.name in removal.path]
    assert contents(secret.parent) == before


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "too long", "half a surrogate", "nul"])
def test_what_is_no_file_is_not_waited_for(table: Path, kind: str) -> None:
    """Pipes, devices, folders, and names that are none: an error at once, from every verb."""
    name = {"too long": "a" * 5000, "half a surrogate": "\ud800.parquet", "nul": "a\0b"}.get(kind, "odd.parquet")
    if kind == "pipe":
        os.mkfifo(table / name)
    elif kind == "device":
        (table / name).symlink_to("/dev/zero")
    elif kind == "folder":
        (table / name).mkdir()
    write_entry(table, 1, added(name, (table / name).stat().st_size if (kind in ("pipe", "folder")) else 0))
    found = survive(table, writes=False)
    assert all(isinstance(found[name], TableverError) for name in READERS)


def test_a_log_entry_that_is_a_pipe_is_not_waited_for(table: Path) -> None:
    """A named pipe in the log's folder blocks nobody."""
    os.mkfifo(entry_file(table, 1))
    found = survive(table)
    assert isinstance(found["read"], TableverError)


def test_beginnings_are_those_of_what_may_be_read(table: Path, tmp_path: Path) -> None:
    """The beginnings of many objects are what ``get_range`` gives of each, links in the table followed, and what may
    not be read is refused in the same words: links out, pipes, folders that lead out.
    """
    (tmp_path / "secret.txt").write_text("top secret")
    (table / "in").mkdir()
    (table / "in" / "short").write_bytes(b"ab")
    (table / "in" / "long").write_bytes(b"abcdefgh")
    (table / "in" / "link").symlink_to(table / "in" / "long")
    (table / "in" / "out").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(table / "in" / "pipe")
    (table / "away").symlink_to(tmp_path)
    (table / "again").symlink_to(table / "in")
    storage = open_log(table).storage
    fine = ["in/short", "in/long", "in/link", "again/long", "in/long"]
    assert list(storage.get_starts(fine, 4)) == [storage.get_range(path, 0, 4) for path in fine]
    for path in ("in/out", "in/pipe", "away/secret.txt", "in/nothing", "nothing/here", "in"):
        found = []
        for ask in (lambda p: storage.get_range(p, 0, 4), lambda p: list(storage.get_starts(["in/long", p], 4))):
            with pytest.raises((TableverError, FileNotFoundError)) as caught:
                ask(path)
            found.append(caught.value)
        assert type(found[0]) is type(found[1]), path
        assert isinstance(found[0], FileNotFoundError) or str(found[0]) == str(found[1])


def test_a_log_entry_that_is_a_link_out_is_not_quoted(table: Path, tmp_path: Path) -> None:
    """What a link in the log leads to comes into no message."""
    (tmp_path / "secret.txt").write_text('"top secret"')
    entry_file(table, 1).symlink_to(tmp_path / "secret.txt")
    found = survive(table)
    assert isinstance(found["read"], UnsupportedFeatureError)
    assert not any("top secret" in str(error) for error in found.values())


def test_a_file_that_is_opened_under_ctrl_c_is_closed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the interrupt strikes once the file has the descriptor, that alone closes it: twice may close another's."""
    path = tmp_path / "f"
    path.touch()

    def struck(descriptor: int, mode: str) -> None:
        io.FileIO(descriptor, mode).close()  # as unwinding drops it
        raise KeyboardInterrupt

    monkeypatch.setattr(fences, "io", SimpleNamespace(FileIO=struck))
    with pytest.raises(KeyboardInterrupt):
        fences.open_regular(str(path), str(tmp_path))
