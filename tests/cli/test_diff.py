"""diff, show, apply: what they print and write, how gates judge, and what a wrong word is answered with."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pyarrow as pa
import pytest

import tablever as tv
from tablever.cli import gates, output
from tablever.cli.main import cli
from tablever.findings import ColumnStatistics, Drift, Findings, Plan, Profile, SchemaChange, Summary
from tablever.model import EMPTY
from tablever.options import CommitOptions
from tests.cli.conftest import Shell

FUNCTIONS = {"diff": tv.diff_versions, "apply": tv.apply_patch}


# -- parity and help


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_command_takes_what_its_function_takes(name: str) -> None:
    """Every parameter of the function, with the common ones of writes, is an option or argument of the command."""
    taken = {param.name for param in cli.commands[name].params}
    for parameter in inspect.signature(FUNCTIONS[name]).parameters:
        wanted = list(CommitOptions.__annotations__) if parameter == "options" else [parameter]
        assert set(wanted) <= taken


def test_the_help_names_every_quantity(shell: Shell) -> None:
    """What --fail-on knows is in the help of diff."""
    said = " ".join(shell("diff", "--help").out.split())
    assert all(quantity in said for quantity in gates.QUANTITIES)


def test_help_loads_nothing_heavy() -> None:
    """Help of the commands loads no engine and no report."""
    heavy = ["polars", "pyarrow", "duckdb", "numpy", "matplotlib", "jinja2", "scipy", "tablever.report"]
    code = (
        "import sys\nfrom tablever.cli.main import exit_code\n"
        "for name in ('diff', 'show', 'apply'):\n    exit_code([name, '--help'])\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# -- diff


def test_diff_shows_rows_and_cells(reviews: Path, shell: Shell) -> None:
    """Without a form: counts, updated cells old → new by key, added and removed rows; latest~1 to latest."""
    said = shell("diff", reviews)
    assert said.code == 0
    assert said.out == shell("diff", reviews, 0, 1).out == shell("diff", reviews, "-2").out
    assert said.out == shell("diff", f"{reviews}@0").out == shell("diff", f"{reviews}@0", "latest").out
    assert "1 added, 1 updated" in said.out
    assert "neg" in said.out
    assert "→ pos" in said.out
    back = shell("diff", reviews, "latest", "0").out
    assert "1 removed, 1 updated" in back


def test_forms(reviews: Path, shell: Shell) -> None:
    """--stat is a line a column, --name-only names alone, --markdown Markdown, --json lines of tablever.diff/v1."""
    assert shell("diff", reviews, "--name-only").out.split() == ["label", "score"]
    stat = shell("diff", reviews, "--stat").out
    assert [line.split()[:2] for line in stat.splitlines() if line.startswith(("label", "score"))] == [
        ["label", "1"],
        ["score", "1"],
    ]
    assert "| " in shell("diff", reviews, "--markdown").out
    lines = shell("diff", reviews, "--json").lines
    assert lines[0]["format"] == "tablever.diff/v1"
    assert [line["kind"] for line in lines][-1] == "end"
    assert next(line for line in lines if line["kind"] == "updated")["cells"]["label"] == {"old": "neg", "new": "pos"}
    said = shell("diff", reviews, "--stat", "--json")
    assert (said.code, "exclude each other" in said.err) == (2, True)


def test_scope(reviews: Path, shell: Shell) -> None:
    """--columns, --exclude and --key say what is compared; a key of '' compares rows as a multiset."""
    assert shell("diff", reviews, "--columns", "label", "--name-only").out.split() == ["label"]
    assert shell("diff", reviews, "--exclude", "label,score", "--json").lines[-1]["summary"]["updated"] == 0
    summary = shell("diff", reviews, "--key", "", "--json").lines[-1]["summary"]
    assert (summary["added"], summary["removed"], summary["updated"]) == (2, 1, 0)
    said = shell("diff", reviews, "--columns", "lable")
    assert (said.code, "did you mean 'label'?" in said.err) == (5, True)
    said = shell("diff", reviews, "--key", "nix")
    assert (said.code, "the columns are 'id', 'label', 'score'" in said.err) == (5, True)


def test_a_comma_in_a_name_is_quoted(tmp_path: Path, shell: Shell) -> None:
    """Names in a list are separated as cells of CSV are."""
    table = tv.create_table(tmp_path / "t", [{"id": 1, "a,b": 1, "c": 1}], key="id")
    tv.upsert(table, [{"id": 1, "a,b": 2, "c": 2}])
    assert shell("diff", tmp_path / "t", "--exclude", '"a,b"', "--name-only").out.split() == ["c"]
    assert shell("diff", tmp_path / "t", "--exclude", "c,", "--name-only").code == 2


@pytest.mark.parametrize(
    ("given", "updated"),
    [
        (["0.2"], 1),
        (["1,0"], 0),
        (["0,0.5"], 0),
        (["x=0.2"], 2),
        (["x=0.2", "y=1"], 1),
        (["x=1", "y=1,0"], 0),
    ],
)
def test_tolerance(tmp_path: Path, shell: Shell, given: list[str], updated: int) -> None:
    """--tolerance is absolute, or absolute and relative, for all columns or by column."""
    table = tv.create_table(tmp_path / "t", [{"id": 1, "x": 1.0, "y": 1.0}, {"id": 2, "x": 1.0, "y": 1.0}], key="id")
    tv.upsert(table, [{"id": 1, "x": 1.1, "y": 1.1}, {"id": 2, "x": 1.5, "y": 1.5}])
    options = [part for text in given for part in ("--tolerance", text)]
    assert shell("diff", tmp_path / "t", *options, "--json").lines[-1]["summary"]["updated"] == updated


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["diff", "{t}", "0", "1", "2"], 2, "unexpected extra argument"),
        (["diff", "{t}@0", "0", "1"], 2, "two versions are compared, not 3"),
        (["diff", "{t}", "0", "--with", "{t}"], 2, "reviews@0 --with"),
        (["diff", "{t}@0", "1", "--with", "{t}@2"], 2, "reviews@1"),
        (["diff", "{t}", "99"], 3, "version 99 not found"),
        (["diff", "{t}", "latest~9"], 3, "latest~9"),
        (["diff", "nowhere"], 3, "nowhere"),
        (["diff", "{t}", "--with", "nowhere"], 3, "nowhere"),
        (["diff", "{t}", "--tolerance", "x"], 2, "--tolerance needs"),
        (["diff", "{t}", "--tolerance", "1,2,3"], 2, "--tolerance needs"),
        (["diff", "{t}", "--tolerance", "1", "--tolerance", "score=1"], 2, "repeated, or one for all columns"),
        (["diff", "{t}", "--tolerance", "score=1", "--tolerance", "score=2"], 2, "twice"),
        (["diff", "{t}", "--tolerance", "score=-1"], 5, "a number from 0"),
        (["diff", "{t}", "--columns", "label", "--exclude", "label"], 5, "columns and exclude"),
        (["diff", "{t}", "--stats"], 2, "--stat"),
        (["diff", "{t}", "--preview", "--exit-code"], 2, "--preview compares nothing: --exit-code"),
        (["diff", "{t}", "--by", "nix"], 5, "nix"),
        (["diff", "{t}", "--html", "none/x.html"], 7, "cannot write 'none/x.html'"),
        (["diff", "{t}", "--patch", "none/x"], 7, "cannot write 'none/x'"),
        (["diff", "{t}", "--html", ""], 2, "--html needs the name of a file"),
        (["diff", "{t}", "--patch="], 2, "--patch needs the name of a file"),
        (["diff", "{t}", "--patch", "{t}"], 7, "it is a folder"),
        (["diff", "{t}", "--html", "{t}"], 7, "it is a folder"),
        (["diff", "{t}", "--html", "{t}/../x", "--patch", "{t}/../y/../x"], 2, "--html and --patch name one file"),
        (["diff", "{t}", "--key", "-1"], 5, "key column '-1' is not there"),
        (["diff", "{t}", "--tolerance", "-2"], 5, "a number from 0"),
        (["diff", "{t}", "-k", "-1", "-9"], 3, "latest~8"),
        (["show", "{t}@0", "1"], 2, "one version is shown, not two"),
        (["show", "{t}", "99"], 3, "version 99 not found"),
        (["show", "{t}", "--stat", "--name-only"], 2, "exclude each other"),
        (["apply", "{t}", "none.patch"], 3, "there is no file 'none.patch'"),
        (["apply", "{t}", "{csv}"], 5, "is no patch"),
        (["apply", "{t}@0", "{csv}"], 2, "takes no @version"),
    ],
)
def test_errors_say_what_there_is(reviews: Path, shell: Shell, arguments: list[str], code: int, said: str) -> None:
    """Each misuse has its exit code, and a message that names what was asked and what there is; JSON on request."""
    filled = [text.format(t=reviews, csv=reviews.parent / "first.csv") for text in arguments]
    answer = shell(*filled)
    assert (answer.code, answer.out) == (code, "")
    assert said in " ".join(answer.err.split())
    if "--stat" not in arguments:
        error = json.loads(shell(*filled, "--json").err.splitlines()[-1])["error"]
        assert said in " ".join(f"{error['message']} {error['hint']}".split())


def test_two_tables(reviews: Path, tmp_path: Path, shell: Shell) -> None:
    """--with compares a version of each of two tables; copies do not differ."""
    assert shell("create", tmp_path / "copy", tmp_path / "first.csv", "--key", "id").code == 0
    assert shell("diff", f"{reviews}@0", "--with", tmp_path / "copy", "--exit-code").code == 0
    said = shell("diff", tmp_path / "copy", "--with", f"{reviews}@1", "--exit-code", "--json")
    assert (said.code, said.lines[-1]["summary"]["added"]) == (1, 1)


def test_exit_code(reviews: Path, shell: Shell) -> None:
    """--exit-code is 1 where anything differs, 0 where nothing does; the report is printed first."""
    assert shell("diff", reviews, 1, 1, "--exit-code").code == 0
    said = shell("diff", reviews, "--exit-code", "--name-only")
    assert (said.code, said.out.split(), said.err) == (1, ["label", "score"], "")


def test_preview_reads_no_row(reviews: Path, shell: Shell) -> None:
    """--preview says which files would be read; it works where they are gone."""
    for file in [*reviews.rglob("part-*"), *reviews.rglob("cdc-*")]:
        file.unlink()
    said = shell("diff", reviews, "--preview")
    assert (said.code, "at most" in said.out) == (0, True)
    plan = shell("diff", reviews, "--preview", "--json").json
    assert plan["format"] == "tablever.plan/v1"
    assert plan["way"] in ("changes", "snapshots")
    assert plan["bytes"] >= sum(file["bytes"] for file in plan["files"]) > 0
    page = Path(__file__).parents[2] / "docs" / "reference" / "diff-format.md"
    section = page.read_text("utf-8").partition("## Plans: `tablever.plan/v1`")[2]
    told = {*plan, *plan["files"][0], *plan["rejected"]}
    assert [name for name in told if f"`{name}`" not in section] == []


def test_html_and_patch_are_written_beside_what_is_printed(reviews: Path, tmp_path: Path, shell: Shell) -> None:
    """Files are written whole and told on standard error; standard output is for the form that was asked for."""
    page, patch = tmp_path / "page.html", tmp_path / "p"
    said = shell("diff", reviews, "--html", page, "--patch", patch, "--name-only")
    assert (said.code, said.out.split()) == (0, ["label", "score"])
    assert said.err.splitlines() == [f"1 row added, 0 removed, 1 updated in {name}" for name in (page, patch)]
    assert page.read_text("utf-8").lstrip().lower().startswith("<!doctype html")
    assert shell("diff", reviews, "--html", page).out == ""
    assert shell("diff", reviews, "--html", page, "--name-only", "--by", "label", "--statistics").code == 0
    assert "label" in page.read_text("utf-8")


def test_a_file_that_cannot_be_written_leaves_nothing(reviews: Path, tmp_path: Path, shell: Shell) -> None:
    """A name that a folder has already is refused, and no temporary file stays behind."""
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    before = sorted(path.name for path in tmp_path.iterdir())
    for option in ("--patch", "--html"):
        assert shell("diff", reviews, option, tmp_path / "folder").code == 7
    assert shell("read", reviews, "-o", tmp_path / "folder", "--format", "csv").code == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_json_says_which_columns_may_be_null(tmp_path: Path, shell: Shell) -> None:
    """``nullable`` is what each version declares: of a key's columns it is false."""
    tv.create_table(tmp_path / "t", [{"id": 1, "n": 1}])
    tv.set_key(tmp_path / "t", "id")
    columns = shell("diff", tmp_path / "t", "0", "1", "--json").lines[0]["columns"]
    told = {side: {each["name"]: each["nullable"] for each in columns[side]} for side in ("from", "to")}
    assert told == {"from": {"id": True, "n": True}, "to": {"id": False, "n": True}}


