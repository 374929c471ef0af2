"""The versioned tables that SQL can name: the folders below a root, and those given by name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from tablever.errors import QueryError, TableNotFoundError
from tablever.log import Log, TableLike, open_log
from tablever.storage import local_root

_LOG_FOLDER = "_delta_log"
MOST_FOLDERS = 5_000


class Catalog:
    """Names to tables. Letter case is ignored, as DuckDB does, unless two tables differ in nothing else."""

    def __init__(self, root: str | os.PathLike[str], tables: Mapping[str, TableLike] | None) -> None:
        self.root = local_root(root)
        if not self.root.is_dir():
            raise TableNotFoundError(
                f"no folder at '{self.root}'", hint="root is the folder that holds the tables", uri=str(self.root)
            )
        self._given = {name.lower(): (name, open_log(table)) for name, table in (tables or {}).items()}
        self._opened: dict[Path, Log] = {}

    def find(self, path: Sequence[str]) -> Log | None:
        """The table of a name in parts: ``("a", "b")`` and ``("a/b",)`` are the same; None where there is none."""
        given = self._given.get(".".join(path).lower())
        if given is not None:
            return given[1]
        parts = [part for name in path for part in name.split("/")]
        if any(part in ("", ".", "..") or "\0" in part or part.startswith("_") for part in parts):
            return None
        folder = self._folder(parts)
        if folder is None:
            return None
        if folder not in self._opened:
            self._opened[folder] = open_log(folder)
        return self._opened[folder]

    def _folder(self, parts: Sequence[str]) -> Path | None:
        if [self.root.name.lower()] == [part.lower() for part in parts] and _is_table(self.root):
            return self.root
        folder = self.root
        for part in parts:
            exact = folder / part
            if exact.is_dir():
                folder = exact
                continue
            close = [Path(entry.path) for entry in _folders(folder) if entry.name.lower() == part.lower()]
            if len(close) > 1:
                raise QueryError(
                    f"'{part}' names more than one folder below '{folder}': {', '.join(sorted(p.name for p in close))}",
                    hint="write the name in the letters of the folder",
                )
            if not close:
                return None
            folder = close[0]
        return folder if _is_table(folder) else None

    def names(self) -> list[str]:
        """The names of all tables, nested ones as ``a/b``; sorted. Stops looking after MOST_FOLDERS folders."""
        found = [name for name, _ in self._given.values()]
        if _is_table(self.root):
            found.append(self.root.name)
        below = islice(_walk(self.root), MOST_FOLDERS)
        found += [path.relative_to(self.root).as_posix() for path, is_table in below if is_table]
        return sorted(set(found))

    def unknown(self, name: str, others: Sequence[str] = ()) -> QueryError:
        """The error for a name that is no table; ``others`` are the session's own."""
        known = [*self.names(), *others]
        close = difflib.get_close_matches(name.lower(), [known_name.lower() for known_name in known], 1)
        named = [known_name for known_name in known if close and known_name.lower() == close[0]]
        there = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
        return QueryError(
            f"no table '{name}' below '{self.root}': " + (f"there are {there}" if known else "there is none"),
            hint=f"did you mean '{named[0]}'?" if named else None,
            table=name,
        )


def _is_table(folder: Path) -> bool:
    return (folder / _LOG_FOLDER).is_dir()


def table_folders(root: str | os.PathLike[str]) -> list[Path]:
    """The tables at or below a folder, sorted; folders in a table, and hidden ones, are not looked into.

    Raises TableNotFoundError where there is no such folder.
    """
    top = local_root(root)
    if not top.is_dir():
        raise TableNotFoundError(f"no folder at '{top}'", hint="root is the folder that holds the tables", uri=str(top))
    return [top] if _is_table(top) else sorted(path for path, is_table in _walk(top) if is_table)


def _walk(root: Path) -> Iterator[tuple[Path, bool]]:
    """The folders below one, and whether each is a table; those in a table are left out."""
    waiting = [root]
    while waiting:
        for entry in _folders(waiting.pop()):
            path = Path(entry.path)
            is_table = _is_table(path)
            yield path, is_table
            if not is_table and not entry.is_symlink():
                waiting.append(path)


def _folders(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from [entry for entry in entries if entry.name[:1] not in (".", "_") and entry.is_dir()]
    except (PermissionError, FileNotFoundError):
        return


def table_above(path: Path) -> Path | None:
    """The table whose folder a path lies in; None where it lies in none."""
    return next((folder for folder in (path, *path.parents) if _is_table(folder)), None)
