"""What is installed is what is declared: dependencies, pins, entry point, files, version, the README's commands."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points, packages_distributions
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DEPENDENCIES = {canonicalize_name(r.name): r for r in map(Requirement, PROJECT["dependencies"])}
EXTRAS = {name: wanted for name, wanted in PROJECT["optional-dependencies"].items() if name != "dev"}
EXTRA = {canonicalize_name(r.name): r for wanted in EXTRAS.values() for r in map(Requirement, wanted)}
DEVELOPMENT = {
    canonicalize_name(r.name): r
    for r in map(Requirement, PROJECT["optional-dependencies"]["dev"])
    if canonicalize_name(r.name) != canonicalize_name(PROJECT["name"])
}
PINS = [Requirement(line) for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines() if line[:1] != "#"]
README = (ROOT / "README.md").read_text("utf-8")


def _at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers see."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _at_run_time(child)


@cache
def imported_distributions() -> frozenset[str]:
    """The distributions, other than Python's own, that some module of the package imports."""
    modules = set()
    for path in (ROOT / "tablever").rglob("*.py"):
        for node in _at_run_time(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules.add(node.module.partition(".")[0])
    modules -= sys.stdlib_module_names | {"tablever"}
    return frozenset(canonicalize_name(name) for m in modules for name in packages_distributions().get(m, [m])[:1])


def test_dependencies_are_exactly_what_is_imported() -> None:
    """The package imports nothing that it does not declare, and declares nothing that it does not import."""
    assert imported_distributions() == set(DEPENDENCIES) | set(EXTRA)


def test_every_dependency_is_explained() -> None:
    """docs/explanation/dependencies.md has a section for each dependency."""
    page = (ROOT / "docs" / "explanation" / "dependencies.md").read_text("utf-8")
    assert set(re.findall(r"^### (\S+)", page, re.MULTILINE)) == set(DEPENDENCIES) | set(EXTRA)


@pytest.mark.parametrize("requirement", [*DEPENDENCIES.values(), *EXTRA.values(), *DEVELOPMENT.values()], ids=str)
def test_pins_are_within_the_bounds(requirement: Requirement) -> None:
    """Each declared dependency is pinned in the lock, to versions that its bounds allow."""
    pins = [pin for pin in PINS if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
    versions = [spec.version for pin in pins for spec in pin.specifier]
    assert versions
    assert all(requirement.specifier.contains(version) for version in versions)


def test_lock_is_plain_pins() -> None:
    """The lock holds exact versions with markers at most: no host, no path, no hash, no option."""
    assert all(len(pin.specifier) == 1 and str(pin.specifier).startswith("==") and not pin.url for pin in PINS)
    assert all(pin.marker is None or isinstance(pin.marker, Marker) for pin in PINS)


def test_withdrawn_deltalake_is_excluded() -> None:
    """deltalake 1.6.4 and 1.6.5 cannot be installed with us."""
    assert not {"1.6.4", "1.6.5"} & set(DEPENDENCIES["deltalake"].specifier.filter(["1.6.3", "1.6.4", "1.6.5"]))


def test_version_is_one() -> None:
    """pyproject.toml, the package and the changelog's newest entry have the same version."""
    import tablever

    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None
    assert Version(PROJECT["version"]) == Version(tablever.__version__) == Version(newest[1])


def test_console_script() -> None:
    """Installed, ``tablever`` starts ``tablever.cli.main:main``."""
    (script,) = entry_points(group="console_scripts", name="tablever")
    assert script.value == PROJECT["scripts"]["tablever"]
    assert callable(script.load())


def test_package_data() -> None:
    """The package brings its type marker, the demo's data with their attribution, and the report's templates."""
    package = files("tablever")
    assert package.joinpath("py.typed").is_file()
    names = {entry.name for entry in package.joinpath("demo").iterdir()}
    assert "ATTRIBUTION.md" in names
    assert any(name.endswith(".parquet") for name in names)
    templates = {entry.name for entry in package.joinpath("report", "templates").iterdir()}
    assert {"diff.html.j2", "diff.css", "diff.js"} <= templates


def test_readme_has_two_commands() -> None:
    """The README's two commands are one line each, use the lock, and need nothing but Python."""
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(commands) == 2
    assert all("-c requirements.lock" in command and "uv " not in command for command in commands)
    assert commands[0].endswith(".venv/bin/tablever demo")
    assert commands[1].endswith("pytest")


def test_ci_takes_the_readme_commands() -> None:
    """.ci/run finds exactly the README's two commands."""
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    patterns = re.findall(r"grep -m 1 -E '([^']+)' README.md", script)
    found = [[line for line in README.splitlines() if re.search(pattern, line)] for pattern in patterns]
    assert sorted(found) == [[line] for line in sorted(re.findall(r"^python3 -m venv .*$", README, re.MULTILINE))]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
