"""Tags, runs and pins as objects beside the table: put if absent, never rewritten, taken away by another object.

Layout, names and fields: docs/reference/format.md, "Tags, runs and pins". A journal, one object for each that was put,
in their order, tells of one that is missing.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import string
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from tablever import sealed
from tablever.errors import CorruptionError, InvalidInputError, StorageError
from tablever.json_values import to_json
from tablever.model import Pin, Run, Tag
from tablever.storage import Storage, can_be_read_whole

FOLDER = "_tablever"
TAGS = f"{FOLDER}/tags"
RUNS = f"{FOLDER}/runs"
PINS = f"{FOLDER}/pins"
REPAIRS = f"{FOLDER}/repairs"
JOURNAL = f"{FOLDER}/journal"
DELETED = "deleted"
LONGEST_NAME = 150  # bytes; file systems take 255, some 143 of text

KINDS: Mapping[str, str] = {
    TAGS: "tablever.tag/v1",
    RUNS: "tablever.run/v1",
    PINS: "tablever.pin/v1",
    REPAIRS: "tablever.repair/v1",
    JOURNAL: "tablever.journal/v1",
}
METRICS_KIND = "tablever.metrics/v1"
DELETED_KIND = "tablever.deleted/v1"

logger = logging.getLogger("tablever")

_Made = TypeVar("_Made")
_HASHED = "sha256-"
_JOURNAL_NAME = re.compile(r"([0-9]{20})\.json")
_METRICS = ".metrics.json"
_PLAIN = frozenset((string.ascii_lowercase + string.digits + "_-").encode())


@dataclass(frozen=True)
class Deletion:
    """Who took a witness away, when and why."""

    author: str
    time: datetime
    reason: str | None

    @property
    def words(self) -> str:
        """``was deleted by Ada on 2026-11-01: made by mistake``."""
        why = f": {self.reason}" if self.reason else ""
        return f"was deleted by {self.author.partition(' <')[0]} on {self.time:%Y-%m-%d}{why}"


@dataclass(frozen=True)
class RepairRecord:
    """Who moved aside what could not be restored, when and why.

    Attributes:
        lost: the versions whose entries were torn, each with what was wrong.
        given_up: the paths of tags, runs, pins, deletions and journal, each with what was wrong.
    """

    author: str
    time: datetime
    reason: str | None
    lost: tuple[tuple[int, str], ...]
    given_up: tuple[tuple[str, str], ...]

    @property
    def words(self) -> str:
        """``given up by Ada on 2026-11-01: no copy was left``."""
        why = f": {self.reason}" if self.reason else ""
        return f"given up by {self.author.partition(' <')[0]} on {self.time:%Y-%m-%d}{why}"


# -- names


def file_name(name: str) -> str:
    """A name as part of a file's: every byte outside ``a-z 0-9 _ -`` percent-encoded; a hash where that is long.

    So letter case counts on every file system, and no name is a path; nor is one taken for the hash of another.
    """
    data = name.encode()
    text = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data)
    is_plain = len(text) <= LONGEST_NAME and not text.startswith(_HASHED)
    return text if is_plain else f"{_HASHED}{hashlib.sha256(data).hexdigest()}"


def tag_path(name: str) -> str:
    """Where a tag lies."""
    return f"{TAGS}/{file_name(name)}.json"


def run_path(version: int, role: str, run_id: str) -> str:
    """Where a run's link to a version lies."""
    return f"{RUNS}/{version:020d}.{role}.{file_name(run_id)}.json"


def metrics_path(run: str, appended: Sequence[str]) -> str:
    """Where metrics, appended now to the run at the path ``run``, lie: behind those that were ``appended`` before."""
    now = int(datetime.now(UTC).timestamp() * 1_000_000)
    newest = max((int(path.split(".")[3].partition("-")[0], 16) for path in appended), default=-1)
    return f"{run.removesuffix('.json')}.{max(now, newest + 1):016x}-{secrets.token_hex(4)}{_METRICS}"


def new_pin_path(version: int) -> str:
    """Where a new pin of a version lies."""
    return f"{PINS}/{version:020d}.{secrets.token_hex(6)}.json"