def test_groups_and_statistics(reviews: Path, shell: Shell) -> None:
    """--by counts by group, --statistics measures the columns; neither is there unless asked for."""
    plain = [line["kind"] for line in shell("diff", reviews, "--json").lines]
    asked = [line["kind"] for line in shell("diff", reviews, "--json", "--by", "label", "--statistics").lines]
    assert not {"segment", "statistics"} & set(plain)
    assert {"segment", "statistics"} <= set(asked)


def test_stat_shows_groups_and_drift(reviews: Path, shell: Shell) -> None:
    """Behind the lines of --stat stand the groups of --by and the flags of --statistics, and neither unless asked."""
    plain = shell("diff", reviews, "--stat").out
    said = shell("diff", reviews, "--stat", "--by", "label", "--statistics").out
    assert [line for line in plain.splitlines() if line not in said.splitlines()] == []
    more = [line for line in said.splitlines() if line and line not in plain.splitlines()]
    assert more[0].startswith("drift  ")
    assert any("label" in line and "changed" in line for line in more), "the table of groups has a head"
    assert said.index("changed cells") < said.index(more[0])


@pytest.mark.parametrize("form", ["--name-only", "--patch=p"])
@pytest.mark.parametrize("option", ["--by=label", "--statistics"])
def test_what_has_no_place_in_a_form_is_refused(
    reviews: Path, tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch, form: str, option: str
) -> None:
    """--by and --statistics beside a form that shows neither is a usage error, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    said = shell("diff", reviews, form, option)
    assert (said.code, said.out, (tmp_path / "p").exists()) == (2, "", False)
    assert f"{option.partition('=')[0]} has no effect on what is shown" in said.err
    assert shell("diff", reviews, form, option, "--html", "page.html").code == 0


def test_a_patch_says_what_it_does_not_carry(reviews: Path, tmp_path: Path, shell: Shell) -> None:
    """Rules and settings that differ are told on standard error when a patch is written; added columns are carried."""
    assert shell("add-constraint", reviews, "some", "id > 0").code == 0
    assert shell("set-not-null", reviews, "label").code == 0
    said = shell("diff", reviews, 0, "latest", "--patch", tmp_path / "p")
    note, counts = said.err.splitlines()
    assert (said.code, counts) == (0, f"1 row added, 0 removed, 1 updated in {tmp_path / 'p'}")
    assert note.startswith("note: a patch carries rows and new columns, not: ")
    assert "nullable label: true → false" in note
    assert "property delta.constraints.some: none → id > 0" in note
    assert shell("diff", reviews, 0, 1, "--patch", tmp_path / "p").err.count("\n") == 1


def test_data_cannot_steer_the_terminal(tmp_path: Path, shell: Shell) -> None:
    """Escape sequences in values, names and messages are shown as escapes by every form."""
    table = tv.create_table(tmp_path / "t", [{"id": 1, "a\x1b[1m": "x"}], key="id")
    tv.upsert(table, [{"id": 1, "a\x1b[1m": "y\x1b[31m\u202e"}, {"id": 2, "a\x1b[1m": "\x07"}], message="m\x1b]0;t\x07")
    for arguments in (["diff"], ["diff", "--stat"], ["diff", "--name-only"], ["diff", "--markdown"], ["show"]):
        said = shell(arguments[0], tmp_path / "t", *arguments[1:])
        assert said.code == 0
        assert not any(char in said.out for char in "\x1b\x07\u202e")


# -- gates


def gate_findings() -> Findings:
    empty = pa.table({"id": pa.array([], pa.int64())})
    schema = pa.schema([("id", pa.int64()), ("label", pa.string()), ("a.b", pa.float64())])
    return Findings(
        table="t",
        other=None,
        before=None,
        after=None,
        key=("id",),
        compared=("id", "label", "a.b"),
        columns_before=schema,
        columns_after=schema,
        tolerance=EMPTY,
        plan=Plan("changes", "cheaper"),
        schema=(
            SchemaChange("added", "new", None, "int64"),
            SchemaChange("removed", "old", "int64", None),
            SchemaChange("retyped", "id", "int32", "int64"),
        ),
        summary=Summary(200, 400, 210, 10, 4, 186, {"label": 3, "a.b": 1}, duplicate_keys=2),
        added=empty,
        removed=empty,
        updated=empty,
        changed=pa.table({}),
        statistics=(ColumnStatistics("label", pa.string(), Profile(200, 0), Profile(400, 20)),),
        drift=(
            Drift("label", psi=0.3, js=0.05, level="major"),
            Drift("a.b", ks=0.2, level="none", why="more than 1,000 values"),
        ),
    )


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("added > 209", "added is 210"),
        ("added > 210", None),
        ("added >= 210", "added is 210"),
        ("removed < 10", None),
        ("removed<=10", "removed is 10"),
        ("updated = 4", "updated is 4"),
        ("updated == 4", "updated is 4"),
        ("updated != 4", None),
        ("changed > 223", "changed is 224"),
        ("rows < 1e3", "rows is 400"),
        ("rows_before > 100.5", "rows_before is 200"),
        ("removed >= 5%", "removed is 10, 5 % of 200 rows"),
        ("removed > 5%", None),
        ("rows < 100 %", None),
        ("cells > 3", "cells is 4"),
        ("cells.label >= 1.5%", "cells.label is 3, 1.5 % of 200 rows"),
        ("cells.a.b > 0", "cells.a.b is 1"),
        ("columns_added > 0", "columns_added is 1"),
        ("columns_removed > 0", "columns_removed is 1"),
        ("columns_retyped > 1", None),
        ("duplicate_keys > 0", "duplicate_keys is 2"),
        ("nulls.label > 19", "nulls.label is 20"),
        ("nulls.label > 5%", None),
        ("nulls.label >= 5%", "nulls.label is 20, 5 % of 400 rows"),
        ("psi.label > 0.25", "psi.label is 0.3"),
        ("ks.a.b > 0.1", "ks.a.b is 0.2"),
        ("js.label > 0.1", None),
        ("drifted >= 1", "drifted is 1"),
        ("psi.a.b > 0.25", "psi.a.b is not known (more than 1,000 values)"),
        ("nulls.a.b > 0", "nulls.a.b is not known (more than 1,000 values)"),
    ],
)
def test_gates(gate: str, said: str | None) -> None:
    """A gate fails where it holds, or where what it asks is not known; the message says the gate and the value."""
    failures = gates.failed([gates.parse_gate(gate)], gate_findings())
    assert failures == ([] if said is None else [f"{gate}: {said}"])


@pytest.mark.parametrize("gate", ["updated > 0", "cells > 0", "cells.label > 0", "updated < 1", "duplicate_keys > 0"])
def test_what_needs_a_key_is_not_known_without_one(gate: str) -> None:
    """Rows that are compared without a key have no updates and no cells: gates on those fail, and say why."""
    found = replace(gate_findings(), key=())
    found = replace(found, summary=replace(found.summary, updated=0, cells={}, duplicate_keys=0))
    (said,) = gates.failed([gates.parse_gate(gate)], found)
    assert said.endswith("is not known: the rows were compared without a key; --key COLUMN pairs them")
    assert gates.failed([gates.parse_gate("changed > 999")], found) == []


def test_gates_of_a_table_without_a_key(tmp_path: Path, shell: Shell) -> None:
    """In the shell too: without a key the gate fails, with --key it is judged."""
    table = tv.create_table(tmp_path / "t", [{"id": 1, "x": 1}])
    tv.update(table, {"x": "2"}, where="true")
    for gate in ("updated > 5", "cells > 5", "cells.x > 5"):
        said = shell("diff", table.uri, "--fail-on", gate)
        assert (said.code, "without a key; --key COLUMN" in said.err) == (1, True)
        assert shell("diff", table.uri, "--fail-on", gate, "--key", "id").code == 0


def test_drifted_is_not_known_where_nothing_was_measured() -> None:
    """Columns of which none has a measure do not pass for columns that did not move; one that has one is enough."""
    found = gate_findings()
    unmeasured = replace(found, drift=(Drift("label", why="there are no rows after"),))
    for drift in (unmeasured, replace(found, drift=()), replace(found, drift=None)):
        assert "drifted is not known" in gates.failed([gates.parse_gate("drifted > 0")], drift)[0]
    assert "(there are no rows after)" in gates.failed([gates.parse_gate("drifted > 0")], unmeasured)[0]
    still = replace(found, drift=(Drift("label", why="only one side has the column"), Drift("a.b", psi=0.0, js=0.0)))
    assert gates.failed([gates.parse_gate("drifted > 0")], still) == []


def test_unknown_counts_fail() -> None:
    """Counts that no log tells pass no gate, shares of them neither; a share of no rows is all or nothing."""
    found = gate_findings()
    unknown = replace(found, summary=replace(found.summary, rows_before=None, rows_after=None))
    for gate in ("rows < 1", "rows_before > 1", "added > 99999 %"):
        assert "is not known" in gates.failed([gates.parse_gate(gate)], unknown)[0]
    empty = replace(found, summary=replace(found.summary, rows_before=0, removed=0))
    assert gates.failed([gates.parse_gate("removed > 0%")], empty) == []
    assert gates.failed([gates.parse_gate("added > 1000%")], empty) == ["added > 1000%: added is 210, inf % of 0 rows"]


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("remvoed > 1", "did you mean 'removed'?"),
        ("cell.label > 1", "did you mean 'cells.label'?"),
        ("nulls > 1", "--fail-on knows no 'nulls'"),
        ("cells. > 1", "--fail-on knows no 'cells.'"),
        ("added", "needs QUANTITY OP NUMBER"),
        ("added > many", "needs QUANTITY OP NUMBER"),
        ("added > -1", "needs QUANTITY OP NUMBER"),
        ("> 1", "--fail-on knows no ''"),
        ("psi.label > 5%", "has no percentage"),
        ("cells > 5%", "has no percentage"),
        ("columns_added > 5%", "has no percentage"),
        ("cells.nix > 1", "no column 'nix'"),
        ("cells.id > 0", "'id' is of the key, whose cells never change"),
        ("nulls.lable > 1", "did you mean 'label'?"),
    ],
)
def test_a_misspelt_gate_is_usage(reviews: Path, shell: Shell, gate: str, said: str) -> None:
    """What is no gate, or names no column, is refused before anything is read."""
    for file in [*reviews.rglob("part-*"), *reviews.rglob("cdc-*")]:
        file.unlink()
    answer = shell("diff", reviews, "--fail-on", gate)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_failed_gates_are_told_after_the_report(reviews: Path, shell: Shell) -> None:
    """The report is on standard output, each failed gate on standard error, the exit code 1; else 0."""
    held = ["--fail-on", "added > 0", "--fail-on", "removed > 0", "--fail-on", "nulls.score >= 50%"]
    said = shell("diff", reviews, "--name-only", *held)
    assert (said.code, said.out.split()) == (1, ["label", "score"])
    assert said.err.splitlines() == ["failed: added > 0: added is 1"]
    assert shell("diff", reviews, "--fail-on", "removed > 0").code == 0
    assert shell("diff", reviews, "--fail-on", "nulls.score > 30%", "--name-only").err.startswith(
        "failed: nulls.score > 30%: nulls.score is 1, 33.33 % of 3 rows"
    )


# -- show and apply


def test_show_prints_the_record_and_the_changes(reviews: Path, shell: Shell) -> None:
    """What is recorded of a version, then what it changed; version 0 against nothing."""
    said = shell("show", reviews).out
    assert said == shell("show", f"{reviews}@1").out == shell("show", reviews, "-1").out
    assert "message    second" in said
    assert "1 added, 1 updated" in said
    assert "→ pos" in said
    assert said.count("second") == 1, "the commit is not listed again"
    first = shell("show", reviews, 0).out
    assert "2 added" in first
    assert shell("show", reviews, "--name-only").out.splitlines()[-2:] == ["label", "score"]
    assert shell("show", reviews, "--json").json["version"]["number"] == 1


def test_show_leaves_out_what_is_large(reviews: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes beyond the limit are not read unless a form is asked for."""
    monkeypatch.setattr("tablever.cli.diff_commands.SHOWN_BYTES", 10)
    said = shell("show", reviews).out
    assert "message    second" in said
    assert "--stat counts them" in said
    assert "label" not in said
    assert "label" in shell("show", reviews, "--stat").out


