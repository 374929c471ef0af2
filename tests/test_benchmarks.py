"""The benchmarks run, ask contenders only for what these have, and write down what they are told. No time asserted."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from packaging.requirements import Requirement

from benchmarks import inputs
from benchmarks.environments import Absent
from benchmarks.figures import Contender, Figure, at_most
from benchmarks.measure import Failed, Workshop
from benchmarks.questions import figures
from benchmarks.recipes import order, recipes
from benchmarks.report import entry, keep, render
from benchmarks.results import Measured, Result
from benchmarks.sizes import FULL, QUICK, WARM, Size

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "benchmarks" / "peers"
PINNED = sorted(SCRIPTS.glob("*.txt"))


def _imports(path: Path) -> set[str]:
    """The first parts of what a script imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def _verbs(script: str) -> dict[str, ast.arguments]:
    """The functions of a contender's script, which need not be importable here, with their parameters."""
    tree = ast.parse((SCRIPTS / f"{script}.py").read_text("utf-8"))
    found = {node.name: node.args for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in found:
            found |= {target.id: found[node.value.id] for target in node.targets if isinstance(target, ast.Name)}
    return found


def _asked(size: Size) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every verb that a run asks of a script: for the figures, and for the tables that they need."""
    contenders = [contender for figure in figures(size).values() for contender in figure.contenders]
    for contender in contenders:
        yield contender.peer, contender.verb, contender.parameters
    for maker, name in order({(c.maker, c.table) for c in contenders if c.table}, size):
        for step in recipes(size)[name].steps:
            yield maker, step.verb, step.parameters


def test_quick_run(tmp_path: Path) -> None:
    """``python -m benchmarks --quick`` measures every figure; contenders agree, and absent ones are named."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--environments", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, figure in figures(QUICK).items():
        assert f"**{figure.name}**" in done.stdout
        assert f"`python -m benchmarks {name} " in done.stdout
    assert "Lance: its environment is not installed" in done.stdout
    assert "answers otherwise" not in done.stdout


@pytest.mark.parametrize("size", [FULL, QUICK, WARM], ids=["full", "quick", "warm"])
def test_scripts_have_what_is_asked(size: Size) -> None:
    """Every verb that figures and recipes ask of a contender is a function of its script, with those parameters."""
    for script, verb, given in _asked(size):
        arguments = _verbs(script)[verb]
        names = {argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)}
        assert arguments.kwarg or set(given) <= names, (script, verb)
        needed = [a.arg for a in arguments.args[: len(arguments.args) - len(arguments.defaults)]]
        assert set(needed) <= {"table", *given}, (script, verb)


@pytest.mark.parametrize("size", [FULL, QUICK, WARM, FULL.with_rows(500_000)], ids=["full", "quick", "warm", "half"])
def test_figures_can_be_told_apart(size: Size) -> None:
    """A figure's contenders have different labels, ours is the first, and they are the same at every size."""
    assert list(figures(size)) == list(figures(FULL))
    for name, figure in figures(size).items():
        labels = [contender.label for contender in figure.contenders]
        assert labels[0] == "tablever"
        assert len(set(labels)) == len(labels)
        assert labels == [contender.label for contender in figures(FULL)[name].contenders]
        assert {label for goal in figure.goals for label in goal.against} <= set(labels)


def test_peers_know_nothing_of_us() -> None:
    """No script but ours imports tablever, and what runs in every environment needs Python alone."""
    importing = {path.stem for path in SCRIPTS.glob("*.py") if "tablever" in _imports(path)}
    assert importing == {"ours"}
    assert _imports(SCRIPTS / "child.py") <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.stem)
