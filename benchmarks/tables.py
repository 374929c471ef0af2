"""The tables that are measured on, built once a run through the public API and through deltalake's."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import deltalake
import pyarrow as pa

import tablever as tv
from benchmarks import data

APPENDED = 1_000  # rows of one append
LARGE = 4  # times the rows
COMMITS = 10
HISTORY_ROWS = 100_000
UPSERTS = 100


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
    lacks 1 % of them; ``-few`` and ``-many`` have that many appends more.

    The last commit of ``changed`` corrects ``size.changed`` scattered reviews of ours, that of ``large`` as many of
    four times the rows, and the last ten of ``commits`` as many each; ``upserted`` has a hundred of those, and
    ``compacted`` is that with its files merged, deleted rows left out. ``rewritten`` holds what ``changed`` does, both
    versions written whole by deltalake, the second in the same order; in ``shuffled``, in another.

    ``tens`` and ``thousands`` hold at most 100,000 reviews and half of ``size.many`` commits that correct ten, or a
    thousand, of them.

    ``-small`` is what a measured process warms up on.
    """
    small = Size(rows=1_000, changed=10)
    # upserted before compacted, which is made of it
    for kind in sorted({name.partition("-")[0] for name in needed}, key=lambda kind: (kind == "compacted", kind)):
        tell(f"create {kind}")
        _KINDS[kind](root / kind, size)
        _KINDS[kind](root / f"{kind}-small", small)
    for kind in sorted({name.partition("-")[0] for name in needed if name.endswith(("-few", "-many"))}):
        tell(f"append to {kind}, {size.many:,} times")
        _append(kind, root, size)
    if "ours-deleted" in needed:
        tell("delete 1 %")
        copy(root / "ours", root / "ours-deleted")
        tv.delete(str(root / "ours-deleted"), keys=data.scattered(size.rows, size.rows // 100).to_frame())


def _ours(path: Path, size: Size) -> None:
    tv.create_table(str(path), data.reviews(size.rows), key="id")


def _plain(path: Path, size: Size) -> None:
    tv.create_table(str(path), data.reviews(size.rows))


def _peer(path: Path, size: Size) -> None:
    deltalake.write_deltalake(str(path), data.reviews(size.rows))


def _changed(path: Path, size: Size) -> None:
    _ours(path, size)
    tv.upsert(str(path), data.corrected(size.rows, size.changed))


def _large(path: Path, size: Size) -> None:
    _ours(path, size)
    for start in range(size.rows, LARGE * size.rows, size.rows):
        tv.append(str(path), data.reviews(size.rows, start=start))
    tv.upsert(str(path), data.corrected(LARGE * size.rows, size.changed))


def _commits(path: Path, size: Size) -> None:
    _ours(path, size)
    for seed in range(1, COMMITS + 1):
        tv.upsert(str(path), data.corrected(size.rows, size.changed, seed=seed))


def _histories(path: Path, size: Size, changed: int) -> None:
    rows = min(size.rows, HISTORY_ROWS)
    table = tv.create_table(str(path), data.reviews(rows), key="id")
    for seed in range(1, min(size.many // 2, size.rows // 100) + 1):
        new = data.corrected(rows, min(changed, rows // 2), seed=seed)
        texts = pa.array([f"correction {seed}"] * new.num_rows)
        tv.upsert(table, new.set_column(new.column_names.index("text"), "text", texts))


def _upserted(path: Path, size: Size) -> None:
    _ours(path, size)
    for seed in range(1, UPSERTS + 1):
        tv.upsert(str(path), data.corrected(size.rows, size.changed, seed=seed))


def _compacted(path: Path, size: Size) -> None:
    upserted = path.with_name(path.name.replace("compacted", "upserted"))
    if upserted.exists():
        copy(upserted, path)
    else:
        _upserted(path, size)
    tv.compact(str(path), deleted=0.001)


def _rewritten(path: Path, size: Size, reorder: Callable[[pa.Table], pa.Table] = lambda rows: rows) -> None:
    _peer(path, size)
    tv.set_key(str(path), "id")
    new = data.with_corrections(data.reviews(size.rows), data.corrected(size.rows, size.changed))
    deltalake.write_deltalake(str(path), reorder(new), mode="overwrite")


_KINDS: dict[str, Callable[[Path, Size], None]] = {
    "ours": _ours,
    "plain": _plain,
    "peer": _peer,
    "changed": _changed,
    "large": _large,
    "commits": _commits,
    "upserted": _upserted,
    "compacted": _compacted,
    "rewritten": _rewritten,
    "tens": partial(_histories, changed=10),
    "thousands": partial(_histories, changed=1_000),
    "shuffled": partial(_rewritten, reorder=data.shuffled),
}


def _append(kind: str, root: Path, size: Size) -> None:
    few, many = root / f"{kind}-few", root / f"{kind}-many"
    copy(root / kind, few)
    append = _appender(kind, few)
    for number in range(size.many):
        if number == size.few:
            copy(few, many)
            append = _appender(kind, many)
        append(data.reviews(APPENDED, start=size.rows + number * APPENDED))


def _appender(kind: str, path: Path) -> Callable[[pa.Table], object]:
    if kind == "peer":
        return partial(deltalake.write_deltalake, deltalake.DeltaTable(str(path)), mode="append")
    return partial(tv.append, tv.open_table(str(path)))


def copy(table: Path, target: Path) -> None:
    """A table again, its files as hard links: no writer here changes a file that exists."""
    shutil.copytree(table, target, copy_function=os.link)


def files_of(table: Path, back: int = 0) -> list[str]:
    """The data files of a table's version, as an independent reader of its log sees them.

    Args:
        back: how many versions before the latest.
    """
    found = deltalake.DeltaTable(str(table))
    return (
        found.file_uris() if not back else deltalake.DeltaTable(str(table), version=found.version() - back).file_uris()
    )


def forget(table: Path) -> None:
    """Take a table's files out of the page cache, so that reading them is reading from the disk."""
    for path in table.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
