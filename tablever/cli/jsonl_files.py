"""JSON Lines in: one object a line. A line that does not parse or fit is an error with its number.

Arrow's parser reads what it can of a chunk of lines; a chunk that it refuses is read again by Python's, value by
value, which either knows better (maps, decimals in lists) or says which line is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json

from tablever.arrow_json import Misfit, fit, type_name
from tablever.cli.inputs import Source, open_bytes
from tablever.cli.progress import Advance, ignore
from tablever.cli.text_types import BadTextError, parse_text
from tablever.errors import InvalidInputError

_NULL_ROW = re.compile(rb"}\s*null")  # or a text that holds this: a null for a row ends the process in pyarrow 26
_CHUNK = 8 << 20


@dataclass(frozen=True)
class _Chunk:
    """Whole lines, and the number of the first."""

    data: bytes
    line: int

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The lines that are not blank, with their numbers."""
        for offset, line in enumerate(self.data.split(b"\n")):
            if line and not line.isspace():
                yield self.line + offset, line


def _chunks(source: Source, advance: Advance) -> Iterator[_Chunk]:
    with open_bytes(source, advance) as file:
        line = 1
        while data := file.read(_CHUNK):
            data += file.readline()
            if line == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")
            yield _Chunk(data, line)
            line += data.count(b"\n")


def guess_fields(source: Source, known: Mapping[str, pa.DataType], advance: Advance = ignore) -> dict[str, pa.DataType]:
    """The type of each key, over all lines, in the order of their first use; as in ``known`` where it is there.

    Whole numbers beside fractions are float64; strings stay strings; a key that is always null is a string.
    """
    found: dict[str, pa.DataType] = {}
    for chunk in _chunks(source, advance):
        for name, kind, line in _kinds(source, chunk, known):
            if name in known:
                found[name] = known[name]
            else:
                merged = _merge(found.get(name, pa.null()), kind)
                if merged is None:
                    raise _mixed(source, line, name, found[name], kind)
                found[name] = merged
    return found


def settled(kind: pa.DataType) -> pa.DataType:
    """The type with string wherever no value was seen."""
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(settled(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(item.name, settled(item.type)) for item in kind])
    return kind


def _kinds(source: Source, chunk: _Chunk, known: Container[str]) -> Iterator[tuple[str, pa.DataType, int]]:
    """(key, type, line) of the chunk: once a key where Arrow can tell, else once a value."""
    parsed = _arrow(chunk, arrow_json.ParseOptions(unexpected_field_behavior="infer"))
    if parsed is not None and not _rounded(parsed):
        yield from ((item.name, _without_times(item.type), chunk.line) for item in parsed.schema)
        return
    for line, row in _objects(source, chunk):
        for name, value in row.items():
            kind = _kind_of(value)
            if kind is None and name not in known:
                message = f"'{source.name}', line {line}, '{name}': a list of mixed types, or a number beyond 64 bits"
                raise InvalidInputError(message, hint=f"say --type {name}=TYPE", file=source.name, line=line)
            yield name, kind or pa.null(), line


def _rounded(table: pa.Table) -> bool:
    """Whether Arrow may have read a whole number as a float that is not equal to it."""
    floats = [column for column in table.columns if pa.types.is_float64(column.type)]
    return any(pc.any(pc.greater_equal(pc.abs(column), 2.0**53)).as_py() for column in floats)


def _without_times(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_times(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(item.name, _without_times(item.type)) for item in kind])
    return kind


def _kind_of(value: Any) -> pa.DataType | None:
    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        return pa.int64() if -(1 << 63) <= value < 1 << 63 else None
    if isinstance(value, float | Decimal):
        return pa.float64()
    if isinstance(value, str):
        return pa.string()
    if isinstance(value, list):
        merged: pa.DataType | None = pa.null()
        for item in value:
            kind = _kind_of(item)
            merged = _merge(merged, kind) if merged is not None and kind is not None else None
        return None if merged is None else pa.list_(merged)
    kinds = {name: _kind_of(item) for name, item in value.items()}
    return None if None in kinds.values() else pa.struct([pa.field(name, kind) for name, kind in kinds.items()])


