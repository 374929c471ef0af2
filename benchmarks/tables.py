"""The tables that are measured on, built once a run through the public API and through deltalake's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import deltalake
import pyarrow as pa

import tablever as tv
from benchmarks import data

APPENDED = 1_000  # rows of one append


@dataclass(frozen=True)
class Size:
    """How large the tables are: rows of the first version, rows of one change, versions of the long ones."""

    rows: int = data.ROWS
    changed: int = 1_000
    few: int = 10
    many: int = 2_000
    appends: int = 60


QUICK = Size(rows=20_000, changed=100, few=3, many=12, appends=4)


def build(root: Path, size: Size, tell: Callable[[str], None]) -> None:
    """Create all tables below ``root``.

    ``ours`` and ``peer`` hold ``size.rows`` reviews in one commit; ``ours-deleted`` lacks 1 % of them; ``-few`` and
    ``-many`` have that many appends more; ``plain-few`` and ``plain-many`` are ours without a key. ``small`` copies
    are what a measured process warms up on.
    """
    rows = data.reviews(size.rows)
    for name, key in [("ours", "id"), ("plain", None)]:
        tell(f"{name}: create, {size.many:,} appends")
        tv.create_table(str(root / name), rows, key=key)
        _append(root, name, size, tv.append)
    tell(f"peer: create, {size.many:,} appends")
    deltalake.write_deltalake(str(root / "peer"), rows)
    _append(root, "peer", size, partial(deltalake.write_deltalake, mode="append"))
    tell("ours-deleted: delete 1 %")
    copy(root / "ours", root / "ours-deleted")
    gone = data.scattered(size.rows, size.rows // 100).to_frame()
    tv.delete(str(root / "ours-deleted"), keys=gone)
    small = data.reviews(1_000)
    tv.create_table(str(root / "ours-small"), small, key="id")
    tv.create_table(str(root / "plain-small"), small)
    deltalake.write_deltalake(str(root / "peer-small"), small)


def _append(root: Path, name: str, size: Size, append: Callable[[str, pa.Table], object]) -> None:
    copy(root / name, root / f"{name}-few")
    for number in range(size.many):
        if number == size.few:
            copy(root / f"{name}-few", root / f"{name}-many")
        target = f"{name}-few" if number < size.few else f"{name}-many"
        append(str(root / target), data.reviews(APPENDED, start=size.rows + number * APPENDED))


def copy(table: Path, target: Path) -> None:
    """A table again, its files as hard links: no writer here changes a file that exists."""
    shutil.copytree(table, target, copy_function=os.link)


def files_of(table: Path) -> list[str]:
    """The data files of a table's latest version, as an independent reader of its log sees them."""
    return deltalake.DeltaTable(str(table)).file_uris()
