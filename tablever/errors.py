"""Every error that tablever raises, grouped by what the caller does next.

``str(error)`` says what was asked and what there is; ``error.hint`` says what to do; ``error.code`` is stable
and machine-readable; facts are attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TableverError(Exception):
    """The base of every error here.

    Attributes:
        code: a stable identifier, for programs.
        hint: what to do about it, or None.
        facts: the values the message was made of, also readable as attributes (``error.version``).
    """

    code = "error"

    def __init__(self, message: str, *, hint: str | None = None, **facts: Any) -> None:
        super().__init__(message.encode(errors="backslashreplace").decode())  # what is quoted may be no Unicode
        self.hint = hint
        self.facts: Mapping[str, Any] = facts

    def __getattr__(self, name: str) -> Any:
        facts = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self.hint, dict(self.facts))


def _rebuild(kind: type[TableverError], message: str, hint: str | None, facts: dict[str, Any]) -> TableverError:
    return kind(message, hint=hint, **facts)


class NotFoundError(TableverError, LookupError):
    """What was named does not exist."""

    code = "not-found"


class TableNotFoundError(NotFoundError):
    """No Delta table at that place."""

    code = "table-not-found"


class VersionNotFoundError(NotFoundError):
    """The table's log has no such version."""

    code = "version-not-found"


class VersionVacuumedError(NotFoundError):
    """The version is in the log, but its files or its log entries were removed."""

    code = "version-vacuumed"


class TagNotFoundError(NotFoundError):
    """No tag of that name."""

    code = "tag-not-found"


class AlreadyExistsError(TableverError):
    """What was to be created is there already."""

    code = "already-exists"


class InvalidInputError(TableverError, ValueError):
    """The caller's input cannot be accepted; nothing was written."""

    code = "invalid-input"


class InvalidKeyError(InvalidInputError):
    """The key's columns do not exist, have a type that cannot be a key, hold nulls, or the table has no key."""

    code = "invalid-key"


class DuplicateKeyError(InvalidInputError):
    """A key occurs more than once; ``keys`` holds up to five of them."""

    code = "duplicate-key"


class SchemaMismatchError(InvalidInputError):
    """The rows' columns or types do not fit the table's without losing something."""

    code = "schema-mismatch"


class RefError(InvalidInputError):
    """The text does not name a version."""

    code = "bad-ref"


class QueryError(InvalidInputError):
    """DuckDB refuses the SQL, or the SQL would write to a versioned table."""

    code = "bad-query"


class ConstraintError(InvalidInputError):
    """Rows break a NOT NULL or CHECK constraint; ``rows`` holds up to five of them."""

    code = "constraint"


class UnsupportedFeatureError(TableverError):
    """The table needs a Delta feature that we do not read, or do not write under; ``feature`` names it."""

    code = "unsupported-feature"


class ConflictError(TableverError):
    """Another commit came first and the write cannot be planned on top of it; nothing was written."""

    code = "conflict"


class CorruptionError(TableverError):
    """The table is damaged: what is on disk is not what was committed."""

    code = "corruption"


class StorageError(TableverError):
    """The disk or the object store refused: full, read-only, not permitted, unreachable."""

    code = "storage"
