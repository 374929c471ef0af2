"""A row's life in the shell: history, blame, runs-that-saw do what their functions do, and say so."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import tablever as tv
from tablever.cli.main import cli
from tests.cli.conftest import Shell

FUNCTIONS = {"history": "row_history", "blame": "blame", "runs-that-saw": "runs_that_saw"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_command_takes_what_its_function_takes(name: str) -> None:
    """Every parameter of a function is an option or argument of its command; a ref stands behind the table's @."""
    taken = {str(param.name) for param in cli.commands[name].params}
    assert set(inspect.signature(getattr(tv, FUNCTIONS[name])).parameters) - taken <= {"ref"}


def test_a_rows_history(reviews: Path, shell: Shell) -> None:
    """Each event is a line, with the cells that it set below; JSON says the same; who was never there has none."""
    lines = shell("history", reviews, "id=2").out.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "label", "1", "label", "score"]
    assert lines[2].endswith("Z  update  Ada: second")
    assert lines[3:] == ["    label  neg → pos", "    score  NULL → 1.0"]
    found = shell("history", reviews, "id=2", "--json").json
    assert (found["format"], found["key"]) == ("tablever.history/v1", {"id": 2})
    assert [event["change"] for event in found["events"]] == ["insert", "update"]
    assert found["events"][1]["cells"]["label"] == {"old": "neg", "new": "pos"}
    assert found["events"][1]["row"] == {"id": 2, "label": "pos", "score": 1.0}
    assert shell("history", reviews, "id=9").out == "(no version that can be read had this row)\n"


def test_blame(reviews: Path, shell: Shell) -> None:
    """All rows, or those of keys, the deleted ones too; one JSON object a row; of any version."""
    assert shell("delete", reviews, "--where", "id = 1").code == 0
    rows = shell("blame", reviews, "--json").lines
    assert [(row["id"], row["_change_type"], row["_commit_version"]) for row in rows] == [
        (2, "update", 1),
        (3, "insert", 1),
    ]
    rows = shell("blame", reviews, "id=1", "id=2", "--cells", "--json").lines
    assert [(row["_change_type"], row["_commit_version_score"]) for row in rows] == [("delete", None), ("update", 1)]
    assert [row["id"] for row in shell("blame", f"{reviews}@0", "--json").lines] == [1, 2]
    header = shell("blame", reviews, "--cells").out.splitlines()[0].split("  ")
    assert [name.strip() for name in header if name.strip()][:2] == ["id", "change"]


def test_a_row_without_a_key(tmp_path: Path, shell: Shell) -> None:
    """It is named by its values, a column that is left out being null; equal rows are counted."""
    tv.create_table(tmp_path / "t", [{"a": 1, "b": "x"}, {"a": 2, "b": None}, {"a": 2, "b": None}])
    assert "insert x2" in shell("history", tmp_path / "t", "a=2").out
    assert shell("blame", tmp_path / "t", "a=2", "a=1", "b=x", "--json").out.count("\n") == 3


def test_what_names_no_row(reviews: Path, shell: Shell) -> None:
    """No key, two keys, another column or a value of another type: exit codes 2 and 5, and what is wrong."""
    assert shell("history", reviews).code == 2
    assert shell("history", reviews, "id").code == 2
    assert shell("history", reviews, "id=1", "id=2").code == 2
    for arguments, words in ((["id=x"], "'x' is not of type int64"), (["nr=1"], "no column 'nr'")):
        answer = shell("history", reviews, *arguments)
        assert (answer.code, words in answer.err) == (5, True)
    assert shell("blame", reviews, "label=pos").code == 5


def test_runs_that_saw_a_row(reviews: Path, shell: Shell) -> None:
    """The runs of versions that held the row, from the shell as from Python."""
    for version in (0, 1):
        assert shell("link-run", f"{reviews}@{version}", f"run{version}").code == 0
    assert shell("delete", reviews, "--where", "id = 1").code == 0
    assert shell("link-run", reviews, "run2").code == 0
    found = {key: shell("runs-that-saw", reviews, key, "--json").json["runs"] for key in ("id=1", "id=3", "id=9")}
    ids = {key: [run["run_id"] for run in runs] for key, runs in found.items()}
    assert ids == {"id=1": ["run0", "run1"], "id=3": ["run1", "run2"], "id=9": []}
    assert [run.run_id for run in tv.open_table(reviews).runs_that_saw(3)] == ids["id=3"]
