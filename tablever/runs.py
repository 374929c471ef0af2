"""Runs: what trained on a version, or was evaluated on it, and how well it did."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from tablever import witness_files, witnesses
from tablever.authorship import check_text, default_author
from tablever.catalog import table_places
from tablever.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from tablever.json_values import to_json
from tablever.log import Log, TableLike, log_at, open_log
from tablever.model import Run
from tablever.refs import Ref

_ROLE = re.compile("[a-z][a-z0-9_-]{0,31}")


def link_run(
    table: TableLike,
    ref: Ref,
    run_id: str,
    *,
    name: str | None = None,
    role: str = "train",
    metrics: Mapping[str, float] | None = None,
    params: Mapping[str, Any] | None = None,
    artifacts: Sequence[str] | None = None,
    author: str | None = None,
) -> Run:
    """Record that a run used a version. Linking it again in the same role adds metrics, and changes nothing else.

    Args:
        run_id: the run, by whatever name its tracker has for it. It may use several versions and tables.
        name: what people call it.
        role: what it used the version for: train, eval, …; small letters, digits, ``_`` and ``-``.
        metrics: numbers by name; of a name that is linked again the newest counts.
        params: JSON values by name.
        artifacts: what the run made: paths, URIs.
        author: who; git's user or the system's by default.

    Returns:
        The run as it is recorded now, with all its metrics.

    Raises:
        AlreadyExistsError: it is linked with another name, other params or artifacts, or was unlinked.
        InvalidInputError: an argument is of the wrong type; RefError: ``ref`` is no ref.
        VersionNotFoundError, VersionVacuumedError, TagNotFoundError: there is no such version.
        CorruptionError, UnsupportedFeatureError, StorageError: the table cannot be read right, or not written.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> _ = link_run(table, 0, "f3a9", params={"lr": 0.001}, artifacts=["model.pt"])
        >>> link_run(table, 0, "f3a9", metrics={"f1": 0.91}).metrics
        {'f1': 0.91}
    """
    log = open_log(table)
    check_text("name", name)
    check_text("author", author)
    checked = _checked_metrics(metrics or {})
    described = {"name": name, "params": _checked_params(params), "artifacts": _checked_artifacts(artifacts)}
    number = log.resolve(ref)
    path = _path(number, role, run_id)
    values = witnesses.attest(log, number, author or default_author())
    if witnesses.put(log, path, {**values, "runId": run_id, "role": role, "metrics": checked, **described}):
        with witness_files.made(path):
            return witness_files.read_run(log.storage, path)
    found = _linked_before(log, number, role, run_id, described)
    return _with_metrics(log, found, checked, values)


def runs_of(table: TableLike, ref: Ref | None = None) -> list[Run]:
    """The runs that are linked to a version, or to any; by version, then by the time of their linking.

    Raises:
        RefError, VersionNotFoundError, TagNotFoundError, TableNotFoundError: there is no such version.
        CorruptionError: a link is damaged, or remembers a version that is not in the log; ``file`` names it.
        UnsupportedFeatureError, StorageError: a link cannot be read.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> _ = link_run(table, "latest", "f3a9", metrics={"f1": 0.91})
        >>> [(run.run_id, run.role, run.metrics) for run in runs_of(table, 0)]
        [('f3a9', 'train', {'f1': 0.91})]
    """
    log = open_log(table)
    runs = witness_files.read_runs(log.storage, None if ref is None else log.resolve(ref))
    witnesses.confirm_all(log, runs)
    return runs


def versions_of(
    root: str | os.PathLike[str], run_id: str, *, storage_options: Mapping[str, str] | None = None
) -> list[Run]:
    """What a run used: its links in every table below a folder, by table and version (``.table``, ``.version``).

    Folders whose names begin with ``.`` or ``_`` and folders in a table are not looked into.

    Raises:
        TableNotFoundError: there is no such folder.
        CorruptionError: a link of the run is damaged, or remembers a version that is not in the log.
        UnsupportedFeatureError, StorageError: a link cannot be read.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> _ = link_run(table, 0, "f3a9", role="eval")
        >>> [(run.table == table.uri, run.version, run.role) for run in versions_of(folder, "f3a9")]
        [(True, 0, 'eval')]
    """
    check_text("run_id", run_id)
    found: list[Run] = []
    name = witness_files.file_name(run_id)
    for place in table_places(root, storage_options):
        log = log_at(place)
        paths = witness_files.standing(log.storage, witness_files.RUNS)
        runs = [_read(log, path) for path in paths if path.split(".")[2:3] == [name]]
        witnesses.confirm_all(log, runs)
        found += sorted(runs, key=lambda run: (run.version, run.role))
    return found


def unlink_run(
    table: TableLike,
    ref: Ref,
    run_id: str,
    *,
    role: str = "train",
    reason: str | None = None,
    author: str | None = None,
) -> Run:
    """Take back that a run used a version, and return what was recorded. A record of who did it stays.

    Raises:
        NotFoundError: the run is not linked to that version in that role.
        RefError, VersionNotFoundError, TagNotFoundError: ``ref`` names no version.
        CorruptionError, UnsupportedFeatureError, StorageError: the link cannot be read or not written.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> _ = link_run(table, 0, "f3a9")
        >>> _ = unlink_run(table, 0, "f3a9", reason="the run was of another table")
        >>> runs_of(table)
        []
    """
    log = open_log(table)
    check_text("reason", reason)
    check_text("author", author)
    number = witnesses.named_version(log, ref)
    path = _path(number, role, run_id)
    there = path in witness_files.standing(log.storage, witness_files.RUNS, number)
    found = _read(log, path) if there else None
    if found is None or not witnesses.take_away(log, path, author or default_author(), reason):
        raise NotFoundError(
            f"run '{run_id}' is not linked to version {number} of '{log.name}' as '{role}'",
            hint=f"tablever runs {log.name}",
            run_id=run_id,
            version=number,
            role=role,
        )
    return found


def _path(number: int, role: str, run_id: str) -> str:
    check_text("role", role)
    check_text("run_id", run_id)
    if not _ROLE.fullmatch(role or ""):
        raise InvalidInputError(
            f"a role is small letters, digits, '_' and '-', 32 at most, not {role!r}", hint="'train', 'eval', 'test'"
        )
    if not run_id:
        raise InvalidInputError("run_id must not be empty")
    return witness_files.run_path(number, role, run_id)


def _read(log: Log, path: str) -> Run:
    return witness_files.read_run(log.storage, path, witness_files.metrics_of(log.storage, path))


def _linked_before(log: Log, number: int, role: str, run_id: str, described: Mapping[str, Any]) -> Run:
    """The link that is there; refused where it is taken back, or says something else than is said now."""
    path, about = _path(number, role, run_id), {"run_id": run_id, "version": number}
    named = f"run '{run_id}' of version {number} of '{log.name}' as '{role}'"
    deletion = witness_files.deletion_of(log.storage, path)
    if deletion is not None:
        raise AlreadyExistsError(
            f"the link to {named} {deletion.words}",
            hint="a link that was taken back is not made again: link it in another role",
            **about,
        )
    found = _read(log, path)
    recorded = {"name": found.name, "params": found.params, "artifacts": list(found.artifacts)}
    for what, value in described.items():
        if value is not None and value != recorded[what]:
            raise AlreadyExistsError(
                f"{named} is linked already, with {what} {recorded[what]!r}, not {value!r}",
                hint="only metrics are added to a link: unlink it, and link the run in another role",
                **about,
            )
    return found


def _with_metrics(log: Log, run: Run, metrics: Mapping[str, Any], values: Mapping[str, Any]) -> Run:
    recorded = _checked_metrics(run.metrics)
    news = {name: value for name, value in metrics.items() if name not in recorded or recorded[name] != value}
    if not news:
        return run
    about = {name: values[name] for name in ("tableId", "version", "commitHash", "author", "time")}
    body = {**about, "runId": run.run_id, "role": run.role, "metrics": news}
    appended = witness_files.metrics_of(log.storage, run.object)
    while not witness_files.put(log.storage, at := witness_files.metrics_path(run.object, appended), body):
        appended = witness_files.metrics_of(log.storage, run.object)
    with witness_files.made(at):
        return _read(log, run.object)


def _checked_metrics(metrics: Mapping[str, Any]) -> dict[str, float | str]:
    """Metrics as JSON has them: NaN and the infinities, which it lacks, as text."""
    checked: dict[str, float | str] = {}
    if not isinstance(metrics, Mapping):
        raise InvalidInputError(f"metrics are numbers by name, not {metrics!r}", hint='{"f1": 0.91}')
    for name, value in metrics.items():
        check_text("a metric's name", name)
        if isinstance(value, bool) or not isinstance(value, Real):
            raise InvalidInputError(f"metric '{name}' must be a number, not {value!r}")
        number = int(value) if isinstance(value, Integral) else float(value)
        checked[name] = to_json(number)
    return checked


def _checked_params(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if params is None:
        return None
    try:
        text = json.dumps(dict(params), ensure_ascii=False, allow_nan=False)
        text.encode()
        _check_names(params)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"params must be JSON values: {error}", hint="convert them to str, int, float, bool, list or dict"
        ) from error
    return dict(json.loads(text))


def _check_names(value: Any) -> None:
    """Raises TypeError for a name that is not text: JSON would make it text, and perhaps one that is there already."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            if not isinstance(name, str):
                raise TypeError(f"the name {name!r} is not text")
            _check_names(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _check_names(each)


def _checked_artifacts(artifacts: Sequence[str] | None) -> list[str] | None:
    if isinstance(artifacts, str):
        raise InvalidInputError(
            f"artifacts must be a list of texts, not the text {artifacts!r}", hint=f"[{artifacts!r}]"
        )
    for artifact in artifacts or ():
        if not isinstance(artifact, str):
            raise InvalidInputError(f"an artifact is text, a path or a URI, not {artifact!r}")
        check_text("an artifact", artifact)
    return None if artifacts is None else list(artifacts)
