"""How versions are named."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablever.errors import RefError
from tablever.model import Version
from tablever.refs import AsOf, HashPrefix, Number, ParsedRef, Relative, TagName, parse_ref

NOON = AsOf(datetime(2026, 11, 1, 12, tzinfo=UTC))
VERSION = Version(7, NOON.time, "append", None, None, 1, 1, 0, 0, None, "", 6)


@pytest.mark.parametrize(
    ("ref", "meaning"),
    [
        (0, Number(0)),
        (3, Number(3)),
        ("3", Number(3)),
        ("007", Number(7)),
        ("2026", Number(2026)),
        (np.int64(3), Number(3)),
        (VERSION, Number(7)),
        (-1, Relative(0)),
        ("-1", Relative(0)),
        (-2, Relative(1)),
        ("latest", Relative(0)),
        ("latest~0", Relative(0)),
        ("latest~2", Relative(2)),
        ("v2.0", TagName("v2.0")),
        ("v2.0~1", TagName("v2.0", 1)),
        ("release/2026-11_a", TagName("release/2026-11_a")),
        ("Latest", TagName("Latest")),
        ("latest-1", TagName("latest-1")),
        ("sha", TagName("sha")),
        ("sha:3fa9c2", HashPrefix("3fa9c2")),
        ("sha:3FA9C2AB", HashPrefix("3fa9c2ab")),
        ("2026-11-01T12:00:00Z", NOON),
        ("2026-11-01 12:00Z", NOON),
        ("2026-11-01 13:00+01:00", NOON),
        ("2026-11-01 12:00:00+00", NOON),
        ("2026-11-01T12:00:00.000-0000", NOON),
        (NOON.time, NOON),
        (datetime(2026, 11, 1, 13, tzinfo=timezone(timedelta(hours=1))), NOON),
    ],
)
def test_what_a_ref_means(ref: Any, meaning: ParsedRef) -> None:
    """Every written form of a ref has one meaning."""
    assert parse_ref(ref) == meaning


@pytest.mark.parametrize(
    "ref",
    [
        True,
        False,
        np.True_,
        1.0,
        1.5,
        float("nan"),
        None,
        b"3",
        [3],
        2**63,
        -(2**63),
        "9" * 20,
        "1" * 5000,
        "-0",
        "+3",
        "3.0",
        "1_000",
        "1e3",
        "٣",
        "\uff13",
        "",
        " ",
        " 3",
        "3\n",
        "latest ",
        "latest\n",
        "latest~",
        "latest~x",
        "latest~-1",
        "latest~" + "1" * 30,
        "3~1",
        "~1",
        "v1~1~1",
        "é",
        "v 1",
        "v1@2",
        "_v1",
        "/v1",
        "v1:2",
        "sha:",
        "sha:12345",
        "sha:12345g",
        "sha:123456~1",
        "SHA:123456",
        "2026-11-01",
        "2026-11-01T12:00",
        "2026-11-01 12:00:00",
        "2026-13-01T12:00Z",
        "2026-11-01T25:00Z",
        "2026-11-01T12:00+99:00",
        "0001-01-01T00:00+01:00",
        "2026-11-01T12",
        "20261101T120000Z",
        date(2026, 11, 1),
        datetime(2026, 11, 1),  # noqa: DTZ001
    ],
    ids=lambda ref: ascii(ref)[:30],
)
def test_what_is_no_ref_is_refused(ref: Any) -> None:
    """Whatever could be misread, or means nothing, raises RefError with a hint."""
    with pytest.raises(RefError) as caught:
        parse_ref(ref)
    assert caught.value.hint
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("ref", "hint"),
    [
        ("2026-11-01", "2026-11-01T00:00:00Z"),
        (date(2026, 11, 1), "2026-11-01T00:00:00Z"),
        ("2026-11-01T12:00", "Z' is UTC"),
        (" v1", "write 'v1'"),
        (3.0, "write 3"),
        ("sha:12", "more digits"),
    ],
)
def test_hints_say_what_to_write(ref: Any, hint: str) -> None:
    """Where one can guess what was meant, the hint says how to write it."""
    with pytest.raises(RefError) as caught:
        parse_ref(ref)
    assert hint in caught.value.hint


@given(st.text() | st.from_regex(r"[0-9v~:TZ. +-]{0,30}"))
def test_every_text_is_a_ref_or_refused(text: str) -> None:
    """No text makes the parser fail in another way."""
    with contextlib.suppress(RefError):
        parse_ref(text)


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.timezones()))  # noqa: DTZ001
def test_times_are_instants(moment: datetime) -> None:
    """A time means the same instant as a datetime and as its text."""
    expected = AsOf(moment.astimezone(UTC))
    assert parse_ref(moment) == expected
    if moment.utcoffset() == timedelta(hours=1):
        assert parse_ref(moment.isoformat()) == expected
