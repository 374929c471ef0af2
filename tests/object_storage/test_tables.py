"""Tables in object stores: everything that is done with one in a folder, and what only a network can do to it."""

from __future__ import annotations

import pickle
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder
from obstore.store import ObjectStore

import tablever as tv
from tablever.cli.main import exit_code
from tablever.errors import (
    AlreadyExistsError,
    ConflictError,
    CorruptionError,
    StorageError,
    TableNotFoundError,
    VersionVacuumedError,
)
from tablever.log import open_log
from tablever.storage import open_storage
from tablever.storage.objects import ObjectStorage
from tests import reading
from tests.object_storage.faults import Fault, FaultyNetwork, asked
from tests.object_storage.places import environment, place, quick
from tests.object_storage.servers import Server

ROWS = [{"id": n, "part": "New York" if n % 2 else "a/b", "stars": n % 5, "text": f"text {n} é"} for n in range(60)]


def lived(uri: str | Path, options: Mapping[str, str] | None = None, **creation: Any) -> tv.Table:
    """A table through every kind of write."""
    table = tv.create_table(uri, ROWS, storage_options=options, author="Ada", **creation)
    table.append([{"id": 100, "part": "new", "stars": 1, "text": None}], author="Ada")
    table.upsert(
        [{"id": 1, "part": "x%y", "stars": 9, "text": "up"}, {"id": 101, "part": "z", "stars": 2, "text": ""}],
        author="Ada",
    )
    table.delete(where="id < 5 AND stars < 9", author="Ada")
    table.update({"stars": "stars + 1"}, where="id = 10", author="Ada")
    table.overwrite([*ROWS[20:40], {"id": 7, "part": "q", "stars": 0, "text": "over"}], author="Ada")
    table.restore(2, author="Ada")
    table.compact(author="Ada")
    return table


@pytest.mark.parametrize("creation", [{}, {"partition_by": "part"}, {"deletes": "copy-on-write"}], ids=str)
def test_a_life_in_a_bucket_is_one_in_a_folder(server: Server, tmp_path: Path, creation: dict[str, Any]) -> None:
    """Every write and every reader gives in an object store what it gives in a folder; what was written is whole."""
    options = server.storage_options
    remote = lived(place(server), options, key="id", **creation)
    local = lived(tmp_path / "reviews", key="id", **creation)
    head = tv.resolve_version(local).number
    assert tv.resolve_version(remote).number == head
    for number in range(head + 1):
        expected = tv.read_version(local, number)
        assert reading.same(tv.read_version(remote, number), expected)
        assert reading.same(pa.Table.from_batches(list(tv.iter_batches(remote, number, batch_size=7))), expected)
        scanned = tv.scan_version(remote, number).collect()
        assert scanned.equals(tv.scan_version(local, number).collect())
        sql = f"SELECT * FROM t AT (VERSION => {number}) ORDER BY id"
        assert reading.same(tv.query(sql, tables={"t": remote}), tv.query(sql, tables={"t": local}))
        assert tv.content_hash(remote, number) == tv.content_hash(local, number)
    for a, b in [(0, head), (head, 1), (2, 4)]:
        assert tv.diff_versions(remote, a, b).summary == tv.diff_versions(local, a, b).summary
    assert [e.change for e in tv.row_history(remote, 1)] == [e.change for e in tv.row_history(local, 1)]
    report = tv.verify(remote, level="rows")
    assert not report.damaged
    assert report.versions == tuple(range(head + 1))
    assert [v.number for v in tv.list_versions(tv.open_table(remote.uri, storage_options=options))] == [
        *range(head + 1)
    ]


