"""Costs follow the change, not the table: counted in requests, objects and bytes, never by the clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.object_storage.costs import FEW, LONG, MANY, OPEN, OPERATIONS, SMALL, TALL, Cost, Size, costs, tables
from tests.object_storage.faults import FaultyNetwork
from tests.object_storage.servers import Server

pytestmark = pytest.mark.xdist_group("costs")  # measured once, not by each worker

ALIKE = 1.05


@pytest.fixture(scope="module")
def found(seaweedfs: Server) -> Iterator[Mapping[str, Mapping[Size, Cost]]]:
    """What each operation cost on each table."""
    with FaultyNetwork(seaweedfs.address) as network, tables() as made:
        measured: dict[str, dict[Size, Cost]] = {}
        for operation, size, cost in costs(seaweedfs, network, made):
            measured.setdefault(operation, {})[size] = cost
        yield measured


def spread(values: Iterator[int]) -> float:
    """The largest of some numbers, against the smallest."""
    known = list(values)
    return max(known) / max(1, min(known))


Found = Mapping[str, Mapping[Size, Cost]]
CHANGES = [name for name in OPERATIONS if name.startswith(("append", "upsert", "delete"))]


@pytest.mark.parametrize("operation", CHANGES)
def test_a_change_writes_as_much_whatever_the_table(found: Found, operation: str) -> None:
    """A table of ten times the rows, or twenty times the versions, has as many bytes written by the same change."""
    assert spread(cost.written for cost in found[operation].values()) < ALIKE
    assert max(cost.requests for cost in found[operation].values()) <= 16


@pytest.mark.parametrize("rows", [FEW, MANY])
def test_an_append_reads_nothing(found: Found, rows: int) -> None:
    """New keys beyond those that are there are known to be new by statistics alone."""
    assert [cost.fetched for cost in found[f"append {rows:,} rows"].values()] == [0, 0, 0]


def test_more_rows_cost_what_they_weigh(found: Found) -> None:
    """A hundred times the rows of an upsert take less than a hundred times the bytes, and no more than six objects."""
    few, many = (found[f"upsert {rows:,} scattered rows"][SMALL] for rows in (FEW, MANY))
    assert few.written < many.written < MANY / FEW * few.written
    assert many.objects <= 6


def test_a_comparison_reads_the_change(found: Found) -> None:
    """Two neighbouring versions are compared by the rows between them, however many they share."""
    costs = found["compare with the version before"]
    assert spread(cost.of_rows for cost in costs.values()) < ALIKE
    assert costs[TALL].of_rows < found["read whole"][TALL].of_rows / 1_000


def test_a_comparison_over_commits_grows_with_them(found: Found) -> None:
    """What is read of data files between two versions is a share of each commit, not of the table."""
    costs = found["compare with the first version"]
    assert costs[TALL].of_rows < ALIKE * costs[SMALL].of_rows
    assert costs[LONG].of_rows < ALIKE * costs[SMALL].of_rows * LONG.commits / SMALL.commits


@pytest.mark.parametrize("operation", [OPEN, "content hash", "tag"])
def test_what_the_log_knows_reads_no_rows(found: Found, operation: str) -> None:
    """To open, hash and tag a version, no data file is read, and the requests do not grow with the table."""
    assert [cost.of_rows for cost in found[operation].values()] == [0, 0, 0]
    assert max(cost.requests for cost in found[operation].values()) <= 60


def test_reading_fetches_what_was_asked_for(found: Found) -> None:
    """Nothing is fetched twice: a row costs a row group at most, a column its share, the whole its files."""
    whole, column, row = (found[f"read {what}"] for what in ("whole", "one column", "one row"))
    assert column[TALL].of_rows < whole[TALL].of_rows / 2
    assert row[TALL].of_rows < whole[TALL].of_rows * 0.7
