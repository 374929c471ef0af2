"""CSV and TSV in: UTF-8, a header, RFC 4180 quotes. A broken row is an error with its line.

An empty cell is null; an empty cell in quotes is an empty string where the column is text, and an error elsewhere.
Every file is read twice: once to see that each row has the header's number of cells and that quotes close (Python's
strict reader, which knows lines), then for its values (Arrow's, which is fast).
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as arrow_csv

from tablever.cli.inputs import Source, open_bytes
from tablever.cli.progress import Advance, ignore
from tablever.cli.text_types import BadTextError, Guess, describe, parse_text
from tablever.errors import InvalidInputError

_BLOCK = 16 << 20
_LONGEST_ROW = 256 << 20


@dataclass(frozen=True)
class CsvFile:
    """A file that was looked through: its header, its rows, and the length of the longest in characters."""

    source: Source
    delimiter: str
    header: tuple[str, ...]
    rows: int
    longest: int


def check_csv(source: Source, delimiter: str, advance: Advance = ignore) -> CsvFile:
    """Look through the whole file; InvalidInputError with file and line for the first thing that is broken."""
    with open_bytes(source, advance) as file:
        reader = _strict_reader(file, delimiter)
        begins = 1
        try:
            header = _header(source, next(reader, []), delimiter)
            rows = longest = 0
            begins = reader.line_num + 1
            for cells in reader:
                if not cells and len(header) > 1:
                    begins = reader.line_num + 1
                    continue
                if len(cells) != len(header) and cells:
                    raise _broken(source, begins, f"has {len(cells)} cells, the header has {len(header)}")
                rows += 1
                longest = max(longest, sum(map(len, cells)))
                begins = reader.line_num + 1
        except csv.Error as error:
            raise _broken(
                source, begins, f"has a broken quote ({error})", "a quote inside a quoted cell is written twice"
            ) from error
        except UnicodeDecodeError as error:
            raise _not_utf8(source) from error
    return CsvFile(source, delimiter, header, rows, longest)


def _strict_reader(file: BinaryIO, delimiter: str) -> Any:
    csv.field_size_limit(1 << 40)
    return csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), delimiter=delimiter, strict=True)


def _header(source: Source, names: Sequence[str], delimiter: str) -> tuple[str, ...]:
    if not names:
        raise _broken(source, 1, "is blank where the header should be", hint="the first line names the columns")
    for place, name in enumerate(names, start=1):
        if not name:
            raise _broken(source, 1, f"gives no name to column {place}", hint="the first line names the columns")
        if name in names[: place - 1]:
            raise _broken(source, 1, f"names the column '{name}' twice", hint="rename one of them")
    others = [other for other in (";", "\t", "|", ",") if other != delimiter and other in names[0]]
    if len(names) == 1 and others:
        hint = f"the cells look separated by {others[0]!r}: say --delimiter '{others[0]}'"
        raise _broken(source, 1, f"holds one column, '{names[0]}'", hint=hint)
    return tuple(names)


def _broken(source: Source, line: int, what: str, hint: str | None = None) -> InvalidInputError:
    return InvalidInputError(f"'{source.name}', line {line}, {what}", hint=hint, file=source.name, line=line)


def _not_utf8(source: Source) -> InvalidInputError:
    hint = f"convert it first: iconv -f ISO-8859-1 -t UTF-8 '{source.name}'"
    with open_bytes(source) as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            hint = f"convert it first: iconv -f UTF-16 -t UTF-8 '{source.name}'"
            return InvalidInputError(f"'{source.name}' is UTF-16, not UTF-8", hint=hint, file=source.name)
    with open_bytes(source) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                message = f"'{source.name}', line {number}, is not UTF-8 (byte 0x{byte:02X} at {error.start + 1})"
                return InvalidInputError(message, hint=hint, file=source.name, line=number)
    return InvalidInputError(f"'{source.name}' is not UTF-8", hint=hint, file=source.name)


def guess_columns(files: Sequence[CsvFile], names: Sequence[str], advance: Advance = ignore) -> dict[str, pa.DataType]:
    """The types of the named columns, from all rows of all files."""
    guesses = {name: Guess() for name in names}
    for file in files:
        for _, batch in _text_batches(file, names, advance):
            for name, guess in guesses.items():
                guess.narrow(batch.column(name))
    return {name: guess.kind for name, guess in guesses.items()}


def read_csv(file: CsvFile, schema: pa.Schema, advance: Advance = ignore) -> Iterator[pa.RecordBatch]:
    """The file's rows, in the columns and types of ``schema``, all of which the header has."""
    rows = 0
    for start, batch in _text_batches(file, schema.names, advance):
        arrays = [_parsed(file, start, batch.column(item.name), item) for item in schema]
        rows += batch.num_rows
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
    if rows != file.rows:
        message = f"'{file.source.name}': two readers see {file.rows:,} and {rows:,} rows"
        raise InvalidInputError(message, hint="quote the cells that hold line breaks", file=file.source.name)


def _parsed(file: CsvFile, start: int, texts: pa.Array, item: pa.Field) -> pa.Array:
    try:
        return parse_text(texts, item.type)
    except BadTextError as error:
        line = _line_of(file, start + error.index)
        raise InvalidInputError(
            f"'{file.source.name}', line {line}, {describe(error, item.name, item.type)}",
            hint="correct the cell: its type is the table's, or the one given with --type",
            file=file.source.name,
            line=line,
            column=item.name,
            value=error.value,
        ) from None


def _line_of(file: CsvFile, row: int) -> int:
    """The line on which the row with that index begins."""
    with open_bytes(file.source) as stream:
        reader = _strict_reader(stream, file.delimiter)
        next(reader)
        begins = reader.line_num + 1
        for cells in reader:
            if cells or len(file.header) == 1:
                if row == 0:
                    return int(begins)
                row -= 1
            begins = reader.line_num + 1
    return int(begins)


def _text_batches(file: CsvFile, names: Sequence[str], advance: Advance) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches of the named columns as text, each with the index of its first row."""
    source = file.source
    if file.longest > _LONGEST_ROW:
        message = f"'{source.name}' has a row of {file.longest:,} characters; up to {_LONGEST_ROW:,} can be read"
        raise InvalidInputError(message, file=source.name)
    start = 0
    with (
        open_bytes(source, advance) as stream,
        arrow_csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=arrow_csv.ReadOptions(block_size=max(_BLOCK, 8 * file.longest), use_threads=False),
            parse_options=arrow_csv.ParseOptions(
                delimiter=file.delimiter, newlines_in_values=True, ignore_empty_lines=len(file.header) > 1
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(file.header, pa.string()),
                include_columns=list(names),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        ) as reader,
    ):
        for batch in reader:
            yield start, batch
            start += batch.num_rows
