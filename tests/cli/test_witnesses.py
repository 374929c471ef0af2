"""Tags, runs and pins in the shell: each command does what its function does, and says so."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

import tablever as tv
from tablever.cli.main import cli
from tests.cli.conftest import Shell

FUNCTIONS = {
    "tag": "tag",
    "tags": "list_tags",
    "delete-tag": "delete_tag",
    "link-run": "link_run",
    "unlink-run": "unlink_run",
    "runs": "runs_of",
    "versions-of": "versions_of",
    "pin": "pin",
    "unpin": "unpin",
    "pins": "list_pins",
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_command_takes_what_its_function_takes(name: str) -> None:
    """Every parameter of a function is an option or argument of its command; a ref stands behind the table's @.

    How an object store is reached, the environment says.
    """
    taken = {param.name for param in cli.commands[name].params}
    wanted = set(inspect.signature(getattr(tv, FUNCTIONS[name])).parameters)
    assert wanted - taken <= {"ref", "storage_options"}
    assert ("ref" in wanted) == ("REF" in str(cli.commands[name].params[0].make_metavar(None)))  # type: ignore[arg-type]


def test_tags_from_the_shell(reviews: Path, shell: Shell) -> None:
    """A tag is made, listed, used as a ref, shown in log and show, deleted; errors have their exit codes."""
    assert shell("tag", f"{reviews}@0", "v1.0", "-m", "first").out == f"'v1.0' is version 0 of '{reviews}'\n"
    assert shell("tag", reviews, "v1.0").code == 4
    assert shell("tag", reviews, "latest").code == 5
    assert shell("tag", f"{reviews}@9", "v9").code == 3
    (tag,) = shell("tags", reviews, "--json").json["tags"]
    assert (tag["name"], tag["version"], tag["message"], tag["author"][:4]) == ("v1.0", 0, "first", "Test")
    assert shell("read", f"{reviews}@v1.0", "--json").lines == shell("read", f"{reviews}@0", "--json").lines
    log = shell("log", reviews).out.splitlines()
    assert log[0].split()[-1] == "tags"
    assert [line.split()[-1] for line in log[2:]] == ["second", "v1.0"]
    assert "v1.0, first" in shell("show", f"{reviews}@0").out
    assert shell("log", reviews, "--json").json["versions"][1]["witnesses"][0]["name"] == "v1.0"
    missing = shell("read", f"{reviews}@v1")
    assert (missing.code, "hint: did you mean 'v1.0'?" in missing.err) == (3, True)
    assert shell("delete-tag", reviews, "v1.0", "-m", "mistake").code == 0
    assert shell("tags", reviews).out == "no tags\n"
    assert shell("delete-tag", reviews, "v1.0").code == 3


def test_runs_from_the_shell(reviews: Path, shell: Shell) -> None:
    """A run is linked with metrics, parameters and artifacts, found from both ends, shown, and unlinked."""
    arguments = ["--name", "base", "--param", "lr=1e-3", "--param", "net=cnn", "--artifact", "m.pt"]
    assert shell("link-run", f"{reviews}@0", "f3a9", *arguments).code == 0
    again = shell("link-run", f"{reviews}@0", "f3a9", "--metric", "f1=0.91", "--metric", "n=3", "--json").json["run"]
    assert (again["metrics"], again["params"]) == ({"f1": 0.91, "n": 3}, {"lr": 1e-3, "net": "cnn"})
    assert shell("link-run", f"{reviews}@0", "f3a9", "--param", "lr=1").code == 4
    assert shell("link-run", f"{reviews}@0", "f3a9", "--metric", "f1=high").code == 2
    assert shell("link-run", f"{reviews}@0", "f3a9", "--role", "No").code == 5
    assert (
        shell("runs", f"{reviews}@0", "--json").json["runs"] == [again] == shell("runs", reviews, "--json").json["runs"]
    )
    assert shell("runs", f"{reviews}@1").out == "no runs\n"
    assert "f1=0.91 n=3" in shell("versions-of", "f3a9", "--root", reviews.parent).out
    assert "f3a9 (train), base, f1=0.91 n=3, m.pt" in shell("show", f"{reviews}@0").out
    assert shell("log", reviews).out.splitlines()[-1].strip() == "run f3a9 (train), base, f1=0.91 n=3"
    assert shell("unlink-run", f"{reviews}@0", "f3a9").code == 0
    assert shell("unlink-run", f"{reviews}@0", "f3a9").code == 3


@pytest.mark.parametrize("columns", [None, 200, 80])
def test_the_log_names_runs_with_their_metrics(
    reviews: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch, columns: int | None
) -> None:
    """Below a version stand the newest runs that used it, a line each, and where to see all; none leaves the screen."""
    for n in range(5):
        metrics = {f"metric {k}": k + n / 10 for k in range(1 if n < 4 else 40)}
        tv.link_run(reviews, 0, f"r{n}", name="sweep", metrics=metrics)
    tv.link_run(reviews, 1, "last", role="eval")
    monkeypatch.setattr("tablever.cli.read_commands.terminal_width", lambda: columns)
    lines = shell("log", reviews).out.splitlines()
    other, *runs, more = [line.strip() for line in lines if line.startswith(" " * 9)]
    assert other == "run last (eval)"
    assert [run.partition(", metric 0=")[0] for run in runs] == [f"run r{n} (train), sweep" for n in (4, 3, 2)]
    assert (runs[0][-1], runs[1][-3:]) == ("…", "0.3")
    assert more == f"… 2 more runs: tablever runs {reviews}@0"
    assert max(len(line) for line in lines if more not in line) <= (columns or 130)


def test_pins_from_the_shell(reviews: Path, shell: Shell) -> None:
    """A pin needs a reason, is listed and shown, and goes."""
    assert shell("pin", f"{reviews}@0").code == 2
    assert shell("pin", f"{reviews}@0", "--reason", "audit").code == 0
    assert shell("pins", reviews).out.splitlines()[-1].endswith("audit")
    assert shell("log", reviews).out.splitlines()[-1].endswith("pinned")
    assert shell("unpin", f"{reviews}@0").code == 0
    failed = shell("unpin", f"{reviews}@0")
    assert (failed.code, f"hint: tablever pins {reviews}" in failed.err) == (3, True)


def test_a_damaged_tag_does_not_hide_the_log(reviews: Path, shell: Shell) -> None:
    """The log is shown though a tag cannot be read, and then the damage is told."""
    assert shell("tag", reviews, "v1").code == 0
    path = reviews / "_tablever" / "tags" / "v1.json"
    path.write_bytes(path.read_bytes()[:-9])
    answer = shell("log", reviews)
    assert (answer.code, "second" in answer.out, "v1.json" in answer.err) == (7, True, True)


def test_verify_from_the_shell(reviews: Path, shell: Shell) -> None:
    """A whole table says so; damage is named with its versions, exit code 7, as text and as JSON."""
    answer = shell("verify", reviews, "--level", "rows")
    assert (answer.code, answer.out.partition(":")[0]) == (0, "nothing is damaged")
    content = shell("log", reviews, "--json").json["versions"][1]["content_hash"]
    assert shell("verify", f"{reviews}@0", "--expect", content).code == 0
    refused = shell("verify", f"{reviews}@1", "--expect", content)
    assert (refused.code, "expected was" in refused.err) == (7, True)
    assert shell("verify", f"{reviews}@1", "--expect", "sha:12").code == 5
    assert shell("verify", f"{reviews}@7").code == 3
    path = min(reviews.glob("part-*.parquet"))
    path.write_bytes(path.read_bytes()[:-1])
    told = shell("verify", reviews)
    assert (told.code, f"damaged  data file {path.name}" in told.out, "(versions 0 to 1)" in told.out) == (
        7,
        True,
        True,
    )
    found = shell("verify", reviews, "--json")
    assert (found.code, found.json["whole"]) == (7, False)
    assert [(each["object"], each["versions"]) for each in found.json["damaged"]] == [(path.name, [0, 1])]
    assert json.loads(found.err)["error"]["code"] == "corruption"
