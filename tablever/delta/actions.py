"""Log entries as values: JSON text to actions and back (Delta protocol, "Actions").

An entry is a sequence of JSON objects, normally one a line. Actions and fields that we do not know are passed over,
as the protocol demands; whether the table may be read at all is for ``features`` to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from tablever.errors import CorruptionError
from tablever.fences import lies_in, outside
from tablever.model import EMPTY, ChangeFile, DataFile, DeletionVector, Metadata, Protocol
from tablever.strict_json import DECODER, MOST_NESTED, is_flat


@dataclass(frozen=True)
class Add:
    """A logical file comes in (Delta protocol, "Add File")."""

    file: DataFile
    data_change: bool = True


@dataclass(frozen=True)
class Remove:
    """A logical file goes out (Delta protocol, "Remove File").

    ``file`` has the removed file's identity; its size, partition values and statistics only where the log repeats
    them (size 0, empty and None otherwise), its modification time never (0).
    """

    file: DataFile
    deletion_timestamp: int | None
    data_change: bool = True


@dataclass(frozen=True)
class Transaction:
    """An application's own version, for writes that must happen once (Delta protocol, "Transaction Identifiers")."""

    app_id: str
    version: int
    last_updated: int | None


@dataclass(frozen=True)
class DomainMetadata:
    """A feature's own configuration (Delta protocol, "Domain Metadata")."""

    domain: str
    configuration: str
    removed: bool


@dataclass(frozen=True)
class CommitInfo:
    """Who did what and when: the JSON object as it stands."""

    values: Mapping[str, Any]


Action = Protocol | Metadata | Add | Remove | ChangeFile | Transaction | DomainMetadata | CommitInfo


def parse_entry(data: bytes, *, name: str) -> list[Action]:
    """The actions of a log entry, in the order of its text.

    ``name`` is the entry's file name, for messages. Raises CorruptionError (facts ``file`` and ``last_good``, the
    number of the version before or None) where the entry is empty, cut, no JSON, or lacks a required field.
    """
    return build_actions(decode_entry(data, name=name), name=name)


def decode_entry(data: bytes, *, name: str) -> list[dict[str, Any]]:
    """The JSON objects of a log entry; values may spread over lines. Raises CorruptionError."""
    if data and not data.strip(b"\0"):
        raise damaged_entry(name, "holds nothing but zero bytes")
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise damaged_entry(name, f"is not UTF-8 at byte {error.start}") from error
    if not text:
        raise damaged_entry(name, "is empty" if not data else "holds only white space")
    values: list[Any]
    try:
        values = DECODER.decode("[" + text.replace("\n", ",") + "]")
    except ValueError:
        values = []
    if len(values) != text.count("\n") + 1:
        values = _decode_sequence(text, name)
    may_be_deep = text.count("{") + text.count("[") > MOST_NESTED
    for value in values:
        if not isinstance(value, dict):
            raise damaged_entry(name, f"holds a {type(value).__name__} where an action should stand")
        if may_be_deep and not is_flat(value.get("commitInfo")):
            raise damaged_entry(name, "holds a 'commitInfo' that is nested too deeply")
    return values


def build_actions(values: Iterable[Mapping[str, Any]], *, name: str) -> list[Action]:
    """The known actions among a log entry's JSON objects. Raises CorruptionError."""
    actions: list[Action] = []
    for value in values:
        for kind, body in value.items():
            build = _BUILDERS.get(kind)
            if build is None or body is None:
                continue
            try:
                actions.append(build(body))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise damaged_entry(name, f"holds a malformed '{kind}' action ({_reason(error)})") from error
    return actions


def render(action: Action) -> dict[str, Any]:
    """The JSON object of an action: ``parse_entry`` of its text gives the action back."""
    match action:
        case Add(file, data_change):
            return {"add": _render_file(file, data_change)}
        case Remove(file, deletion_timestamp, data_change):
            return {"remove": _render_remove(file, deletion_timestamp, data_change)}
        case Protocol():
            return {"protocol": _render_protocol(action)}
        case Metadata():
            return {"metaData": _render_metadata(action)}
        case ChangeFile():
            return {"cdc": _render_change_file(action)}
        case Transaction(app_id, version, last_updated):
            return {"txn": _present(appId=app_id, version=version, lastUpdated=last_updated)}
        case DomainMetadata(domain, configuration, removed):
            return {"domainMetadata": {"domain": domain, "configuration": configuration, "removed": removed}}
        case CommitInfo(values):
            return {"commitInfo": dict(values)}


def render_entry(actions: Iterable[Action]) -> bytes:
    """A whole log entry: one action a line, each line ended.

    Text is written as it is: delta-rs 1.6.6 reads an escaped surrogate pair beyond U+1FFFF as another character.
    """
    lines = (json.dumps(render(action), ensure_ascii=False, separators=(",", ":")) for action in actions)
    return "".join(line + "\n" for line in lines).encode()