def test_environments_are_plain_pins(path: Path) -> None:
    """A peer's environment is exact versions, its own packages among them: no host, no path, no option."""
    pins = {
        requirement.name.replace("_", "-").lower(): requirement
        for requirement in map(Requirement, path.read_text().split("\n")[:-1])
    }
    assert all(str(pin.specifier).startswith("==") and not pin.url for pin in pins.values())
    libraries = re.search(r"^LIBRARIES = \((.*)\)$", path.with_suffix(".py").read_text("utf-8"), re.MULTILINE)
    assert libraries is not None
    assert {name.strip('" ') for name in libraries[1].split(",")} - {""} <= set(pins)


def test_large_inputs_are_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base of a large table holds the same rows, in the same order, as if it were written at once."""
    inputs.write(tmp_path / "whole", {"base"}, WARM)
    monkeypatch.setattr(inputs, "CHUNK", 300)
    inputs.write(tmp_path / "pieces", {"base"}, WARM)
    whole, pieces = (pq.read_table(tmp_path / name / "base.parquet") for name in ("whole", "pieces"))
    assert pieces == whole
    assert pq.ParquetFile(tmp_path / "pieces" / "base.parquet").num_row_groups == 4


def test_a_peer_that_fails_is_told() -> None:
    """A script that raises, or takes too long, or has no environment, is an outcome with its reason."""
    shop = Workshop(ROOT, ROOT / "nowhere", install=False)
    with pytest.raises(Failed, match=r"AttributeError: .*no_such_verb"):
        shop.ask({"do": "build", "peer": "plain", "folder": str(ROOT), "steps": [_step("no_such_verb")]}, seconds=60)
    with pytest.raises(Failed, match=r"not done in 0 s"):
        shop.ask({"do": "build", "peer": "plain", "folder": str(ROOT), "steps": []}, seconds=0.01)
    with pytest.raises(Absent, match="not installed"):
        shop.ask({"do": "build", "peer": "lance"}, seconds=60)


def test_a_run_adds_to_what_is_known(tmp_path: Path) -> None:
    """A figure measured again replaces the older one and no other; the page has both, and who answered otherwise."""
    keep(tmp_path, {"a": _entry("first"), "b": _entry("second")}, WARM)
    keep(tmp_path, {"b": _entry("again", answer=[2])}, WARM)
    kept = json.loads((tmp_path / f"{WARM.rows}.json").read_text("utf-8"))["figures"]
    assert {name: figure["name"] for name, figure in kept.items()} == {"a": "first", "b": "again"}
    page = render(tmp_path, ["a", "b"]).read_text("utf-8")
    assert page.index("**first**") < page.index("**again**")
    assert "second" not in page
    assert page.count("peer **answers otherwise**: [2].") == 1
    assert page.count("Goal: at most 1x peer: **missed**.") == 2
    assert page.count("gone: it is \\| not there.") == 2


def test_a_goal_needs_somebody() -> None:
    """A goal against peers that did not take part is neither met nor missed; else the fastest of them counts."""
    goal = at_most(1, "one", "other")
    ours, slow, fast = (Result((_measured(seconds),)) for seconds in (2.0, 3.0, 1.0))
    assert goal.met({"tablever": ours}) is None
    assert goal.met({"tablever": ours, "one": slow}) is True
    assert goal.met({"tablever": ours, "one": slow, "other": fast}) is False


def _step(verb: str) -> dict[str, Any]:
    return {"verb": verb, "parameters": {}, "marked": False}


def _measured(seconds: float, answer: object = None) -> Measured:
    return Measured([seconds], 1.0, 1.0, 1.0, 1.0, answer if answer is not None else [1])


def _entry(name: str, answer: object = None) -> dict[str, Any]:
    ours = Contender("tablever", "ours", "read", "base", "ours", {})
    others = [replace(ours, label=label, peer=label, maker=label) for label in ("peer", "gone")]
    results = {"tablever": Result((_measured(2),)), "peer": Result((_measured(1, answer),))}
    figure = Figure("Reading", name, (ours, *others), (at_most(1, "peer"),))
    return entry(figure, results, {"gone": "it is | not there"}, WARM)
