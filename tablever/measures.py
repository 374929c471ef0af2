"""The measure of a value: the number that stands for it in means, quantiles and bins.

That is the number itself as a double, a date's days and an instant's microseconds since 1970. NaN and the infinities
have none.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EXACT = Context(prec=76)


def is_number(kind: pa.DataType) -> bool:
    """Whether values have a mean."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_time(kind: pa.DataType) -> bool:
    """Whether values are dates or instants."""
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def is_measured(kind: pa.DataType) -> bool:
    """Whether values have a measure."""
    return is_number(kind) or is_time(kind)


def is_discrete(kind: pa.DataType) -> bool:
    """Whether measures are whole numbers."""
    return bool(pa.types.is_integer(kind) or is_time(kind))


def ordinal(value: Any) -> Any:
    """A value's measure before it is rounded to a double: exact."""
    if isinstance(value, datetime):
        return (value.replace(tzinfo=value.tzinfo or UTC) - _EPOCH) // timedelta(microseconds=1)
    return value.toordinal() - _EPOCH_DAY if isinstance(value, date) else value


def value_at(measure: float, kind: pa.DataType, low: Any, high: Any) -> Any:
    """The column's value that is nearest to a measure, from ``low`` to ``high``."""
    if pa.types.is_floating(kind):
        return min(max(measure, low), high)
    if pa.types.is_decimal(kind):
        near = Decimal(measure).quantize(Decimal(1).scaleb(-kind.scale), context=_EXACT)
        return min(max(near, low), high)
    near = min(max(round(measure), ordinal(low)), ordinal(high))
    if pa.types.is_date(kind):
        return date.fromordinal(near + _EPOCH_DAY)
    if pa.types.is_timestamp(kind):
        moment = _EPOCH + timedelta(microseconds=near)
        return moment.astimezone(low.tzinfo) if kind.tz else moment.replace(tzinfo=None)
    return near
