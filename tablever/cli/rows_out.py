"""Rows out: a table on the screen, or CSV, TSV, JSON Lines, Parquet or Arrow, to a file or standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import click
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tablever.arrow_json import column_texts, joined, json_objects
from tablever.cli.output import terminal_width
from tablever.escapes import on_screen
from tablever.storage import whole_file
from tablever.texts import cell, fitted_table

SCREEN_ROWS = 20
Batches = Iterable[pa.RecordBatch]


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object:
        """Take them."""


def print_table(schema: pa.Schema, batches: Batches, limit: int | None, total: int | None) -> None:
    """Up to ``limit`` rows (None: all) on the screen, and how many there are in all.

    Args:
        schema: the rows' columns.
        batches: the rows; no more of them are read than needed.
        limit: the most rows to show.
        total: the number of rows where it is known; else the rest is read and counted.
    """
    rest = iter(batches)
    rows: list[list[str]] = []
    more = 0
    for batch in rest:
        wanted = batch.num_rows if limit is None else min(batch.num_rows, limit - len(rows))
        columns = [column.to_pylist() for column in batch.slice(0, wanted).columns]
        rows += [[cell(value) for value in row] for row in zip(*columns, strict=True)]
        more += batch.num_rows - wanted
        if total is not None and len(rows) == limit:
            break
    there = len(rows) + more if total is None else total
    lines, fitting = fitted_table(schema.names, rows, [_is_number(kind) for kind in schema.types], terminal_width())
    for line in lines:
        click.echo(line)
    shown = "" if len(rows) == there else f"{len(rows):,} of "
    said = f"{shown}{there:,} {'row' if there == 1 else 'rows'}"
    if fitting < len(schema.names):
        said += f"; {fitting} of {len(schema.names)} columns; --format csv shows all"
    click.echo(click.style(f"({said})", dim=True))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def write_rows(schema: pa.Schema, batches: Batches, form: str, output: str | None) -> int:
    """Write all rows in the format to the file, or to standard output; returns their number.

    The file takes its name when it is whole: a write that fails leaves what was there.

    Raises:
        StorageError: the disk refuses.
    """
    writer = _WRITERS[form]
    if output is None or output == "-":
        return writer(schema, batches, _Screen() if sys.stdout.isatty() else sys.stdout.buffer)
    with whole_file(output) as file:
        return writer(schema, batches, file)


class _Screen:
    """Standard output where a terminal watches: text that no cell can steer it with."""

    def write(self, data: bytes) -> None:
        """Lines of text."""
        sys.stdout.write(on_screen(data.decode()))


def _write_delimited(delimiter: str) -> Callable[[pa.Schema, Batches, Sink], int]:
    def write(schema: pa.Schema, batches: Batches, file: Sink) -> int:
        names = pa.array(schema.names, pa.string())
        file.write(delimiter.join(_quoted(names, delimiter).to_pylist()).encode() + b"\n")
        rows = 0
        for batch in batches:
            cells = [_cells(column, delimiter) for column in batch.columns]
            lines = pc.binary_join_element_wise(*cells, delimiter) if len(cells) > 1 else cells[0]
            file.write("".join(f"{line}\n" for line in lines.to_pylist()).encode())
            rows += batch.num_rows
        return rows

    return write


def _cells(column: pa.Array, delimiter: str) -> pa.Array:
    """The column as CSV cells: null is nothing, an empty string is ``""``, quotes only where they are needed."""
    return pc.fill_null(_quoted(column_texts(column), delimiter), "")


def _quoted(texts: pa.Array, delimiter: str) -> pa.Array:
    needed = pc.or_(pc.match_substring_regex(texts, f'["\r\n{delimiter}]'), pc.equal(texts, ""))
    doubled = pc.replace_substring(texts, '"', '""')
    return pc.if_else(needed, pc.binary_join_element_wise('"', doubled, '"', ""), texts)


def _write_jsonl(_schema: pa.Schema, batches: Batches, file: Sink) -> int:
    rows = 0
    for batch in batches:
        file.write("".join(joined(json_objects(batch), "\n").to_pylist()).encode())
        rows += batch.num_rows
    return rows


def _write_parquet(schema: pa.Schema, batches: Batches, file: Sink) -> int:
    return _write_all(pq.ParquetWriter(file, schema, compression="zstd"), batches)


def _write_arrow(schema: pa.Schema, batches: Batches, file: Sink) -> int:
    return _write_all(pa.ipc.new_file(file, schema), batches)


def _write_all(writer: pq.ParquetWriter | pa.RecordBatchWriter, batches: Batches) -> int:
    rows = 0
    with writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


_WRITERS: dict[str, Callable[[pa.Schema, Batches, Sink], int]] = {
    "csv": _write_delimited(","),
    "tsv": _write_delimited("\t"),
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
    "arrow": _write_arrow,
}


def first_rows(batches: Batches, rows: int | None) -> Iterator[pa.RecordBatch]:
    """The first ``rows`` rows (None: all)."""
    left = rows
    for batch in batches:
        if left is None:
            yield batch
            continue
        if left == 0:
            return
        part = batch.slice(0, left)
        left -= part.num_rows
        yield part
