"""The values that everything else passes around: frozen, without behaviour that touches a disk or a clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from types import MappingProxyType
from typing import Any

from tablever import strict_json
from tablever.errors import CorruptionError
from tablever.spans import Spans

_MODULUS = 1 << 128
_DIGEST = re.compile("[0-9a-f]{32}")
# Most writers put the row count first: that spares reading the rest, of thousands of files, to count a table's rows.
_ROWS_FIRST = re.compile(r'\{"numRecords":(\d{1,18})[,}]')

EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Version:
    """One commit of a table.

    Counts are net: an updated row counts once in each of ``rows_added``, ``rows_removed`` and ``rows_updated``,
    so that ``rows`` is always the parent's rows plus added minus removed. A count that another writer did not
    record, and that only a scan could tell, is None.

    Attributes:
        number: the Delta version.
        timestamp: aware, UTC, never earlier than the parent's.
        timestamp_from_file: True where the log entry carries no time, so that the log file's own was taken.
        operation: create, append, upsert, update, delete, overwrite, restore, revert, set-key, …
        commit_hash: SHA-256 (hex) of the bytes of the version's log entry.
        parent: the number of the version before, None for the first.
        metadata: what the committer attached, JSON values.
    """

    number: int
    timestamp: datetime
    operation: str
    message: str | None
    author: str | None
    rows: int | None
    rows_added: int | None
    rows_removed: int | None
    rows_updated: int | None
    content_hash: str | None
    commit_hash: str
    parent: int | None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    timestamp_from_file: bool = False


@dataclass(frozen=True)
class Digest:
    """A multiset of rows, as far as sums tell: how many, and the sum of their 128-bit digests mod 2^128.

    ``Digest()`` is no rows. Adding is taking two multisets together; subtracting takes rows out again, so that a
    version is its parent + what it added - what it removed. Differences may count fewer than no rows.
    """

    rows: int = 0
    sum: int = 0

    def __add__(self, other: Digest) -> Digest:
        return Digest(self.rows + other.rows, (self.sum + other.sum) % _MODULUS)

    def __sub__(self, other: Digest) -> Digest:
        return Digest(self.rows - other.rows, (self.sum - other.sum) % _MODULUS)

    @property
    def hex(self) -> str:
        """The sum as 32 hexadecimal digits."""
        return f"{self.sum:032x}"

    @classmethod
    def from_hex(cls, rows: int, digits: str) -> Digest:
        """The digest of so many rows whose sum has these digits. Raises CorruptionError for other text."""
        if not _DIGEST.fullmatch(digits):
            raise CorruptionError(f"{digits[:60]!r} is no digest of rows", hint="it has 32 hexadecimal digits")
        return cls(rows, int(digits, 16))


@dataclass(frozen=True)
class Signature:
    """When a version was made, by whom and why; as ``Version`` has it."""

    timestamp: datetime
    author: str | None
    message: str | None


@dataclass(frozen=True)
class Protocol:
    """What a reader and a writer of the table must understand (Delta protocol, "Protocol Evolution").

    The feature sets are None below reader version 3 and writer version 7, where the numbers alone speak.
    """

    min_reader: int
    min_writer: int
    reader_features: frozenset[str] | None = None
    writer_features: frozenset[str] | None = None


@dataclass(frozen=True)
class Metadata:
    """A table's schema and settings (Delta protocol, "Change Metadata")."""

    id: str
    schema_string: str
    partition_columns: tuple[str, ...] = ()
    configuration: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    name: str | None = None
    description: str | None = None
    created_time: int | None = None
    format: Mapping[str, Any] = field(default_factory=lambda: {"provider": "parquet", "options": {}})

    @property
    def key(self) -> tuple[str, ...]:
        """The key's columns in order, empty for a table without a key."""
        text = self.configuration.get("tablever.key", "[]")
        try:
            names = strict_json.loads(text)
        except ValueError:
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            shown = text if len(text) < 100 else f"{text[:100]}…"
            raise CorruptionError(f"the table property tablever.key is no list of column names: {shown!r}", value=text)
        if not set(names) <= self._columns or len(set(names)) < len(names):
            raise CorruptionError(
                f"the table property tablever.key is {text[:100]}, which are not columns of the table, each once",
                hint="another tool dropped or renamed a column; set_key(table, 'column') sets the key anew",
                value=text,
            )
        return tuple(names)

    @cached_property
    def _columns(self) -> frozenset[str]:
        """The names of the table's columns; none where the schema cannot be read, which others say."""
        try:
            fields = strict_json.loads(self.schema_string)["fields"]
            return frozenset(str(field["name"]) for field in fields)
        except (ValueError, KeyError, TypeError):
            return frozenset()

    @property
    def constraints(self) -> dict[str, str]:
        """CHECK constraints: name to Spark SQL expression."""
        prefix = "delta.constraints."
        return {k[len(prefix) :]: v for k, v in sorted(self.configuration.items()) if k.startswith(prefix)}

    def flag(self, name: str) -> bool:
        """Whether a boolean property is set to true."""
        return self.configuration.get(name, "false").lower() == "true"


@dataclass(frozen=True)
class DeletionVector:
    """Where the bitmap of a file's deleted row positions lies (Delta protocol, "Deletion Vector Descriptor")."""

    storage_type: str
    path_or_inline: str
    size: int
    cardinality: int
    offset: int | None = None

    @property
    def id(self) -> str:
        """What tells this vector from others of the same file (protocol: ``storageType pathOrInlineDv [@offset]``)."""
        suffix = "" if self.offset is None else f"@{self.offset}"
        return f"{self.storage_type}{self.path_or_inline}{suffix}"


