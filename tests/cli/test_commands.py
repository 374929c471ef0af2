"""The commands: each does what the function of its name does, and says so, in text and in JSON."""

from __future__ import annotations

import inspect
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tablever as tv
from tablever.cli.commands import COMMANDS
from tablever.cli.main import cli, exit_code
from tablever.cli.prompt import answer, history_file, is_complete
from tablever.options import CommitOptions
from tests.cli.conftest import Shell

FUNCTIONS = {
    "create": "create_table",
    "append": "append",
    "upsert": "upsert",
    "update": "update",
    "delete": "delete",
    "overwrite": "overwrite",
    "restore": "restore",
    "revert": "revert",
    "set-key": "set_key",
    "set-not-null": "set_not_null",
    "add-constraint": "add_constraint",
    "log": "list_versions",
    "show": "resolve_version",
    "schema": "open_table",
    "hash": "content_hash",
    "read": "read_version",
    "sql": "query",
    "du": "du",
    "compact": "compact",
    "set-retention": "set_retention",
    "repair": "repair",
    "vacuum": "vacuum",
    "protect": "protect",
}
OTHERWISE = {"uri": "table", "rows_or_schema": "file_names", "rows": "file_names", "keys": "file_names", "sql": "query"}
NOT_IN_THE_SHELL = {"storage_options", "allow_folders"}  # the environment; an option of tablever itself
# there is no version yet; what commits no rows is no load; the shell asks first
MEANINGLESS = {("create", "if_version"), ("compact", "batch_id"), ("vacuum", "batch_id"), ("vacuum", "dry_run")}
IN_THE_TARGET = {("show", "ref"), ("read", "ref"), ("hash", "table"), ("hash", "ref")}  # data/reviews@3; hash: or files


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_command_takes_what_its_function_takes(name: str) -> None:
    """Every parameter of a function, the common ones of writes included, is an option or argument of its command."""
    options = {param.name: param for param in cli.commands[name].params}
    for parameter in inspect.signature(getattr(tv, FUNCTIONS[name])).parameters.values():
        wanted = list(CommitOptions.__annotations__) if parameter.name == "options" else [parameter.name]
        for each in wanted:
            if each in NOT_IN_THE_SHELL or (name, each) in IN_THE_TARGET | MEANINGLESS:
                continue
            assert OTHERWISE.get(each, each) in options
            if isinstance(parameter.default, str):
                assert options[each].default == parameter.default
            if isinstance(parameter.default, bool):
                assert getattr(options[each], "is_flag", False) is not parameter.default


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(shell: Shell, name: str) -> None:
    """Each command's help shows it typed, and every command line there is one that the command takes."""
    answer = shell(name, "--help")
    assert answer.code == 0
    lines = [line.removesuffix(" < report.sql") for line in answer.out.splitlines()]
    typed = [shlex.split(line)[1:] for line in lines if line.startswith("    tablever ")]
    assert name in [words[0] for words in typed]
    whole = click.Context(cli, info_name="tablever", **cli.context_settings)  # a command keeps the first one's -h
    for command, *arguments in typed:
        cli.commands[command].make_context(command, arguments, parent=whole)
    assert all(
        isinstance(param, click.Argument) or param.help
        for param in cli.commands[name].params
        if param.name != "assignments"
    )


def test_every_command_is_in_the_help() -> None:
    """The list of commands names each that the modules of commands define, in the module that defines it."""
    modules = {module: import_module(f"tablever.cli.{module}") for module, _ in COMMANDS.values()}
    defined = {
        (each.name, name)
        for name, module in modules.items()
        for each in vars(module).values()
        if isinstance(each, click.Command) and each is not cli
    }
    assert defined == {(name, module) for name, (module, _) in COMMANDS.items()}
    assert {name: cli.commands[name].short_help for name in COMMANDS} == {n: line for n, (_, line) in COMMANDS.items()}


def test_help_imports_no_command() -> None:
    """The list of commands is known without them; one command brings no other's module."""
    source = (
        "import sys; from tablever.cli.main import exit_code; exit_code(sys.argv[1:]); "
        "print(sorted(name for name in sys.modules if name.endswith(('_commands', '_command'))), file=sys.stderr)"
    )
    for arguments, loaded in ([], []), (["--help"], []), (["log", "--help"], ["tablever.cli.read_commands"]):
        done = subprocess.run([sys.executable, "-c", source, *arguments], capture_output=True, text=True, check=False)
        assert done.stderr.splitlines()[-1] == repr(loaded)


HEAVY = "polars pyarrow duckdb numpy deltalake obstore fsspec rich prompt_toolkit sqlglot pyroaring".split()


