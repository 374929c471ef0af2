"""What becomes of each golden table: the page docs/reference/golden-tables.md. ``python -m tests.golden_results``."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tablever as tv
from tablever import errors
from tests import golden, reading
from tests.golden import Golden
from tests.model import Column, multiset

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "golden-tables.md"
SUITES = {
    "dat": "[Delta Acceptance Tests](https://github.com/delta-incubator/dat) v0.0.3",
    "delta": "golden tables of [delta-kernel-rs](https://github.com/delta-io/delta-kernel-rs), made by Delta on Spark",
    "cdf": "change-data-feed tables of delta-kernel-rs",
}
HEADER = """# The golden tables

Delta tables that other projects keep to test readers with, and what tablever makes of them. Made by
`python -m tests.golden_results`, which reads them all; a test compares the page with what is found.

- **expected**: versions whose rows the suite publishes, and that give those rows, through each of `read_version`,
  `scan_version`, `iter_batches` and SQL;
- **others**: versions whose rows it does not publish; they read alike in those four ways, and the tests compare them
  with deltalake;
- **gone**: versions in the log that name files which the suite does not have: refused with `VersionVacuumedError`;
- **changes**: change rows that the suite publishes, and that `table_changes` gives;
- **refused**: the table is malformed or asks for what tablever does not have; the error says in what words.
"""


@dataclass(frozen=True)
class Result:
    """What became of a table: how many of its versions did what."""

    expected: int = 0
    others: int = 0
    gone: int = 0
    wrong: tuple[str, ...] = ()
    changes: int | None = None
    refused: str = ""

    def line(self, table: Golden) -> str:
        """A row of the page."""
        cells = [str(self.expected or ""), str(self.others or ""), str(self.gone or "")]
        cells += ["" if self.changes is None else str(self.changes), "; ".join((self.refused, *self.wrong)).strip("; ")]
        return f"| `{table.name}` | " + " | ".join(cells) + " |"


def result_of(table: Golden) -> Result:
    """Read every version of a table in every way."""
    with tempfile.TemporaryDirectory() as scratch:
        path = table.copy(Path(scratch))
        try:
            versions = [version.number for version in tv.list_versions(path)]
            tv.read_version(path)
        except errors.TableverError as error:
            _, words = golden.REFUSED.get(table.name, (None, ""))
            said = words if words and words in str(error) else f"WRONG: {error}"
            return Result(refused=f"`{type(error).__name__}`: {said}")
        known = {tv.resolve_version(path, ref).number: folder for ref, folder in table.expectations()}
        outcomes = {number: _outcome(path, number, known.get(number)) for number in versions}
        counts = Counter(outcome for outcome in outcomes.values())
        wrong = [f"WRONG: version {number}" for number, outcome in outcomes.items() if outcome == "wrong"]
        changes = None
        case = golden.feeds().get(table.name) if table.suite == "cdf" else None
        if case is not None:
            expected = Counter(map(tuple, case["rows"]))
            changes = sum(expected.values())
            if golden.change_rows(path, case) != expected:
                wrong.append("WRONG: change rows")
        return Result(counts["expected"], counts["others"], counts["gone"], tuple(wrong), changes)


def _outcome(path: Path, number: int, expected: Path | None) -> str:
    found = []
    for reader in reading.OURS.values():
        try:
            found.append(reader(path, number))
        except errors.VersionVacuumedError:
            found.append(None)
    if found[0] is None:
        return "gone" if all(each is None for each in found) else "wrong"
    if any(each is None for each in found):
        return "wrong"
    columns = [Column(field.name, field.type) for field in found[0].schema]
    wanted = found[0] if expected is None else golden.expected_rows(expected)
    names, rows = sorted(wanted.column_names), multiset(wanted.to_pylist(), columns)
    right = all(sorted(f.column_names) == names and multiset(f.to_pylist(), columns) == rows for f in found)
    return "wrong" if not right else "others" if expected is None else "expected"


def page(results: Sequence[tuple[Golden, Result]]) -> str:
    """The page that says what became of these tables."""
    return "\n".join([HEADER, summary([result for _, result in results]), *_sections(results)]) + "\n"


def summary(results: Sequence[Result]) -> str:
    """The sums of all tables."""
    refused = sum(bool(result.refused) for result in results)
    right = sum(result.expected for result in results)
    wrong = sum(len(result.wrong) for result in results)
    changes = [result.changes for result in results if result.changes is not None]
    return (
        f"{len(results)} tables: {len(results) - refused} read, {refused} refused. Of the "
        f"{right + sum(result.others for result in results) + wrong} versions that can be read, {right} have published "
        f"rows and give them, {sum(result.others for result in results)} have none; {wrong or 'none'} "
        f"{'are' if wrong != 1 else 'is'} wrong. {sum(result.gone for result in results)} versions lack files. "
        f"{sum(changes)} published change rows of {len(changes)} tables are given."
    )


def _sections(results: Sequence[tuple[Golden, Result]]) -> Iterator[str]:
    for suite, source in SUITES.items():
        yield f"\n## {suite}: {source}\n\n| table | expected | others | gone | changes | refused |"
        yield "| --- | ---: | ---: | ---: | ---: | --- |"
        for table, result in results:
            if table.suite == suite:
                yield result.line(table)


if __name__ == "__main__":
    if not golden.FULL.is_dir():
        raise SystemExit(f"the golden tables are not at {golden.FULL}")
    text = page([(table, result_of(table)) for table in golden.tables()])
    PAGE.write_text(text, "utf-8")
    print(next(line for line in text.splitlines() if " tables: " in line))
