"""Several processes write to one table at once: nothing is lost, nothing doubled, conflicts are told."""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tablever as tv
from tablever import errors
from tablever.storage import LocalStorage
from tests import reading

SPAWN = multiprocessing.get_context("spawn")
ROUNDS = 6


def appender(path: str, worker: int, start: Any, out: Any) -> None:
    """Append rows of its own, one commit a round."""
    start.wait()
    out.put([tv.append(path, [{"id": worker * 1000 + n, "by": worker}]).number for n in range(ROUNDS)])  # type: ignore[union-attr]


def upserter(path: str, worker: int, start: Any, out: Any) -> None:
    """Change rows of its own, one commit a round, the same rows every time."""
    start.wait()
    ids = [worker * 1000 + n for n in range(5)]
    out.put([tv.upsert(path, [{"id": i, "by": n} for i in ids]).number for n in range(ROUNDS)])  # type: ignore[union-attr]


def deleter(path: str, worker: int, start: Any, out: Any) -> None:
    """Delete rows that it alone deletes, one a round; all of them lie in one file."""
    start.wait()
    out.put([tv.delete(path, where=f"id = {-worker * 100 - n}").number for n in range(ROUNDS)])  # type: ignore[union-attr]


def run(path: Path, jobs: list[tuple[Callable[..., None], int]]) -> list[int]:
    """Run the jobs in processes of their own, started together. Returns every version that they were told of."""
    start, out = SPAWN.Event(), SPAWN.Queue()
    processes = [SPAWN.Process(target=job, args=(str(path), worker, start, out)) for job, worker in jobs]
    for process in processes:
        process.start()
    start.set()
    numbers = [number for _ in processes for number in out.get(timeout=180)]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    return numbers


@pytest.mark.parametrize("deletes", ["merge-on-read", "copy-on-write"])
def test_disjoint_writers_lose_nothing(tmp_path: Path, deletes: str) -> None:
    """Appends, upserts and deletes of disjoint rows all land, once each, in versions of their own."""
    path = tmp_path / "t"
    first = [{"id": -100 - n, "by": 0} for n in range(ROUNDS)] + [{"id": 3000 + n, "by": -1} for n in range(5)]
    tv.create_table(path, first, key="id", deletes=deletes)  # type: ignore[arg-type]
    numbers = run(path, [(appender, 1), (appender, 2), (upserter, 3), (deleter, 1)])
    assert sorted(numbers) == list(range(1, 4 * ROUNDS + 1))
    expected = Counter({(w * 1000 + n, w): 1 for w in (1, 2) for n in range(ROUNDS)})
    expected += Counter({(3000 + n, ROUNDS - 1): 1 for n in range(5)})
    found = tv.read_version(path)
    assert Counter(zip(found["id"].to_pylist(), found["by"].to_pylist(), strict=True)) == expected
    rows = 0
    for version in tv.list_versions(path):
        assert version.rows == rows + version.rows_added - version.rows_removed  # type: ignore[operator]
        assert tv.read_version(path, version.number).num_rows == version.rows
        rows = version.rows
    for reader in reading.THEIRS.values():
        assert reader(path, len(numbers)).num_rows == sum(expected.values())


def lose_races(monkeypatch: pytest.MonkeyPatch, rivals: list[Callable[[], object]]) -> None:
    """Before each of the next log entries is put, a rival commits."""
    put = LocalStorage.put_if_absent

    def late(self: LocalStorage, relative: str, data: bytes) -> bool:
        if rivals and relative.startswith("_delta_log/"):
            rivals.pop(0)()
        return put(self, relative, data)

    monkeypatch.setattr(LocalStorage, "put_if_absent", late)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t"
    tv.create_table(path, [{"id": n, "text": "old"} for n in range(5)], key="id")
    return path


def texts(path: Path) -> dict[int, str]:
    return {row["id"]: row["text"] for row in tv.read_version(path).to_pylist()}