@dataclass(frozen=True)
class DataFile:
    """A logical file: a Parquet file, less the rows that its deletion vector names.

    Attributes:
        path: as the log has it, percent-encoded; relative to the table or absolute.
        modification_time: milliseconds since 1970; our own commits set their commit's time, so that
            ``(modification_time, path)`` is the order of insertion, with or without a checkpoint.
        partition_values: by physical column name, as text; None is null.
        stats: the JSON text as it stands in the log, or None.
    """

    path: str
    size: int
    modification_time: int
    partition_values: Mapping[str, str | None] = field(default_factory=lambda: EMPTY)
    stats: str | None = None
    tags: Mapping[str, str | None] | None = None
    vector: DeletionVector | None = None
    base_row_id: int | None = None
    default_row_commit_version: int | None = None
    clustering_provider: str | None = None

    @cached_property
    def parsed_stats(self) -> Mapping[str, Any]:
        """The statistics as JSON values, numbers exact; empty where there are none or they do not parse."""
        try:
            value = strict_json.loads(self.stats, parse_float=Decimal) if self.stats else {}
        except ValueError:
            return EMPTY
        return value if isinstance(value, dict) else EMPTY

    @cached_property
    def typed_bounds(self) -> dict[str, Any]:
        """Bounds that ``delta.stats`` has read from the statistics, by type and column: reading them is slow."""
        return {}

    @property
    def physical_rows(self) -> int | None:
        """Rows in the Parquet file, deleted ones included; None where the log does not say."""
        quick = _ROWS_FIRST.match(self.stats) if self.stats else None
        rows = int(quick[1]) if quick else self.parsed_stats.get("numRecords")
        return rows if isinstance(rows, int) else None

    @property
    def rows(self) -> int | None:
        """Rows of the logical file; None where the log does not say."""
        physical = self.physical_rows
        if physical is None:
            return None
        return physical - (self.vector.cardinality if self.vector else 0)


@dataclass(frozen=True)
class ChangeFile:
    """A file of change rows (Delta protocol, "Add CDC File")."""

    path: str
    size: int
    partition_values: Mapping[str, str | None] = field(default_factory=lambda: EMPTY)
    tags: Mapping[str, str | None] | None = None


@dataclass(frozen=True)
class Vacuumed:
    """What vacuums of ours have removed.

    Attributes:
        by: the newest version that recorded it; None where there was no vacuum.
        rows: the versions that lost data or vector files, so that they cannot be read.
        changes: the versions that lost their change rows.
        before: the vacuum before that one.
    """

    by: int | None = None
    rows: Spans = ()
    changes: Spans = ()
    before: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """The files, settings and transactions that make up one version.

    ``files`` is in row order: by ``(modification_time, path)``.
    """

    version: int
    timestamp: datetime
    protocol: Protocol
    metadata: Metadata
    files: tuple[DataFile, ...]
    transactions: Mapping[str, int] = field(default_factory=lambda: EMPTY)
    domains: Mapping[str, str] = field(default_factory=lambda: EMPTY)

    @cached_property
    def ranges(self) -> dict[str, Any]:
        """Bounds of whole columns that ``delta.ranges`` has read, for this version or one like it."""
        return {}

    @cached_property
    def rows(self) -> int | None:
        """Rows of the version; None where a file's count is not in the log."""
        counts = [file.rows for file in self.files]
        return None if None in counts else sum(count for count in counts if count is not None)


@dataclass(frozen=True, kw_only=True)
class Witness:
    """What remembers a version, from outside the log: a Tag, a Run or a Pin.

    Attributes:
        version: the number of the version.
        commit_hash: the version's, when this was made: the same number in another history is another version.
        content_hash: the version's, where it was recorded then.
        table_id: Delta's id of the table.
        author, time: who made this, when (aware, UTC).
        object: where it lies, relative to the table.
    """

    version: int
    commit_hash: str
    content_hash: str | None = None
    table_id: str
    author: str
    time: datetime
    object: str = field(repr=False)

    @property
    def label(self) -> str:
        """A few words for it: ``tag 'v2.0'``."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Tag(Witness):
    """A name that means one version for ever."""

    name: str
    message: str | None = None

    @property
    def label(self) -> str:
        """``tag 'v2.0'``."""
        return f"tag '{self.name}'"


@dataclass(frozen=True, kw_only=True)
class Run(Witness):
    """A run of a program that used a version: a training, an evaluation.

    Attributes:
        table: where the table is.
        run_id: the run, by whatever name its tracker has for it; one run may use several versions and tables.
        role: what the run used the version for: train, eval, …
        name: what people call it.
        metrics: numbers by name, the newest of each.
        params: JSON values by name.
        artifacts: what the run made: paths, URIs.
    """

    table: str
    run_id: str
    role: str
    name: str | None = None
    metrics: Mapping[str, float] = field(default_factory=lambda: EMPTY)
    params: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    artifacts: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``run 'f3a9' (train)``."""
        return f"run '{self.run_id}' ({self.role})"


@dataclass(frozen=True, kw_only=True)
class Pin(Witness):
    """A reason to keep a version."""

    reason: str

    @property
    def label(self) -> str:
        """``pin: audit of 2026``."""
        return f"pin: {self.reason}"
