"""CSV and JSON Lines in: what is read, and what is refused, and where."""

from __future__ import annotations

import gzip
from contextlib import ExitStack
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablever.cli.inputs import find_sources
from tablever.cli.rows_in import Expected, open_rows, parse_type
from tablever.cli.rows_out import write_rows
from tablever.errors import InvalidInputError, NotFoundError, SchemaMismatchError, TableverError
from tablever.json_values import to_json

TYPED = pa.schema(
    [
        ("id", pa.int64()),
        ("x", pa.string()),
        ("d", pa.decimal128(5, 2)),
        ("t", pa.timestamp("us", "UTC")),
        ("n", pa.timestamp("us")),
        ("l", pa.list_(pa.int64())),
        ("b", pa.binary()),
    ]
)


def load(folder: Path, data: bytes | str, name: str = "rows.csv", **expected: Any) -> pa.Table:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with ExitStack() as scratch:
        return open_rows(find_sources([str(path)], None, scratch), Expected(**expected)).read_all()


def kinds(table: pa.Table) -> list[str]:
    return [str(kind) for kind in table.schema.types]


def test_types_come_from_every_row(tmp_path: Path) -> None:
    """A column's type holds every one of its values, however late the one that decides comes."""
    late = "n\n" + "1\n" * 200_000 + "x\n"
    assert kinds(load(tmp_path, late)) == ["string"]
    assert kinds(load(tmp_path, late[:-2] + "0.5\n")) == ["double"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-2", "0"], "int64"),
        (["1", "2.5", "NaN"], "double"),
        (["007", "1"], "string"),
        (["+1"], "string"),
        (["9223372036854775808"], "string"),
        (["9007199254740993", "0.5"], "string"),
        (["true", "False"], "bool"),
        (["2024-02-29"], "date32[day]"),
        (["2023-02-29"], "string"),
        (["2024-01-02 10:00", "2024-01-02T10:00:00.123456"], "timestamp[us]"),
        (["2024-01-02T10:00:00Z", "2024-01-02 10:00:00+01:00"], "timestamp[us, tz=UTC]"),
        (["2024-01-02T10:00:00Z", "2024-01-02T10:00:00"], "string"),
        (["", ""], "string"),
    ],
)
def test_no_type_is_guessed_that_changes_a_value(tmp_path: Path, cells: list[str], kind: str) -> None:
    """Text becomes a number, a date or a time only where nothing of it is lost."""
    table = load(tmp_path, "x,y\n" + "".join(f"{cell},1\n" for cell in cells))
    assert str(table.schema.field("x").type) == kind


def test_null_and_empty_text_are_told_apart(tmp_path: Path) -> None:
    """An empty cell is null, an empty cell in quotes is an empty string."""
    assert load(tmp_path, 'a,b\n,""\n').to_pylist() == [{"a": None, "b": ""}]


def test_cells_are_read_by_the_tables_types(tmp_path: Path) -> None:
    """With a table's schema a cell is its column's type, decimals, instants, bytes and nested values included."""
    text = 'id,d,t,n,l,b\n1.0,1.5,2024-01-02T10:00:00+01:00,2024-01-02,"[1, null]",aGk=\n'
    assert load(tmp_path, text, schema=TYPED).to_pylist() == [
        {
            "id": 1,
            "d": Decimal("1.50"),
            "t": datetime(2024, 1, 2, 9, tzinfo=UTC),
            "n": datetime(2024, 1, 2),  # noqa: DTZ001
            "l": [1, None],
            "b": b"hi",
        }
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('id,x\n1,"a\nb"\n2,c,d\n', "line 4, has 3 cells, the header has 2"),
        ('id,x\n1,"a\nb"\n2\n', "line 4, has 1 cells, the header has 2"),
        ('id,x\n1,a\n2,"open\n3,c\n', "line 3, has a broken quote"),
        ('id,x\n1,"a"b\n', "line 2, has a broken quote"),
        ("id;x\n1;2\n", "line 1, holds one column, 'id;x'"),
        ("id,id\n1,2\n", "line 1, names the column 'id' twice"),
        ("id,\n1,2\n", "line 1, gives no name to column 2"),
        ("\nid\n", "line 1, is blank where the header should be"),
        ("", "is empty (0 bytes)"),
        ('id,x\n1,"a\n\nb"\n\n2.5,c\n', "line 6, column 'id': '2.5' is not of type int64"),
        ("id\n 1\n", "line 2, column 'id': ' 1' is not of type int64 (there is white space around the value)"),
        ("id\n9223372036854775808\n", "line 2, column 'id'"),
        ('id,x\n"",a\n', "line 2, column 'id': '' is not of type int64"),
        ("d\n1.234\n", "line 2, column 'd': '1.234' is not of type decimal(5, 2)"),
        ("t\n2024-01-02T10:00:00\n", "needs a zone"),
        ("n\n2024-01-02T10:00:00Z\n", "without a zone"),
        ("n\n2024-01-02T10:00:00.1234567\n", "line 2, column 'n'"),
        ('id,l\n1,"[1.5]"\n', "line 2, column 'l'"),
    ],
)
def test_a_broken_row_is_an_error_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    """Nothing is skipped, padded or cast: the first thing that is wrong is named with file, line and value."""
    with pytest.raises(InvalidInputError) as caught:
        load(tmp_path, text, schema=TYPED)
    assert said in str(caught.value)
    assert "rows.csv" in str(caught.value)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    """Text that is not UTF-8 is refused, with the command that converts it."""
    with pytest.raises(InvalidInputError, match="UTF-8") as caught:
        load(tmp_path, "id,x\n1,é\n".encode(encoding))
    assert "iconv" in (caught.value.hint or "")


