"""What a storage must promise, on a disk and in every object store that is to be had: processes race for it."""

from __future__ import annotations

import multiprocessing
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import tablever as tv
from tablever.storage import open_storage
from tests import reading
from tests.object_storage.servers import Server
from tests.test_concurrency import ROUNDS, appender, deleter, run, upserter

SPAWN = multiprocessing.get_context("spawn")
RACERS, NAMES = 4, 12


@pytest.fixture(params=["disk", "seaweedfs", "azurite"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, str] | None]:
    """A place of the test's own on each kind of storage, and the options that it takes."""
    if request.param == "disk":
        return str(tmp_path / "t"), None
    server: Server = request.getfixturevalue(request.param)
    return server.uri(f"{uuid.uuid4().hex}/t"), server.storage_options


def race(uri: str, options: dict[str, str] | None, racer: int, start: Any, out: Any) -> None:
    """Try to be the first at every name, each time with the bytes of this racer alone."""
    storage = open_storage(uri, options)
    won = []
    for n in range(NAMES):
        start.wait(120)  # each round begins for all at once
        if storage.put_if_absent(f"_delta_log/{n}.json", b"%d" % racer * 500):
            won.append(n)
    out.put((racer, won))


def test_put_if_absent_is_won_by_one(where: tuple[str, dict[str, str] | None]) -> None:
    """Of processes that race for a name exactly one is told that it won, and its bytes are there."""
    uri, options = where
    start, out = SPAWN.Barrier(RACERS), SPAWN.Queue()
    processes = [SPAWN.Process(target=race, args=(uri, options, racer, start, out)) for racer in range(RACERS)]
    for process in processes:
        process.start()
    told = [(n, racer) for racer, won in (out.get(timeout=180) for _ in processes) for n in won]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sorted(n for n, _ in told) == list(range(NAMES))
    storage = open_storage(uri, options)
    assert {n: storage.get(f"_delta_log/{n}.json") for n, _ in told} == {n: b"%d" % racer * 500 for n, racer in told}


def test_writers_in_four_processes_lose_nothing(seaweedfs: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Appends, upserts and deletes of disjoint rows by four processes all land in a bucket, once each; every version
    is whole.
    """
    for name, value in seaweedfs.environment.items():
        monkeypatch.setenv(name, value)
    uri = seaweedfs.uri(f"{uuid.uuid4().hex}/t")
    first = [{"id": -100 - n, "by": 0} for n in range(ROUNDS)] + [{"id": 3000 + n, "by": -1} for n in range(5)]
    tv.create_table(uri, first, key="id")
    numbers = run(uri, [(appender, 1), (appender, 2), (upserter, 3), (deleter, 1)])  # type: ignore[arg-type]
    assert sorted(numbers) == list(range(1, 4 * ROUNDS + 1))
    expected = Counter({(w * 1000 + n, w): 1 for w in (1, 2) for n in range(ROUNDS)})
    expected += Counter({(3000 + n, ROUNDS - 1): 1 for n in range(5)})
    found = tv.read_version(uri)
    assert Counter(zip(found["id"].to_pylist(), found["by"].to_pylist(), strict=True)) == expected
    before = 0
    for version in tv.list_versions(uri):
        assert version.rows == before + version.rows_added - version.rows_removed  # type: ignore[operator]
        assert tv.read_version(uri, version.number).num_rows == version.rows
        before = version.rows
    assert tv.verify(uri, level="rows").damaged == ()
    named = {path for path in reading.contents(uri) if path.endswith(".parquet") and "/" not in path}
    assert named == {file for number in [0, *numbers] for file in _files(uri, number)}, "what lost a race was left"


def _files(uri: str, number: int) -> set[str]:
    return {file.path for file in tv.open_table(uri).log.snapshot(number).files}
