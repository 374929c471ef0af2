"""The page of what reads our tables says what is found; no reader but those it names reads one wrong."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import pytest

from tests import reader_results
from tests.engines import cache
from tests.engines.child import Absent
from tests.reader_results import PAGE, READERS

LOCK = Path(__file__).parents[1] / "requirements.lock"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return reader_results.make_tables(tmp_path_factory.mktemp("tables"))


def is_locked(package: str) -> bool:
    return f"{package}=={version(package)}" in LOCK.read_text().splitlines()


@pytest.mark.parametrize("name", READERS)
def test_the_page_says_what_a_reader_makes_of_our_tables(name: str, tables: dict[str, Path], tmp_path: Path) -> None:
    """Each reader's column is what a run gives (``python -m tests.reader_results`` renews the page)."""
    if name in ("deltalake", "polars") and not is_locked(name):
        pytest.skip(f"the page is about the {name} of requirements.lock")
    with ExitStack() as stack:
        try:
            title, reader = stack.enter_context(READERS[name](tmp_path))
        except Absent as reason:
            cache.skip("readers", reason)
            raise
        found = reader_results.column(reader, tables)
    assert {table: str(outcome) for table, outcome in found.items()} == reader_results.column_of(
        PAGE.read_text("utf-8"), title
    )


def test_the_page_says_what_it_is_made_with() -> None:
    """What the page says beside its table is what the next run would write."""
    text = PAGE.read_text("utf-8")
    assert text.startswith(reader_results.HEADER)
    assert text.endswith(reader_results.NOTES)


def test_many_versions_are_sampled_from_end_to_end() -> None:
    """Of few versions all are read; of many a few, the first and the last among them."""
    assert reader_results.sampled(range(4)) == [0, 1, 2, 3]
    many = reader_results.sampled(range(100))
    assert (many[0], many[-1], len(set(many))) == (0, 99, reader_results.MOST)