def test_a_byte_order_mark_belongs_to_no_name(tmp_path: Path) -> None:
    """A UTF-8 byte order mark is passed over, in CSV and in JSON Lines."""
    assert load(tmp_path, b"\xef\xbb\xbfid\n1\n").column_names == ["id"]
    assert load(tmp_path, b'\xef\xbb\xbf{"id": 1}\n', "rows.jsonl").column_names == ["id"]


def test_blank_lines(tmp_path: Path) -> None:
    """Blank lines are passed over, except in a file of one column, where each is a null."""
    assert load(tmp_path, "a,b\n1,2\n\n3,4\n\n").num_rows == 2
    assert load(tmp_path, "a\n1\n\n2\n").to_pydict() == {"a": [1, None, 2]}


def test_columns_that_the_table_lacks(tmp_path: Path) -> None:
    """A column outside the table is an error, unless the table evolves; a mere difference in case is pointed out."""
    with pytest.raises(SchemaMismatchError, match="the column 'y', which the table has not"):
        load(tmp_path, "id,y\n1,2\n", schema=TYPED)
    with pytest.raises(SchemaMismatchError) as caught:
        load(tmp_path, "ID\n1\n", schema=TYPED)
    assert caught.value.hint == "rename it to 'id'"
    assert kinds(load(tmp_path, "id,y\n1,2\n", schema=TYPED, evolve=True)) == ["int64", "int64"]
    assert load(tmp_path, "y,id\n1,2\n", schema=TYPED, only=["id"]).to_pydict() == {"id": [2]}
    with pytest.raises(SchemaMismatchError, match="has no column 'id'"):
        load(tmp_path, "y\n1\n", schema=TYPED, only=["id"])


def test_given_types_go_before_guesses(tmp_path: Path) -> None:
    """--type decides the type of a new column."""
    table = load(tmp_path, "a,b\n1,2.5\n", types={"a": parse_type("string"), "b": parse_type("decimal(4, 2)")})
    assert table.to_pylist() == [{"a": "1", "b": Decimal("2.50")}]
    with pytest.raises(InvalidInputError, match="there is no type 'strnig'"):
        parse_type("strnig")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{"a": 1}\n\n{"a": 2.5, "b": "x"}\n{}\n', [(1.0, None), (2.5, "x"), (None, None)]),
        ('{"a": [], "b": null}\n{"a": [1]}', [([], None), ([1], None)]),
        (
            '{"a": {"p": 1}, "b": "2024-01-01"}\n{"a": {"q": true}}',
            [({"p": 1, "q": None}, "2024-01-01"), ({"p": None, "q": True}, None)],
        ),
    ],
)
def test_json_lines_without_a_table(tmp_path: Path, text: str, rows: list[tuple[Any, Any]]) -> None:
    """Types come from every line; whole numbers beside fractions are floats, strings stay strings."""
    table = load(tmp_path, text, "rows.jsonl")
    names = ["a", "b"] if "b" in table.column_names else ["a"]
    assert [tuple(row.get(name) for name in ("a", "b")) for row in table.select(names).to_pylist()] == rows


