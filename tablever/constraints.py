"""CHECK constraints and column invariants: Spark SQL, evaluated by DuckDB.

sqlglot parses the Spark SQL. Only what is known to mean the same in both is translated, node by node and with the
types of both sides in view; everything else is refused by name, and with it the write. A constraint holds where it
is true: false and NULL break it (Delta protocol, "CHECK Constraints").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tablever import engine, strict_json
from tablever.errors import ConstraintError, QueryError, UnsupportedFeatureError
from tablever.layout import table_schema
from tablever.model import Metadata

if TYPE_CHECKING:
    from sqlglot import exp

SHOWN_ROWS = 5
LONGEST = 100_000  # characters of a constraint
LONGEST_SQL = 2 * LONGEST  # of what stands for it: lists and ranges say their value again for each test


@dataclass(frozen=True)
class Translated:
    """A part of a constraint in DuckDB's SQL, what kind of value it gives, and of an integer how many bits."""

    sql: str
    kind: str
    constant: str | None = None
    bits: int = 0


class _UntranslatableError(Exception):
    """What in a constraint is not known to mean the same in DuckDB."""


def check_rows(rows: pa.Table, metadata: Metadata) -> None:
    """Make sure that rows satisfy every CHECK constraint and column invariant of a table.

    Args:
        rows: in the table's columns and canonical types.
        metadata: the table's settings.

    Raises:
        ConstraintError: rows for which a constraint is not true; facts ``constraint``, ``expression``, ``count`` and
            up to five ``rows``.
        UnsupportedFeatureError: a constraint that cannot be evaluated as Spark would.
    """
    for name, text in constraints_of(metadata).items():
        sql = translate(name, text, table_schema(metadata))
        if not rows.num_rows:
            continue
        try:
            holds = engine.evaluate(rows, {"holds": sql}).column(0)
        except QueryError as error:
            raise _unsupported(name, text, str(error)) from error
        broken = pc.invert(pc.fill_null(holds.cast(pa.bool_()), False))
        number = pc.sum(broken).as_py() or 0
        if number:
            shown = rows.filter(broken).slice(0, SHOWN_ROWS).to_pylist()
            raise ConstraintError(
                f"constraint '{name}' ({text}) is not true for {number} of {rows.num_rows} rows: {shown}",
                hint="correct the rows; a NULL does not satisfy a CHECK",
                constraint=name,
                expression=text,
                count=number,
                rows=shown,
            )


def constraints_of(metadata: Metadata) -> dict[str, str]:
    """Every constraint by name: the table's CHECKs, then the invariants of columns, named after their column."""
    found = dict(metadata.constraints)
    for field in strict_json.loads(metadata.schema_string)["fields"]:
        text = (field.get("metadata") or {}).get("delta.invariants")
        if text is not None:
            found[f"invariant of {field['name']}"] = _invariant(field["name"], text)
    return found