def deleted_path(path: str) -> str:
    """Where the record lies that takes away the object at a path."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{DELETED}/{name}"


def kind_of(path: str) -> str:
    """The format of the object at a path."""
    folder, _, name = path.rpartition("/")
    if folder.endswith(f"/{DELETED}"):
        return DELETED_KIND
    return METRICS_KIND if name.endswith(_METRICS) else KINDS[folder]


# -- writing


def put(storage: Storage, path: str, values: Mapping[str, Any]) -> bool:
    """Put an object and enter it into the journal; False where one of that name is there, or was and is taken away.

    Raises InvalidInputError where it would be too large to be read. Raises StorageError; where the object was made, but
    could not be entered, its fact ``made`` is the object's path.
    """
    if not path.startswith(REPAIRS) and f"/{DELETED}/" not in path and storage.exists(deleted_path(path)):
        return False
    data = sealed.render(path, kind_of(path), to_json({k: v for k, v in values.items() if v is not None}))
    if not can_be_read_whole(len(data)):
        raise InvalidInputError(
            f"'{path}' would have {len(data):,} bytes, more than is read back",
            hint="keep what is large in a file of its own, and its name here",
            bytes=len(data),
        )
    if not storage.put_if_absent(path, data):
        return False
    entry = {"entry": path, "entryDigest": sealed.digest(data), "version": values.get("version")}
    with made(path, "the journal that would tell of its loss has no entry of it"):
        number = max(journal_numbers(storage), default=-1) + 1
        while not storage.put_if_absent(at := journal_path(number), sealed.render(at, KINDS[JOURNAL], entry)):
            number += 1
    return True


@contextmanager
def made(path: str, but: str = "it could not be read back") -> Iterator[None]:
    """A StorageError of what is done once an object is there says that it is, in its fact ``made``, and what is not."""
    try:
        yield
    except StorageError as error:
        if "made" in error.facts:
            raise
        raise StorageError(
            f"'{path}' was made and counts, but {but}: {error}",
            hint="do not make it again: it is there",
            made=path,
            reason=error.facts.get("reason"),
        ) from error


def journal_path(number: int) -> str:
    """Where the journal's entry of a number, from 0, lies."""
    return f"{JOURNAL}/{number:020d}.json"


def journal_numbers(storage: Storage) -> list[int]:
    """The numbers of the journal's entries, ascending; what has no such name is none of them."""
    return [int(found[1]) for name in names(storage, JOURNAL) if (found := _JOURNAL_NAME.fullmatch(name))]


# -- reading


def names(storage: Storage, folder: str) -> list[str]:
    """File names of the objects in a folder, sorted: the oldest version first."""
    return [name for name in storage.list(folder) if name.endswith(".json") and not name.startswith(".")]


def standing(storage: Storage, folder: str, version: int | None = None) -> list[str]:
    """Paths of the tags, runs or pins in a folder that were not taken away, without metrics.

    With ``version``, of runs and pins, those of that version alone. One listing, and one of what was taken away.
    """
    there = [name for name in names(storage, folder) if not name.endswith(_METRICS)]
    if version is not None:
        there = [name for name in there if name.startswith(f"{version:020d}.")]
    gone = set(names(storage, f"{folder}/{DELETED}")) if there else set()
    paths = [f"{folder}/{name}" for name in there]
    return [p for p, name in zip(paths, there, strict=True) if name not in gone or deletion_of(storage, p) is None]


def read(storage: Storage, path: str) -> dict[str, Any]:
    """The values of an object.

    Raises:
        FileNotFoundError: there is none.
        CorruptionError, UnsupportedFeatureError: there is one that cannot be read right.
    """
    return sealed.parse(storage.get(path), path=path, kind=kind_of(path))


def read_deletion(storage: Storage, path: str) -> Deletion | None:
    """The record that took away the object at a path; None where none did."""
    at = deleted_path(path)
    try:
        values = read(storage, at)
    except FileNotFoundError:
        return None
    with _well_formed(at):
        return Deletion(str(values["author"]), datetime.fromisoformat(values["time"]), values.get("reason"))


def deletion_of(storage: Storage, path: str) -> Deletion | None:
    """The record that took away the object at a path. One that is damaged takes nothing: what it was about stands."""
    try:
        return read_deletion(storage, path)
    except CorruptionError as error:
        logger.warning("%s; '%s' stands", error, path)
        return None


def read_tag(storage: Storage, path: str) -> Tag:
    """The tag at a path, taken away or not. Raises as ``read``."""
    values = read(storage, path)
    with _well_formed(path):
        return Tag(name=values["name"], message=values.get("message"), **_common(path, values))


def read_pin(storage: Storage, path: str) -> Pin:
    """The pin at a path, taken away or not. Raises as ``read``."""
    values = read(storage, path)
    with _well_formed(path):
        return Pin(reason=values["reason"], **_common(path, values))