@pytest.mark.parametrize("number", ["1.50", '"1.5"'])
def test_json_lines_by_the_tables_types(tmp_path: Path, number: str) -> None:
    """With a table's schema text in JSON is its column's type, whether Arrow's parser or Python's reads it."""
    line = f'{{"id": 1, "d": {number}, "t": "2024-01-02T10:00:00Z", "l": [1, null], "b": "aGk="}}\n{{"id": 2}}\n'
    first, second = load(tmp_path, line, "rows.jsonl", schema=TYPED).to_pylist()
    assert first["d"] == Decimal("1.50")
    assert first["t"] == datetime(2024, 1, 2, 10, tzinfo=UTC)
    assert (first["l"], first["b"]) == ([1, None], b"hi")
    assert second == {**dict.fromkeys(TYPED.names), "id": 2}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "5"}', "id: '5' is not of type int64"),
        ('{"id": 1.5}', "id: 1.5 is not of type int64"),
        ('{"id": true}', "id: True is not of type int64"),
        ('{"id": 1e400}', "is not of type int64"),
        ('{"id": 9223372036854775808}', "is not of type int64"),
        ('{"x": 5}', "x: 5 is not of type string"),
        ('{"d": 1.234}', "more decimals than the type holds"),
        ('{"d": 12345}', "is not of type decimal(5, 2)"),
        ('{"t": "2024-01-02"}', "a zone is missing"),
        ('{"l": [1, "x"]}', "l[1]: 'x' is not of type int64"),
        ('{"b": "%"}', "base64"),
        ('{"zz": 1}', "has the key 'zz'"),
        ('{"id": 1, "id": 2}', "the key 'id' stands twice"),
        ('{"id": 1},', "is not JSON"),
        ('{"id": 1', "is not JSON"),
        ("[1]", "is not an object"),
        ("null", "is not an object"),  # pyarrow 26 ends the process
        ('{"id": 1} null', "is not JSON"),
        ('{"id": 1} {"id": 2}', "is not JSON"),
    ],
)
def test_a_broken_line_of_json_is_an_error_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    """Nothing in JSON Lines is cast or passed over: the error names file, line and value."""
    with pytest.raises(InvalidInputError) as caught:
        load(tmp_path, '{"id": 1}\n\n' + line + "\n", "rows.jsonl", schema=TYPED)
    assert said in str(caught.value)
    assert "rows.jsonl', line 3" in str(caught.value)


def test_json_types_that_differ_between_lines(tmp_path: Path) -> None:
    """A key with text in one line and numbers in another, or a number beyond 64 bits, is refused without --type."""
    with pytest.raises(InvalidInputError, match="string where earlier lines have int64"):
        load(tmp_path, '{"a": 1}\n{"a": "x"}\n', "rows.jsonl")
    with pytest.raises(InvalidInputError, match="beyond 64 bits"):
        load(tmp_path, '{"a": 18446744073709551615}\n', "rows.jsonl")


def test_compressed_text(tmp_path: Path) -> None:
    """gzip and zstd are read by what the bytes say; damaged ones are refused."""
    text = b"id\n" + b"1\n" * 1000
    zstd = pa.compress(text, "zstd", asbytes=True)
    assert load(tmp_path, gzip.compress(text), "rows.csv.gz").num_rows == 1000
    assert load(tmp_path, zstd, "rows.csv.zst").num_rows == 1000
    for data, name in ((gzip.compress(text)[:-12], "cut.csv.gz"), (zstd[:-4], "cut.csv.zst")):
        with pytest.raises(InvalidInputError, match="cannot read"):
            load(tmp_path, data, name)


@pytest.mark.parametrize(("name", "kind"), [("rows.parquet", "Parquet"), ("rows.arrow", "Arrow")])
def test_a_file_that_is_not_what_its_suffix_says(tmp_path: Path, name: str, kind: str) -> None:
    """A file of another format is refused by name and format."""
    with pytest.raises(InvalidInputError, match=f"cannot read '.*{name}' as {kind}"):
        load(tmp_path, "id\n1\n", name)