def test_other_readers_read_it(server: Server) -> None:
    """deltalake and Polars read what we put into a bucket, checkpoints included."""
    uri, options = place(server), server.storage_options
    table = tv.create_table(uri, ROWS, key="id", storage_options=options)
    table.delete(where="id < 3")
    for n in range(200, 249):
        table.append([{"id": n, "part": "p", "stars": 1, "text": "t"}])
    assert any(name.endswith(".checkpoint.parquet") for name in open_storage(uri, options).list("_delta_log"))
    expected = sorted(table.read().column("id").to_pylist())
    foreign = DeltaTable(uri, storage_options=options)
    found = QueryBuilder().register("t", foreign).execute("SELECT id FROM t").read_all()
    assert sorted(pa.table(found).column("id").to_pylist()) == expected
    if server.scheme == "s3":
        assert sorted(pl.scan_delta(uri, storage_options=options).collect()["id"].to_list()) == expected


def objects_of(table: tv.Table, server: Server) -> ObjectStore:
    """The store of what lies in a table's prefix, for changing it behind tablever's back."""
    return server.store(table.uri.removeprefix(server.uri("")))


@pytest.mark.parametrize("cut", [0, 700, -1])
def test_a_torn_head_in_a_bucket_is_told_and_repaired(server: Server, cut: int) -> None:
    """A newest entry that some tool cut is never read; the past is, and after a repair the table goes on."""
    table = tv.create_table(place(server), ROWS, key="id", storage_options=server.storage_options)
    for n in (100, 101):
        table.append([{"id": n, "part": "p", "stars": 1, "text": None}])
    path, objects = f"_delta_log/{2:020}.json", objects_of(table, server)
    whole = bytes(objects.get(path).bytes())
    objects.put(path, whole[:cut])
    log = open_log(table.uri, server.storage_options)
    with pytest.raises(CorruptionError, match="the last good version is 1"):
        tv.read_version(log)
    with pytest.raises(CorruptionError, match="the last good version is 1"):
        tv.append(log, [{"id": 102, "part": "p", "stars": 1, "text": None}])
    assert tv.read_version(log, 1).num_rows == len(ROWS) + 1
    tv.repair(log)
    (aside,) = [each["path"] for each in objects.list("_tablever/repairs").collect() if f"{2:020}.json" in each["path"]]
    assert bytes(objects.get(aside).bytes()) == whole[:cut]
    version = tv.append(log, [{"id": 103, "part": "p", "stars": 1, "text": None}])
    assert version is not None
    assert version.number == 2
    assert not tv.verify(log, level="rows").damaged