def read_run(storage: Storage, path: str, appended: Sequence[str] = ()) -> Run:
    """The run at a path, taken away or not, with the metrics at the paths ``appended``. Raises as ``read``."""
    values = read(storage, path)
    metrics = dict(values.get("metrics", {}))
    for more in sorted(appended):
        metrics |= read(storage, more).get("metrics", {})
    with _well_formed(path):
        return Run(
            table=storage.uri,
            run_id=values["runId"],
            role=values["role"],
            name=values.get("name"),
            metrics={name: float(value) if isinstance(value, str) else value for name, value in metrics.items()},
            params=values.get("params", {}),
            artifacts=tuple(values.get("artifacts", ())),
            **_common(path, values),
        )


def metrics_of(storage: Storage, run: str) -> list[str]:
    """Paths of the metrics that were appended to the run at a path, oldest first."""
    start = run.rpartition("/")[2].removesuffix("json")
    return [f"{RUNS}/{name}" for name in names(storage, RUNS) if name.startswith(start) and name.endswith(_METRICS)]


def read_tags(storage: Storage) -> list[Tag]:
    """The tags that were not deleted, by version, then by name. Raises as ``read``, but not FileNotFoundError."""
    tags = [_listed(path, partial(read_tag, storage, path)) for path in standing(storage, TAGS)]
    return sorted(tags, key=lambda tag: (tag.version, tag.name))


def read_pins(storage: Storage, version: int | None = None) -> list[Pin]:
    """The pins, of one version or all, that were not taken away; by version, then by time. Raises as ``read_tags``."""
    pins = [_listed(path, partial(read_pin, storage, path)) for path in standing(storage, PINS, version)]
    return sorted(pins, key=lambda pin: (pin.version, pin.time))


def read_runs(storage: Storage, version: int | None = None) -> list[Run]:
    """The links to runs, of one version or all, that were not taken away; by version, then by time.

    Raises as ``read_tags``.
    """
    appended: dict[str, list[str]] = defaultdict(list)
    paths = standing(storage, RUNS, version)
    for name in names(storage, RUNS) if paths else []:
        if name.endswith(_METRICS):
            appended[f"{RUNS}/{'.'.join(name.split('.')[:3])}.json"].append(f"{RUNS}/{name}")
    runs = [_listed(path, partial(read_run, storage, path, appended[path])) for path in paths]
    return sorted(runs, key=lambda run: (run.version, run.time))


def missing_versions(storage: Storage) -> set[int]:
    """The versions of tags, runs and pins that the journal has and nobody took away, but whose objects are gone.

    Raises:
        CorruptionError, UnsupportedFeatureError: an entry of the journal cannot be read right.
    """
    found = set()
    for name in names(storage, JOURNAL):
        path = f"{JOURNAL}/{name}"
        entry = read(storage, path)
        with _well_formed(path):
            object_, version = str(entry["entry"]), entry.get("version")
            if version is not None and not storage.exists(object_) and deletion_of(storage, object_) is None:
                found.add(int(version))
    return found


def read_repair(storage: Storage, path: str) -> RepairRecord:
    """The record of a repair at a path. Raises as ``read``."""
    values = read(storage, path)
    with _well_formed(path):
        return RepairRecord(
            author=str(values["author"]),
            time=datetime.fromisoformat(values["time"]),
            reason=values.get("reason"),
            lost=tuple((int(each["version"]), str(each["problem"])) for each in values["lost"]),
            given_up=tuple((str(each["object"]), str(each["problem"])) for each in values["givenUp"]),
        )


def given_up(storage: Storage) -> frozenset[str]:
    """The paths of tags, runs, pins, deletions and journal that repairs gave up. Raises as ``read_tags``."""
    paths = [f"{REPAIRS}/{name}" for name in names(storage, REPAIRS)]
    records = [_listed(path, partial(read_repair, storage, path)) for path in paths]
    return frozenset(path for record in records for path, _ in record.given_up)


def _listed(path: str, read_one: Callable[[], _Made]) -> _Made:
    """What a listing has named: that it is gone now is damage, since nothing here is ever removed."""
    try:
        return read_one()
    except FileNotFoundError as error:
        raise sealed.damaged(path, "it vanished while it was read") from error


def _common(path: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": int(values["version"]),
        "commit_hash": values["commitHash"],
        "content_hash": values.get("contentHash"),
        "table_id": values["tableId"],
        "author": values["author"],
        "time": datetime.fromisoformat(values["time"]),
        "object": path,
    }


@contextmanager
def _well_formed(path: str) -> Iterator[None]:
    """A sealed object that lacks a field was made by something else than this package."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise sealed.damaged(path, f"a field is missing or is not what it should be: {error}") from error
