"""The tables that are measured on, built once a run through the public API and through deltalake's."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection
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


def tell(text: str) -> None:
    """Progress, apart from the results."""
    sys.stderr.write(text + "\n")


def build(root: Path, size: Size, needed: Collection[str]) -> None:
    """Create the tables named, and what they are made from, below ``root``.

    ``ours`` and ``peer`` hold ``size.rows`` reviews in one commit, ``plain`` is ours without a key; ``ours-deleted``
    lacks 1 % of them; ``-few`` and ``-many`` have that many appends more. ``-small`` is what a measured process warms
    up on.
    """
    rows, small = data.reviews(size.rows), data.reviews(1_000)
    for kind in sorted({name.partition("-")[0] for name in needed}):
        tell(f"create {kind}")
        _create(kind, root / kind, rows)
        _create(kind, root / f"{kind}-small", small)
    for kind in sorted({name.partition("-")[0] for name in needed if name.endswith(("-few", "-many"))}):
        tell(f"append to {kind}, {size.many:,} times")
        _append(kind, root, size)
    if "ours-deleted" in needed:
        tell("delete 1 %")
        copy(root / "ours", root / "ours-deleted")
        tv.delete(str(root / "ours-deleted"), keys=data.scattered(size.rows, size.rows // 100).to_frame())


def _create(kind: str, path: Path, rows: pa.Table) -> None:
    if kind == "peer":
        deltalake.write_deltalake(str(path), rows)
    else:
        tv.create_table(str(path), rows, key="id" if kind == "ours" else None)


def _append(kind: str, root: Path, size: Size) -> None:
    append = partial(deltalake.write_deltalake, mode="append") if kind == "peer" else tv.append
    copy(root / kind, root / f"{kind}-few")
    for number in range(size.many):
        if number == size.few:
            copy(root / f"{kind}-few", root / f"{kind}-many")
        target = root / f"{kind}-few" if number < size.few else root / f"{kind}-many"
        append(str(target), data.reviews(APPENDED, start=size.rows + number * APPENDED))


def copy(table: Path, target: Path) -> None:
    """A table again, its files as hard links: no writer here changes a file that exists."""
    shutil.copytree(table, target, copy_function=os.link)


def files_of(table: Path) -> list[str]:
    """The data files of a table's latest version, as an independent reader of its log sees them."""
    return deltalake.DeltaTable(str(table)).file_uris()