def test_a_bit_that_flips_in_a_parquet_file_is_found(tmp_path: Path) -> None:
    """A Parquet file with a page whose checksum differs is refused, whichever value the bit would have made."""
    rows = pa.table({"text": [f"row {n}" for n in range(50)]})
    pq.write_table(rows, tmp_path / "a.parquet", write_page_checksum=True, compression="none", use_dictionary=False)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    assert load(tmp_path, bytes(data), "rows.parquet").equals(rows)
    data[data.index(b"row 7")] ^= 1
    with pytest.raises(InvalidInputError, match=r"cannot read '.*rows\.parquet'.*checksum"):
        load(tmp_path, bytes(data), "rows.parquet")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    """A missing file, a glob that matches none, a folder, and a suffix that says nothing have errors of their own."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "rows.xyz").write_text("id\n1\n")
    for name, kind, said in (
        ("none.csv", NotFoundError, "there is no file"),
        ("*.csv", NotFoundError, "no file matches"),
        ("folder", InvalidInputError, "is a folder"),
        ("rows.xyz", InvalidInputError, "cannot tell the format"),
    ):
        with pytest.raises(kind, match=said), ExitStack() as scratch:
            find_sources([str(tmp_path / name)], None, scratch)


def test_several_files_are_one_load(tmp_path: Path) -> None:
    """Files of a glob come by name, types fit them all, and their columns must be the same ones in any order."""
    (tmp_path / "a.csv").write_text("x,y\n1,a\n")
    (tmp_path / "b.csv").write_text("y,x\nb,0.5\n")
    with ExitStack() as scratch:
        sources = find_sources([str(tmp_path / "?.csv")], None, scratch)
        assert open_rows(sources, Expected()).read_all().to_pydict() == {"x": [1.0, 0.5], "y": ["a", "b"]}
        (tmp_path / "c.csv").write_text("x,z\n1,a\n")
        with pytest.raises(SchemaMismatchError, match="has the column"):
            open_rows(find_sources([str(tmp_path / "?.csv")], None, scratch), Expected())


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ROW = pa.schema(
    [
        ("text", pa.string()),
        ("whole", pa.int64()),
        ("float", pa.float64()),
        ("flag", pa.bool_()),
        ("money", pa.decimal128(12, 3)),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
        ("local", pa.timestamp("us")),
        ("blob", pa.binary()),
        ("items", pa.list_(pa.string())),
        ("inner", pa.struct([("a", pa.int64()), ("b", pa.float64())])),
        ("map", pa.map_(pa.string(), pa.date32())),
    ]
)
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001
VALUES = st.fixed_dictionaries(
    {
        "text": st.none() | text,
        "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
        "float": st.none() | st.floats(),
        "flag": st.none() | st.booleans(),
        "money": st.none() | st.decimals(-999_999_999, 999_999_999, places=3),
        "day": st.none() | st.dates(),
        "at": st.none() | moments.map(lambda moment: moment.replace(tzinfo=UTC)),
        "local": st.none() | moments,
        "blob": st.none() | st.binary(max_size=5),
        "items": st.none() | st.lists(st.none() | text, max_size=3),
        "inner": st.none() | st.fixed_dictionaries({"a": st.none() | st.integers(-9, 9), "b": st.none() | st.floats()}),
        "map": st.none()
        | st.dictionaries(text, st.none() | st.dates(), max_size=2).map(lambda pairs: list(pairs.items())),
    }
)


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet", "arrow"])
@given(rows=st.lists(VALUES, min_size=1, max_size=5))
def test_what_is_written_reads_back(
    form: str, rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Rows written in any format and read by their schema are the same rows, nulls and empty texts told apart."""
    table = pa.Table.from_pylist(rows, schema=ROW)
    path = tmp_path_factory.mktemp("rows") / f"rows.{form}"
    assert write_rows(table.schema, table.to_batches(), form, str(path)) == len(rows)
    with ExitStack() as scratch:
        again = open_rows(find_sources([str(path)], None, scratch), Expected(schema=ROW)).read_all()
    assert again.schema.types == ROW.types
    assert [to_json(row) for row in again.to_pylist()] == [to_json(row) for row in table.to_pylist()]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """An output file changes only as a whole."""
    path = tmp_path / "rows.csv"
    path.write_text("before")

    def broken() -> Any:
        yield pa.record_batch({"a": [1]})
        raise TableverError("no more")

    with pytest.raises(TableverError, match="no more"):
        write_rows(pa.schema([("a", pa.int64())]), broken(), "csv", str(path))
    assert path.read_text() == "before"
    assert [item.name for item in tmp_path.iterdir()] == ["rows.csv"]


def test_dates_in_json_are_iso() -> None:
    """Values that JSON lacks are text, each in one way."""
    assert to_json(
        [date(2024, 1, 2), datetime(2024, 1, 2, tzinfo=UTC), Decimal("1.50"), b"hi", float("nan"), float("-inf"), -0.0]
    ) == ["2024-01-02", "2024-01-02T00:00:00Z", "1.50", "aGk=", "NaN", "-Infinity", -0.0]
