"""The golden tables: Delta tables of other projects' suites, where they lie, and what a version of each must give.

A few are in ``data/golden``; the full set is used where it lies beside the clone.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import tablever as tv
from tablever import errors

HERE = Path(__file__).parent / "data" / "golden"
FULL = Path(__file__).parents[2] / "shared" / "golden"
ROOT = FULL if FULL.is_dir() else HERE
CASES = {HERE: HERE / "delta_cdf.jsonl", FULL: FULL.parent / "cases" / "delta_cdf.jsonl"}
# Malformed, or beyond what a reader like us may read: what each is refused with, and the words that say why.
REFUSED: Mapping[str, tuple[type[errors.TableverError], str]] = {
    "no-delta-log-folder": (errors.TableNotFoundError, "a folder without _delta_log"),
    "deltalog-invalid-protocol-version": (errors.UnsupportedFeatureError, "reader version 99"),
    "deltalog-state-reconstruction-without-protocol": (errors.CorruptionError, "no 'protocol' action"),
    "deltalog-state-reconstruction-from-checkpoint-missing-protocol": (errors.CorruptionError, "no 'schemaString'"),
    "versions-not-contiguous": (errors.CorruptionError, "log entry"),
    "deltalog-commit-info": (errors.CorruptionError, "no 'schemaString'"),
    "canonicalized-paths-normal-b": (errors.UnsupportedFeatureError, "a file outside the table"),
    "canonicalized-paths-special-b": (errors.UnsupportedFeatureError, "a file outside the table"),
    # The one file that its log names was never part of the suite.
    "log-replay-special-characters-b": (errors.VersionVacuumedError, "its file 'special%20p@%23h' is gone"),
}


@dataclass(frozen=True)
class Golden:
    """One table of a suite."""

    folder: Path

    @property
    def suite(self) -> str:
        """``dat``, ``delta`` or ``cdf``."""
        return self.folder.parent.name

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def source(self) -> Path:
        """The Delta table itself."""
        return self.folder / "delta" if (self.folder / "delta").is_dir() else self.folder

    def expectations(self) -> Iterator[tuple[str, Path]]:
        """Versions (a number, or ``latest``) whose rows are known, with the folder that holds these."""
        expected = self.folder / "expected"
        if self.suite == "delta" and expected.is_dir():
            yield "latest", expected
        for content in sorted(expected.glob("*/table_content")):
            yield content.parent.name.removeprefix("v"), content

    def settings(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Versions whose protocol and properties are known, with these."""
        for file in sorted(self.folder.glob("expected/*/table_version_metadata.json")):
            yield file.parent.name.removeprefix("v"), json.loads(file.read_text())

    def copy(self, to: Path) -> Path:
        """A copy that may be written to, in a folder that is there: the suite itself stays as it is."""
        copy = to / self.name
        shutil.copytree(self.source, copy)
        for place, _, files in os.walk(copy):
            for name in (".", *files):
                (Path(place) / name).chmod(0o755)
        return copy


def tables() -> list[Golden]:
    """Every table of every suite."""
    folders = [folder for suite in ("dat", "delta", "cdf") for folder in sorted((ROOT / suite).iterdir())]
    return [Golden(folder) for folder in folders if folder.is_dir()]


def feeds() -> dict[str, Mapping[str, Any]]:
    """The change rows that are known, by the table's name."""
    found = {}
    for line in CASES[ROOT].read_text().splitlines() if CASES[ROOT].is_file() else ():
        case = json.loads(line)
        name = Path(case["table"]).name
        if (ROOT / "cdf" / name).is_dir():
            found[name] = case
    return found


def expected_rows(folder: Path) -> pa.Table:
    """The rows of Parquet files, INT96 as microseconds."""
    files = [pq.ParquetFile(file, coerce_int96_timestamp_unit="us") for file in sorted(folder.glob("*.parquet"))]
    return pa.concat_tables([file.read() for file in files], promote_options="permissive")


def change_rows(table: Path, case: Mapping[str, Any]) -> Counter[Hashable]:
    """What ``table_changes`` gives for a case, as the suite writes it."""
    end = case["end"] if case["end"] is not None else tv.resolve_version(table, "latest").number
    found = tv.query(f"SELECT * FROM table_changes('t', {case['start']}, {end})", tables={"t": table})
    return Counter(tuple(text(row[name]) for name in case["columns"]) for row in found.to_pylist())


def text(value: Any) -> str | None:
    """A value as the suites write it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