def test_an_append_that_loses_races_still_lands(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``append`` never surfaces a lost race, and does not write its rows twice."""
    rivals = [lambda n=n: tv.append(table, [{"id": 10 + n, "text": "rival"}]) for n in range(3)]
    lose_races(monkeypatch, list(rivals))
    version = tv.append(table, [{"id": 99, "text": "mine"}])
    assert version is not None
    assert (version.number, version.rows, version.rows_added) == (4, 9, 1)
    assert sorted(texts(table)) == [0, 1, 2, 3, 4, 10, 11, 12, 99]
    named = {path for n in range(5) for path in _paths(table, n)}
    assert {path.name for path in table.glob("*.parquet")} == named, "the tries that lost left files behind"


def _paths(table: Path, number: int) -> set[str]:
    from tablever.log import open_log

    return {file.path for file in open_log(table).snapshot(number).files}


def test_a_key_that_arrives_first_is_a_duplicate(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is checked against the head that the commit lands on, not the one it began with."""
    lose_races(monkeypatch, [lambda: tv.append(table, [{"id": 7, "text": "rival"}])])
    with pytest.raises(errors.DuplicateKeyError):
        tv.append(table, [{"id": 7, "text": "mine"}])
    assert texts(table)[7] == "rival"
    assert len(list(table.glob("*.parquet"))) == 2, "the refused rows were left behind"


def test_an_upsert_is_planned_again(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new, changed and the same is decided on the head that the commit lands on."""
    lose_races(
        monkeypatch,
        [
            lambda: tv.upsert(table, [{"id": 1, "text": "mine"}, {"id": 9, "text": "rival"}]),
            lambda: tv.delete(table, where="id = 2"),
        ],
    )
    version = tv.upsert(table, [{"id": n, "text": "mine"} for n in (1, 2, 9)])
    assert version is not None
    assert (version.number, version.rows_added, version.rows_updated) == (3, 2, 1)
    assert texts(table) == {0: "old", 1: "mine", 2: "mine", 3: "old", 4: "old", 9: "mine"}


def test_a_write_that_a_rival_made_needless(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a rival made the same change first, nothing is left to do: None, no version, no files."""
    lose_races(monkeypatch, [lambda: tv.upsert(table, [{"id": 1, "text": "same"}])])
    assert tv.upsert(table, [{"id": 1, "text": "same"}]) is None
    assert len(tv.list_versions(table)) == 2
    assert {path.name for path in table.glob("*.parquet")} == _paths(table, 0) | _paths(table, 1)


@pytest.mark.parametrize(
    "write",
    [
        lambda t, **o: tv.append(t, [{"id": 50, "text": "mine"}], **o),
        lambda t, **o: tv.upsert(t, [{"id": 1, "text": "mine"}], **o),
        lambda t, **o: tv.update(t, {"text": "'mine'"}, where="id = 1", **o),
        lambda t, **o: tv.delete(t, where="id = 1", **o),
        lambda t, **o: tv.overwrite(t, [{"id": 1, "text": "mine"}], **o),
    ],
    ids=["append", "upsert", "update", "delete", "overwrite"],
)
def test_if_version_is_a_conflict_even_when_the_race_is_close(
    table: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., object]
) -> None:
    """With ``if_version`` a rival that commits at the last moment makes a ConflictError, and nothing is left behind."""
    lose_races(monkeypatch, [lambda: tv.append(table, [{"id": 60, "text": "rival"}])])
    with pytest.raises(errors.ConflictError) as caught:
        write(table, if_version=0)
    assert "0" in str(caught.value)
    assert len(tv.list_versions(table)) == 2
    assert {path.name for path in table.glob("*.parquet")} == _paths(table, 0) | _paths(table, 1)


def test_two_creators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two creations of one table, one succeeds and the other is told; the table is the first one's."""
    path = tmp_path / "new"
    lose_races(monkeypatch, [lambda: tv.create_table(path, [{"id": 1}])])
    with pytest.raises(errors.AlreadyExistsError):
        tv.create_table(path, [{"id": 2}])
    assert tv.read_version(path)["id"].to_pylist() == [1]
    assert len(list(path.glob("*.parquet"))) == 1


def test_a_batch_that_two_load_at_once(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two loads of one batch, one lands; the other returns its version."""
    batch = [{"id": 70, "text": "batch"}]
    lose_races(monkeypatch, [lambda: tv.append(table, batch, batch_id="b")])
    version = tv.append(table, batch, batch_id="b")
    assert version is not None
    assert version.number == 1
    assert len(tv.list_versions(table)) == 2
    assert {path.name for path in table.glob("*.parquet")} == _paths(table, 1)


def test_threads_share_a_table(table: Path) -> None:
    """Threads of one process may write through one handle; a reader of an old version is not disturbed."""
    shared, before = tv.open_table(table), texts(table)

    def work(worker: int) -> None:
        for n in range(ROUNDS):
            tv.append(shared, [{"id": worker * 100 + n, "text": "t"}])

    threads = [threading.Thread(target=work, args=(worker,)) for worker in (1, 2, 3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert {row["id"]: row["text"] for row in tv.read_version(shared, 0).to_pylist()} == before
    for thread in threads:
        thread.join()
    assert len(texts(table)) == 5 + 3 * ROUNDS
    assert [version.number for version in tv.list_versions(shared)] == list(range(3 * ROUNDS + 1))


# Shortened runs of the campaign (tests/campaigns/writers.py)


@pytest.mark.parametrize("kind", ["keyed", "keyless, copy-on-write, partitioned"])
def test_writers_of_everything(kind: str) -> None:
    """Random operations of several processes beside readers: every version is what the serial execution, in the order
    of versions, makes of what each was told.
    """
    from tests.campaigns.writers import random_deeds

    total = random_deeds(writers=2, readers=1, seconds=3, length=3, kinds=[kind], seed=len(kind))
    assert total.wrong == []
    assert total.commits > 0
    assert total.seen > 0


def test_writers_of_deltalake_among_ours(tmp_path: Path) -> None:
    """deltalake appends, merges, updates, deletes and overwrites beside us: the same law."""
    from tests.campaigns.writers import mixed

    verdict, results = mixed(tmp_path / "t", writers=1, foreign=1, readers=0, seconds=3, seed=1)
    assert [*verdict.wrong, *(each for result in results for each in result.wrong)] == []
    assert verdict.versions > 1


@pytest.mark.parametrize("slow", ["upsert of 100,000 rows", "compaction", "vacuum"])
def test_a_large_operation_beside_steady_writers_ends(slow: str) -> None:
    """Nobody is starved: what takes longer than others' commits lands beside them."""
    from tests.campaigns.writers import steady

    found = steady(slow, 1, 8, size=20_000)
    assert found.ended
    assert found.others > 0
    assert found.wrong == []