def heavy_modules(*commands: list[str]) -> str:
    """What commands in one process load of what takes longer than they do."""
    code = (
        "import sys\nfrom tablever.cli.main import exit_code\n"
        f"assert not any([exit_code(command) for command in {list(commands)}])\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_help_loads_nothing_heavy() -> None:
    """Help answers at once, since no engine is loaded before a command needs it."""
    assert heavy_modules(["--help"], ["create", "--help"]) == "[]"


def test_what_shows_no_rows_loads_nothing_heavy(tmp_path: Path) -> None:
    """The log of a table, its tags and its runs are told without Arrow or an engine, which take longer to load."""
    table = os.fspath(tmp_path / "t")
    tv.create_table(table, [{"id": 1}])
    tv.tag(table, "v1")
    tv.link_run(table, "v1", "run-1", metrics={"auc": 0.9})
    asked = [[command, table, *more] for command in ("log", "tags", "runs") for more in ([], ["--json"])]
    assert heavy_modules(*asked) == "[]"


def test_version(shell: Shell) -> None:
    """--version says the package's version."""
    assert shell("--version").out == f"tablever {tv.__version__}\n"


def test_writes_say_what_they_did(tmp_path: Path, shell: Shell) -> None:
    """A write prints its version and counts; as JSON, the whole Version; nothing to change is said, too."""
    rows = tmp_path / "rows.csv"
    rows.write_text("id,x\n1,a\n2,b\n")
    table = tmp_path / "t"
    said = shell("create", table, rows, "--key", "id", "--metadata", "lr=0.1", "--metadata", "note=on a Monday")
    assert said.code == 0
    assert said.out.startswith("version 0: create +2, 2 rows (")
    assert tv.resolve_version(table).metadata == {"lr": 0.1, "note": "on a Monday"}
    said = shell("update", table, "--set", "x='c'", "--where", "id = 2", "--json", "-m", "why", "--author", "Ada")
    version = said.json["version"]
    assert said.json["format"] == "tablever.commit/v1"
    assert (version["operation"], version["message"], version["author"]) == ("update", "why", "Ada")
    assert (version["rows_added"], version["rows_removed"], version["rows_updated"]) == (1, 1, 1)
    assert shell("upsert", table, rows, "--batch-id", "b").out.startswith("version 2: upsert +1 -1 ~1, 2 rows")
    assert "this batch is version 2" in shell("upsert", table, rows, "--batch-id", "b").out
    assert "stays at version 2" in shell("upsert", table, rows).out
    assert shell("upsert", table, rows, "--json").json["version"] is None


def test_each_write(reviews: Path, tmp_path: Path, shell: Shell) -> None:
    """Each command that commits makes the version that its function would."""

    def rows() -> list[tuple[Any, ...]]:
        return sorted(tuple(row.values()) for row in tv.read_version(reviews).to_pylist())

    more = tmp_path / "more.csv"
    more.write_text('id,label,score\n4,"",0.25\n')
    assert shell("append", reviews, more).code == 0
    assert rows() == [(1, "pos", 0.5), (2, "pos", 1.0), (3, "", None), (4, "", 0.25)]
    assert shell("delete", reviews, "--where", "id = 1").code == 0
    keys = tmp_path / "keys.csv"
    keys.write_text("comment,id\nwrong,4\n")
    assert shell("delete", reviews, "--keys", keys).code == 0
    assert rows() == [(2, "pos", 1.0), (3, "", None)]
    assert shell("revert", reviews, "-1").code == 0
    assert [row[0] for row in rows()] == [2, 3, 4]
    assert shell("restore", reviews, "1").code == 0
    assert [row[0] for row in rows()] == [1, 2, 3]
    wider = tmp_path / "wider.csv"
    wider.write_text("id,label,score,extra\n9,pos,1,new\n")
    assert shell("overwrite", reviews, wider).code == 5
    assert shell("overwrite", reviews, wider, "--evolve").code == 0
    assert rows() == [(9, "pos", 1.0, "new")]
    assert shell("set-not-null", reviews, "label").code == 0
    assert shell("add-constraint", reviews, "known", "label IN ('pos', 'neg', '')").code == 0
    assert shell("update", reviews, "--set", "label='maybe'", "--where", "true").code == 5
    assert shell("overwrite", reviews, more, "--replace-schema").code == 0
    assert rows() == [(4, "", 0.25)]
    plain = tmp_path / "plain"
    assert shell("create", plain, "--type", "id=int64", "--type", "at=timestamp").code == 0
    assert tv.open_table(plain).schema == pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", "UTC"))])
    assert shell("set-key", plain, "id").code == 0
    assert tv.open_table(plain).key == ("id",)


def test_log_shows_the_newest_first(reviews: Path, shell: Shell) -> None:
    """log prints one line a version, newest first; --limit says how many there are; JSON holds whole versions."""
    lines = shell("log", reviews).out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["1", "0"]
    assert "Ada  " in lines[2]
    assert "example.org" not in lines[2]
    assert lines[2].rstrip().endswith("second")
    assert shell("log", reviews, "--limit", 1).out.splitlines()[-1] == "(1 of 2 versions)"
    log = shell("log", reviews, "--json").json
    assert log["format"] == "tablever.log/v1"
    assert [version["number"] for version in log["versions"]] == [1, 0]
    assert log["versions"][0]["timestamp"].endswith("Z")


def test_a_narrow_terminal_gets_two_lines_a_version(
    reviews: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the log does not fit its terminal, the message has a line of its own and nothing is cut."""
    monkeypatch.setattr("tablever.cli.read_commands.terminal_width", lambda: 80)
    lines = shell("log", reviews).out.splitlines()
    assert lines[0].startswith("1    2")
    assert lines[0].endswith("Z  upsert  +2 -1 ~1, 3 rows")
    assert lines[1] == "     Ada: second"


def test_show_and_schema(reviews: Path, shell: Shell) -> None:
    """show prints all of a version, schema its columns and rules; both of any version."""
    said = shell("show", f"{reviews}@0").out
    assert "operation  create" in said
    assert "message    first" in said
    assert shell("show", f"{reviews}@-1", "--json").json["version"]["parent"] == 0
    said = shell("schema", reviews).out
    assert "key: id" in said
    columns = shell("schema", f"{reviews}@0", "--json").json["columns"]
    assert columns[0] == {"name": "id", "type": "int64", "nullable": False}


def test_hash_takes_a_table_or_files(reviews: Path, tmp_path: Path, shell: Shell) -> None:
    """Files have the hash of the table that they would make; what is neither is told as what it was taken for."""
    first, parquet, arrow = (tmp_path / f"first.{suffix}" for suffix in ("csv", "parquet", "arrow"))
    found = shell("hash", f"{reviews}@0").out
    assert found == tv.content_hash(reviews, 0) + "\n"
    for file in (parquet, arrow):
        assert shell("read", f"{reviews}@0", "-o", file).code == 0
    assert shell("hash", first).out == shell("hash", parquet).out == shell("hash", arrow).out == found
    rows = tv.read_version(reviews, 0)
    both = {"format": "tablever.hash/v1", "files": [str(parquet), str(arrow)]}
    both["content_hash"] = tv.content_hash_of(pa.concat_tables([rows, rows]))
    assert shell("hash", parquet, arrow, "--json").json == both
    assert shell("hash", tmp_path / "first.p*").out == found
    tv.create_table(tmp_path / "t.parquet", rows)
    assert shell("hash", tmp_path / "t.parquet").out == shell("hash", tmp_path / "t.parquet@0").out == found
    for name, said in (("none.csv", "there is no file"), ("none", "no table at")):
        answer = shell("hash", tmp_path / name)
        assert (answer.code, said in answer.err) == (3, True)
    assert shell("hash", reviews, "--format", "csv").code == 2
    assert shell("hash", reviews, reviews).code == 5


def test_read_in_every_format(reviews: Path, tmp_path: Path, shell: Shell) -> None:
    """read gives a version's rows on the screen, as text to standard output, and to files."""
    said = shell("read", f"{reviews}@0", "--columns", "label,id", "--where", "id > 1")
    assert said.out.splitlines() == ["label  id", "─────  ──", "neg     2", "(1 row)"]
    assert shell("read", reviews, "--format", "csv").out == 'id,label,score\n1,pos,0.5\n2,pos,1.0\n3,"",\n'
    assert shell("read", reviews, "--json").lines[-1] == {"id": 3, "label": "", "score": None}
    for form in ("parquet", "arrow", "tsv"):
        said = shell("read", reviews, "-o", tmp_path / f"out.{form}")
        assert (said.code, said.out) == (0, "")
        again = tmp_path / f"again-{form}"
        assert shell("create", again, tmp_path / f"out.{form}").code == 0
        assert tv.read_version(again).to_pylist() == tv.read_version(reviews).to_pylist()
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 3


def test_the_screen_says_what_it_leaves_out(reviews: Path, shell: Shell) -> None:
    """A limit on the screen comes with the number of rows there are, with and without a filter."""
    assert shell("read", reviews, "--limit", 2).out.splitlines()[-1] == "(2 of 3 rows)"
    assert shell("read", reviews, "--limit", 1, "--where", "id > 1").out.splitlines()[-1] == "(1 of 2 rows)"
    assert shell("read", reviews, "--limit", 0).out.splitlines()[-1] == "(0 of 3 rows)"
    assert shell("read", reviews, "--where", "id > 99").out.splitlines()[-1] == "(0 rows)"
    query = "SELECT * FROM range(30)"
    assert shell("sql", query).out.splitlines()[-1] == "(20 of 30 rows)"
    assert shell("sql", query, "--limit", "all").out.splitlines()[-1] == "(30 rows)"
    assert len(shell("sql", query, "--format", "csv").out.splitlines()) == 31


def test_sql(reviews: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """sql joins versions below --root, names tables with --table, and reads its query from standard input."""
    query = "SELECT id FROM reviews a AT (VERSION => 1) ANTI JOIN reviews b AT (VERSION => 0) USING (id)"
    assert shell("sql", query, "--root", reviews.parent, "--json").lines == [{"id": 3}]
    assert shell("sql", "SELECT count(*) AS n FROM r", "--table", f"r={reviews}", "--json").lines == [{"n": 3}]
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 1 AS one;"))
    assert shell("sql", "--root", reviews.parent, "--format", "csv").out == "one\n1\n"
    assert shell("sql", "SELEC 1").code == 5


def test_an_existing_folder_wins_over_a_ref(tmp_path: Path, shell: Shell) -> None:
    """A path with an @ in it is read as a path where it exists, and may still carry a ref."""
    table = tmp_path / "me@work" / "t@1"
    tv.create_table(table, [{"id": 1}])
    assert shell("read", table, "--json").lines == [{"id": 1}]
    assert shell("read", f"{table}@0", "--json").lines == [{"id": 1}]
    missing = shell("read", f"{table}@7")
    assert (missing.code, "version 7" in missing.err) == (3, True)


def test_data_cannot_steer_the_terminal(tmp_path: Path, shell: Shell) -> None:
    """Escape sequences and control characters in data, messages and names are printed as escapes."""
    table = tmp_path / "t"
    tv.create_table(table, [{"a\x1b[1m": "x\x1b[31m\ny\u202e"}], message="m\x1b]0;title\x07")
    for command in ("read", "log", "show", "schema"):
        said = shell(command, table)
        assert said.code == 0
        assert not any(char in said.out for char in "\x1b\x07\u202e")
    assert "x\\x1b[31m\\ny\\u202e" in shell("read", table).out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["log", "nowhere"], 3, "nowhere"),
        (["read", "{t}@99"], 3, "version 99"),
        (["read", "{t}@2026-11-01"], 5, "zone"),
        (["read", "{t}", "--columns", "nix"], 5, "nix"),
        (["read", "{t}", "--where", "nix = 1"], 5, "nix"),
        (["create", "{t}", "{csv}"], 4, "reviews"),
        (["append", "{t}", "none.csv"], 3, "there is no file 'none.csv'"),
        (["append", "{t}", "{csv}"], 5, "key"),
        (["append", "{t}", "{t}"], 5, "is a folder"),
        (["upsert", "{t}", "{csv}", "--if-version", "0"], 6, "version"),
        (["log", "{t}@1"], 2, "log takes no @version"),
        (["append", "{t}@1", "{csv}"], 2, "append takes no @version"),
        (["read", "{t}@"], 5, "the ref after @ is empty"),
        (["append", "{t}", "{csv}", "--type", "nix=int64"], 5, "--type names the column nix"),
        (["upsert", "{t}", "{csv}", "--type", "score=int64"], 5, "contradicts the table, where 'score' is float64"),
        (["upsert", "{t}", "{csv}", "--delimiter", ""], 2, "--delimiter needs one"),
        (["upsert", "{t}", "{csv}", "--delimiter", "ab"], 2, "--delimiter needs one"),
        (["create", "{t}", "{csv}", "--if-version", "0"], 2, "--if-version"),
        (["delete", "{t}"], 2, "either --where or --keys"),
        (["update", "{t}", "--set", "x", "--where", "true"], 2, "NAME=VALUE"),
        (["nix"], 2, "nix"),
        (["create", "x"], 2, "--type"),
        (["read", "{t}", "--limit", "some"], 2, "some"),
        (["restore", "{t}", "-9"], 3, "version"),
    ],
)
def test_errors_have_exit_codes_and_no_traceback(
    reviews: Path, tmp_path: Path, shell: Shell, arguments: list[str], code: int, said: str
) -> None:
    """An error is one message on standard error, with the documented exit code; with --json it is an object."""
    filled = [text.format(t=reviews, csv=tmp_path / "first.csv") for text in arguments]
    answer = shell(*filled)
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("error: ")
    assert said in answer.err
    assert "Traceback" not in answer.err
    if "--json" in [option for param in cli.commands.get(arguments[0], cli).params for option in param.opts]:
        error = json.loads(shell(*filled, "--json").err)
        assert error["format"] == "tablever.error/v1"
        assert said in error["error"]["message"]
    assert tv.resolve_version(reviews).number == 1


