"""What a first user runs into: options that would do nothing, hints that cannot be typed, output that misleads."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tablever as tv
from tablever.cli import progress
from tablever.cli.hints import in_shell
from tests.cli.conftest import Shell


def test_types_must_name_columns_of_the_files(tmp_path: Path, shell: Shell) -> None:
    """--type for a column that is in no file is refused, with the columns there are, and nothing is made."""
    (tmp_path / "a.csv").write_text("id,v\n1,2\n")
    (tmp_path / "a.jsonl").write_text('{"id": 1, "v": 2}\n')
    for name in ("a.csv", "a.jsonl"):
        said = shell("create", tmp_path / "t", tmp_path / name, "--type", "nope=int64")
        assert (said.code, said.out) == (5, "")
        assert "--type names the column nope, but the files have id, v" in said.err
    assert not (tmp_path / "t").exists()


def test_given_types_keep_the_files_order(tmp_path: Path, shell: Shell) -> None:
    """Columns stand as in the file, whichever of them --type names."""
    (tmp_path / "a.csv").write_text("id,v,s\n1,2,x\n")
    (tmp_path / "a.jsonl").write_text('{"id": 1, "v": 2, "s": "x"}\n')
    for name in ("a.csv", "a.jsonl"):
        assert shell("create", tmp_path / name[2:], tmp_path / name, "--type", "v=float64").code == 0
        schema = tv.open_table(tmp_path / name[2:]).schema
        assert schema == pa.schema([("id", pa.int64()), ("v", pa.float64()), ("s", pa.string())])


def test_a_file_without_rows_tells_no_types(tmp_path: Path, shell: Shell) -> None:
    """A CSV file of a header alone needs --type, and does with it."""
    (tmp_path / "a.csv").write_text("id,v\n")
    said = shell("create", tmp_path / "t", tmp_path / "a.csv", "--type", "id=int64")
    assert (said.code, "no rows to tell the types" in said.err, "--type v=" in said.err) == (5, True, True)
    assert shell("create", tmp_path / "t", tmp_path / "a.csv", "--type", "id=int64", "--type", "v=date").code == 0


def test_a_tab_may_be_typed_as_an_escape(tmp_path: Path, shell: Shell) -> None:
    r"""--delimiter '\\t' is a tab."""
    (tmp_path / "a.csv").write_text("id\tv\n1\t2\n")
    assert shell("create", tmp_path / "t", tmp_path / "a.csv", "--delimiter", "\\t").code == 0
    assert tv.read_version(tmp_path / "t").to_pylist() == [{"id": 1, "v": 2}]


def test_equal_types_of_different_layouts_are_one_load(tmp_path: Path, shell: Shell) -> None:
    """Text from CSV and large text from Parquet load together."""
    (tmp_path / "a.csv").write_text("id,s\n1,x\n")
    pq.write_table(pa.table({"id": [2], "s": pa.array(["y"], pa.large_string())}), tmp_path / "a.parquet")
    assert shell("create", tmp_path / "t", tmp_path / "a.csv", tmp_path / "a.parquet").code == 0
    assert tv.read_version(tmp_path / "t").sort_by("id")["s"].to_pylist() == ["x", "y"]


def test_hints_can_be_typed(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hint names the path as the user typed it, and the shell's options instead of Python's."""
    tv.create_table(tmp_path / "data" / "t", [{"id": 1}])
    monkeypatch.chdir(tmp_path)
    assert "hint: tablever log data/t\n" in shell("read", "data/t@9").err
    assert "hint: tablever log data/t\n" in shell("sql", "FROM t AT (VERSION => 9)", "--root", "data").err
    (tmp_path / "a.csv").write_text("id\n1\n")
    assert "tablever set-key data/t COLUMN" in shell("upsert", "data/t", "a.csv").err
    assert in_shell("evolve=True adds new columns to the table", []) == "--evolve adds new columns to the table"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dropped.csv", "id\n1\n"),
        ("renamed.csv", "id,name\n1,x\n"),
        ("renamed.jsonl", '{"id": 1, "name": "x"}\n'),
    ],
)
def test_a_refused_overwrite_says_what_to_type(
    tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """Files that would drop or rename a column are refused with the command that does it; only an overwrite's are."""
    tv.create_table(tmp_path / "t", [{"id": 1, "label": "x"}])
    (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    said = shell("overwrite", "t", name)
    assert (said.code, "drop and rename columns with tablever overwrite t FILES --replace-schema" in said.err) == (
        5,
        True,
    )
    assert "replace-schema" not in shell("append", "t", name).err
    assert shell("overwrite", "t", name, "--replace-schema").code == 0
    assert "label" not in tv.open_table("t").schema.names


def test_floats_look_like_floats_in_csv(tmp_path: Path, shell: Shell) -> None:
    """A whole float keeps its point in CSV, and minus zero its sign; they read back as what they are."""
    rows = [{"v": 400.0}, {"v": -0.0}, {"v": 1e300}, {"v": float("inf")}, {"v": None}]
    tv.create_table(tmp_path / "t", rows)
    lines = shell("read", tmp_path / "t", "--format", "csv").out.splitlines()
    assert lines == ["v", "400.0", "-0.0", "1e+300", "inf", ""]


def test_json_lines_keep_numbers_that_json_lacks(tmp_path: Path, shell: Shell) -> None:
    """NaN and the infinities go out as strings, and come back as numbers in a column of floats."""
    tv.create_table(tmp_path / "t", [{"v": float("nan")}, {"v": float("inf")}, {"v": 1.5}])
    assert shell("read", tmp_path / "t", "-o", tmp_path / "out.jsonl").code == 0
    assert shell("append", tmp_path / "t", tmp_path / "out.jsonl").code == 0
    values = [repr(value) for value in tv.read_version(tmp_path / "t")["v"].to_pylist()]
    assert sorted(values) == ["1.5", "1.5", "inf", "inf", "nan", "nan"]


def test_statements_without_rows_show_none(tmp_path: Path, shell: Shell) -> None:
    """A statement that gives no rows prints nothing, and one that gives a column Count prints it."""
    assert shell("sql", "CREATE VIEW v AS SELECT 1", "--root", tmp_path).out == ""
    copy = f"COPY (SELECT 1) TO '{tmp_path}/x.csv'"
    assert shell("sql", copy, "--root", tmp_path, "--allow-folder", tmp_path).out == ""
    assert (tmp_path / "x.csv").exists()
    said = shell("sql", 'CREATE TABLE q AS SELECT 1; SELECT 7 AS "Count"', "--root", tmp_path)
    assert said.out.splitlines()[0] == "Count"


def test_left_out_columns_are_counted(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen too narrow for all columns says how many it shows, and how to see all."""
    tv.create_table(tmp_path / "t", [{f"column{i}": i for i in range(14)}])
    monkeypatch.setattr("tablever.cli.rows_out.terminal_width", lambda: 40)
    assert shell("read", tmp_path / "t").out.splitlines()[-1] == "(1 row; 4 of 14 columns; --format csv shows all)"


def test_broken_rows_are_quoted_in_short(tmp_path: Path, shell: Shell) -> None:
    """A constraint's error quotes the first column and those of the condition, not rows of twenty columns."""
    tv.create_table(tmp_path / "t", [{f"c{i}": i for i in range(20)}])
    said = shell("add-constraint", tmp_path / "t", "big", "c15 > 100")
    assert said.code == 5
    assert "c0=0, c15=15, c1=1, c2=2, …" in said.err
    assert "c19" not in said.err


def test_a_given_type_settles_what_cannot_be_guessed(tmp_path: Path, shell: Shell) -> None:
    """A number beyond 64 bits in JSON Lines is read by the type that --type gives, as the error without it says."""
    (tmp_path / "a.jsonl").write_text('{"n": 99999999999999999999}\n')
    assert "say --type n=TYPE" in shell("create", tmp_path / "t", tmp_path / "a.jsonl").err
    assert shell("create", tmp_path / "t", tmp_path / "a.jsonl", "--type", "n=decimal(20,0)").code == 0
    assert tv.read_version(tmp_path / "t").to_pylist() == [{"n": Decimal(99999999999999999999)}]


class _Terminal:
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def test_the_bar_stays_below_its_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes than were announced fill the bar and no more, and writing has a phase of its own."""
    from rich.progress import Progress

    seen: list[tuple[float, float | None, str]] = []
    update = Progress.update

    def watched(self: Progress, task: object, **values: object) -> None:
        update(self, task, **values)  # type: ignore[arg-type]
        seen.append((self.tasks[0].completed, self.tasks[0].total, self.tasks[0].description))

    monkeypatch.setattr(Progress, "update", watched)
    monkeypatch.setattr("sys.stderr", _Terminal())
    total = progress.WORTH_SHOWING
    with progress.loading(total) as load:
        load.advance(total)
        load.advance(total)
        load.all_read()
    assert [(done, what) for done, _, what in seen] == [(total, "reading"), (total, "reading"), (total, "writing")]
