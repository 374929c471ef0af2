"""What a session keeps in its database: views of versions, views that follow a table's head, and staged rows.

All of it is made in whatever transaction the user has open, so a rollback takes it away again: ``settle`` asks DuckDB
what is left.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tablever import engine
from tablever.catalog import Catalog
from tablever.delta import replay
from tablever.errors import TableverError
from tablever.log import Log
from tablever.model import DataFile, Snapshot
from tablever.scan import Scan, open_scan

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_VIEWS = 256
_names = count()
_FOLLOWS = re.compile(rf" AS SELECT \* FROM ({re.escape(engine.SCHEMA)}\.__tv_view_\d+);$")


@dataclass(frozen=True)
class View:
    """A view of a version, or of some of its files; ``kept`` are the rows and variables that it reads."""

    name: str
    kept: tuple[str, ...]
    scan: Scan


class Views:
    """The views and rows of one connection."""

    def __init__(self, connection: DuckDBPyConnection, catalog: Catalog) -> None:
        self._connection = connection
        self._catalog = catalog
        self.made: OrderedDict[tuple[Any, ...], View] = OrderedDict()
        self._kept: set[str] = set()
        self._rows: set[str] = set()
        self._heads: dict[str, str] = {}
        self._needed: set[str] = set()
        self._lost: dict[str, TableverError] = {}
        self._seen: dict[str, Snapshot] = {}
        self._own: set[str] | None = set()

    def begin(self) -> None:
        """A statement begins: it sees each table at one version throughout, views that follow a head included.

        What follows a table that cannot be read now is dropped: ``why_lost`` says why, and the next statement tries
        again.
        """
        self.make_room()  # not while a statement is rewritten: its text may name the oldest views already
        self._seen.clear()
        self._lost.clear()
        for name in sorted(self._needed):
            try:
                log = self._catalog.find((name,))
                if log is not None and (name in self._heads or name.lower() not in self.own_names()):
                    self.follow(name, log, keeps=True)
                    continue
            except TableverError as error:
                self._lost[name.lower()] = error
            self._unfollow(name)

    def why_lost(self, name: str) -> TableverError | None:
        """What was wrong with a table whose name something follows; None where nothing was, or nothing does."""
        return self._lost.get(name.lower())

    def own_names(self) -> set[str]:
        """What statements made in this session and can name alone, in lower case.

        DuckDB is asked after statements that can make names.
        """
        if self._own is None:
            reached = engine.call("in_search_path", "database_name", "schema_name")
            rows = self._connection.execute(
                f"SELECT table_name FROM {engine.call('duckdb_tables')} WHERE {reached} "
                f"UNION ALL SELECT view_name FROM {engine.call('duckdb_views')} WHERE NOT internal AND {reached}"
            ).fetchall()
            listed = {str(name).lower() for (name,) in rows if not str(name).startswith("__tv_")}
            self._own = listed - {name.lower() for name in self._heads}
        return self._own

    def forget_names(self) -> None:
        """A statement can have made names, or dropped some."""
        self._own = None

    def head(self, log: Log) -> Snapshot:
        """A table's head, as this statement sees it."""
        if log.uri not in self._seen:
            self._seen[log.uri] = log.head()
        return self._seen[log.uri]

    def scans(self) -> list[Scan]:
        """What the views read."""
        return [view.scan for view in self.made.values()]

    def of(self, log: Log, snapshot: Snapshot, files: Sequence[DataFile], *, keeps: bool = False) -> str:
        """The name of a view of a version, or of some of its files; one that is kept is never dropped."""
        pruned = None if len(files) == len(snapshot.files) else tuple(replay.identity(file) for file in files)
        key = (log.uri, snapshot.version, pruned)
        known = self.made.get(key)
        if known is not None and known.scan.snapshot != snapshot:  # the table was dropped and made anew
            self.made[known.name,] = self.made.pop(key)
        if key not in self.made:
            scan = open_scan(log, snapshot, files)
            relation = engine.relation_of(self._connection, scan)
            view = View(f"{engine.SCHEMA}.__tv_view_{next(_names)}", relation.kept, scan)
            try:
                with engine.scan_errors(scan):
                    self._connection.execute(f"CREATE VIEW {view.name} AS {relation.sql}")
            except TableverError:
                engine.abandon(self._connection, relation.kept)
                raise
            self.made[key] = view
        self.made.move_to_end(key)
        if keeps:
            self._kept.add(self.made[key].name)
        return self.made[key].name

    def follow(self, name: str, log: Log, *, keeps: bool) -> None:
        """Give the session a view of a table's name that follows its head; for this statement, or for good."""
        if keeps:
            self._needed.add(name)
        snapshot = self.head(log)
        view = self.of(log, snapshot, snapshot.files)
        if self._heads.get(name) == view:
            return
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW {engine.identifier(name)} AS SELECT * FROM {view}")
        self._heads[name] = view

    def _unfollow(self, name: str) -> None:
        if self._heads.pop(name, None) is not None:
            self._connection.execute(f"DROP VIEW IF EXISTS temp.main.{engine.identifier(name)}")

    def stage(self, rows: pa.Table | pa.RecordBatchReader, *, keeps: bool) -> str:
        """The name of rows that lie in no file; the next statement gives those back that are not kept."""
        name = engine.stage(self._connection, rows)
        self._rows.add(name)
        if keeps:
            self._kept.add(name)
        return name

    def make_room(self) -> None:
        """Give back what the last statement listed and staged, and the oldest views."""
        for name in [name for name in self._heads if name not in self._needed]:
            self._unfollow(name)
        for name in self._rows - self._kept:
            engine.release(self._connection, [name])
            self._rows.discard(name)
        needed = {*self._kept, *self._heads.values()}
        spare = [key for key, view in self.made.items() if view.name not in needed]
        for key in spare[: max(0, len(spare) - MOST_VIEWS)]:
            self._drop(key)

    def settle(self) -> None:
        """A transaction may have begun or ended: forget what a rollback took, drop what it brought back."""
        there = engine.own_objects(self._connection)
        if there is None:  # the transaction failed, and is not over
            return
        for key in [key for key, view in self.made.items() if view.name not in there]:
            engine.release(self._connection, _variables(self.made.pop(key).kept))
        self._rows &= there.keys()
        known = {*self._rows, *chain.from_iterable((view.name, *view.kept) for view in self.made.values())}
        for name, kind in there.items():
            if name not in known:
                self._connection.execute(f"DROP {kind} {name}")
        views = self._connection.execute(
            f"SELECT view_name, sql FROM {engine.call('duckdb_views')} WHERE temporary AND NOT internal"
        )
        found = {str(name): _FOLLOWS.search(str(sql)) for name, sql in views.fetchall()}
        self._heads = {name: view[1] for name, view in found.items() if view}

    def forget_all(self) -> None:
        """Leave nothing in a database that outlives the session."""
        for key in list(self.made):
            self._drop(key)
        engine.release(self._connection, self._rows)
        self._rows.clear()

    def _drop(self, key: tuple[Any, ...]) -> None:
        view = self.made[key]
        self._connection.execute(f"DROP VIEW {view.name}")
        del self.made[key]
        engine.release(self._connection, view.kept)


def _variables(kept: Iterable[str]) -> list[str]:
    """What of it no transaction takes back."""
    return [name for name in kept if not name.startswith(f"{engine.SCHEMA}.")]