def test_damage_in_a_bucket_is_found(server: Server) -> None:
    """One bit of each kind of object, changed in the store: ``verify`` names that object, and none without."""
    table = lived(place(server), server.storage_options, key="id")
    tv.tag(table, "v1", 1)
    tv.link_run(table, "v1", "run-1")
    tv.pin(table, 1, reason="paper")
    objects = objects_of(table, server)
    assert not tv.verify(table, level="rows").damaged
    kinds = {re.sub(r"[0-9a-f]{4,}[^/]*", "*", each["path"]): each["path"] for each in objects.list().collect()}
    kept = {kind: path for kind, path in kinds.items() if not kind.startswith("_tablever/cache")}
    assert len(kept) >= 7
    for path in kept.values():
        whole = bytes(objects.get(path).bytes())
        middle = len(whole) // 2
        objects.put(path, whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        with pytest.raises(CorruptionError) as caught:
            tv.verify(open_log(table.uri, server.storage_options), level="rows")
        assert path in {finding.object for finding in caught.value.report.damaged}
        objects.put(path, whole)
    assert not tv.verify(table, level="rows").damaged


def test_names_are_given_once(server: Server) -> None:
    """Tags, runs and pins are put if absent; the second of a name is refused, and what they say is read again."""
    table = tv.create_table(place(server), ROWS, key="id", storage_options=server.storage_options)
    table.append([{"id": 100, "part": "new", "stars": 1, "text": None}])
    tv.tag(table, "v1.0", 0)
    with pytest.raises(AlreadyExistsError):
        tv.tag(table, "v1.0", 1)
    tv.link_run(table, "v1.0", "run-1", metrics={"f1": 0.5})
    assert tv.link_run(table, "v1.0", "run-1", metrics={"f1": 0.6}).metrics == {"f1": 0.6}
    tv.pin(table, 1, reason="paper")
    again = tv.open_table(table.uri, storage_options=server.storage_options)
    assert [(tag.name, tag.version) for tag in tv.list_tags(again)] == [("v1.0", 0)]
    assert [(run.run_id, run.table) for run in tv.runs_of(again)] == [("run-1", table.uri)]
    assert [pin.version for pin in tv.list_pins(again)] == [1]
    tv.delete_tag(again, "v1.0")
    assert tv.list_tags(again) == []
    root = table.uri.rpartition("/")[0]
    found = tv.versions_of(root, "run-1", storage_options=server.storage_options)
    assert [(run.table, run.version) for run in found] == [(table.uri, 0)]


def test_vacuum_and_usage(server: Server) -> None:
    """A vacuum removes the objects that no kept version needs, and no other; du says what is there."""
    uri, options = place(server), server.storage_options
    table = tv.create_table(uri, ROWS, key="id", storage_options=options)
    tv.create_table(f"{uri}/inner", ROWS[:3], storage_options=options)
    table.overwrite([row | {"id": row["id"] + 1000} for row in ROWS[:5]])
    for _ in range(2):
        table.update({"stars": "stars + 1"}, where="id = 1001")
    before = {each.path for each in open_storage(uri, options).walk()}
    assert not any(path.startswith("inner/") for path in before)
    done = tv.vacuum(table, keep="0 days", safety="0 days", dry_run=False)
    after = {each.path for each in open_storage(uri, options).walk()}
    removed = {removal.path for removal in done.removals}
    assert removed
    assert removed == {path for path in before - after if "_tablever/cache" not in path}
    assert table.read().num_rows == 5
    with pytest.raises(VersionVacuumedError):
        tv.read_version(table, 0)
    assert tv.du(table).versions
    assert tv.open_table(f"{uri}/inner", storage_options=options).read().num_rows == 3


def test_sql_finds_the_tables_below_a_prefix(server: Server) -> None:
    """Every table below a root in a bucket is a relation; tables with other options join with tables in folders."""
    root, options = server.uri(uuid.uuid4().hex), server.storage_options
    tv.create_table(f"{root}/reviews", ROWS, key="id", storage_options=options)
    tv.create_table(f"{root}/deep/er/labels", [{"id": 1, "label": "x"}], storage_options=options)
    joined = 'SELECT r.id, l.label FROM reviews r JOIN "deep/er/labels" l USING (id)'
    assert tv.query(joined, root=root, storage_options=options).to_pylist() == [{"id": 1, "label": "x"}]
    with tv.connect(root, storage_options=options) as session:
        assert session.tables() == ["deep/er/labels", "reviews"]
        assert session.sql("SELECT count(*) FROM REVIEWS AT (VERSION => 0) WHERE stars = 3").fetchall() == [(12,)]
    with pytest.raises(TableNotFoundError):
        tv.query("SELECT 1", root=f"{root}/nothing", storage_options=options)
    with pytest.raises(TableNotFoundError) as caught:
        tv.open_table(f"{root}/review", storage_options=options)
    assert f"{root}/reviews" in str(caught.value.hint)


def test_writers_race(server: Server) -> None:
    """Of writers that race for a version one gets it, the others plan again: nothing is lost, nothing comes twice."""
    uri, options = place(server), server.storage_options
    tv.create_table(uri, ROWS[:1], key="id", storage_options=options)

    def write(writer: int) -> list[int]:
        table = tv.open_table(uri, storage_options=options)
        made = [table.append([{"id": 1000 * writer + n, "part": "p", "stars": n, "text": "t"}]) for n in range(1, 5)]
        return [version.number for version in made if version is not None]

    with ThreadPoolExecutor(4) as pool:
        numbers = [number for made in pool.map(write, range(1, 5)) for number in made]
    assert sorted(numbers) == [*range(1, 17)]
    table = tv.open_table(uri, storage_options=options)
    expected = [0, *(1000 * writer + n for writer in range(1, 5) for n in range(1, 5))]
    assert sorted(table.read().column("id").to_pylist()) == expected
    with pytest.raises(AlreadyExistsError):
        tv.create_table(uri, ROWS, storage_options=options)
    with pytest.raises(ConflictError):
        table.append(ROWS[5:6], if_version=3)


def test_the_shell_takes_its_options_from_the_environment(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the shell a URI stands where a folder stands, a ref behind it too; the environment says how to reach it."""
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "rows.csv").write_text("id,stars\n1,5\n2,3\n")
    uri = place(server)

    def run(*arguments: str, code: int = 0) -> str:
        assert exit_code([*arguments]) == code, capsys.readouterr()
        return capsys.readouterr().out

    run("create", uri, str(tmp_path / "rows.csv"), "--key", "id")
    run("update", uri, "--set", "stars = 1", "--where", "id = 2")
    run("tag", uri, "v1")
    assert '"stars":5' in run("read", f"{uri}@0", "--json").replace(" ", "")
    assert "update" in run("log", uri)
    assert "2" in run("sql", "SELECT count(*) AS n FROM reviews", "--root", uri.rpartition("/")[0])
    run("diff", uri, "0", "v1")
    run("verify", uri)
    run("log", place(server), code=3)


# What a network does


@pytest.fixture
def table(network: FaultyNetwork, seaweedfs: Server) -> Iterator[tv.Table]:
    """A table of two versions behind a network that can fail."""
    server = seaweedfs.through(network.address)
    made = tv.create_table(place(server), ROWS, key="id", storage_options=quick(server))
    made.append([{"id": 100, "part": "new", "stars": 1, "text": None}])
    yield made
    network.heal()


@pytest.mark.parametrize("kind", ["answer lost", "answer wrong", "error", "slow down", "conflict", "reset", "cut"])
@pytest.mark.parametrize("what", ["PUT log entry", "PUT rows", "PUT witness", "GET log entry", "LIST log"])
def test_one_failure_is_not_seen(network: FaultyNetwork, table: tv.Table, kind: Any, what: str) -> None:
    """A request that fails once, or succeeds though its answer is lost, is neither an error nor done twice."""
    if kind == "conflict" and what not in ("PUT log entry", "PUT witness"):
        pytest.skip("only conditional puts conflict")
    network.inject(Fault(kind, of=asked(what)))
    again = tv.open_table(table.uri, storage_options=dict(table.log.storage.bucket.options))  # type: ignore[attr-defined]
    version = again.append([{"id": 200, "part": "p", "stars": 1, "text": "t"}])
    assert version is not None
    assert version.number == 2
    assert tv.tag(again, "v1").version == 2
    network.heal()
    assert [v.rows for v in tv.list_versions(table)] == [60, 61, 62]
    assert [tag.name for tag in tv.list_tags(table)] == ["v1"]
    assert not tv.verify(table, level="rows").damaged


def test_a_plan_shows_no_secret(table: tv.Table) -> None:
    """What Polars shows of a scan has no credentials in it."""
    scan = tv.scan_version(table)
    shown = f"{scan!r} {scan.explain()}"
    assert "s3://" in shown
    assert dict(table.log.storage.bucket.options)["aws_secret_access_key"] not in shown  # type: ignore[attr-defined]


def test_nobody_knows(network: FaultyNetwork, table: tv.Table) -> None:
    """Where the answer to a commit is lost and the store is gone, that is said, and what was written stays."""
    network.inject(Fault("answer lost", of=asked("PUT log entry"), times=None))
    network.decide(lambda _: Fault("reset") if network.injected else None)
    with pytest.raises(StorageError, match="whether version 2 of 'reviews' was committed is not known") as caught:
        table.append([{"id": 200, "part": "p", "stars": 1, "text": "t"}])
    assert caught.value.unsure
    network.heal()
    assert tv.read_version(table).column("id").to_pylist()[-1] == 200
    assert not tv.verify(table, level="rows").damaged


@pytest.mark.parametrize("verb", ["append", "create"])
def test_an_interrupted_put_that_comes_late(
    network: FaultyNetwork, seaweedfs: Server, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Ctrl-C while a commit is being put leaves what it names: the store may do it yet, and then it is whole."""
    server = seaweedfs.through(network.address)
    uri, options = place(server), quick(server)
    table = tv.create_table(uri, ROWS, key="id", storage_options=options) if verb == "append" else None
    rows = [{"id": 200, "part": "p", "stars": 1, "text": "t"}]
    create = partial(tv.create_table, uri, ROWS, key="id", storage_options=options)
    write: Callable[[], object] = partial(table.append, rows) if table is not None else create
    put, late = ObjectStorage.put_if_absent, list[Callable[[], object]]()

    def interrupted(self: ObjectStorage, path: str, data: bytes) -> bool:
        late.append(partial(put, self, path, data))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStorage, "put_if_absent", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write()
    (arrive,) = late
    assert arrive()
    assert tv.read_version(tv.open_table(uri, storage_options=options)).num_rows == len(ROWS) + (verb == "append")


@pytest.mark.parametrize("verb", ["append", "read", "sql", "tag", "open"])
def test_an_outage_is_said_and_leaves_the_table_as_it_was(network: FaultyNetwork, table: tv.Table, verb: str) -> None:
    """While nothing answers, every verb ends in a StorageError that says what was being done, without a secret."""
    options = dict(table.log.storage.bucket.options)  # type: ignore[attr-defined]
    verbs = {
        "append": lambda: table.append([{"id": 200, "part": "p", "stars": 1, "text": "t"}]),
        "read": lambda: tv.read_version(table, 0),
        "sql": lambda: tv.query("SELECT count(*), max(text) FROM t", tables={"t": table}),
        "tag": lambda: tv.tag(table, "v1"),
        "open": lambda: tv.open_table(table.uri, storage_options=options),
    }
    network.inject(Fault("error", times=None))
    with pytest.raises(StorageError) as caught:
        verbs[verb]()
    shown = told(caught.value)
    assert "cannot" in shown
    for name in ("aws_access_key_id", "aws_secret_access_key"):
        assert options[name] not in shown
        assert options[name] not in repr(table) + repr(table.log) + repr(table.log.storage)
    network.heal()
    assert tv.resolve_version(table).number == 1
    assert tv.list_tags(table) == []
    assert not tv.verify(table, level="rows").damaged


@pytest.mark.parametrize("kind", ["error", "reset"])
@pytest.mark.parametrize("reader", ["polars", "duckdb", "sql", "vectors"])
def test_rows_that_cannot_be_fetched_are_not_called_damaged(
    network: FaultyNetwork, table: tv.Table, reader: str, kind: Any
) -> None:
    """While a store gives no rows, whichever engine asks says that they cannot be read, not that they are damaged."""
    readers = {
        "polars": lambda: tv.read_version(table, 0),
        "duckdb": lambda: tv.read_version(table, 0, where="stars = 3"),
        "sql": lambda: tv.query("SELECT sum(stars) FROM t", tables={"t": table}),
        "vectors": lambda: table.delete(where="id = 3"),
    }
    network.inject(Fault(kind, of=asked("GET rows"), times=None))
    with pytest.raises(StorageError) as caught:
        readers[reader]()
    options = dict(table.log.storage.bucket.options)  # type: ignore[attr-defined]
    assert options["aws_secret_access_key"] not in told(caught.value)
    network.heal()
    assert tv.read_version(table, 0, where="stars = 3").num_rows == 12


def told(error: BaseException) -> str:
    """All that a traceback would show of an error: its words, its facts, and what caused it."""
    parts = []
    seen: BaseException | None = error
    while seen is not None:
        parts.append(f"{seen!r} {seen} {getattr(seen, 'hint', '')} {getattr(seen, 'facts', '')}")
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(parts)


# What is asked


@pytest.fixture(scope="module")
def histories(seaweedfs: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Tables of 10 and of 1,000 versions, by their number: made in a folder, and copied as they are."""
    found = {}
    local = tmp_path_factory.mktemp("histories") / "t"
    table = tv.create_table(local, ROWS, key="id")
    for number in range(1, 1001):
        table.append([{"id": 1000 + number, "part": "p", "stars": 1, "text": "t"}])
        if number in (10, 1000):
            found[number] = place(seaweedfs)
            copy(local, found[number], seaweedfs)
    return found


def copy(folder: Path, uri: str, server: Server) -> None:
    storage = open_storage(uri, server.storage_options)
    files = [path for path in folder.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: storage.put(path.relative_to(folder).as_posix(), path.read_bytes()), files))


@pytest.mark.xdist_group("histories")  # a thousand commits once, not for each worker
@pytest.mark.parametrize("versions", [10, 1000])
def test_requests_are_bounded(
    network: FaultyNetwork, seaweedfs: Server, histories: dict[int, str], versions: int
) -> None:
    """What an operation asks of the store does not grow with the versions before the last checkpoint."""
    options = seaweedfs.through(network.address).storage_options
    uri = histories[versions]

    def asks(what: Any) -> int:
        with network.counted() as requests:
            what()
        return sum(requests.values())

    opened: list[tv.Table] = []
    assert asks(lambda: opened.append(tv.open_table(uri, storage_options=options))) <= 6 + 50
    (table,) = opened
    assert asks(table.log.head_number) == 1
    one_column = ["stars"]
    assert asks(lambda: tv.read_version(table, 0, columns=one_column)) <= 8 + 10
    assert asks(lambda: tv.diff_versions(table, "latest~1", "latest")) <= 8 + 50
    assert asks(lambda: table.append([{"id": 100_005, "part": "p", "stars": 1, "text": "t"}])) <= 14
    assert asks(lambda: table.append([{"id": 100_006, "part": "p", "stars": 1, "text": "t"}])) <= 10
    assert asks(lambda: tv.diff_versions(table, "latest~1", "latest")) <= 8
    assert asks(lambda: tv.tag(table, f"v{versions}")) <= 60
    assert asks(lambda: tv.resolve_version(table, f"v{versions}")) <= 6


def test_only_what_is_needed_is_fetched(network: FaultyNetwork, seaweedfs: Server) -> None:
    """Each engine fetches the columns that it needs, not those beside them."""
    server = seaweedfs.through(network.address)
    size = 400_000
    noise = pa.array([uuid.uuid4().bytes + uuid.uuid4().bytes for _ in range(size // 8)]).take(
        pa.array([n % (size // 8) for n in range(size)])
    )
    rows = pa.table({"id": pa.array(range(size)), "wide": noise, "flag": pa.array([n % 2 for n in range(size)])})
    table = tv.create_table(place(server), rows, storage_options=server.storage_options)
    whole = table.log.head().files[0].size
    for read in (
        lambda: tv.read_version(table, columns=["flag"]),
        lambda: tv.scan_version(table).select("flag").collect(),
        lambda: tv.query("SELECT sum(flag) FROM t", tables={"t": table}),
        lambda: tv.read_version(table, columns=["flag"], where="id = 7"),
    ):
        with network.measured() as passed:
            read()
        fetched = sum(each.received for each in passed)
        assert fetched < whole / 4, f"{fetched} bytes of {whole}"


# Handles and keys


def test_a_table_crosses_processes(seaweedfs: Server) -> None:
    """A table in a bucket can be pickled, with what it takes to reach it."""
    table = tv.create_table(place(seaweedfs), ROWS, key="id", storage_options=seaweedfs.storage_options)
    again = pickle.loads(pickle.dumps(table))
    assert again.read().num_rows == 60
    assert again.log.storage == table.log.storage


def test_wrong_keys_are_said_to_be_wrong(seaweedfs: Server) -> None:
    """Credentials that the store refuses end in a StorageError that does not repeat them."""
    wrong = quick(seaweedfs) | {"aws_secret_access_key": "wr0ng" * 8}
    with pytest.raises(StorageError) as caught:
        tv.create_table(place(seaweedfs), ROWS, storage_options=wrong)
    assert "wr0ng" not in told(caught.value)
    assert "credentials" in str(caught.value.hint)
