"""Tables whose log somebody wrote to do harm: entries made by hand on top of a good version 0."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tablever as tv
from tablever import errors

Entry = list[dict[str, Any] | str]


def good_table(path: Path) -> Path:
    """A table of one version with four rows, keyed by id."""
    tv.create_table(path, [{"id": i, "label": str(i)} for i in range(4)], key="id")
    return path


def entry_file(table: Path, number: int) -> Path:
    """Where the log entry of a version lies."""
    return table / "_delta_log" / f"{number:020d}.json"


def actions_of(table: Path, kind: str, number: int = 0) -> list[dict[str, Any]]:
    """The actions of a kind in a log entry."""
    values = [json.loads(line) for line in entry_file(table, number).read_text().split("\n") if line]
    return [value[kind] for value in values if kind in value]


def write_entry(table: Path, number: int, *values: dict[str, Any] | str) -> None:
    """Put a log entry of another writer; texts stand in it as they are."""
    info = {"commitInfo": {"timestamp": 1_700_000_000_000 + number, "operation": "WRITE"}}
    lines = [value if isinstance(value, str) else json.dumps(value) for value in (info, *values)]
    entry_file(table, number).write_text("".join(line + "\n" for line in lines))


def replaced(table: Path, **fields: Any) -> list[dict[str, Any]]:
    """Actions that put another description in the place of version 0's file."""
    add = actions_of(table, "add")[0]
    return [
        {"remove": {"path": add["path"], "dataChange": True, "deletionTimestamp": 1}},
        {"add": {**add, **fields}},
    ]


def added(path: str, size: int, **fields: Any) -> dict[str, Any]:
    """An action that adds a file."""
    return {
        "add": {
            "path": path,
            "size": size,
            "modificationTime": 1,
            "dataChange": True,
            "partitionValues": {},
            **fields,
        }
    }


def everything(table: Path, *, writes: bool = True) -> dict[str, Callable[[], object]]:
    """What people do with a table, by name."""
    root, name = table.parent, table.name
    asked: dict[str, Callable[[], object]] = {
        "list": lambda: tv.list_versions(table),
        "read": lambda: tv.read_version(table),
        "where": lambda: tv.read_version(table, where="id > 0"),
        "batches": lambda: list(tv.iter_batches(table)),
        "scan": lambda: tv.scan_version(table).collect(),
        "sql": lambda: tv.query(f'SELECT count(*) FROM "{name}"', root=root),
        "versions": lambda: tv.query(f"FROM table_versions('{name}')", root=root),
        "changes": lambda: tv.query(f"FROM table_changes('{name}', 1, 1)", root=root),
        "history": lambda: tv.query(f"FROM table_history('{name}')", root=root),
        "diff": lambda: tv.diff_versions(table, 0, "latest").summary,
        "blame": lambda: tv.blame(table),
        "hash": lambda: tv.content_hash(table),
        "verify": lambda: tv.verify(table, level="rows"),
        "du": lambda: tv.du(table),
    }
    written: dict[str, Callable[[], object]] = {
        "append": lambda: tv.append(table, [{"id": 99, "label": "new"}]),
        "delete": lambda: tv.delete(table, where="id = 1"),
        "update": lambda: tv.update(table, {"label": "'z'"}, where="id = 3"),
        "restore": lambda: tv.restore(table, 0),
        "compact": lambda: tv.compact(table, min_files=1),
        "tag": lambda: tv.tag(table, "v1.0"),
        "vacuum": lambda: tv.vacuum(table, keep="0 days", safety="0 days", dry_run=False),
    }
    return {**asked, **written} if writes else asked


def survive(table: Path, *, writes: bool = True) -> dict[str, errors.TableverError | None]:
    """Do everything: what each raised. Anything but an error of ours goes through, and fails the test."""
    found: dict[str, errors.TableverError | None] = {}
    for name, call in everything(table, writes=writes).items():
        try:
            call()
            found[name] = None
        except errors.TableverError as error:
            found[name] = error
    return found
