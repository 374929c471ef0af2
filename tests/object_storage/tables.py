"""Tables in an object store for tests: made once, copied object by object, and described by all that a user can see."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import obstore

import tablever as tv
from tablever import errors
from tests.object_storage.faults import Kind
from tests.object_storage.servers import Server

# Quick to give up: a test does not wait as long as a user would. What is held, is held longer than that.
IMPATIENT = {"timeout": "700ms", "connect_timeout": "700ms", "max_retries": "3", "retry_timeout": "3s"}
HOLD: Mapping[Kind, float] = {"timeout": 0.9, "late": 0.3, "latency": 0.05}
ROWS = [{"id": n, "part": f"p{n % 2}", "text": f"first {n}"} for n in range(40)]
CHECKPOINT = 50


@dataclass(frozen=True)
class Place:
    """A table in a bucket: where, and how it is reached."""

    uri: str
    options: Mapping[str, str]

    def open(self) -> tv.Table:
        """A new handle, which knows nothing yet."""
        return tv.open_table(self.uri, storage_options=self.options)

    def through(self, server: Server, **options: str) -> Place:
        """The same table, reached in another way."""
        return Place(self.uri, {**server.storage_options, **options})


def new_place(server: Server) -> Place:
    """A place that nobody else uses."""
    return Place(server.uri(f"{uuid.uuid4().hex}/t"), server.storage_options)


Objects = Mapping[str, bytes]


def objects_of(server: Server, place: Place) -> Objects:
    """All objects of a table: path to bytes."""
    store = server.store(prefix_of(place))
    return {
        meta["path"]: obstore.get(store, meta["path"]).bytes().to_bytes()
        for page in obstore.list(store)
        for meta in page
    }


def copy_of(server: Server, objects: Objects) -> Place:
    """A table made of another's objects."""
    place = new_place(server)
    store = server.store(prefix_of(place))
    for path, data in objects.items():
        obstore.put(store, path, data)
    return place


def prefix_of(place: Place) -> str:
    """What the names of a table's objects begin with."""
    return place.uri.split("/", 3)[3]


def make_table(place: Place) -> tv.Table:
    """A table of four versions, one of them tagged; the files of one of them nobody needs."""
    table = tv.create_table(place.uri, ROWS, key="id", storage_options=place.options)
    tv.delete(table, where="id IN (1, 20)")
    tv.upsert(table, [{"id": n, "part": "p0", "text": "second"} for n in (2, 3, 100)])
    tv.overwrite(table, [*ROWS[10:], {"id": 200, "part": "p1", "text": "third"}])
    tv.tag(table, "first", 0)
    return table


def make_long_table(place: Place) -> tv.Table:
    """A table whose next version is followed by a checkpoint."""
    table = tv.create_table(place.uri, ROWS, key="id", storage_options=place.options)
    for n in range(1, CHECKPOINT):
        tv.append(table, [{"id": 1000 + n, "part": "p0", "text": "more"}])
    return table


def state_of(place: Place) -> Any:
    """Everything that a user can see of a table; None where there is none."""
    try:
        table = place.open()
    except errors.TableNotFoundError:
        return None
    versions = tv.list_versions(table)
    counts = [(v.number, v.operation, v.rows, v.rows_added, v.rows_removed, v.rows_updated) for v in versions]
    assert [version.number for version in versions] == list(range(len(versions)))
    runs = [run for version in versions for run in tv.runs_of(table, version.number)]
    return {
        "versions": counts,
        "rows": [rows_of(table, version.number) for version in versions],
        "tags": [(each.name, each.version) for each in tv.list_tags(table)],
        "runs": sorted((run.run_id, run.version) for run in runs),
        "pins": [(pin.reason, pin.version) for pin in tv.list_pins(table)],
        "keys": table.key,
    }


def rows_of(table: tv.Table, number: int) -> Any:
    """A version's rows, sorted; a word where a vacuum took them, or said that it would."""
    try:
        table.log.check_kept(number)
        return sorted(tuple(row.values()) for row in tv.read_version(table, number).to_pylist())
    except errors.VersionVacuumedError:
        return "vacuumed"


Operation = Callable[[Place], Any]


def plain(value: Any) -> Any:
    """What an operation returned, as far as it is the same at every run."""
    if isinstance(value, tv.Version):
        return value.number, value.operation, value.rows, value.content_hash
    if isinstance(value, tv.Tag | tv.Run | tv.Pin):
        return value.version
    if isinstance(value, tv.Vacuum):
        return value.lost
    return value


NEW = [{"id": n, "part": "p0", "text": "new"} for n in (300, 301)]
WRITES: dict[str, Operation] = {
    "create": lambda p: tv.create_table(f"{p.uri}-new", ROWS, key="id", storage_options=p.options).key,
    "append": lambda p: tv.append(p.open(), NEW),
    "upsert": lambda p: tv.upsert(p.open(), [{"id": n, "part": "p1", "text": "up"} for n in (10, 12, 302)]),
    "delete": lambda p: tv.delete(p.open(), where="id < 17"),
    "restore": lambda p: tv.restore(p.open(), 1),
    "compact": lambda p: tv.compact(p.open(), deleted=0.01) or tv.compact(p.open(), cluster=True),
    "vacuum": lambda p: tv.vacuum(p.open(), keep="0 days", safety="0 days", dry_run=False),
    "tag": lambda p: tv.tag(p.open(), "second", 1),
    "link_run": lambda p: tv.link_run(p.open(), 2, "run-1", metrics={"f1": 0.5}),
}
READS: dict[str, Operation] = {
    "read": lambda p: rows_of(p.open(), 2),
    "diff": lambda p: tv.diff_versions(p.open(), 0, 3).summary,
    "log": lambda p: [plain(version) for version in tv.list_versions(p.open())],
    "query": lambda p: tv.query("SELECT count(*), sum(id) FROM t", tables={"t": p.open()}).to_pylist(),
}
OPERATIONS = WRITES | READS
