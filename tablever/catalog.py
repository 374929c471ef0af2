"""The versioned tables that SQL can name: those below a root, and those given by name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from tablever.delta.listing import LOG_FOLDER
from tablever.errors import QueryError, TableNotFoundError
from tablever.fences import allowed_here, checked_folders, lies_in
from tablever.log import Log, TableLike, log_at, open_log
from tablever.storage import Place, open_place

MOST_FOLDERS = 5_000


class Catalog:
    """Names to tables. Letter case is ignored, as DuckDB does, unless two tables differ in nothing else."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        tables: Mapping[str, TableLike] | None,
        storage_options: Mapping[str, str] | None = None,
        allow_folders: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        self.allowed = checked_folders(allow_folders)
        self.root = _folder_at(root, storage_options)
        self._given = {
            name.lower(): (name, open_log(table, allow_folders=self.allowed)) for name, table in (tables or {}).items()
        }
        self._opened: dict[str, Log] = {}

    def find(self, path: Sequence[str]) -> Log | None:
        """The table of a name in parts: ``("a", "b")`` and ``("a/b",)`` are the same; None where there is none."""
        given = self._given.get(".".join(path).lower())
        if given is not None:
            return given[1]
        place = self._place([part for name in path for part in name.split("/")])
        if place is None or not self._reaches(place):
            return None
        if place.uri not in self._opened:
            self._opened[place.uri] = log_at(place, self.allowed)
        return self._opened[place.uri]

    def single_name(self, path: Sequence[str], log: Log, taken: Collection[str] = ()) -> str:
        """A name in one part for the table that ``find`` gives for a path; none of those that are taken (lower case).

        Raises QueryError where there is none.
        """
        for name in dict.fromkeys((".".join(path), "/".join(path))):
            if name.lower() not in taken and self.find((name,)) is log:
                return name
        raise QueryError(
            f"nothing can follow '{'.'.join(path)}': '{'/'.join(path)}' is another table",
            hint="give it a name of its own: connect(…, tables={'name': table})",
        )

    def _reaches(self, place: Place) -> bool:
        """Whether a folder below the root lies there, or in an allowed one: a link in the root is nobody's word."""
        if place.storage().duckdb_root:  # an object store, which has no links
            return True
        folders = (self.root.uri, *self.allowed, *allowed_here())
        return lies_in(os.path.realpath(place.uri) + "/", [os.path.realpath(folder) for folder in folders])

    def _place(self, parts: Sequence[str]) -> Place | None:
        if any(part in ("", ".", "..") or "\0" in part or part.startswith("_") for part in parts):
            return None
        if [self.root.name.lower()] == [part.lower() for part in parts] and self.root.is_table():
            return self.root
        place = self.root
        for part in parts:
            if not self._reaches(place):
                return None
            exact = place.child(part)
            if exact.kind() == "folder":
                place = exact
                continue
            close = [each for each in place.folders() if each.name.lower() == part.lower()]
            if len(close) > 1:
                raise QueryError(
                    f"'{part}' names more than one folder below '{place.uri}': "
                    f"{', '.join(sorted(each.name for each in close))}",
                    hint="write the name in the letters of the folder",
                )
            if not close:
                return None
            place = close[0]
        return place if place.is_table() else None

    def folders(self) -> list[str]:
        """The folders whose files the tables may lie in, as they are named and as they really are."""
        storages = [self.root.storage(), *(log.storage for _, log in self._given.values())]
        local = [storage.uri for storage in storages if not storage.duckdb_root]
        local += [*self.allowed, *allowed_here(), *(folder for storage in storages for folder in storage.allowed)]
        # All stores that are open here: the names of their objects cannot be guessed.
        stores = [storage.duckdb_root for storage in storages if storage.duckdb_root]
        return list(dict.fromkeys([*local, *map(os.path.realpath, local), *stores]))

    def names(self) -> list[str]:
        """The names of all tables, nested ones as ``a/b``; sorted. Stops looking after MOST_FOLDERS folders."""
        found = [name for name, _ in self._given.values()]
        if self.root.is_table():
            found.append(self.root.name)
        below = islice(_walk(self.root), MOST_FOLDERS)
        start = len(self.root.uri.rstrip("/")) + 1
        found += [place.uri[start:] for place, is_table in below if is_table and self._reaches(place)]
        return sorted(set(found))

    def unknown(self, name: str, others: Sequence[str] = ()) -> QueryError:
        """The error for a name that is no table; ``others`` are the session's own."""
        place = self._place(name.split("/"))
        if place is not None and not self._reaches(place):
            return QueryError(
                f"'{name}' is a link that leads out of '{self.root.uri}'",
                hint=f"if it is yours to read: query(…, allow_folders=['{os.path.realpath(place.uri)}'])",
                table=name,
            )
        known = [*self.names(), *others]
        close = difflib.get_close_matches(name.lower(), [known_name.lower() for known_name in known], 1)
        named = [known_name for known_name in known if close and known_name.lower() == close[0]]
        there = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
        return QueryError(
            f"no table '{name}' below '{self.root.uri}': " + (f"there are {there}" if known else "there is none"),
            hint=f"did you mean '{named[0]}'?" if named else None,
            table=name,
        )


def _folder_at(root: str | os.PathLike[str], storage_options: Mapping[str, str] | None) -> Place:
    place = open_place(root, storage_options)
    if place.kind() != "folder":
        raise TableNotFoundError(
            f"no folder at '{place.uri}'", hint="root is the folder that holds the tables", uri=place.uri
        )
    return place


def table_places(root: str | os.PathLike[str], storage_options: Mapping[str, str] | None = None) -> list[Place]:
    """The tables at or below a folder, sorted; folders in a table, and hidden ones, are not looked into.

    Raises TableNotFoundError where there is no such folder.
    """
    top = _folder_at(root, storage_options)
    if top.is_table():
        return [top]
    return sorted((place for place, is_table in _walk(top) if is_table), key=lambda place: place.uri.split("/"))


def _walk(root: Place) -> Iterator[tuple[Place, bool]]:
    """The folders below one, and whether each is a table; those in a table are left out."""
    waiting = [root]
    while waiting:
        for place in waiting.pop().folders():
            is_table = place.is_table()
            yield place, is_table
            if not is_table and not place.is_link:
                waiting.append(place)


def table_above(path: Path) -> Path | None:
    """The table whose folder a path lies in; None where it lies in none."""
    return next((folder for folder in (path, *path.parents) if (folder / LOG_FOLDER).is_dir()), None)
