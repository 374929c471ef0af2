"""Which files of a version are merged, and whether what is merged can stand where they stood. Opens nothing.

Rows come in the order of files, and files in the order of ``(modification_time, path)``. So a run of neighbours may be
merged into a file that sorts where the first of them did: it takes that file's time, and its name up to the time in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tablever.delta.replay import identity, row_order
from tablever.model import DataFile

Run = tuple[DataFile, ...]
Partition = tuple[tuple[str, str | None], ...]

_OURS = re.compile(r"part-([0-9a-f]{22})-[0-9a-f]{12}\.zstd\.parquet")
_PAST_ANY_NAME = "~"  # sorts after whatever a name goes on with


@dataclass(frozen=True)
class Packing:
    """What is worth a rewrite.

    Attributes:
        target: the bytes that a file should have; smaller than half of it is small.
        min_files: how many small neighbours are merged, at least two.
        deleted: the share of deleted rows from which a file is rewritten, whatever its size.
    """

    target: int
    min_files: int
    deleted: float


def partition_of(file: DataFile) -> Partition:
    """What files of one partition have in common."""
    return tuple(sorted((name, text or None) for name, text in file.partition_values.items()))


def by_partition(files: Iterable[DataFile]) -> list[Run]:
    """The files of each partition, in their order."""
    groups: dict[Partition, list[DataFile]] = {}
    for file in files:
        groups.setdefault(partition_of(file), []).append(file)
    return [tuple(group) for group in groups.values()]


def live_bytes(file: DataFile) -> int:
    """About how many bytes the file's live rows will take."""
    rows, physical = file.rows, file.physical_rows
    return file.size if not physical or rows is None else file.size * rows // physical


def is_worn(file: DataFile, packing: Packing) -> bool:
    """Whether the file lost so many rows that it is rewritten."""
    if file.vector is None or file.physical_rows is None:
        return False
    return file.vector.cardinality >= packing.deleted * file.physical_rows


def choose_runs(files: Iterable[DataFile], packing: Packing) -> list[Run]:
    """The runs of neighbours to merge, in row order; each lies in one partition and can stand in its place."""
    chosen = [run for group in by_partition(files) for run in _runs(group, packing)]
    return standing(files, chosen)


def _runs(group: Run, packing: Packing) -> Iterator[Run]:
    run: list[DataFile] = []
    total = 0
    for file in group:
        size = live_bytes(file)
        small = 2 * size < packing.target
        if run and (not small or total + size > packing.target):
            yield from _worth(run, packing)
            run, total = [], 0
        if small:
            run.append(file)
            total += size
        elif is_worn(file, packing):
            yield (file,)
    yield from _worth(run, packing)


def _worth(run: list[DataFile], packing: Packing) -> Iterator[Run]:
    if len(run) >= max(2, packing.min_files):
        yield tuple(run)
    else:
        yield from ((file,) for file in run if is_worn(file, packing))


def standing(files: Iterable[DataFile], runs: Iterable[Run]) -> list[Run]:
    """Those of the runs whose files are neighbours in their partition, and whose merged file sorts where they did."""
    starts = {identity(run[0]): run for run in runs}
    found = []
    for group in by_partition(files):
        names = [identity(file) for file in group]
        floor: tuple[int, str] | None = None
        index = 0
        while index < len(group):
            run = starts.get(names[index])
            if run is not None and names[index : index + len(run)] == [identity(file) for file in run]:
                after = index + len(run)
                low, high = _place(run[0])
                fits_before = floor is None or floor < low
                if fits_before and (after == len(group) or high < row_order(group[after])):
                    found.append(run)
                    floor, index = high, after
                    continue
            floor = row_order(group[index])
            index += 1
    return found


def _place(first: DataFile) -> tuple[tuple[int, str], tuple[int, str]]:
    """Between what a merged file sorts that stands for a run beginning with ``first``."""
    start = place_of(first)
    return (first.modification_time, start), (first.modification_time, start + _PAST_ANY_NAME)


def place_of(first: DataFile) -> str:
    """How the path of a file begins, as the log has it, that takes the place of a run beginning with ``first``."""
    folder, slash, name = first.path.rpartition("/")
    ours = _OURS.fullmatch(name)
    time = ours[1] if ours else f"{max(0, first.modification_time) * 1_000_000:016x}{0:06x}"
    return f"{folder}{slash}part-{time}-"