def _merge(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """The type that holds both, None where there is none."""
    if left == right or pa.types.is_null(right):
        return left
    if pa.types.is_null(left):
        return right
    if {left, right} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pa.types.is_list(left) and pa.types.is_list(right):
        item = _merge(left.value_type, right.value_type)
        return None if item is None else pa.list_(item)
    if pa.types.is_struct(left) and pa.types.is_struct(right):
        kinds = {item.name: item.type for item in left}
        for item in right:
            merged = _merge(kinds.get(item.name, pa.null()), item.type)
            if merged is None:
                return None
            kinds[item.name] = merged
        return pa.struct([pa.field(name, kind) for name, kind in kinds.items()])
    return None


def _mixed(source: Source, line: int, name: str, earlier: pa.DataType, kind: pa.DataType) -> InvalidInputError:
    return InvalidInputError(
        f"'{source.name}', from line {line}, '{name}': {type_name(kind)} where earlier lines have {type_name(earlier)}",
        hint="give the key one type in all lines",
        file=source.name,
        line=line,
        column=name,
    )


def read_jsonl(
    source: Source, schema: pa.Schema, *, remedy: str | None, advance: Advance = ignore
) -> Iterator[pa.RecordBatch]:
    """The file's rows in the columns and types of ``schema``; an absent key is null.

    Args:
        source: the file.
        schema: the columns to read.
        remedy: what to do about a key outside ``schema``, which is an error; None where it is passed over.
        advance: told the bytes read.
    """
    as_json = pa.schema([pa.field(item.name, _as_json(item.type)) for item in schema])
    possible = pa.null() not in as_json.types
    for chunk in _chunks(source, advance):
        quick = _quick(chunk, schema, as_json, "ignore" if remedy is None else "error") if possible else None
        yield from quick if quick is not None else _exact(source, chunk, schema, remedy)


def _as_json(kind: pa.DataType) -> pa.DataType:
    """What Arrow's parser reads strictly for a top-level column: the type itself, or string to be parsed; else null."""
    if _plain(kind):
        return kind
    scalar = pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_binary(kind)
    return pa.string() if scalar or pa.types.is_decimal(kind) else pa.null()


def _plain(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _plain(kind.value_type)
    if pa.types.is_struct(kind):
        return all(_plain(item.type) for item in kind)
    return kind in (pa.string(), pa.int64(), pa.int32(), pa.int16(), pa.int8(), pa.float64(), pa.bool_())


def _arrow(chunk: _Chunk, options: arrow_json.ParseOptions) -> pa.Table | None:
    """The chunk as Arrow's parser reads it; None where it refuses, or does not see one object a line."""
    rows = sum(1 for _ in chunk.lines())
    if rows == 0:
        return pa.table({})
    if not chunk.data.lstrip().startswith(b"{") or _NULL_ROW.search(chunk.data):
        return None
    read = arrow_json.ReadOptions(use_threads=False, block_size=len(chunk.data) + 1)
    try:
        table = arrow_json.read_json(pa.BufferReader(chunk.data), read_options=read, parse_options=options)
        table.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError):
        return None
    return table if table.num_rows == rows else None


def _quick(chunk: _Chunk, schema: pa.Schema, as_json: pa.Schema, others: str) -> list[pa.RecordBatch] | None:
    options = arrow_json.ParseOptions(explicit_schema=as_json, unexpected_field_behavior=others)
    table = _arrow(chunk, options)
    if table is None:
        return None
    batches = []
    for batch in table.to_batches():
        try:
            arrays = [
                column if column.type == item.type else parse_text(column, item.type)
                for column, item in zip(batch.columns, schema, strict=True)
            ]
        except BadTextError:
            return None
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return batches


def _exact(source: Source, chunk: _Chunk, schema: pa.Schema, remedy: str | None) -> Iterator[pa.RecordBatch]:
    columns: list[list[Any]] = [[] for _ in schema]
    for line, row in _objects(source, chunk):
        unknown = [] if remedy is None else [name for name in row if name not in schema.names]
        if unknown:
            raise InvalidInputError(
                f"'{source.name}', line {line}, has the key '{unknown[0]}'; the columns are {', '.join(schema.names)}",
                hint=remedy,
                file=source.name,
                line=line,
                column=unknown[0],
            )
        for values, item in zip(columns, schema, strict=True):
            try:
                values.append(fit(row.get(item.name), item.type, item.name))
            except Misfit as misfit:
                raise InvalidInputError(
                    f"'{source.name}', line {line}, {misfit}",
                    hint="correct the value: its type is the table's, or the one given with --type",
                    file=source.name,
                    line=line,
                    column=item.name,
                ) from None
    arrays = [pa.array(values, item.type) for values, item in zip(columns, schema, strict=True)]
    yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _objects(source: Source, chunk: _Chunk) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of each line that is not blank, numbers with a fraction as Decimal."""
    for line, data in chunk.lines():
        try:
            value = json.loads(data.decode("utf-8"), parse_float=Decimal, object_pairs_hook=_no_key_twice)
        except UnicodeDecodeError as error:
            hint = f"convert it first: iconv -f ISO-8859-1 -t UTF-8 '{source.name}'"
            raise _bad_line(source, line, f"is not UTF-8 ({error.reason})", hint) from None
        except ValueError as error:
            raise _bad_line(source, line, f"is not JSON: {error}", "one object a line, and nothing between") from None
        if not isinstance(value, dict):
            raise _bad_line(source, line, "is not an object", 'a row looks like {"column": value, …}, on one line')
        yield line, value


def _bad_line(source: Source, line: int, what: str, hint: str) -> InvalidInputError:
    return InvalidInputError(f"'{source.name}', line {line}, {what}", hint=hint, file=source.name, line=line)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(name for name in names if names.count(name) > 1)}' stands twice")
    return row