def decode_path(path: str, *, root: str | None = None, allowed: Sequence[str] = ()) -> str:
    """Where a log's path points, relative to the table and decoded, with forward slashes.

    An absolute path or ``file:`` URI below ``root`` (the table's absolute folder) is made relative. One below a folder
    that the user allows stays absolute. Any other place outside the table is refused.

    Raises UnsupportedFeatureError (``feature`` is "paths outside the table"), CorruptionError for what is no path.
    """
    text = decode_percent(_FILE_URI.sub("", path))
    if root is not None:
        text = text.removeprefix(root.rstrip("/") + "/")
    if _SCHEME.match(text) or ".." in text.split("/") or (text.startswith("/") and not lies_in(text, allowed)):
        raise outside(path)
    if not text or "\0" in text:
        raise CorruptionError(f"the log names a file {path!r}, which is not a path", path=path)
    return text


def decode_percent(path: str) -> str:
    """A path without percent-encoding; bytes that are not UTF-8 as the operating system's paths have them."""
    return unquote(path, errors="surrogateescape") if "%" in path else path


_FILE_URI = re.compile(r"^file:(//[^/]*)?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_ENTRY = re.compile(r"([0-9]{20})\.json")
_BLANK = re.compile(r"\s*")


def _decode_sequence(text: str, name: str) -> list[Any]:
    values = []
    position = 0
    while position < len(text):
        try:
            value, position = DECODER.raw_decode(text, position)
        except ValueError as error:
            line = text.count("\n", 0, position) + 1
            why = "" if isinstance(error, json.JSONDecodeError) else f" ({error})"
            raise damaged_entry(name, f"is cut or damaged at line {line}{why}") from error
        values.append(value)
        blank = _BLANK.match(text, position)
        position = blank.end() if blank else position
    return values


def damaged_entry(name: str, what: str) -> CorruptionError:
    """The error for a log entry, or a part of a checkpoint, of which ``what`` says what is wrong: ``is empty``.

    Its facts: ``file``, ``problem``, and of an entry ``last_good``, the version before.
    """
    entry = _ENTRY.fullmatch(name)
    if entry is None:
        return CorruptionError(f"checkpoint file '{name}' {what}", file=name, problem=what)
    last_good = int(entry[1]) - 1 if int(entry[1]) else None
    return CorruptionError(
        f"log entry '{name}' {what}" + ("" if last_good is None else f"; the last good version is {last_good}"),
        hint=None if last_good is None else f"version {last_good} and older can still be read",
        file=name,
        problem=what,
        last_good=last_good,
    )


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{_shown(value)} is not a string")
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{_shown(value)} is not an integer")
    if not -(2**63) <= value < 2**63:
        raise ValueError("an integer of more than 64 bits")
    return value


def _shown(value: Any) -> str:
    """A few characters of what stands in the wrong place."""
    return f"a {type(value).__name__}" if isinstance(value, dict | list) else repr(value)[:40]


def _optional_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _optional_number(value: Any) -> int | None:
    return None if value is None else _number(value)


def _texts(value: Any) -> Mapping[str, str | None]:
    if not value:
        return EMPTY
    for item in value.values():
        if item is not None:
            _text(item)
    return dict(value)


def _flag(value: Any, missing: bool) -> bool:
    if value is None:
        return missing
    if not isinstance(value, bool):
        raise TypeError(f"{_shown(value)} is not a boolean")
    return value


def _vector(value: Any) -> DeletionVector | None:
    if value is None:
        return None
    return DeletionVector(
        storage_type=_text(value["storageType"]),
        path_or_inline=_text(value["pathOrInlineDv"]),
        size=_number(value["sizeInBytes"]),
        cardinality=_number(value["cardinality"]),
        offset=_optional_number(value.get("offset")),
    )


def _file(value: Mapping[str, Any], size: int, modification_time: int) -> DataFile:
    tags = value.get("tags")
    return DataFile(
        path=_text(value["path"]),
        size=size,
        modification_time=modification_time,
        partition_values=_texts(value.get("partitionValues")),
        stats=_optional_text(value.get("stats")),
        tags=None if tags is None else dict(_texts(tags)),
        vector=_vector(value.get("deletionVector")),
        base_row_id=_optional_number(value.get("baseRowId")),
        default_row_commit_version=_optional_number(value.get("defaultRowCommitVersion")),
        clustering_provider=_optional_text(value.get("clusteringProvider")),
    )


def _build_add(value: Any) -> Add:
    file = _file(value, _number(value["size"]), _number(value["modificationTime"]))
    return Add(file, _flag(value.get("dataChange"), True))


def _build_remove(value: Any) -> Remove:
    size = _optional_number(value.get("size")) or 0
    file = _file(value, size, 0)
    if not size:  # the extended fields are all there or none
        file = replace(file, partition_values=EMPTY)
    return Remove(file, _optional_number(value.get("deletionTimestamp")), _flag(value.get("dataChange"), True))


def _build_change_file(value: Any) -> ChangeFile:
    tags = value.get("tags")
    return ChangeFile(
        path=_text(value["path"]),
        size=_number(value["size"]),
        partition_values=_texts(value.get("partitionValues")),
        tags=None if tags is None else dict(_texts(tags)),
    )


def _features(value: Any) -> frozenset[str] | None:
    return None if value is None else frozenset(_text(item) for item in value)


def _build_protocol(value: Any) -> Protocol:
    return Protocol(
        min_reader=_number(value["minReaderVersion"]),
        min_writer=_number(value["minWriterVersion"]),
        reader_features=_features(value.get("readerFeatures")),
        writer_features=_features(value.get("writerFeatures")),
    )


def _build_metadata(value: Any) -> Metadata:
    configuration = {_text(key): _text(item) for key, item in (value.get("configuration") or {}).items()}
    return Metadata(
        id=_text(value["id"]),
        schema_string=_text(value["schemaString"]),
        partition_columns=tuple(_text(column) for column in value.get("partitionColumns") or ()),
        configuration=configuration,
        name=_optional_text(value.get("name")),
        description=_optional_text(value.get("description")),
        created_time=_optional_number(value.get("createdTime")),
        format=dict(value.get("format") or {"provider": "parquet", "options": {}}),
    )


def _build_transaction(value: Any) -> Transaction:
    return Transaction(_text(value["appId"]), _number(value["version"]), _optional_number(value.get("lastUpdated")))


def _build_domain(value: Any) -> DomainMetadata:
    return DomainMetadata(_text(value["domain"]), _text(value["configuration"]), _flag(value.get("removed"), False))


def _build_commit_info(value: Any) -> CommitInfo:
    return CommitInfo(dict(value))


_BUILDERS: Mapping[str, Callable[[Any], Action]] = {
    "add": _build_add,
    "remove": _build_remove,
    "cdc": _build_change_file,
    "protocol": _build_protocol,
    "metaData": _build_metadata,
    "txn": _build_transaction,
    "domainMetadata": _build_domain,
    "commitInfo": _build_commit_info,
}


def _present(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _render_vector(vector: DeletionVector | None) -> dict[str, Any] | None:
    if vector is None:
        return None
    return _present(
        storageType=vector.storage_type,
        pathOrInlineDv=vector.path_or_inline,
        offset=vector.offset,
        sizeInBytes=vector.size,
        cardinality=vector.cardinality,
    )


def _render_file(file: DataFile, data_change: bool) -> dict[str, Any]:
    return _present(
        path=file.path,
        partitionValues=dict(file.partition_values),
        size=file.size,
        modificationTime=file.modification_time,
        dataChange=data_change,
        stats=file.stats,
        tags=None if file.tags is None else dict(file.tags),
        deletionVector=_render_vector(file.vector),
        baseRowId=file.base_row_id,
        defaultRowCommitVersion=file.default_row_commit_version,
        clusteringProvider=file.clustering_provider,
    )


def _render_remove(file: DataFile, deletion_timestamp: int | None, data_change: bool) -> dict[str, Any]:
    fields = _render_file(file, data_change)
    del fields["modificationTime"]
    fields["deletionTimestamp"] = deletion_timestamp
    # readers take the extended fields as all there or none: a size of 0 says that the removed file is not known
    fields["extendedFileMetadata"] = True
    if not file.size:
        for key in ("extendedFileMetadata", "partitionValues", "size"):
            del fields[key]
    return _present(**fields)


def _render_change_file(file: ChangeFile) -> dict[str, Any]:
    return _present(
        path=file.path,
        partitionValues=dict(file.partition_values),
        size=file.size,
        dataChange=False,
        tags=None if file.tags is None else dict(file.tags),
    )


def _render_protocol(protocol: Protocol) -> dict[str, Any]:
    return _present(
        minReaderVersion=protocol.min_reader,
        minWriterVersion=protocol.min_writer,
        readerFeatures=None if protocol.reader_features is None else sorted(protocol.reader_features),
        writerFeatures=None if protocol.writer_features is None else sorted(protocol.writer_features),
    )


def _render_metadata(metadata: Metadata) -> dict[str, Any]:
    return _present(
        id=metadata.id,
        name=metadata.name,
        description=metadata.description,
        format=dict(metadata.format),
        schemaString=metadata.schema_string,
        partitionColumns=list(metadata.partition_columns),
        configuration=dict(metadata.configuration),
        createdTime=metadata.created_time,
    )
