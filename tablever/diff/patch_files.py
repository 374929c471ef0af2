"""A patch as a file: one Parquet file that any tool can look at.

The rows are those of ``table_diff``, in their columns; the footer says under ``tablever.patch`` what they are:

    format          "tablever.patch/v1"
    table           the name of the table that was compared
    base, target    number, commit_hash and content_hash (null where none is recorded) of the versions; null: none
    key             the key's columns in order
    before, after   the Delta schemas of both sides; null: no table
    counts          rows added, removed, updated
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tablever import strict_json
from tablever.datafiles import CHANGE_TYPE
from tablever.errors import CorruptionError, InvalidInputError, NotFoundError, UnsupportedFeatureError
from tablever.fitting import normalise
from tablever.frames import to_frame
from tablever.layout import nullable
from tablever.schema import delta_to_arrow
from tablever.storage import whole_file
from tablever.texts import listed

FOOTER = "tablever.patch"
FORMAT = "tablever.patch/v1"
_WENT, _CAME = ("delete", "update_preimage"), ("insert", "update_postimage")


@dataclass(frozen=True)
class Patch:
    """Changes as a file has them.

    Attributes:
        table: the name of the table that was compared.
        before_schema, after_schema: the columns of both sides; None where there was no table.
        key: the key's columns in order; empty for rows without one.
        base, target: ``number``, ``commit_hash`` and ``content_hash`` of the versions compared; None: no version.
        counts: rows ``added``, ``removed`` and ``updated``.
        rows: the columns of the after side, then those only the before side has, then ``_change_type``: insert,
            delete, update_preimage, update_postimage; the images of a row one after the other.
    """

    table: str
    before_schema: pa.Schema | None
    after_schema: pa.Schema | None
    key: tuple[str, ...]
    base: Mapping[str, Any] | None
    target: Mapping[str, Any] | None
    counts: Mapping[str, int]
    rows: pa.Table

    @property
    def went(self) -> pa.Table:
        """The rows that a table must have and loses, in the before side's columns; nothing cast with a loss."""
        return _of_kind(self.rows, _WENT, self.before_schema)

    @property
    def came(self) -> pa.Table:
        """The rows that it gets, in the after side's columns."""
        return _of_kind(self.rows, _CAME, self.after_schema)


def _of_kind(rows: pa.Table, kinds: tuple[str, ...], columns: pa.Schema | None) -> pa.Table:
    columns = pa.schema([]) if columns is None else columns
    chosen = rows.filter(pc.is_in(rows.column(CHANGE_TYPE), pa.array(kinds))).select(columns.names)
    return normalise(chosen, nullable(columns)) if columns.names else chosen


def save(
    file: str | os.PathLike[str], schema: pa.Schema, batches: Iterable[pa.RecordBatch], footer: Mapping[str, Any]
) -> None:
    """Write change rows and what they are; the file takes its name when it is whole.

    Raises:
        StorageError: it is a folder, it lies in none, or the disk refuses.
    """
    with whole_file(file) as out:
        writer = pq.ParquetWriter(pa.PythonFile(out, "w"), schema, compression="zstd", write_page_checksum=True)
        with writer:
            for batch in batches:
                writer.write_batch(batch)
            writer.add_key_value_metadata({FOOTER: json.dumps({"format": FORMAT, **footer}, ensure_ascii=False)})


def read_patch(file: str | os.PathLike[str]) -> Patch:
    """Read a patch, and check that it is one.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it is no patch, or damaged.
        UnsupportedFeatureError: it is of a later format.
    """
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            footer = _footer(parquet, os.fspath(file))
            rows = parquet.read()
    except FileNotFoundError as error:
        hint = f"the current folder is {Path.cwd()}"
        raise NotFoundError(f"there is no file '{os.fspath(file)}'", hint=hint, file=os.fspath(file)) from error
    except MemoryError:
        raise
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # a column's name may be no text
        raise no_patch(file, f"it cannot be read as Parquet: {error}") from error
    try:
        patch = _from_footer(footer, rows)
    except (KeyError, TypeError, ValueError, AttributeError, CorruptionError) as error:
        raise no_patch(file, f"its footer does not say what it should: {error!r}") from error
    _check_rows(patch, file)
    return patch


