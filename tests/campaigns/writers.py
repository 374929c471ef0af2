"""Processes that write to one table at once: nothing lost, doubled or torn, and nobody starved.

    python -m tests.campaigns.writers [random] [--writers 4] [--readers 2] [--minutes 5] [--seed 1]
    python -m tests.campaigns.writers rates --writers 1 2 4 8 [--minutes 5]
    python -m tests.campaigns.writers steady --writers 2 4 [--minutes 5]
    python -m tests.campaigns.writers mixed [--writers 4] [--readers 2] [--minutes 5] [--seed 1]
    python -m tests.campaigns.writers again FOLDER

``random``: every operation, from every process; what each was told is replayed in the order of versions by the model,
and every version compared with it. ``rates``: commits a second. ``steady``: one slow operation beside steady writers.
``mixed``: half of the writers are deltalake (tests/campaigns/foreign.py). A round that was wrong is kept, whole
(tests/campaigns/keeping.py), and ``again`` judges it again.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import queue
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

import tablever as tv
from tablever import errors
from tablever.layout import table_schema
from tablever.storage.local import LocalStorage as Storage
from tests.campaigns.deeds import COLUMNS, FOREIGN, KEYS, STORE, WITNESS, Deed, Hand, Told
from tests.campaigns.judging import Seen, Verdict
from tests.campaigns.keeping import KEPT, Case, again, judged, keep
from tests.model import Column, Model

SPAWN = multiprocessing.get_context("spawn")
ROUND = 20.0  # seconds of writing before a judgement
RATES = {
    "append": 20, "upsert": 20, "update": 12, "delete": 10, "delete keys": 8, "overwrite": 3, "restore": 5, "revert": 6,
    "load": 3, "compact": 5, "vacuum": 3, "set retention": 1, "tag": 4, "delete tag": 2, "pin": 2, "unpin": 1,
    "link run": 2,
}  # fmt: skip
KINDS: Mapping[str, dict[str, Any]] = {
    "keyed": {"key": "id"},
    "keyed, copy-on-write": {"key": "id", "deletes": "copy-on-write"},
    "keyed, partitioned": {"key": "id", "partition_by": "part"},
    "keyless": {},
    "keyless, copy-on-write, partitioned": {"deletes": "copy-on-write", "partition_by": "part"},
}


@contextlib.contextmanager
def lost_races() -> Iterator[list[int]]:
    """Counts, in the one number of the list, the log entries that another writer put first."""
    count, put = [0], Storage.put_if_absent

    def counted(self: Storage, relative: str, data: bytes) -> bool:
        landed = put(self, relative, data)
        count[0] += not landed and relative.startswith("_delta_log/")
        return landed

    Storage.put_if_absent = counted  # type: ignore[method-assign]
    try:
        yield count
    finally:
        Storage.put_if_absent = put  # type: ignore[method-assign]


@dataclass
class Result:
    """What one process did."""

    told: list[Told] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    retries: int = 0
    commits: int = 0
    wrong: list[str] = field(default_factory=list)
    longest: float = 0  # seconds that one commit took
    slow: bool = False


def columns_of(table: tv.Table) -> list[Column]:
    schema = table_schema(table.log.head().metadata)
    return [Column(f.name, f.type) for f in schema]


def writer(path: str, worker: int, seed: int, seconds: float, options: Mapping[str, Any]) -> Result:
    """Do random deeds for a while. The clock of this process is wrong, and goes back."""
    chance = random.Random(f"{seed}/{worker}")
    hand = Hand(worker, chance, options["rates"], options["safety"], options.get("evolves", True))
    held, result = tv.open_table(path), Result()
    clock, end = time.time_ns, time.monotonic() + seconds
    with lost_races() as retries:
        while time.monotonic() < end:
            behind = chance.choice([0, 0, 10**6, 10**9, 3600 * 10**9]) if options["clock"] else 0
            time.time_ns = lambda behind=behind: clock() - behind
            table: Any = held if chance.random() < 0.5 else path
            deed = hand.draw(held.log.head_number(), columns_of(held))
            result.told.append(do(table, held, deed))
    time.time_ns = clock
    result.retries = retries[0]
    return result


def do(table: Any, held: tv.Table, deed: Deed) -> Told:
    """Do a deed, and note what was said."""
    start = held.log.head_number()
    version, error = None, None
    try:
        if deed.name in WITNESS:
            version = WITNESS[deed.name](table, deed.args)
        else:
            version = STORE[deed.name](table, deed.args, deed.options)
    except Exception as raised:  # noqa: BLE001 - the judge says which are right
        error = type(raised).__name__, str(raised)
    return Told(deed, start, held.log.head_number(), version, error)


def reader(path: str, worker: int, seed: int, seconds: float, options: Mapping[str, Any]) -> Result:  # noqa: ARG001
    """Hold versions and read them, again and again, in every way, while others write."""
    chance, result = random.Random(f"{seed}/reader {worker}"), Result()
    held, end = tv.open_table(path), time.monotonic() + seconds
    while time.monotonic() < end:
        head = held.log.head_number()
        number = chance.choice([head, head, max(0, head - chance.randrange(30)), chance.randint(0, head)])
        how = chance.choice(list(WAYS))
        for _ in range(chance.choice([1, 3])):
            try:
                seen = tv.content_hash_of(WAYS[how](held if chance.random() < 0.5 else path, number))
            except errors.VersionVacuumedError:
                seen = None
            except Exception as raised:  # noqa: BLE001 - none is right
                result.wrong.append(f"a reader ({how}) of version {number}: {type(raised).__name__}: {raised}")
                break
            result.seen.append(Seen(number, seen, how))
        if chance.random() < 0.2:
            try:
                check_log(path)
            except Exception as raised:  # noqa: BLE001
                result.wrong.append(f"a reader of the log: {type(raised).__name__}: {raised}")
    return result


def check_log(path: str) -> None:
    """The log is whole at any moment: numbered one by one, verified."""
    numbers = [version.number for version in tv.list_versions(path)]
    assert numbers == list(range(len(numbers))), numbers
    tv.verify(path, level="files")


def _slowly(table: Any, number: int) -> pa.Table:
    """Batch by batch, with pauses in which much is committed."""
    schema = tv.read_version(table, number, where="false").schema
    batches = []
    for batch in tv.iter_batches(table, number, batch_size=20):
        time.sleep(0.02)
        batches.append(batch)
    return pa.Table.from_batches(batches, schema=schema)


WAYS: Mapping[str, Callable[[Any, int], Any]] = {
    "read_version": tv.read_version,
    "where": lambda t, n: tv.read_version(t, n, where="true"),
    "iter_batches": _slowly,
    "sql": lambda t, n: tv.query(f"FROM t AT (VERSION => {n})", tables={"t": t}),
}


def process(job: Callable[..., Result], arguments: tuple[Any, ...], ready: Any, start: Any, out: Any) -> None:
    with tempfile.TemporaryDirectory(prefix="tablever-writers-") as folder:  # what is imported late is imported now
        table = tv.create_table(Path(folder) / "t", first_rows(), key="id")
        tv.update(table, {"n": "1"}, where="id = 0")
        tv.compact(table, deleted=0.01)
        tv.query("FROM t", tables={"t": table})
    ready.release()
    start.wait()
    try:
        out.put(job(*arguments))
    except BaseException as error:  # a campaign that hangs says nothing
        out.put(Result(wrong=[f"{job.__name__} {arguments[1]} died of {type(error).__name__}: {error}"]))
        raise


def together(jobs: Sequence[tuple[Callable[..., Result], tuple[Any, ...]]], patience: float) -> list[Result]:
    """Run jobs in processes of their own, begun at one moment."""
    ready, start, out = SPAWN.Semaphore(0), SPAWN.Event(), SPAWN.Queue()
    processes = [SPAWN.Process(target=process, args=(job, args, ready, start, out), daemon=True) for job, args in jobs]
    for each in processes:
        each.start()
    for _ in processes:
        if not ready.acquire(timeout=600):
            raise AssertionError("a process did not start")
    start.set()
    results: list[Result] = []
    with contextlib.suppress(queue.Empty):
        while len(results) < len(processes):
            results.append(out.get(timeout=patience))
    hanging = len(processes) - len(results)
    for each in processes:
        each.join(timeout=1 if hanging else 60)
        each.kill()  # what one that hangs has written is to be judged
    if hanging:
        results.append(Result(wrong=[f"{hanging} of {len(processes)} processes did not end within {patience:.0f} s"]))
    return results


# -- random


@dataclass
class Total:
    """What a campaign did and found."""

    operations: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    commits: int = 0
    retries: int = 0
    lost: int = 0
    seen: int = 0
    not_judged: int = 0
    rounds: int = 0
    seconds: float = 0
    wrong: list[str] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)

    def add(self, verdict: Verdict, results: Sequence[Result], seconds: float) -> None:
        self.operations += verdict.operations
        self.outcomes += verdict.outcomes
        self.commits += verdict.versions - 1
        self.retries += sum(result.retries for result in results)
        self.lost += verdict.lost
        self.seen += verdict.seen
        self.not_judged += verdict.not_judged
        self.rounds += 1
        self.seconds += seconds
        self.wrong += verdict.wrong
        self.kept += [verdict.kept] if verdict.kept else []

    def __str__(self) -> str:
        compared = self.commits + self.rounds
        kinds = ", ".join(f"{name} {count:,}" for name, count in self.operations.most_common())
        outcomes = ", ".join(f"{name} {count:,}" for name, count in self.outcomes.most_common())
        return "\n".join(
            [
                f"{self.rounds} rounds, {self.seconds:,.0f} s of writing",
                f"operations: {sum(self.operations.values()):,} ({kinds})",
                f"told: {outcomes}",
                f"commits: {self.commits:,}, {self.commits / max(self.seconds, 1e-9):,.1f} a second",
                f"lost races, planned again: {self.retries:,}",
                f"versions compared with the serial execution: {compared:,}, {self.lost:,} of them vacuumed",
                f"reads beside the writers: {self.seen:,}",
                f"not judged, the specification being open: {self.not_judged:,}",
                f"wrong: {len(self.wrong)}",
                *dict.fromkeys(self.wrong),
                *(f"kept: {folder}" for folder in self.kept),
            ]
        )


def first_rows() -> list[dict[str, Any]]:
    return [{"id": n, "part": n % 3, "n": 0, "text": "first"} for n in range(0, KEYS, 2)]


def round_of(
    path: Path, kind: str, *, writers: int, readers: int, seconds: float, seed: int, **options: Any
) -> tuple[Verdict, list[Result]]:
    """Make a table of a kind, let processes at it, and judge."""
    settings = KINDS[kind]
    rows = first_rows()
    tv.create_table(path, pa.Table.from_pylist(rows, pa.schema([(c.name, c.type) for c in COLUMNS])), **settings)
    rates = {**RATES, **({} if "key" in settings else {"set key": 8})}
    given = {"rates": rates, "safety": "2 seconds", "clock": True, **options}
    jobs = [(writer, (str(path), n, seed, seconds, given)) for n in range(writers)]
    jobs += [(reader, (str(path), n, seed, seconds, given)) for n in range(readers)]
    results = together(jobs, seconds + 300)
    key = [settings["key"]] if "key" in settings else []
    return verdict_on(path, kind, seed, key, results), results


def verdict_on(
    path: Path, name: str, seed: int, key: Sequence[str], results: Sequence[Result], *, leftovers: bool = True
) -> Verdict:
    """Judge a round, and keep it where anything was wrong."""
    columns = [Column(c.name, c.type, c.name not in key) for c in COLUMNS]
    case = Case(
        name,
        seed,
        Model.create(columns, key, first_rows()),
        [one for result in results for one in result.told],
        [each for result in results for each in result.seen],
        [each for result in results for each in result.wrong],
    )
    verdict = judged(path, case)
    verdict.wrong += [f"{name}, seed {seed}: {each}" for each in afterwards(path, leftovers=leftovers)]
    if verdict.wrong:
        verdict.kept = keep(path, case, verdict.wrong)
    return verdict


def afterwards(path: Path, *, leftovers: bool = True) -> list[str]:
    """What must hold of a table when all have ended: it verifies, and nobody left anything behind."""
    wrong = []
    try:
        tv.verify(path, level="rows")
    except errors.CorruptionError as error:
        wrong += [f"verify: {found}" for found in error.report.damaged] if "report" in error.facts else [str(error)]
    left = tv.vacuum(path, keep="all", safety="0 seconds").removals if leftovers else ()
    wrong += [f"left behind: {removal.path}" for removal in left if removal.kind == "leftover"]
    return wrong


def random_deeds(
    *, writers: int = 4, readers: int = 2, seconds: float = ROUND, seed: int = 0, kinds: Sequence[str] = tuple(KINDS),
    length: float = ROUND, say: Callable[[str], object] = lambda _: None, **options: Any,
) -> Total:  # fmt: skip
    """Rounds on tables of each kind in turn, for so many seconds of writing."""
    total = Total()
    while total.seconds < seconds:
        folder = Path(tempfile.mkdtemp(prefix="tablever-writers-"))
        kind = kinds[total.rounds % len(kinds)]
        try:
            verdict, results = round_of(
                folder / "t",
                kind,
                writers=writers,
                readers=readers,
                seconds=length,
                seed=seed + total.rounds,
                **options,
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        total.add(verdict, results, length)
        say(f"{kind}, seed {seed + total.rounds - 1}: {verdict.versions - 1} commits, {len(verdict.wrong)} wrong")
    return total


# -- rates


def steady_writer(path: str, worker: int, seed: int, seconds: float, options: Mapping[str, Any]) -> Result:  # noqa: ARG001
    """Small commits, one after the other: appends of rows of its own, or upserts of the same few."""
    result, n, end = Result(), 0, time.monotonic() + seconds
    table = tv.open_table(path)
    with lost_races() as retries:
        while (begun := time.monotonic()) < end:
            n += 1
            if options["verb"] == "append":
                rows = [{"id": (worker + 1) * 10**6 + n, "part": 0, "n": n, "text": "a"}]
                version = tv.append(table, rows, author="campaign")
            else:
                version = tv.upsert(table, [{"id": worker, "part": 0, "n": n, "text": "a"}], author="campaign")
            result.commits += version is not None
            result.longest = max(result.longest, time.monotonic() - begun)
    result.retries = retries[0]
    return result


def row(*cells: object) -> None:
    """A row of a table in Markdown."""
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def rates(counts: Sequence[int], seconds: float) -> None:
    """Commits a second and lost races, of appends and of upserts, by so many writers, for so many seconds each."""
    row("writers", "each", "commits", "a second", "lost races a commit", "fewest and most of one writer", "longest, s")
    row(*["---"] * 7)
    for verb in ("append", "upsert"):
        for writers in counts:
            with tempfile.TemporaryDirectory(prefix="tablever-writers-") as folder:
                path = Path(folder) / "t"
                tv.create_table(path, first_rows(), key="id")
                jobs = [(steady_writer, (str(path), n, 0, seconds, {"verb": verb})) for n in range(writers)]
                results = together(jobs, seconds + 300)
                commits = sum(result.commits for result in results)
                assert len(tv.list_versions(path)) == commits + 1
            retries = sum(result.retries for result in results)
            shares = sorted(result.commits for result in results)
            longest = max(result.longest for result in results)
            each = f"{verb}s one row, {seconds:.0f} s"
            lost, range_ = f"{retries / max(commits, 1):.2f}", f"{shares[0]:,} to {shares[-1]:,}"
            row(writers, each, f"{commits:,}", f"{commits / seconds:.1f}", lost, range_, f"{longest:.2f}")


# -- steady


def slow_deed(path: str, worker: int, seed: int, seconds: float, options: Mapping[str, Any]) -> Result:  # noqa: ARG001
    """One large operation beside steady writers: how long it took, and how many races it lost."""
    result, begun = Result(slow=True), time.monotonic()
    with lost_races() as retries:
        version = SLOW[options["slow"]](path)
    result.longest = time.monotonic() - begun
    result.commits, result.retries = int(version is not None), retries[0]
    return result


def large(rows: int, low: int = 0) -> pa.Table:
    ids = pa.array(range(low, low + rows), pa.int64())
    texts = pa.array([f"text {n}" for n in range(rows)])
    return pa.table({"id": ids, "part": [0] * rows, "n": [0] * rows, "text": texts})


SIZE = 300_000
SLOW: Mapping[str, Callable[[str], Any]] = {
    "upsert of 100,000 rows": lambda t: tv.upsert(t, large(100_000, SIZE // 2).set_column(2, "n", [[1] * 100_000])),
    "update of a third": lambda t: tv.update(t, {"n": "n + 1"}, where="id % 3 = 0 AND id < 300000"),
    "delete of a third": lambda t: tv.delete(t, where="id % 3 = 1 AND id < 300000"),
    "append of 100,000 rows": lambda t: tv.append(t, large(100_000, 2 * SIZE)),
    "compaction": lambda t: tv.compact(t, target="1 MB", deleted=0.01),
    "vacuum": lambda t: tv.vacuum(t, keep="pinned", safety="0 seconds", dry_run=False).version,
}


@dataclass(frozen=True)
class Steady:
    """A large operation beside steady writers: seconds it took, races it lost; commits of the others; what was wrong.

    ``ended``: while the others were still writing.
    """

    took: float
    lost: int
    ended: bool
    others: int
    longest: float
    wrong: Sequence[str]


def steady(name: str, writers: int, seconds: float, size: int = SIZE) -> Steady:
    """A large operation, on a table in many files, beside appends and upserts without a pause."""
    with tempfile.TemporaryDirectory(prefix="tablever-writers-") as folder:
        path = Path(folder) / "t"
        tv.create_table(path, large(size), key="id")
        for n in range(30):
            tv.upsert(path, large(50, n * size // 40))
            tv.append(path, large(50, 10**8 + 50 * n))
        jobs: list[Any] = [(slow_deed, (str(path), 0, 0, seconds, {"slow": name}))]
        jobs += [
            (steady_writer, (str(path), 1000 + n, 0, seconds, {"verb": ("append", "upsert")[n % 2]}))
            for n in range(writers)
        ]
        results = together(jobs, seconds + 300)
        wrong = [*(each for result in results for each in result.wrong), *afterwards(path)]
    (deed,), others = [one for one in results if one.slow], [one for one in results if not one.slow]
    return Steady(
        took=deed.longest,
        lost=deed.retries,
        ended=deed.longest < seconds,
        others=sum(other.commits for other in others),
        longest=max((other.longest for other in others), default=0),
        wrong=wrong,
    )


def steady_table(counts: Sequence[int], seconds: float) -> int:
    """Each large operation, alone and beside so many writers; how many did not end, or were wrong."""
    row("", "writers beside", "took, s", "lost races", "their commits a second", "longest of theirs, s", "wrong")
    row(*["---"] * 7)
    bad = 0
    for name in SLOW:
        for writers in (0, *counts):
            found = steady(name, writers, seconds)
            took = f"{found.took:.1f}" if found.ended else f"{found.took:.1f}, as long as they wrote"
            theirs = (f"{found.others / seconds:.1f}", f"{found.longest:.2f}") if writers else ("", "")
            row(name, writers, took, found.lost, *theirs, len(found.wrong))
            for each in found.wrong[:5]:
                print(each, file=sys.stderr)
            bad += bool(found.wrong) or not found.ended
    return bad


# -- mixed


def foreign_writer(path: str, worker: int, seed: int, seconds: float, options: Mapping[str, Any]) -> Result:
    from tests.campaigns import foreign

    return Result(
        told=foreign.write(path, worker, seed, seconds, options["foreign"], evolves=options.get("evolves", True))
    )


def mixed(
    path: Path,
    *,
    writers: int,
    foreign: int,
    readers: int,
    seconds: float,
    seed: int,
    rates: Mapping[str, int] | None = None,
    evolves: bool = True,
) -> tuple[Verdict, list[Result]]:
    """A keyed table of ours that deltalake writes to as well; ``evolves``: both add columns now and then."""
    from tests.campaigns.foreign import RATES as THEIRS

    rows = first_rows()
    tv.create_table(path, pa.Table.from_pylist(rows, pa.schema([(c.name, c.type) for c in COLUMNS])), key="id")
    ours = {"append": 8, "upsert": 8, "update": 5, "delete": 5, "restore": 2, "overwrite": 1, "compact": 3, "tag": 2}
    given = {"rates": ours, "safety": "1 day", "clock": False, "evolves": evolves, "foreign": rates or THEIRS}
    jobs = [(writer, (str(path), n, seed, seconds, given)) for n in range(writers)]
    jobs += [(foreign_writer, (str(path), 100 + n, seed, seconds, given)) for n in range(foreign)]
    jobs += [(reader, (str(path), n, seed, seconds, given)) for n in range(readers)]
    results = together(jobs, seconds + 300)
    return verdict_on(path, "mixed", seed, ["id"], results, leftovers=False), results


def mixed_rounds(writers: int, readers: int, seconds: float, seed: int, length: float = ROUND) -> int:
    """Rounds of ``mixed``, half of the writers deltalake's; whether anything was wrong."""
    total = Total()
    while total.seconds < seconds:
        with tempfile.TemporaryDirectory(prefix="tablever-writers-") as folder:
            half, number = writers // 2, seed + total.rounds
            verdict, results = mixed(
                Path(folder) / "t", writers=writers - half, foreign=half, readers=readers, seconds=length, seed=number
            )
        total.add(verdict, results, length)
        theirs = Counter(
            (one.deed.name, "done" if one.error is None else one.error[0])
            for result in results
            for one in result.told
            if FOREIGN in one.deed.options
        )
        commits = verdict.versions - 1
        print(f"seed {number}: {commits} commits, {len(verdict.wrong)} wrong; deltalake: {dict(theirs)}", flush=True)
    print(total)
    return int(bool(total.wrong))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", nargs="?", default="random", choices=["random", "rates", "steady", "mixed", "again"])
    parser.add_argument("folder", nargs="?", type=Path, default=KEPT)
    parser.add_argument("--writers", type=int, nargs="+", default=[4])
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--round", type=float, default=ROUND, help="seconds of writing before a judgement")
    said = parser.parse_args(arguments)
    if said.scene == "rates":
        rates(said.writers, said.minutes * 60 / 2 / len(said.writers))
        return 0
    if said.scene == "steady":
        return min(steady_table(said.writers, said.minutes * 60 / len(SLOW) / len(said.writers)), 1)
    if said.scene == "again":
        verdict = again(said.folder)
        print(*verdict.wrong, f"wrong: {len(verdict.wrong)}", sep="\n")
        return int(bool(verdict.wrong))
    if said.scene == "mixed":
        return mixed_rounds(said.writers[0], said.readers, said.minutes * 60, said.seed, said.round)
    wrong = 0
    for writers in said.writers:
        total = random_deeds(
            writers=writers, readers=said.readers, seconds=said.minutes * 60, seed=said.seed, length=said.round,
            say=lambda line: print(line, flush=True),
        )  # fmt: skip
        print(f"{writers} writers, {said.readers} readers\n{total}", flush=True)
        wrong += len(total.wrong)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
