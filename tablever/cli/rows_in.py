"""The rows of a command's input files as one Arrow stream: parsed against the table's schema where there is one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from tablever.arrow_json import type_name
from tablever.cli.arrow_files import arrow_errors, arrow_schema, read_arrow
from tablever.cli.csv_files import CsvFile, check_csv, guess_columns, read_csv
from tablever.cli.inputs import Source
from tablever.cli.jsonl_files import guess_fields, read_jsonl, settled
from tablever.cli.progress import Advance, ignore
from tablever.columns import OTHER_COLUMNS
from tablever.errors import InvalidInputError, SchemaMismatchError, TableverError

_TYPES = {
    **dict.fromkeys(("string", "varchar", "text"), pa.string()),
    **dict.fromkeys(("int64", "bigint", "long"), pa.int64()),
    **dict.fromkeys(("int32", "int", "integer"), pa.int32()),
    **dict.fromkeys(("int16", "smallint", "short"), pa.int16()),
    **dict.fromkeys(("int8", "tinyint", "byte"), pa.int8()),
    **dict.fromkeys(("float64", "double"), pa.float64()),
    **dict.fromkeys(("float32", "float"), pa.float32()),
    **dict.fromkeys(("bool", "boolean"), pa.bool_()),
    **dict.fromkeys(("binary", "blob"), pa.binary()),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}


def parse_type(text: str) -> pa.DataType:
    """``int64``, ``decimal(10, 2)``, ``timestamp``, … as an Arrow type; InvalidInputError lists what there is."""
    name = text.strip().lower()
    decimal = re.fullmatch(r"decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)", name)
    if decimal and 1 <= int(decimal[1]) <= 38 and int(decimal[2]) <= int(decimal[1]):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    if name not in _TYPES:
        known = "string, int8, int16, int32, int64, float32, float64, bool, date, timestamp, timestamp_ntz, binary"
        raise InvalidInputError(f"there is no type '{text}'", hint=f"one of {known}, decimal(PRECISION, SCALE)")
    return _TYPES[name]


@dataclass(frozen=True)
class Expected:
    """What the rows are read against.

    Attributes:
        schema: the table's columns, None where there is no table yet or it is to be replaced.
        types: types that the user gave, by column; they go before the guess, not before the table's schema.
        evolve: whether columns outside ``schema`` are read, too.
        only: where given, these columns are read and all others passed over (keys of rows to delete).
        delimiter: between the cells of a CSV file, where it is not the format's own.
        whole: whether the rows are to be all that the table holds.
    """

    schema: pa.Schema | None = None
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    evolve: bool = False
    only: Sequence[str] | None = None
    delimiter: str | None = None
    whole: bool = False

    @property
    def known(self) -> dict[str, pa.DataType]:
        """The types that are settled before a file is opened."""
        in_table = {} if self.schema is None else {item.name: item.type for item in self.schema}
        return {**self.types, **in_table}

    @property
    def strict(self) -> bool:
        """Whether a column outside the table is an error."""
        return self.schema is not None and not self.evolve and self.only is None

    @property
    def remedy(self) -> str | None:
        """What to do about a column outside those that are read; None where it is passed over."""
        if self.only is not None:
            return None
        ways = "add it to the table with --evolve, or leave it out of the file"
        return f"{ways}; {OTHER_COLUMNS}" if self.whole else ways


def work_of(sources: Sequence[Source], expected: Expected) -> int:
    """The bytes to be read, for a progress bar: text is read more than once, once more where types are guessed."""
    guess = 1 if expected.only is None and (expected.schema is None or expected.evolve) else 0
    passes = {"csv": 2 + guess, "tsv": 2 + guess, "jsonl": 1 + guess}
    return sum(source.size * passes.get(source.format, 1) for source in sources)


def open_rows(sources: Sequence[Source], expected: Expected, advance: Advance = ignore) -> pa.RecordBatchReader:
    """All rows of the sources, in order, as one stream in one schema.

    Raises:
        InvalidInputError: a file that cannot be read or is broken, with its name and, for text, the line. A value
            that does not fit its column may be found only while the stream is read.
        SchemaMismatchError: the files' columns differ from each other's, or from the table's.
    """
    files = [_look(source, expected, advance) for source in sources]
    texts = [file.csv for file in files if file.csv]
    unsettled = dict.fromkeys(name for file in texts for name in file.header if name not in expected.known)
    for file in files:
        _check_columns(file, files[0], expected)
    _check_types(files, expected)
    wanted = [name for name in unsettled if expected.only is None or name in expected.only]
    if wanted and not any(file.rows for file in texts):
        raise InvalidInputError(
            f"'{texts[0].source.name}' has no rows to tell the types of its columns from ({_list(wanted)})",
            hint=f"give --type COLUMN=TYPE for each: --type {wanted[0]}=string",
            file=texts[0].source.name,
        )
    guessed = guess_columns(texts, wanted, advance) if wanted else {}
    schema = _common_schema(files, {**expected.known, **guessed}, expected)

    def batches() -> Iterator[pa.RecordBatch]:
        for file in files:
            with arrow_errors(file.source):
                yield from _batches(file, schema, expected, advance)

    return pa.RecordBatchReader.from_batches(schema, batches())


@dataclass(frozen=True)
class _File:
    """One source, looked at: its columns in order, and their types where the file itself says them."""

    source: Source
    columns: tuple[str, ...]
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    csv: CsvFile | None = None


def _look(source: Source, expected: Expected, advance: Advance) -> _File:
    if source.format in ("csv", "tsv"):
        own = "\t" if source.format == "tsv" else ","
        checked = check_csv(source, expected.delimiter or own, advance)
        return _File(source, checked.header, csv=checked)
    if source.format == "jsonl":
        if expected.strict or expected.only is not None:
            return _File(source, tuple(expected.only or expected.known))
        types = guess_fields(source, expected.known, advance)
        in_table = () if expected.schema is None else expected.schema.names
        return _File(source, tuple(dict.fromkeys([*in_table, *types])), types)
    with arrow_errors(source):
        schema = arrow_schema(source)
    return _File(source, tuple(schema.names), dict(zip(schema.names, schema.types, strict=True)))


def _check_types(files: Sequence[_File], expected: Expected) -> None:
    """InvalidInputError where --type would have no effect: for a column that is nowhere, or has another type."""
    in_files = list(dict.fromkeys(name for file in files for name in file.columns))
    in_table = {} if expected.schema is None else {item.name: item.type for item in expected.schema}
    nowhere = [name for name in expected.types if name not in in_table and name not in in_files]
    if nowhere:
        where = "the files have" if not in_table else "the table and the files have"
        columns = _list(list(dict.fromkeys([*in_table, *in_files])))
        raise InvalidInputError(
            f"--type names the column{'s'[: len(nowhere) > 1]} {_list(nowhere)}, but {where} {columns}",
            hint="correct the name, or leave the option out",
            column=nowhere[0],
        )
    for name, kind in expected.types.items():
        if name in in_table and in_table[name] != kind:
            raise InvalidInputError(
                f"--type {name}={type_name(kind)} contradicts the table, where '{name}' is {type_name(in_table[name])}",
                hint="leave the option out; overwrite --replace-schema changes a column's type",
                column=name,
            )
        for file in files:
            own = file.types.get(name) if file.source.format in ("parquet", "arrow") else None
            if own is not None and _plain(own) != kind:
                raise InvalidInputError(
                    f"--type {name}={type_name(kind)} contradicts '{file.source.name}', where it is {type_name(own)}",
                    hint="--type is for text files; Parquet and Arrow files bring their types",
                    column=name,
                )


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type of the same values that text files are read as."""
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    return kind


