"""What other readers make of our tables, as the page docs/reference/readers.md: ``python -m tests.reader_results``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import tablever as tv
from tablever import errors
from tests import reading
from tests.engines.others import Others
from tests.feature_tables import TABLES
from tests.model import Column, multiset
from tests.reading import Reader

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "readers.md"
MOST = 8
HEADER = f"""# What reads our tables

Tables that tablever wrote, one for each thing that a reader must know, and how many of their versions other readers
read as they are: the same columns, the same rows. Made by `python -m tests.reader_results`, which writes the tables
(`tests/feature_tables.py`) and reads them; tests compare each column of the page with what is found. Of a table with
more than {MOST} versions {MOST} are read. *Refused* is an error; *wrong* is rows that are not those of the version,
and no error.
"""
NOTES = """
## What to know of them

- **Spark** with Delta Lake, at the versions in `tests/engines/pom.xml`, reads these tables in `tests/test_spark.py`,
  and needs nothing set. It gives our change rows too (`table_changes`). Of a commit of its own it tells, without
  in-commit timestamps, the time at which the log's file was put; we tell the one in the commit, a moment before. Of
  rows that an overwrite without a key puts back it tells that they went and came, we that nothing changed.
- **Spark writes** to them too, in turns with tablever, in `tests/test_spark_writes.py`: what its statements make are
  versions like any other; tablever goes on from them, and Spark from those of tablever. It keeps our NOT NULL and
  CHECK, and we its. Of a key it knows nothing: one that it doubles is read twice, and our `upsert` of it leaves one
  row. Where it turns in-commit timestamps on, tablever writes them, and both find the same versions by time; a table to
  which it gives column mapping is read at every version, and no longer written. Checkpoints that it makes, classic and
  v2, lead to the same rows in the same order. Values of every type that it writes are found by its statistics. Its
  local and default S3 log stores are not safe beside another writer.
- **Tables that Spark made** take our commits under the protocol that they have, and Spark goes on from there; a table
  with a feature that tablever does not write under is read, and every write to it refused by the feature's name:
  `tests/test_spark_made.py`, one table for each feature. Spark's CHAR and VARCHAR are strings to the Delta protocol:
  tablever neither pads nor counts what it puts into such a column.
- **Spark's `VACUUM`**, in Delta Lake 4.3.1, stops with an error (`scala.MatchError`) at a deletion vector that lies in
  the log, as those of few rows do. The error comes before anything is removed: nothing is lost, and nothing is freed.
  Compacting the vectors away does not help as long as history is kept, for those of removed files count too. Free space
  with `tablever vacuum` instead, or make the table with `deletes="copy-on-write"`, which writes no vectors. On such a
  table, and on one whose vectors all lie in files, `VACUUM` works; the table's own settings have it keep everything.
  Told to keep no history (`RETAIN 0 HOURS`) it takes the data files that the head does not need, and the change files:
  what needs them raises `VersionVacuumedError`. It leaves `_dv/` with the vectors, and `_tablever/`, alone. It
  knows nothing of what tags, runs and pins keep; `verify` calls the loss of that damage.
- **DuckDB**'s extension is tried at the last release for which a package has it.
- **delta-kernel-rs**: the package opens the latest version alone; each version was given to it as a copy of the table
  whose log ends there.
- **deltalake**: `QueryBuilder` and `scan` know deletion vectors; `to_pyarrow_table` and `to_pandas` refuse a table that
  has the feature. A table made with `deletes="copy-on-write"` has none. Of a table that is partitioned by a decimal
  it commits negative values as texts that are no decimals (`0.-1` for -0.01), by `optimize` too, and cannot read them
  itself. tablever reads them as what was meant: `overwrite` or `compact` the rows, or `restore` a version before.
- **Polars** 2.1 finds no deletion vector of a file whose path is percent-encoded, which partition values such as
  `a b` cause, and would bring deleted rows back; so tablever writes none for such files. It cannot read partition
  columns whose names a path cannot carry (`a/b`, `x=y`, `50%`).
