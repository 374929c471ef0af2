"""What operations ask of a store, write to it and fetch from it: ``python -m tests.object_storage.costs`` prints it.

Counted between the client and a real server, so that whatever reads the files, Arrow, Polars or DuckDB, is counted too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

import tablever as tv
from tablever.storage import open_storage
from tests.object_storage.faults import FaultyNetwork, Passed
from tests.object_storage.places import place
from tests.object_storage.servers import Server, seaweedfs


@dataclass(frozen=True)
class Size:
    """A table: the rows of its first version, and how many commits of one row came after it."""

    rows: int
    commits: int

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.commits + 1} versions"


SMALL, TALL, LONG = Size(20_000, 9), Size(200_000, 9), Size(20_000, 209)
FEW, MANY = 10, 1_000


@dataclass(frozen=True)
class Cost:
    """What one call did: requests, objects and bytes written, bytes fetched, and those of data files among them."""

    requests: int
    objects: int
    written: int
    fetched: int
    of_rows: int

    @classmethod
    def of(cls, passed: list[Passed]) -> Cost:
        """The sum of what passed."""
        put = [each for each in passed if each.request.method in ("PUT", "POST")]
        got = [each for each in passed if each.request.method == "GET"]
        of_rows = [each for each in got if each.request.object == "rows"]
        return cls(
            requests=len(passed),
            objects=len(put),
            written=sum(each.sent for each in put),
            fetched=sum(each.received for each in got),
            of_rows=sum(each.received for each in of_rows),
        )


def rows_of(start: int, count: int) -> pa.Table:
    """Rows of consecutive keys: a number and a text that no compression shortens much."""
    draw = np.random.default_rng(start)
    ids = np.arange(start, start + count)
    texts = [f"{a:016x}{b:016x}" for a, b in draw.integers(0, 2**63, (count, 2)).tolist()]
    return pa.table({"id": ids, "score": draw.random(count), "text": texts})


def scattered(size: Size, count: int) -> pa.Table:
    """New values for keys that are spread evenly over the first version."""
    ids = np.linspace(0, size.rows - 1, count).astype(np.int64)
    return rows_of(size.rows * 7, count).set_column(0, "id", pa.array(ids))


Call = Callable[[tv.Table, Size], object]

# Each is asked of a copy of its own, whose handle has seen the head.
OPERATIONS: Mapping[str, Call] = {
    f"append {FEW} rows": lambda table, _: tv.append(table, rows_of(10_000_000, FEW)),
    f"append {MANY:,} rows": lambda table, _: tv.append(table, rows_of(10_000_000, MANY)),
    f"upsert {FEW} scattered rows": lambda table, size: tv.upsert(table, scattered(size, FEW)),
    f"upsert {MANY:,} scattered rows": lambda table, size: tv.upsert(table, scattered(size, MANY)),
    f"delete {FEW} scattered rows": lambda table, size: tv.delete(table, keys=scattered(size, FEW).select(["id"])),
    "compare with the version before": lambda table, _: tv.diff_versions(table, "latest~1", "latest").summary,
    "compare with the first version": lambda table, _: tv.diff_versions(table, 0, "latest").summary,
    "read one row": lambda table, _: tv.read_version(table, where="id = 77"),
    "read one column": lambda table, _: tv.read_version(table, columns=["score"]),
    "read whole": lambda table, _: tv.read_version(table),
    "content hash": lambda table, _: tv.content_hash(table),
    "history of one row": lambda table, _: tv.row_history(table, 77),
    "tag": lambda table, _: tv.tag(table, "v1.0"),
    "restore the first version": lambda table, _: tv.restore(table, 0),
}


def make(folder: Path, size: Size) -> None:
    """The table of a size."""
    table = tv.create_table(folder, rows_of(0, size.rows), key="id")
    for number in range(size.commits):
        tv.append(table, rows_of(size.rows + number, 1))


def upload(folder: Path, uri: str, server: Server) -> None:
    """A table as it lies in a folder, into the store."""
    storage = open_storage(uri, server.storage_options)
    files = [path for path in folder.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: storage.put(path.relative_to(folder).as_posix(), path.read_bytes()), files))


def cost(server: Server, network: FaultyNetwork, folder: Path, size: Size, operation: str) -> Cost:
    """What an operation costs on the table in a folder, put into the store."""
    uri = place(server)
    upload(folder, uri, server)
    through = server.through(network.address)
    table = tv.open_table(uri, storage_options=through.storage_options)
    table.log.head()
    with network.measured() as passed:
        OPERATIONS[operation](table, size)
    return Cost.of(passed)


def open_cost(server: Server, network: FaultyNetwork, folder: Path) -> Cost:
    """What opening a table at its latest version costs."""
    uri = place(server)
    upload(folder, uri, server)
    through = server.through(network.address)
    with network.measured() as passed:
        tv.open_table(uri, storage_options=through.storage_options).log.head()
    return Cost.of(passed)


@contextmanager
def tables() -> Iterator[Mapping[Size, Path]]:
    """A table of each size, in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        found = {size: Path(folder) / str(number) for number, size in enumerate((SMALL, TALL, LONG))}
        for size, path in found.items():
            make(path, size)
        yield found


OPEN = "open"


def costs(server: Server, network: FaultyNetwork, made: Mapping[Size, Path]) -> Iterator[tuple[str, Size, Cost]]:
    """Every operation on every table."""
    for operation in (OPEN, *OPERATIONS):
        for size, path in made.items():
            if operation == OPEN:
                yield operation, size, open_cost(server, network, path)
            else:
                yield operation, size, cost(server, network, path, size, operation)


def main() -> None:
    """Print the table of docs/performance.md."""
    with (
        tempfile.TemporaryDirectory() as folder,
        seaweedfs(Path(folder)) as server,
        FaultyNetwork(server.address) as network,
        tables() as made,
    ):
        print("| operation | table | requests | objects written | bytes written | bytes fetched | of data files |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for name, size, found in costs(server, network, made):
            numbers = (found.requests, found.objects, found.written, found.fetched, found.of_rows)
            print(f"| {name} | {size} | {' | '.join(f'{number:,}' for number in numbers)} |")


if __name__ == "__main__":
    main()