def test_show_of_a_version_without_files(reviews: Path, shell: Shell) -> None:
    """The record of a version is shown where its files are gone; why its changes are not is said."""
    for file in [*reviews.rglob("part-*"), *reviews.rglob("cdc-*")]:
        file.unlink()
    said = shell("show", reviews)
    assert said.code == 0
    assert "message    second" in said.out
    assert "its changes cannot be shown" in said.out


def test_apply(reviews: Path, tmp_path: Path, shell: Shell) -> None:
    """A patch that diff wrote brings a copy to the later version; applied again it is a conflict that says why."""
    assert shell("create", tmp_path / "copy", tmp_path / "first.csv", "--key", "id").code == 0
    assert shell("diff", reviews, "--patch", tmp_path / "p").code == 0
    said = shell("apply", tmp_path / "copy", tmp_path / "p", "-m", "the fix", "--author", "Ada")
    assert (said.code, said.out.startswith("version 1: apply +2 -1 ~1, 3 rows")) == (0, True)
    assert tv.resolve_version(tmp_path / "copy").message == "the fix"
    assert shell("diff", tmp_path / "copy", "--with", reviews, "--exit-code").code == 0
    again = shell("apply", tmp_path / "copy", tmp_path / "p")
    assert again.code == 6
    assert "1 of its rows are not as it has them: 2" in again.err
    assert "1 of its rows are there already: 3" in again.err
    assert shell("apply", tmp_path / "copy", tmp_path / "p", "--json").err.count("conflict") == 1


# -- lines


def test_long_output_goes_to_the_pager(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Lines that fill the terminal are paged in colour; fewer, or without a terminal, are printed."""
    paged: list[str] = []
    monkeypatch.setattr(click, "echo_via_pager", paged.extend)
    monkeypatch.setattr(output.shutil, "get_terminal_size", lambda: __import__("os").terminal_size((80, 5)))
    lines = [((f"line {i}", "added"),) for i in range(5)]
    output.show_lines(lines)
    assert capfd.readouterr().out.splitlines() == [f"line {i}" for i in range(5)]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    output.show_lines(lines[:4])
    assert len(capfd.readouterr().out.splitlines()) == 4
    output.show_lines(lines)
    assert paged == [f"\x1b[32mline {i}\x1b[0m\n" for i in range(5)]


def test_every_role_can_be_painted() -> None:
    """Each role that the screen's lines use is plain or has a colour."""
    from typing import get_args

    from tablever.report.screen import Role

    for role in get_args(Role):
        assert click.unstyle(output.paint((("text", role),))) == "text"
        assert (output.paint((("text", role),)) == "text") == (role == "plain")