"""


@dataclass(frozen=True)
class Outcome:
    """What a reader made of the versions of one table."""

    right: int = 0
    refused: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.refused and not self.wrong:
            return f"all {self.right}"
        parts = [f"{self.right} right"] if self.right else []
        parts += [f"{len(self.refused)} refused"] if self.refused else []
        parts += [f"**{len(self.wrong)} wrong**"] if self.wrong else []
        return ", ".join(parts)


def sampled(numbers: Sequence[int]) -> list[int]:
    """All of a few numbers; of many, so many spread evenly, the first and the last among them."""
    if len(numbers) <= MOST:
        return list(numbers)
    return [numbers[round(n * (len(numbers) - 1) / (MOST - 1))] for n in range(MOST)]


def judge(reader: Reader, table: Path) -> Outcome:
    """Read the versions that are there, and compare columns and rows with what we read."""
    right, refused, wrong = 0, [], []
    for number in sampled(readable(table)):
        ours = tv.read_version(table, number)
        columns = [Column(each.name, each.type) for each in ours.schema]
        try:
            found = reader(table, number)
            names, rows = found.column_names, multiset(found.to_pylist(), columns)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever another reader raises, panics too, is its answer
            refused.append(f"version {number}: {type(error).__name__}: {error}")
            continue
        if names != ours.column_names:
            wrong.append(f"version {number}: columns {names}")
        elif rows != multiset(ours.to_pylist(), columns):
            wrong.append(f"version {number}: {found.num_rows} rows for {ours.num_rows}")
        else:
            right += 1
    return Outcome(right, tuple(refused), tuple(wrong))


def readable(table: Path) -> list[int]:
    """The versions whose rows are there."""
    found = []
    for each in tv.list_versions(table):
        try:
            tv.read_version(table, each.number)
        except errors.VersionVacuumedError:
            continue
        found.append(each.number)
    return found


@contextmanager
def _duckdb(scratch: Path) -> Iterator[tuple[str, Reader]]:
    with Others(scratch / "duckdb") as others:
        yield f"DuckDB {others.hello['duckdb']} with its `delta`", lambda table, n: others.read("duckdb", table, n)


@contextmanager
def _kernel(scratch: Path) -> Iterator[tuple[str, Reader]]:
    package = "delta-kernel-rust-sharing-wrapper"
    with Others(scratch / "kernel") as others:
        yield (
            f"delta-kernel-rs in `{package}` {others.hello[package]}",
            lambda table, n: others.read("kernel", table, n),
        )


@contextmanager
def _deltalake(_: Path) -> Iterator[tuple[str, Reader]]:
    yield f"deltalake {version('deltalake')}, `QueryBuilder`", reading.query_builder


@contextmanager
def _polars(_: Path) -> Iterator[tuple[str, Reader]]:
    yield f"Polars {version('polars')}, `scan_delta`", reading.polars_scan


STARTS = {
    "duckdb": "DuckDB",
    "kernel": "delta-kernel-rs",
    "deltalake": "deltalake",
    "polars": "Polars",
}
Opened = AbstractContextManager[tuple[str, Reader]]
READERS: Mapping[str, Callable[[Path], Opened]] = {
    "duckdb": _duckdb,
    "kernel": _kernel,
    "deltalake": _deltalake,
    "polars": _polars,
}


def make_tables(folder: Path) -> dict[str, Path]:
    """Every table of ours, by what it shows."""
    made = {}
    for number, (name, build) in enumerate(TABLES.items()):
        made[name] = folder / f"table{number}"
        build(made[name])
    return made


def column(reader: Reader, tables: Mapping[str, Path]) -> dict[str, Outcome]:
    """What a reader makes of each table."""
    return {name: judge(reader, table) for name, table in tables.items()}


def page(columns: Mapping[str, Mapping[str, str]]) -> str:
    """The page: a column for each reader, by its title."""
    lines = [HEADER, "| table | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    lines += [f"| {name} | " + " | ".join(each[name] for each in columns.values()) + " |" for name in TABLES]
    return "\n".join([*lines, NOTES])


def column_of(text: str, title: str) -> dict[str, str]:
    """What the page says of a reader, by table."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    index = rows[0].index(title)
    return {row[0]: row[index] for row in rows[2:]}


def main(names: Sequence[str]) -> None:
    """Renew the columns of these readers, or of all; the others stay as the page has them."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tables = make_tables(folder)
        columns = {}
        for name, opened in READERS.items():
            if names and name not in names:
                said = PAGE.read_text("utf-8") if PAGE.is_file() else ""
                title = next((t for t in _titles(said) if t.startswith(STARTS[name])), None)
                if title is not None:
                    columns[title] = column_of(said, title)
                continue
            with opened(folder / name) as (title, reader):
                found = column(reader, tables)
            columns[title] = {table: str(outcome) for table, outcome in found.items()}
            print(title)
            for table, outcome in found.items():
                print(f"  {table}: {outcome}")
                for line in (*outcome.refused[:1], *outcome.wrong[:2]):
                    print(f"    {line.replace(place, '…')[:300]}")
    PAGE.write_text(page(columns), "utf-8")


def _titles(text: str) -> list[str]:
    heads = [line for line in text.splitlines() if line.startswith("| table |")]
    return [cell.strip() for cell in heads[0].strip("|").split("|")][1:] if heads else []


if __name__ == "__main__":
    main(sys.argv[1:])