def _footer(parquet: pq.ParquetFile, file: str) -> Mapping[str, Any]:
    text = (parquet.metadata.metadata or {}).get(FOOTER.encode())
    if text is None:
        raise no_patch(file, f"its footer has no '{FOOTER}'")
    try:
        footer = strict_json.loads(text)
        found = footer["format"]
    except (KeyError, TypeError, ValueError) as error:
        raise no_patch(file, f"its footer does not say what it should: {error!r}") from error
    if found != FORMAT:
        raise UnsupportedFeatureError(
            f"'{file}' is a patch of the format {found!r}; this version of tablever reads {FORMAT}",
            hint="apply it with the version that wrote it, or a later one",
            feature=str(found),
        )
    return dict(footer)


def no_patch(file: str | os.PathLike[str], why: str) -> InvalidInputError:
    """The error for a file that is no patch."""
    return InvalidInputError(
        f"'{os.fspath(file)}' is no patch: {why}",
        hint="tablever diff TABLE A B --patch FILE writes one",
        file=os.fspath(file),
    )


def _from_footer(footer: Mapping[str, Any], rows: pa.Table) -> Patch:
    before, after = (None if footer[n] is None else delta_to_arrow(json.dumps(footer[n])) for n in ("before", "after"))
    versions = [None if footer[n] is None else dict(footer[n]) for n in ("base", "target")]
    counts = {name: footer["counts"][name] for name in ("added", "removed", "updated")}
    if not all(type(number) is int for number in counts.values()):
        raise TypeError(f"counts {counts}")
    key = tuple(map(str, footer["key"]))
    return Patch(str(footer["table"]), before, after, key, versions[0], versions[1], counts, rows)


def _check_rows(patch: Patch, file: str | os.PathLike[str]) -> None:
    """Refuse rows that are not what the footer says."""
    left, right = (pa.schema([]) if s is None else s for s in (patch.before_schema, patch.after_schema))
    wanted = {*left.names, *right.names, CHANGE_TYPE}
    if set(patch.rows.column_names) != wanted or len(wanted) != patch.rows.num_columns:
        raise no_patch(file, f"its columns are {listed(patch.rows.column_names)}, not {listed(sorted(wanted))}")
    kinds = set(patch.rows.column(CHANGE_TYPE).unique().to_pylist())
    strange = kinds - {*_WENT, *_CAME}
    if strange:
        raise no_patch(file, f"{CHANGE_TYPE} holds {listed(sorted(map(str, strange)))}")
    if not set(patch.key) <= set(left.names) | set(right.names):
        raise no_patch(file, f"its key {listed(patch.key)} is not among its columns")
    _check_counts(patch, file)


def _check_counts(patch: Patch, file: str | os.PathLike[str]) -> None:
    """Refuse rows that are not all there: a patch that lost its inserts would still delete."""
    kinds = patch.rows.column(CHANGE_TYPE)
    found = {str(each["values"]): each["counts"] for each in pc.value_counts(kinds).to_pylist()}
    added, removed, updated = (patch.counts[name] for name in ("added", "removed", "updated"))
    wanted = {"insert": added, "delete": removed, "update_preimage": updated, "update_postimage": updated}
    for kind, number in wanted.items():
        there = found.get(kind, 0)
        if there != number:
            raise no_patch(file, f"its footer counts {number:,} rows of the kind {kind}, it has {there:,}")
    if patch.key:
        images = (patch.rows.filter(pc.equal(kinds, kind)) for kind in ("update_preimage", "update_postimage"))
        went, came = (to_frame(rows.select(patch.key)).sort(patch.key) for rows in images)
        if not went.equals(came):
            raise no_patch(file, f"the images of its updates are not of the same keys ({listed(patch.key)})")