def _invariant(column: str, text: str) -> str:
    try:
        return str(strict_json.loads(text)["expression"]["expression"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unsupported(f"invariant of {column}", str(text), "it is not written as Delta has it") from error


@lru_cache(maxsize=256)
def translate(name: str, text: str, schema: pa.Schema) -> str:
    """A constraint as a DuckDB expression over a table's columns.

    Raises:
        UnsupportedFeatureError: it does not parse, or holds something not known to mean the same in DuckDB.
        QueryError: it is not valid Unicode.
    """
    import sqlglot
    from sqlglot.errors import SqlglotError

    engine.refuse_surrogates(text, f"constraint '{name}'")
    if "\\" in text:
        raise _unsupported(name, text, "backslashes in texts")
    if len(text) > LONGEST:
        raise _unsupported(name, f"{text[:60]}…", f"it has {len(text):,} characters")
    try:
        parsed = sqlglot.parse(text, read="spark")
    except SqlglotError as error:
        raise _unsupported(name, text, "it does not parse") from error
    except RecursionError as error:
        raise _unsupported(name, f"{text[:60]}…", "it is nested too deeply") from error
    if len(parsed) != 1 or parsed[0] is None:
        raise _unsupported(name, text, "it is not one expression")
    try:
        result = _Translator(schema).translate(parsed[0])
    except _UntranslatableError as error:
        raise _unsupported(name, text, str(error)) from error
    except RecursionError as error:
        raise _unsupported(name, f"{text[:60]}…", "it is nested too deeply") from error
    if result.kind != "boolean":
        raise _unsupported(name, text, f"it is a {result.kind}, not true or false")
    return result.sql


def _unsupported(name: str, text: str, why: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        f"cannot check constraint '{name}' ({text}): {why}",
        hint="write with Spark, or drop the constraint there and add it in simpler words",
        feature="checkConstraints",
        constraint=name,
        expression=text,
    )


def _kind(kind: pa.DataType) -> str:
    tests: list[tuple[Callable[[pa.DataType], bool], str]] = [
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_integer, "integer"),
        (pa.types.is_decimal, "decimal"),
        (pa.types.is_float32, "single"),
        (pa.types.is_floating, "double"),
        (pa.types.is_string, "string"),
        (pa.types.is_binary, "binary"),
        (pa.types.is_date, "date"),
        (pa.types.is_timestamp, "timestamp"),
    ]
    return next((word for test, word in tests if test(kind)), str(kind))


# Up to here every integer is a single of the same value.
_EXACT_SINGLES = 2**24
_NUMBERS = frozenset({"integer", "decimal", "single", "double"})
_COMPARED = frozenset({"boolean", "string", "binary", "date", "timestamp", "zoned timestamp"})
_COMPARISONS = {
    "EQ": "=",
    "NEQ": "<>",
    "LT": "<",
    "LTE": "<=",
    "GT": ">",
    "GTE": ">=",
    "NullSafeEQ": "IS NOT DISTINCT FROM",
}
# Spark and sqlglot do not agree which of two of these binds first.
_CONDITIONS = frozenset({*_COMPARISONS, "Not", "Is", "In", "Between", "Like"})
_ARITHMETIC = {"Add": "+", "Sub": "-", "Mul": "*"}
# What is read of each node, and so all that it may say.
_SAID = {
    **dict.fromkeys((*_COMPARISONS, *_ARITHMETIC, "And", "Or", "Is"), ("this", "expression")),
    **dict.fromkeys(("Paren", "Not", "Neg", "Length", "Boolean", "Null"), ("this",)),
    "In": ("this", "expressions"),
    "Between": ("this", "low", "high"),
    "Like": ("this", "expression", "negate"),
    "Column": ("this", "table"),
    "Literal": ("this", "is_string"),
    "Cast": ("this", "to"),
}
_INTEGERS = {8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class _Translator:
    """Renders the nodes it knows; raises _UntranslatableError for the first one it does not."""

    def __init__(self, schema: pa.Schema) -> None:
        self._columns: Mapping[str, pa.Field] = {field.name.lower(): field for field in schema}

    def translate(self, node: exp.Expr) -> Translated:
        part = self._translate(node)
        _refuse_long(len(part.sql))  # at every node: a few nested ranges multiply to gigabytes
        return part

    def _translate(self, node: exp.Expr) -> Translated:
        name = type(node).__name__
        if name not in _SAID:
            raise _UntranslatableError(f"'{node.sql('spark')}' ({name}) is not translated")
        unread = [said for said, value in node.args.items() if value and said not in _SAID[name]]
        if unread:
            raise _UntranslatableError(f"'{node.sql('spark')}' ({name}, {unread[0]}) is not translated")
        if name in _COMPARISONS:
            _refuse_conditions(node.this, node.expression)
            return self._compare(_COMPARISONS[name], self.translate(node.this), self.translate(node.expression))
        if name in _ARITHMETIC:
            return self._calculate(_ARITHMETIC[name], self.translate(node.this), self.translate(node.expression))
        if name in ("And", "Or"):
            left, right = self._boolean(node.this), self._boolean(node.expression)
            return Translated(f"({left} {name.upper()} {right})", "boolean")
        known: Mapping[str, Callable[[Any], Translated]] = {
            "Paren": self._paren,
            "Not": self._not,
            "Is": self._is,
            "In": self._in,
            "Between": self._between,
            "Like": self._like,
            "Length": self._length,
            "Neg": self._neg,
            "Column": self._column,
            "Literal": self._literal,
            "Boolean": self._truth,
            "Null": self._null,
            "Cast": self._cast,
        }
        return known[name](node)

    def _boolean(self, node: exp.Expr) -> str:
        part = self.translate(node)
        if part.kind not in ("boolean", "null"):
            raise _UntranslatableError(f"'{node.sql('spark')}' is a {part.kind}, not true or false")
        return part.sql

    def _compare(self, operator: str, left: Translated, right: Translated) -> Translated:
        left, right = _as_time(left, right.kind), _as_time(right, left.kind)
        kinds = {left.kind, right.kind} - {"null"}
        if not (kinds <= _NUMBERS or (len(kinds) == 1 and kinds <= _COMPARED)):
            raise _UntranslatableError(f"a {left.kind} is compared with a {right.kind}")
        if kinds == {"single", "integer"} and not all(part.kind == "single" or _small(part) for part in (left, right)):
            raise _UntranslatableError("a single is compared with an integer that no single may equal")
        if kinds & {"single", "double"}:
            # Spark compares a single with a decimal constant as doubles, DuckDB as singles.
            left, right = _as_double(left), _as_double(right)
        return Translated(f"({left.sql} {operator} {right.sql})", "boolean")

    def _calculate(self, operator: str, left: Translated, right: Translated) -> Translated:
        if (left.kind, right.kind) == ("integer", "integer"):
            return _integer_result(operator, left, right)
        if (left.kind, right.kind) == ("double", "double"):
            return Translated(f"({left.sql} {operator} {right.sql})", "double")
        raise _UntranslatableError(f"a {left.kind} {operator} a {right.kind} has another precision in DuckDB")

    def _paren(self, node: exp.Paren) -> Translated:
        return self.translate(node.this)

    def _not(self, node: exp.Not) -> Translated:
        return Translated(f"(NOT {self._boolean(node.this)})", "boolean")

    def _is(self, node: exp.Is) -> Translated:
        part, what = self.translate(node.this), type(node.expression).__name__
        if what == "Null":
            return Translated(f"({part.sql} IS NULL)", "boolean")
        if what == "Boolean" and part.kind == "boolean":
            return Translated(f"({part.sql} IS {str(node.expression.this).upper()})", "boolean")
        raise _UntranslatableError(f"'{node.sql('spark')}' is not translated")

    def _in(self, node: exp.In) -> Translated:
        items = node.expressions
        if not items:
            raise _UntranslatableError(f"'{node.sql('spark')}' is not a list of values")
        value = self.translate(node.this)
        tests, length = [], 0
        for item in items:
            tests.append(self._compare("=", value, self.translate(item)).sql)
            length += len(tests[-1])
            _refuse_long(length)
        return Translated(f"({' OR '.join(tests)})", "boolean")

    def _between(self, node: exp.Between) -> Translated:
        value = self.translate(node.this)
        low = self._compare(">=", value, self.translate(node.args["low"]))
        high = self._compare("<=", value, self.translate(node.args["high"]))
        return Translated(f"({low.sql} AND {high.sql})", "boolean")

    def _like(self, node: exp.Like) -> Translated:
        value, pattern = self.translate(node.this), self.translate(node.expression)
        if (value.kind, pattern.kind) != ("string", "string") or pattern.constant is None:
            raise _UntranslatableError(f"'{node.sql('spark')}' is not a text LIKE a constant")
        operator = "NOT LIKE" if node.args.get("negate") else "LIKE"
        return Translated(f"({value.sql} {operator} {pattern.sql})", "boolean")

    def _length(self, node: exp.Length) -> Translated:
        value = self.translate(node.this)
        if value.kind != "string":
            raise _UntranslatableError(f"length of a {value.kind}")
        return Translated(f"length({value.sql})", "integer", bits=32)

    def _neg(self, node: exp.Neg) -> Translated:
        value = self.translate(node.this)
        if value.kind not in _NUMBERS:
            raise _UntranslatableError(f"minus a {value.kind}")
        if value.constant is None and value.kind == "integer":
            return _integer_result("-", Translated("0", "integer", "0", 8), value)
        constant = None if value.constant is None else f"-{value.constant}".removeprefix("--")
        return Translated(f"(-{value.sql})", value.kind, constant, value.bits)

    def _column(self, node: exp.Column) -> Translated:
        if node.args.get("table") is not None:
            raise _UntranslatableError(f"'{node.sql('spark')}' is a nested field")
        field = self._columns.get(node.name.lower())
        if field is None:
            raise _UntranslatableError(f"the table has no column '{node.name}'")
        name = engine.identifier(field.name)
        kind = _kind(field.type)
        if kind == "timestamp" and field.type.tz:
            kind = "zoned timestamp"
        return Translated(name, kind, bits=field.type.bit_width if kind == "integer" else 0)

    def _literal(self, node: exp.Literal) -> Translated:
        text = str(node.this)
        if node.is_string:
            return Translated(engine.literal(text), "string", text)
        if re.fullmatch(r"\d+", text):
            if int(text) >= 2**63:
                raise _UntranslatableError(f"the number {text} is not translated")
            return Translated(text, "integer", text, 32 if int(text) < 2**31 else 64)
        if re.fullmatch(r"\d*\.\d+|\d+\.", text):
            return Translated(text, "decimal", text)
        if re.fullmatch(r"(\d+\.?\d*|\.\d+)[eE][+-]?\d+", text):
            return Translated(f"CAST({text} AS DOUBLE)", "double", text)
        raise _UntranslatableError(f"the number {text} is not translated")

    def _truth(self, node: exp.Boolean) -> Translated:
        return Translated("true" if node.this else "false", "boolean")

    def _null(self, _: exp.Null) -> Translated:
        return Translated("NULL", "null")

    def _cast(self, node: exp.Cast) -> Translated:
        value, target = self.translate(node.this), node.to.sql("spark").upper()
        if target == "DATE" and value.kind == "string" and value.constant is not None:
            return _as_time(value, "date")
        raise _UntranslatableError(f"'{node.sql('spark')}' is not translated")


def _refuse_conditions(*operands: exp.Expr) -> None:
    """Refuse a condition that is compared without parentheses: Spark may have bound it to something else."""
    for operand in operands:
        if type(operand).__name__ in _CONDITIONS:
            raise _UntranslatableError(f"'{operand.sql('spark')}' is compared: it must stand in parentheses")


def _as_time(value: Translated, kind: str) -> Translated:
    """A constant text beside a date, as a date: the only form that reads the same everywhere."""
    if kind == "date" and value.kind == "string" and value.constant is not None:
        if not _DATE.fullmatch(value.constant):
            raise _UntranslatableError(f"'{value.constant}' is not a date like '2026-11-01'")
        return Translated(f"DATE {engine.literal(value.constant)}", "date")
    return value


def _as_double(value: Translated) -> Translated:
    return value if value.kind == "double" else Translated(f"CAST({value.sql} AS DOUBLE)", "double")


def _small(value: Translated) -> bool:
    return value.constant is not None and abs(int(value.constant)) <= _EXACT_SINGLES


def _integer_result(operator: str, left: Translated, right: Translated) -> Translated:
    """An integer calculation that fails where Spark's would overflow: there Spark fails too, or wraps around."""
    bits = max(left.bits, right.bits)
    # Calculated exactly, then cast: DuckDB turns "id + 1 > 0" on the types themselves into "id > -1", which overflows
    # nowhere. Each operand stands there once, or nested ones would multiply.
    result = f"CAST({left.sql} AS HUGEINT) {operator} CAST({right.sql} AS HUGEINT)"
    return Translated(f"CAST({result} AS {_INTEGERS[bits]})", "integer", bits=bits)


def _refuse_long(length: int) -> None:
    if length > LONGEST_SQL:
        raise _UntranslatableError(f"what stands for it in DuckDB has more than {LONGEST_SQL:,} characters")
