"""Gates for CI: conditions over what a diff found, as ``removed > 100`` or ``cells.label >= 5%``. Pure.

A gate says when a diff *fails*. Where the quantity is not known (a log without counts, cells of rows without a key, a
measure that does not apply) it fails, too: a gate that cannot be judged is not passed.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tablever.findings import ColumnStatistics, Drift, Findings

Number = int | float | None

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_FORM = re.compile(r"\s*(.*?)\s*(>=|<=|!=|==|=|>|<)\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*(%?)\s*", re.DOTALL)

_OF_ROWS: Mapping[str, Callable[[Findings], Number]] = {
    "added": lambda f: f.summary.added,
    "removed": lambda f: f.summary.removed,
    "updated": lambda f: f.summary.updated,
    "changed": lambda f: f.summary.changed,
    "rows": lambda f: f.summary.rows_after,
    "rows_before": lambda f: f.summary.rows_before,
    "cells": lambda f: sum(f.summary.cells.values()),
    "duplicate_keys": lambda f: f.summary.duplicate_keys,
}
_OTHERS: Mapping[str, Callable[[Findings], Number]] = {
    "columns_added": lambda f: sum(change.change == "added" for change in f.schema),
    "columns_removed": lambda f: sum(change.change == "removed" for change in f.schema),
    "columns_retyped": lambda f: sum(change.change == "retyped" for change in f.schema),
    "drifted": lambda f: sum(each.level != "none" for each in f.drift or ()) if _any_measured(f) else None,
}
_OF_COLUMNS = ("cells", "nulls", "psi", "ks", "js")
_BY_KEY = frozenset({"updated", "cells", "duplicate_keys"})
_FROM_DRIFT = frozenset({"psi", "ks", "js", "drifted"})
_PERCENT = frozenset({"added", "removed", "updated", "changed", "rows", "cells.", "nulls.", "duplicate_keys"})
QUANTITIES = (*_OF_ROWS, *_OTHERS, *(f"{name}.COLUMN" for name in _OF_COLUMNS))


@dataclass(frozen=True)
class Gate:
    """A condition under which a diff fails.

    Attributes:
        quantity: one of QUANTITIES, ``COLUMN`` left out; ``column`` is None for those without one.
        number: what it is compared with; with ``percent``, a share of the rows before (of ``nulls``: of the rows
            after, which is where they are counted).
        text: as it was written.
    """

    quantity: str
    column: str | None
    op: str
    number: Decimal
    percent: bool
    text: str

    @property
    def needs_statistics(self) -> bool:
        """Whether it is about values and not about changes."""
        return self.quantity == "nulls" or self.needs_drift

    @property
    def needs_drift(self) -> bool:
        """Whether it is about how far values moved."""
        return self.quantity in _FROM_DRIFT


def parse_gate(text: str) -> Gate:
    """``QUANTITY OP NUMBER[%]`` as a Gate; UsageError with what there is for anything else."""
    found = _FORM.fullmatch(text)
    if not found:
        raise click.UsageError(
            f"--fail-on needs QUANTITY OP NUMBER, such as 'removed > 100' or 'cells.label >= 5%', not '{text}'"
        )
    name, sign, number, percent = found.groups()
    quantity, dot, column = name.partition(".")
    known = quantity in _OF_COLUMNS if dot else quantity in {**_OF_ROWS, **_OTHERS}
    if not known or (dot and not column):
        raise click.UsageError(
            f"--fail-on knows no '{name}': {_nearest(name)}the quantities are {', '.join(QUANTITIES)}"
        )
    if percent and f"{quantity}{dot}" not in _PERCENT:
        raise click.UsageError(f"--fail-on '{text}': {name} is no number of rows, so that it has no percentage")
    op = "=" if sign == "==" else sign
    return Gate(quantity, column if dot else None, op, Decimal(number), bool(percent), text.strip())


def _nearest(name: str) -> str:
    quantity, dot, column = name.partition(".")
    among = _OF_COLUMNS if dot else QUANTITIES
    near = difflib.get_close_matches(quantity if dot else name, among, n=1)
    if not near:
        return ""
    return f"did you mean '{near[0]}.{column or 'COLUMN'}'? " if dot else f"did you mean '{near[0]}'? "


def check_columns(gates: Iterable[Gate], *, compared: Sequence[str], shown: Sequence[str], key: Sequence[str]) -> None:
    """UsageError for a gate about a column that neither side has; about cells: that is of the key or not compared."""
    for gate in gates:
        if gate.quantity == "cells" and gate.column in key:
            raise click.UsageError(
                f"--fail-on '{gate.text}': '{gate.column}' is of the key, whose cells never change: "
                "a row with another key is another row, which added and removed count"
            )
        there = compared if gate.quantity == "cells" else shown
        if gate.column is not None and gate.column not in there:
            near = difflib.get_close_matches(gate.column, there, n=1)
            raise click.UsageError(
                f"--fail-on '{gate.text}': no column '{gate.column}' is compared; "
                + (f"did you mean '{near[0]}'? " if near else "")
                + f"there are {', '.join(there)}"
            )


def failed(gates: Iterable[Gate], findings: Findings) -> list[str]:
    """What is to be said of each gate that the diff fails, in the gates' order."""
    return [said for gate in gates if (said := _failure(gate, findings)) is not None]


def _failure(gate: Gate, findings: Findings) -> str | None:
    value = _value(gate, findings)
    whole = findings.summary.rows_after if gate.quantity == "nulls" else findings.summary.rows_before
    name = gate.quantity if gate.column is None else f"{gate.quantity}.{gate.column}"
    if value is None or (gate.percent and whole is None):
        return f"{gate.text}: {name} is not known{_why(gate, findings)}"
    measured = _percentage(value, whole or 0) if gate.percent else value
    if not _OPERATORS[gate.op](measured, float(gate.number)):
        return None
    shown = f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
    share = f", {measured:.4g} % of {whole:,} rows" if gate.percent else ""
    return f"{gate.text}: {name} is {shown}{share}"


def _percentage(value: float, whole: int) -> float:
    if not whole:
        return math.inf if value else 0.0
    return 100 * value / whole


def _value(gate: Gate, findings: Findings) -> Number:
    if gate.quantity in _BY_KEY and not findings.key:
        return None
    if gate.column is None:
        return {**_OF_ROWS, **_OTHERS}[gate.quantity](findings)
    if gate.quantity == "cells":
        return findings.summary.cells.get(gate.column, 0)
    if gate.quantity == "nulls":
        statistics = _statistics_of(gate.column, findings)
        return None if statistics is None or statistics.after is None else statistics.after.nulls
    drift = _drift_of(gate.column, findings)
    measure: float | None = None if drift is None else getattr(drift, gate.quantity)
    return measure


def _why(gate: Gate, findings: Findings) -> str:
    if gate.quantity in _BY_KEY and not findings.key:
        return ": the rows were compared without a key; --key COLUMN pairs them"
    drift = next(iter(findings.drift or ()), None) if gate.column is None else _drift_of(gate.column, findings)
    return f" ({drift.why})" if gate.needs_statistics and drift is not None and drift.why else ""


def _any_measured(findings: Findings) -> bool:
    return any(measure is not None for each in findings.drift or () for measure in (each.psi, each.ks, each.js))


def _statistics_of(column: str | None, findings: Findings) -> ColumnStatistics | None:
    return next((each for each in findings.statistics or () if each.column == column), None)


def _drift_of(column: str | None, findings: Findings) -> Drift | None:
    return next((each for each in findings.drift or () if each.column == column), None)
