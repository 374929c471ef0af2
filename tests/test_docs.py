"""The documentation is true: its examples run, its lists are current, its links lead somewhere."""

from __future__ import annotations

import doctest
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

import tablever
from docs import examples, generate
from tablever import errors

PAGES = examples.pages()
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
ANCHORED = re.compile(r"\]\(([^)#\s]*)(#[^)\s]+)\)")


def name(page: Path) -> str:
    return str(page.relative_to(examples.ROOT))


@pytest.mark.parametrize("page", [p for p in PAGES if examples.examples_of(p.read_text("utf-8"))], ids=name)
def test_examples_print_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    """Every example of every page, run in its order, prints what the page shows."""
    for example, output in examples.run_page(page, tmp_path):
        shown, real = examples.comparable(example.output), examples.comparable(output)
        assert real == shown, f"{name(page)}:{example.first}: {example.source}"


@pytest.mark.parametrize("page", sorted(generate.PAGES, key=str), ids=name)
def test_generated_parts_are_current(page: Path) -> None:
    """The lists that are made from the code say what the code says (``python -m docs.generate`` renews them)."""
    assert page.read_text("utf-8") == generate.generated(page)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files(page: Path) -> None:
    """A relative link names a file of the repository."""
    targets = [target for target, _ in LINK.findall(page.read_text("utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The fragments by which a page's headings are linked, as GitHub makes them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text("utf-8")))
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_to_a_heading_lead_to_one(page: Path) -> None:
    """What a link names of a page is a heading of it."""
    found = [(target, anchor) for target, anchor in ANCHORED.findall(page.read_text("utf-8")) if "://" not in target]
    assert [each for each in found if each[1] not in anchors(page.parent / each[0] if each[0] else page)] == []


def test_every_page_is_in_the_index() -> None:
    """The index of docs/ links each page below it."""
    index = examples.ROOT / "docs" / "README.md"
    linked = {(index.parent / target).resolve() for target, _ in LINK.findall(index.read_text("utf-8"))}
    assert {p for p in PAGES if p.parent != examples.ROOT and p != index} <= linked


MODULES = sorted(m.name for m in pkgutil.walk_packages(tablever.__path__, "tablever.") if m.name != "tablever.__main__")


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_docstrings(module: str, tmp_path: Path) -> None:
    """Every example of a docstring prints what it shows; ``folder`` is an empty folder, public names are there."""
    names = {name: getattr(tablever, name) for name in tablever.__all__}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for number, found in enumerate(doctest.DocTestFinder().find(import_module(module))):
        found.globs.update(names, folder=tmp_path / str(number))
        assert runner.run(found).failed == 0, found.name


def test_every_error_named_in_raises_exists() -> None:
    """An error that a docstring of the package names is one of ``tablever.errors``, or Python's own."""
    source = "\n".join(p.read_text("utf-8") for p in (examples.ROOT / "tablever").rglob("*.py"))
    raises = re.findall(r"Raises:?\s((?:[^\n\"]+\n?)+)", source)
    named = {word for text in raises for word in re.findall(r"\b[A-Z]\w+Error\b", text)}
    known = set(vars(errors)) | set(__builtins__ if isinstance(__builtins__, dict) else vars(__builtins__))
    assert named <= known


def test_a_wrong_output_is_noticed() -> None:
    """The comparison can fail: only times, hashes, generated names, durations and widths are overlooked."""
    assert examples.comparable("version 3  2026-11-01 12:00:00 UTC") == examples.comparable(
        "version 3 2027-01-02 03:04:05.123 UTC"
    )
    assert examples.comparable("3 rows") != examples.comparable("4 rows")
    assert examples.comparable("sha:3fa9") != examples.comparable("sha:3fa8")
    assert examples.comparable("2024-11-01 12:00") != examples.comparable("2024-11-02 12:00")


def test_the_runner_sees_output_of_both_kinds(tmp_path: Path) -> None:
    """Python's values and errors and the shell's two streams are outputs; a rewritten page runs clean."""
    page = tmp_path / "page.md"
    page.write_text(
        "```python\n>>> x = 20\n>>> x + 1\n>>> for i in range(2):\n...     print(i)\n>>> {}['a']\n```\n"
        "```console\n$ cat <<'END'\n> one\n> END\n$ echo two >&2; exit 3\n```\n"
    )
    (tmp_path / "a").mkdir()
    results = examples.run_page(page, tmp_path / "a")
    assert [output for _, output in results] == [
        "",
        "21",
        "0\n1",
        "Traceback (most recent call last):\n    ...\nKeyError: 'a'",
        "one",
        "two",
    ]
    page.write_text(examples.rewritten(page.read_text(), results))
    (tmp_path / "b").mkdir()
    assert all(e.output == output for e, output in examples.run_page(page, tmp_path / "b"))