def _check_columns(file: _File, first: _File, expected: Expected) -> None:
    if expected.only is not None:
        missing = [name for name in expected.only if name not in file.columns]
        if missing:
            raise _mismatch(file, f"has no column '{missing[0]}'; it has {_list(file.columns)}", missing[0])
        return
    known = list(expected.known)
    unknown = [name for name in file.columns if name not in known] if expected.strict else []
    if unknown:
        near = [name for name in known if name.casefold() == unknown[0].casefold()]
        hint = f"rename it to '{near[0]}'" if near else expected.remedy
        message = f"has the column '{unknown[0]}', which the table has not; it has {_list(known)}"
        raise _mismatch(file, message, unknown[0], hint)
    if "jsonl" not in (file.source.format, first.source.format) and set(file.columns) != set(first.columns):
        odd = next(iter(set(file.columns) ^ set(first.columns)))
        one, other = (file, first) if odd in file.columns else (first, file)
        raise _mismatch(one, f"has the column '{odd}', which '{other.source.name}' has not", odd, "load them apart")


def _mismatch(file: _File, what: str, column: str, hint: str | None = None) -> SchemaMismatchError:
    return SchemaMismatchError(f"'{file.source.name}' {what}", hint=hint, file=file.source.name, column=column)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


def _common_schema(files: Sequence[_File], settled_types: Mapping[str, pa.DataType], expected: Expected) -> pa.Schema:
    kinds: dict[str, pa.DataType] = {}
    for file in files:
        for name in file.columns if expected.only is None else expected.only:
            own = None if file.source.format == "jsonl" and name in settled_types else file.types.get(name)
            kind = settled(_plain(own or settled_types[name]))
            if kinds.setdefault(name, kind) != kind:
                message = f"has the column '{name}' as {type_name(kind)}, an earlier file as {type_name(kinds[name])}"
                raise _mismatch(file, message, name, f"say --type {name}=TYPE for text files, or load them apart")
    return pa.schema(list(kinds.items()))


def _batches(file: _File, schema: pa.Schema, expected: Expected, advance: Advance) -> Iterator[pa.RecordBatch]:
    if file.csv:
        yield from read_csv(file.csv, schema, advance)
    elif file.source.format == "jsonl":
        yield from read_jsonl(file.source, schema, remedy=expected.remedy, advance=advance)
    else:
        yield from read_arrow(file.source, schema, advance)


def guarded(
    reader: pa.RecordBatchReader, failures: list[TableverError], all_read: Callable[[], None]
) -> pa.RecordBatchReader:
    """The same stream; an error of ours goes into ``failures`` too, since Arrow's C interface keeps only its text.

    ``all_read`` is called at its end.
    """

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except TableverError as error:
            failures.append(error)
            raise
        all_read()

    return pa.RecordBatchReader.from_batches(reader.schema, batches())
