"""Partition values: text in the log, typed in a table, escaped in a path.

Source: Delta protocol, "Partition Value Serialization". An empty text means null for every type, so an empty string
in a partition column cannot be stored and is refused on the way in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tablever.errors import CorruptionError, InvalidInputError, SchemaMismatchError

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
# What Hive and Spark escape in the names of partition folders.
HIVE_ESCAPED = frozenset([*map(chr, range(1, 32)), *"\x7f\"#%'*/:=?\\{[]^"])
LONGEST_NAME = 255
# deltalake up to 1.6.6 prints the quotient and the remainder by 10**scale, each with its sign: "0.-1" for -0.01,
# "-1.-50" for -1.50. No other value gives these, and it cannot read them itself.
_DELTALAKE_BELOW_ZERO = re.compile(r"-?(?P<whole>\d+)\.0*-(?P<fraction>\d+)", re.ASCII)


def parse(texts: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    """The typed values of partition texts, in their order.

    Raises:
        CorruptionError: a text is not a value of that type.
    """
    values = pa.array([text or None for text in texts], pa.string())
    if pa.types.is_string(kind):
        return values
    if pa.types.is_binary(kind):
        return values.cast(pa.binary())
    try:
        if pa.types.is_timestamp(kind):
            return _parse_timestamps(values, kind)
        if pa.types.is_decimal(kind):
            return pa.array([None if v is None else _decimal(v, kind.scale) for v in values.to_pylist()], kind)
        return values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ArithmeticError) as error:
        raise CorruptionError(f"a partition value in the log is not a {kind}: {error}") from error


def _decimal(text: str, scale: int) -> object:
    from decimal import Decimal, InvalidOperation

    try:
        if (halves := _DELTALAKE_BELOW_ZERO.fullmatch(text)) and len(halves["fraction"]) <= scale:
            return Decimal(f"-{halves['whole']}.{halves['fraction']:0>{scale}}")
        return Decimal(text)
    except InvalidOperation:
        raise ArithmeticError(f"'{text}'") from None


def _parse_timestamps(values: pa.Array, kind: pa.DataType) -> pa.Array:
    zoned = pc.match_substring_regex(values, r"(Z|[+-]\d\d:?\d\d)$")
    naive = pc.if_else(zoned, None, values).cast(pa.timestamp("us")).cast(pa.int64())
    aware = pc.if_else(zoned, values, None).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return pc.coalesce(naive, aware).cast(kind)


def render(values: pa.Array, column: str) -> list[str | None]:
    """The log's text of typed values, in their order.

    Raises:
        InvalidInputError: an empty string (Delta reads it back as null).
        SchemaMismatchError: a type that cannot partition a table; of binary, readers read the texts differently.
    """
    kind = values.type
    if pa.types.is_boolean(kind):
        return [None if v is None else str(v).lower() for v in values.to_pylist()]
    if pa.types.is_string(kind):
        texts = values.to_pylist()
        unfit = next((text for text in texts if text is not None and (text == HIVE_NULL or "\0" in text)), None)
        if unfit is not None:
            raise InvalidInputError(
                f"partition column '{column}' holds {unfit!r}, which other readers take for something else",
                hint="replace it with null or with a word of its own before writing",
                column=column,
            )
        if "" in texts:
            raise InvalidInputError(
                f"partition column '{column}' holds an empty string: Delta stores it as null",
                hint="replace it with null or with a word of its own before writing",
                column=column,
            )
        return list(texts)
    if pa.types.is_timestamp(kind):
        # A text without a zone is read in the session's zone by Spark; with one it is an instant everywhere.
        form = "%Y-%m-%dT%H:%M:%SZ" if kind.tz else "%Y-%m-%d %H:%M:%S"
        return list(pc.strftime(values.cast(pa.timestamp("us")), form).to_pylist())
    if pa.types.is_integer(kind) or pa.types.is_date(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        return [None if v is None else _plain(v) for v in values.to_pylist()]
    raise SchemaMismatchError(
        f"column '{column}' of type {kind} cannot partition a table",
        hint="partition by a string, an integer, a boolean, a date, a timestamp or a decimal",
        column=column,
    )


def _plain(value: object) -> str:
    from decimal import Decimal

    return format(value, "f") if isinstance(value, Decimal) else str(value)


def folder(values: Mapping[str, str | None]) -> str:
    """The Hive-style folder of a partition, ending in a slash; empty for an unpartitioned table.

    The log has the values; but Polars takes them from the folders, so these must tell them too.

    Raises:
        InvalidInputError: a value too long for a folder's name.
    """
    parts = [f"{_escaped(name)}={HIVE_NULL if text is None else _escaped(text)}" for name, text in values.items()]
    for part in parts:
        if len(part.encode()) > LONGEST_NAME:
            raise InvalidInputError(
                f"a partition value is too long for a folder's name: '{part[:60]}…' has {len(part.encode())} bytes",
                hint=f"partition by a column whose values fit in {LONGEST_NAME} bytes",
            )
    return "".join(part + "/" for part in parts)


def _escaped(text: str) -> str:
    return "".join(f"%{ord(c):02X}" if c in HIVE_ESCAPED else c for c in text)
