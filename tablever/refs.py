"""How a user names a version: the written forms of a ref, as values. Which version it means is for the log to say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, SupportsIndex

from tablever.errors import RefError
from tablever.model import Version

Ref = SupportsIndex | str | datetime | Version


@dataclass(frozen=True)
class Number:
    """Version ``number``, from 0."""

    number: int


@dataclass(frozen=True)
class Relative:
    """``back`` versions before the latest; 0 is the latest."""

    back: int


@dataclass(frozen=True)
class AsOf:
    """The newest version at or before ``time`` (aware, UTC)."""

    time: datetime


@dataclass(frozen=True)
class TagName:
    """``back`` versions before the one that the tag names."""

    name: str
    back: int = 0


@dataclass(frozen=True)
class HashPrefix:
    """The newest version whose recorded content hash begins with these lower-case hex digits."""

    digits: str


ParsedRef = Number | Relative | AsOf | TagName | HashPrefix

MAX_NUMBER = 2**63 - 1
MIN_HASH_DIGITS = 6
LONGEST_TAG = 80

_INTEGER = re.compile(r"(-?)([0-9]+)")
_NAME = re.compile(r"([A-Za-z][A-Za-z0-9._/-]*)(?:~([0-9]+))?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_FORMS = "a ref is a number (3, -1), 'latest', 'latest~2', a tag, a time with a zone, or 'sha:' and six digits or more"


def parse_ref(ref: Any) -> ParsedRef:
    """What a ref says. A Version is a ref to itself.

    Raises RefError (fact ``ref``): booleans, floats, times without a zone, dates alone, short hashes, other text.
    """
    if isinstance(ref, Version):
        return Number(ref.number)
    if isinstance(ref, str):
        return _parse_text(ref)
    if isinstance(ref, datetime):
        return _as_of(ref, ref)
    if isinstance(ref, date):
        raise _date_alone(ref, ref.isoformat())
    if not isinstance(ref, bool) and hasattr(ref, "__index__"):
        return _parse_number(int(ref.__index__()), ref)
    hint = f"write {int(ref)}" if isinstance(ref, float) and ref.is_integer() else _FORMS
    raise _bad(ref, f"a {type(ref).__name__}, {ref!r}, names no version", hint)


def check_tag_name(name: Any) -> str:
    """The name, if a tag may have it: then ``parse_ref`` takes it for that tag and nothing else.

    Raises:
        RefError: it may not; letters, digits and ``. _ / -`` after a letter do.
    """
    if not isinstance(name, str):
        raise _bad(name, f"a tag's name is text, not {name!r}", "a name such as 'v2.0' or 'release/2026-11'")
    problem = None
    match = _NAME.fullmatch(name)
    if name.lower() == "latest":
        problem = "it would be read as the latest version"
    elif match is None or match[2] is not None:
        problem = "a tag is a letter, then letters, digits, '.', '_', '/' and '-'"
    elif len(name) > LONGEST_TAG:
        problem = f"it has {len(name)} characters, {LONGEST_TAG} at most"
    elif "//" in name or name[-1] in "/.":
        problem = "'//', and '/' or '.' at the end, are mistaken too easily"
    if problem is not None:
        raise _bad(
            name, f"no tag can be called '{name[:100]}': {problem}", "a name such as 'v2.0' or 'release/2026-11'"
        )
    return name


def _parse_text(text: str) -> ParsedRef:
    if match := _INTEGER.fullmatch(text):
        if len(match[2]) > 19 or text == "-0":
            raise _bad(text, f"'{text[:40]}' is no version's number", _FORMS)
        return _parse_number(int(text), text)
    if text.startswith("sha:"):
        return _parse_hash(text)
    if match := _NAME.fullmatch(text):
        return _parse_name(text, match[1], match[2])
    if _DATE.fullmatch(text):
        raise _date_alone(text, text)
    if match := _TIME.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise _bad(text, f"'{text}' is no time: {error}", _FORMS) from error
        return _as_of(moment, text)
    if text != text.strip():
        raise _bad(text, f"the ref {text!r} has white space around it", f"write '{text.strip()}'")
    raise _bad(text, f"'{text[:80]}' names no version", _FORMS)


def _parse_number(number: int, ref: Any) -> ParsedRef:
    if not -MAX_NUMBER <= number <= MAX_NUMBER:
        raise _bad(ref, "the number is larger than any version's", _FORMS)
    return Number(number) if number >= 0 else Relative(-number - 1)


def _parse_hash(text: str) -> HashPrefix:
    digits = text.removeprefix("sha:").lower()
    if not re.fullmatch("[0-9a-f]+", digits):
        raise _bad(text, f"'{text[:80]}' is no content hash: 'sha:' is followed by hexadecimal digits", _FORMS)
    if len(digits) < MIN_HASH_DIGITS:
        raise _bad(
            text, f"'{text}' is too short: a content hash needs {MIN_HASH_DIGITS} digits or more", "give more digits"
        )
    return HashPrefix(digits)


def _parse_name(text: str, name: str, back: str | None) -> ParsedRef:
    if back is not None and len(back) > 19:
        raise _bad(text, f"'{text[:40]}' goes back further than any log", _FORMS)
    steps = int(back or 0)
    return Relative(steps) if name == "latest" else TagName(name, steps)


def _as_of(moment: datetime, ref: Any) -> AsOf:
    if moment.utcoffset() is None:
        raise _bad(ref, f"'{moment.isoformat()}' has no time zone", f"add one: '{moment.isoformat()}Z' is UTC")
    try:
        return AsOf(moment.astimezone(UTC))
    except OverflowError as error:
        raise _bad(ref, f"'{moment.isoformat()}' is outside the years 1 to 9999 in UTC", _FORMS) from error


def _date_alone(ref: Any, text: str) -> RefError:
    return _bad(ref, f"'{text}' is a date without a time and a zone", f"add them: '{text}T00:00:00Z'")


def _bad(ref: Any, message: str, hint: str) -> RefError:
    return RefError(message, hint=hint, ref=ref)