def test_an_error_in_a_file_is_told_as_it_is(reviews: Path, tmp_path: Path, shell: Shell) -> None:
    """What is wrong deep in a file is said with file and line, whatever engine was reading it, and changes nothing."""
    broken = tmp_path / "broken.csv"
    broken.write_text("id,label,score\n" + "".join(f"{i},x,1\n" for i in range(10, 300_000)) + "x,x,1\n")
    for command in ("append", "upsert", "overwrite"):
        answer = shell(command, reviews, broken)
        assert answer.code == 5
        assert "broken.csv', line 299992, column 'id': 'x' is not of type int64" in answer.err
    assert tv.resolve_version(reviews).number == 1


def test_standard_input_is_a_file(tmp_path: Path) -> None:
    """- reads rows from standard input in the format that is said; a pipe that closes early ends quietly."""
    run = [sys.executable, "-m", "tablever"]
    table = tmp_path / "t"
    done = subprocess.run(
        [*run, "create", table, "-", "--format", "csv"], input=b"id\n1\n", capture_output=True, check=False
    )
    assert (done.returncode, tv.read_version(table).to_pylist()) == (0, [{"id": 1}])
    done = subprocess.run([*run, "append", table, "-"], input=b"id\n1\n", capture_output=True, check=False)
    assert (done.returncode, b"say --format" in done.stderr) == (5, True)
    query = "SELECT * FROM range(1000000)"
    with subprocess.Popen(
        [*run, "sql", query, "--format", "csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as pipe:
        assert pipe.stdout
        assert pipe.stderr
        pipe.stdout.readline()
        pipe.stdout.close()
        assert pipe.stderr.read() == b""
        assert pipe.wait() == 141


def test_interrupted_writes_say_how_the_table_stands(reviews: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a load leaves the table as it was, and says so."""
    run = [sys.executable, "-m", "tablever", "append", str(reviews), "-", "--format", "csv"]
    spool = tmp_path / "spool"
    spool.mkdir()
    surroundings = {**os.environ, "TMPDIR": str(spool)}
    with subprocess.Popen(run, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=surroundings) as load:
        assert load.stdin
        load.stdin.write(b"id,label,score\n")
        load.stdin.flush()
        while not list(spool.iterdir()):
            time.sleep(0.02)
        said = b""
        while load.poll() is None:  # a signal just before the blocking read is seen only after it
            time.sleep(0.5)
            load.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                said = load.communicate(timeout=5)[1]
    assert load.returncode == 130
    assert f"interrupted: '{reviews}' is as it was, at version 1" in said.decode()
    assert tv.resolve_version(reviews).number == 1


def test_defects_are_told_apart_from_errors(monkeypatch: pytest.MonkeyPatch, shell: Shell) -> None:
    """An exception that nobody foresaw has an exit code of its own, and its traceback on request."""

    def defect(_table: str) -> None:
        raise ZeroDivisionError("what?")

    monkeypatch.setattr(tv, "list_versions", defect)
    answer = shell("log", "x")
    assert (answer.code, "unexpected ZeroDivisionError: what?" in answer.err) == (70, True)
    monkeypatch.setenv("TABLEVER_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        exit_code(["log", "x"])


def test_the_prompt(
    reviews: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt runs statements to their semicolon, survives errors, and keeps its history in the state folder."""
    assert [is_complete(text) for text in ("", "SELECT", "SELECT 1;", ".help", "SELECT\n1 ; ")] == [
        True,
        False,
        True,
        True,
        True,
    ]
    with tv.connect(reviews.parent) as session:
        for text in (
            ".tables",
            ".help",
            ".nix",
            "SELECT max(id) AS top FROM reviews;",
            "SELEC;",
            "CREATE VIEW v AS FROM reviews;",
        ):
            answer(session, text)
    out, err = capfd.readouterr()
    assert out.startswith("reviews\n")
    assert "top\n───\n  3\n(1 row)" in out
    assert "there is no command '.nix'" in err
    assert err.count("error:") == 2
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert history_file() == tmp_path / "state" / "tablever" / "sql_history"
