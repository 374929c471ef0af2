"""Constraints hold as Spark means them, or the write is refused by name; none is quietly read another way."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyarrow as pa
import pytest

from tablever import constraints
from tablever.constraints import check_rows, constraints_of, translate
from tablever.errors import ConstraintError, UnsupportedFeatureError
from tablever.model import Metadata
from tablever.schema import arrow_to_delta

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("small", pa.int32()),
        ("price", pa.float64()),
        ("single", pa.float32()),
        ("total", pa.decimal128(10, 2)),
        ("name", pa.string()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
        ("ok", pa.bool_()),
        ("it's", pa.int64()),
        ("s", pa.struct([("f", pa.int64())])),
    ]
)


def metadata(**checks: str) -> Metadata:
    return Metadata(
        "id",
        arrow_to_delta(SCHEMA),
        configuration={f"delta.constraints.{name}": text for name, text in checks.items()},
    )


def row(**values: Any) -> pa.Table:
    return pa.Table.from_pylist([{name: values.get(name) for name in SCHEMA.names}], schema=SCHEMA)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ("id > 0", {"id": 1}, {"id": 0}),
        ("ID > 0 AND `id` < 10", {"id": 1}, {"id": 10}),
        ("`it's` = 1", {"it's": 1}, {"it's": 2}),
        ("price > 0.1", {"price": 0.2}, {"price": 0.1}),
        ("single > 0.1", {"single": 0.1}, {"single": 0.0}),  # the single nearest to 0.1 is above the double
        ("price >= 0", {"price": float("nan")}, {"price": -1.0}),
        ("total <= 1.50", {"total": 1}, {"total": 2}),
        ("id * 2 + small < 10", {"id": 1, "small": 1}, {"id": 5, "small": 0}),
        ("-id < 0", {"id": 1}, {"id": -1}),
        ("name IN ('a', \"b\")", {"name": "b"}, {"name": "B"}),
        ("name NOT IN ('a')", {"name": "b"}, {"name": "a"}),
        ("name LIKE 'a_%'", {"name": "abc"}, {"name": "a"}),
        ("name NOT LIKE 'bad%'", {"name": "fine"}, {"name": "bad2"}),
        ("NOT name LIKE 'bad%'", {"name": "fine"}, {"name": "bad2"}),
        ("name NOT LIKE 'bad%'", {"name": "fine"}, {}),
        ("NOT (name NOT LIKE 'a%')", {"name": "abc"}, {"name": "b"}),
        ("id NOT BETWEEN 1 AND 3", {"id": 4}, {"id": 3}),
        ("length(name) <= 2", {"name": "é😀"}, {"name": "abc"}),
        ("id BETWEEN 1 AND 3", {"id": 3}, {"id": 4}),
        ("day >= '2026-01-01'", {"day": dt.date(2026, 1, 1)}, {"day": dt.date(2025, 12, 31)}),
        ("day < DATE '2026-01-01'", {"day": dt.date(2025, 12, 31)}, {"day": dt.date(2026, 1, 1)}),
        ("name IS NOT NULL", {"name": ""}, {}),
        ("name IS NULL OR name <> ''", {}, {"name": ""}),
        ("ok", {"ok": True}, {"ok": False}),
        ("NOT ok", {"ok": False}, {"ok": True}),
        ("ok IS TRUE", {"ok": True}, {}),
        ("ok = true", {"ok": True}, {"ok": False}),
        ("ok = (id < 1)", {"ok": False, "id": 1}, {"ok": True, "id": 1}),
        ("(ok = true) = (id < 1)", {"ok": False, "id": 1}, {"ok": True, "id": 1}),
        ("(name LIKE 'a%') = ok", {"ok": False, "name": "b"}, {"ok": True, "name": "b"}),
        ("ok = true IS NOT NULL", {"ok": False}, {}),
        ("NOT ok = true", {"ok": False}, {"ok": True}),
        ("id <=> 1", {"id": 1}, {}),
        ("single <= 16777216 AND single >= -1", {"single": 0.5}, {"single": -2.0}),
        ("single > -(-5)", {"single": 5.5}, {"single": 5.0}),
        ("single < - - -5", {"single": -5.5}, {"single": -5.0}),
        ("id > -(-(5))", {"id": 6}, {"id": 5}),
        ("price > -(-0.5)", {"price": 0.6}, {"price": 0.5}),
        ("id + 1 > 0", {"id": 1}, {}),
        ("id > 0", {"id": 1}, {"id": None}),  # NULL breaks a CHECK
        ("id != 3 OR price = 1e3", {"id": 3, "price": 1000.0}, {"id": 3, "price": 1.0}),
    ],
)
def test_translated_constraints_hold_for_the_same_rows(check: str, good: dict[str, Any], bad: dict[str, Any]) -> None:
    """A constraint that is translated accepts and refuses the rows that Spark accepts and refuses."""
    check_rows(row(**good), metadata(c=check))
    with pytest.raises(ConstraintError) as caught:
        check_rows(row(**bad), metadata(c=check))
    assert caught.value.constraint == "c"
    assert caught.value.expression == check
    assert caught.value.count == 1
    assert len(caught.value.rows) == 1


@pytest.mark.parametrize(
    "check",
    [
        "id / 2 > 1",
        "id = '1'",
        "name > 1",
        "name RLIKE 'a+'",
        "name LIKE 'a\\\\_'",
        "name LIKE name",
        "at > '2026-01-01 00:00:00'",
        "day > '2026-1-1'",
        "day > at",
        "total * 2 < 3",
        "single + single > 1",
        "single > id",
        "single > 16777217",
        "single > -(-16777217)",
        "id + price > 1",
        "id + total > 1",
        "s.f > 1",
        "nothing > 1",
        "upper(name) = 'A'",
        "my_function(id) > 1",
        "CAST(name AS INT) > 1",
        "id IN (SELECT 1)",
        "id",
        "id > 0 AND name",
        "rand() > 0.5",
        "current_date() > day",
        "id > 0; id < 1",
        "id >",
        "",
        "ok > 1",
        "ok = id < 1",
        "id < 1 = ok",
        "ok = ok = ok",
        "ok <=> id <> 1",
        "ok = NOT ok",
        "ok = id IN (1)",
        "ok = name LIKE 'a'",
        "name NOT LIKE 'a' = ok",
        "id BETWEEN 1 AND 2 = ok",
        "CASE WHEN ok THEN true END",
        "id % 2 = 0",
        "id & 1 = 1",
        "name || 'x' = 'ax'",
        "id > 1L",
        "id BETWEEN SYMMETRIC 5 AND 1",
        "TRY_CAST('2026-01-01' AS DATE) = day",
        "name NOT ILIKE 'a%'",
        "name NOT LIKE 'a/_%' ESCAPE '/'",
        "name LIKE ANY ('a', 'b')",
    ],
)
def test_what_is_not_surely_the_same_refuses_the_write(check: str) -> None:
    """Spark SQL that may mean something else in DuckDB, or that does not parse, is refused with its name."""
    with pytest.raises(UnsupportedFeatureError, match="cannot check constraint 'odd'") as caught:
        check_rows(row(id=1), metadata(odd=check))
    assert caught.value.feature == "checkConstraints"
    with pytest.raises(UnsupportedFeatureError):
        check_rows(row(id=1).slice(0, 0), metadata(odd=check))


def test_all_that_a_node_says_is_read() -> None:
    """What a node says and is not read refuses the constraint; a release of sqlglot whose nodes say more is noticed."""
    from sqlglot import exp

    unread = {name: set(getattr(exp, name).arg_types) - set(said) for name, said in constraints._SAID.items()}
    assert {name: words for name, words in unread.items() if words} == {
        "Is": {"negate"},
        "In": {"query", "unnest", "field", "is_global"},
        "Between": {"symmetric"},
        "Length": {"binary", "encoding"},
        "Column": {"db", "catalog", "join_mark", "shadow"},
        "Cast": {"format", "safe", "action", "default"},
    }
    for name, words in unread.items():
        for word in words:
            said = (*constraints._SAID[name], word)
            values = {each: [exp.true()] if each == "expressions" else exp.true() for each in said}
            with pytest.raises(constraints._UntranslatableError, match=rf"\({name}, {word}\)"):
                constraints._Translator(SCHEMA).translate(getattr(exp, name)(**values))


def test_the_error_shows_what_breaks_and_how_much() -> None:
    """It names the constraint, its words, the number of rows that break it, and shows five."""
    rows = pa.Table.from_pylist([{"id": i} for i in range(-20, 5)], schema=SCHEMA)
    with pytest.raises(ConstraintError, match=r"'positive' \(id > 0\) is not true for 21 of 25 rows") as caught:
        check_rows(rows, metadata(positive="id > 0", any="id < 100"))
    assert [shown["id"] for shown in caught.value.rows] == [-20, -19, -18, -17, -16]


def test_invariants_of_columns_are_constraints() -> None:
    """A field's delta.invariants is checked as a CHECK is; one that is not written as Delta has it is refused."""
    field = {"name": "id", "type": "long", "nullable": True, "metadata": {}}

    def table(invariant: str) -> Metadata:
        named = {**field, "metadata": {"delta.invariants": invariant}}
        return Metadata("id", json.dumps({"type": "struct", "fields": [named]}))

    held = table(json.dumps({"expression": {"expression": "id > 3"}}))
    assert constraints_of(held) == {"invariant of id": "id > 3"}
    check_rows(pa.table({"id": [4]}), held)
    with pytest.raises(ConstraintError):
        check_rows(pa.table({"id": [3]}), held)
    with pytest.raises(UnsupportedFeatureError):
        check_rows(pa.table({"id": [4]}), table("id > 3"))


def test_an_overflow_is_not_taken_for_an_answer() -> None:
    """Where a calculation overflows, Spark fails or wraps around: the write is refused."""
    for check, values in [
        ("id + 1 > 0", {"id": 2**63 - 1}),
        ("small + 1 > 0", {"small": 2**31 - 1}),
        ("-id > 0", {"id": -(2**63)}),
        ("id * id > 0", {"id": 2**62}),
        ("id + 1 - 1 > 0", {"id": 2**63 - 1}),
        ("id + 1 IS NOT NULL", {"id": 2**63 - 1}),
    ]:
        with pytest.raises(UnsupportedFeatureError, match="out of range"):
            check_rows(row(**values), metadata(c=check))


def test_names_and_texts_cannot_break_out() -> None:
    """Quotes in names and texts stay inside them."""
    assert translate("c", "`it's` = 1", SCHEMA) == '("it\'s" = 1)'
    assert translate("c", 'name = "it\'s"', SCHEMA) == "(\"name\" = 'it''s')"
