"""The judge of a campaign: what every process was told, replayed in the order of versions, against every version.

Nothing here runs beside writers: they have ended. A sentence a wrong; none where all is right.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

import tablever as tv
from tablever import errors
from tablever.log import open_log
from tablever.model import Version
from tablever.spans import numbers_of
from tests import content_hash, reading
from tests.campaigns import foreign
from tests.campaigns.deeds import FOREIGN, KEEPS_ROWS, MODEL, WITNESS, Told
from tests.model import Commit, Counts, Model, Refused, Undetermined


@dataclass(frozen=True)
class Seen:
    """What a reader saw of a version: the hash of the rows that it read; none where it was told that they are gone."""

    number: int
    hash: str | None
    how: str


@dataclass
class Verdict:
    """What was found, and where it is kept."""

    wrong: list[str] = field(default_factory=list)
    operations: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    versions: int = 0
    lost: int = 0
    seen: int = 0
    not_judged: int = 0
    kept: Path | None = None


def judge(path: Path, first: Model, told: Sequence[Told], seen: Sequence[Seen]) -> Verdict:
    """Replay what the processes were told on ``first``, the model of version 0, and compare every version with it."""
    verdict = Verdict()
    versions = tv.list_versions(path)
    verdict.versions = len(versions)
    for one in told:
        outcome = "refused: " + one.error[0] if one.error else "nothing" if one.version is None else "done"
        verdict.operations[one.deed.name] += 1
        verdict.outcomes[outcome] += 1
    ours, theirs = _claims(told, verdict), _foreign(path, told, verdict)
    for number in sorted(ours.keys() & theirs.keys()):
        verdict.wrong.append(
            f"version {number} was given to {ours[number].deed}, and is deltalake's {theirs[number].deed}"
        )
    claims = {**ours, **theirs}
    model = replayed(path, first, versions, claims, verdict)
    lost, ever = _lost(path, versions)
    verdict.lost = len(lost)
    hashes = compare(path, model, versions, lost, verdict)
    made = {id(one) for one in theirs.values()}
    for one in told:
        if FOREIGN in one.deed.options:
            if one.error is None and id(one) not in made and one.deed.name not in KEEPS_ROWS:
                _check_without(one, model, ever, verdict)
            continue  # it need not be right why deltalake refused
        if one.version is None and one.deed.name not in (*KEEPS_ROWS, *WITNESS):
            _check_without(one, model, ever, verdict)
        elif one.error and one.deed.name in WITNESS:
            _check_unnamed(one, told, ever, verdict)
    _check_witnesses(path, told, lost, verdict)
    for each in seen:
        verdict.seen += 1
        if each.hash is None:
            if each.number not in ever:
                verdict.wrong.append(f"a reader ({each.how}) was told that version {each.number} is gone; it is not")
        elif each.hash != hashes.get(each.number, each.hash):
            verdict.wrong.append(f"a reader ({each.how}) saw other rows in version {each.number}")
    return verdict


def _claims(told: Sequence[Told], verdict: Verdict) -> Mapping[int, Told]:
    """Who was told which version: one for each, but that a batch is one version for all who load it."""
    claims: dict[int, Told] = {}
    batches: dict[str, int] = {}
    for one in told:
        if not isinstance(one.version, Version):
            continue
        number, batch = one.version.number, one.deed.options.get("batch_id")
        if batch is not None and batches.setdefault(batch, number) != number:
            verdict.wrong.append(f"batch {batch} was loaded as version {batches[batch]} and as {number}")
        known = claims.setdefault(number, one)
        if known is not one and (batch is None or known.deed.options.get("batch_id") != batch):
            verdict.wrong.append(f"version {number} was given to {known.deed} and to {one.deed}")
        expected = one.deed.options.get("if_version")
        if expected is not None and number != expected + 1:
            verdict.wrong.append(f"{one.deed} made version {number}")
    return claims


def replayed(
    path: Path, first: Model, versions: Sequence[Version], claims: Mapping[int, Told], verdict: Verdict
) -> Model:
    """The model after every version, each made by the deed whose doer was told so."""
    model = Model([*first.versions])
    if [version.number for version in versions] != list(range(len(versions))):
        verdict.wrong.append("the log's versions are not numbered one by one")
    for version in versions[1:]:
        one, number = claims.get(version.number), version.number
        if one is None and version.operation != "vacuum":  # a vacuum that hands back makes two, and tells of one
            verdict.wrong.append(f"version {number} ({version.operation}) was told to nobody")
            return model
        if one is None or one.deed.name in KEEPS_ROWS:
            model.versions.append(Commit(model.head, version.operation, Counts(0, 0)))
        else:
            try:
                _replay(model, one, version, verdict)
            except Undetermined:  # what the specification leaves open is taken as it was done
                verdict.not_judged += 1
                try:
                    rows = tv.read_version(path, version.number).to_pylist()
                except errors.VersionVacuumedError:
                    verdict.not_judged += len(versions) - len(model.versions)
                    return model
                model.versions.append(Commit(replace(model.head, rows=tuple(rows)), "revert", Counts(0, 0, None)))
        if one is not None and FOREIGN in one.deed.options:
            continue  # deltalake records no net counts
        if one is not None and one.version != version:
            verdict.wrong.append(f"version {number} is not in the log as its writer was told")
        commit = model.versions[-1]
        found, counts = (version.rows_added, version.rows_removed, version.rows_updated), commit.counts
        if counts.updated is not None and found != (counts.added, counts.removed, counts.updated):
            verdict.wrong.append(f"version {number} counts {found}, not {counts}")
        if version.rows != len(commit.state.rows):
            verdict.wrong.append(f"version {number} counts {version.rows} rows, not {len(commit.state.rows)}")
    return model


def _foreign(path: Path, told: Sequence[Told], verdict: Verdict) -> Mapping[int, Told]:
    """The versions that deltalake made: of what it was told to have done, and of nothing that failed."""
    by_uid = {one.deed.options[FOREIGN]: one for one in told if FOREIGN in one.deed.options}
    found: dict[int, Told] = {}
    for entry in sorted((path / "_delta_log").glob("0*.json")) if by_uid else ():
        for line in entry.read_text().splitlines():
            one = by_uid.get(json.loads(line).get("commitInfo", {}).get(FOREIGN))
            if one is not None:
                found[int(entry.stem)] = one
                if one.error is not None:
                    verdict.wrong.append(f"version {entry.stem} is of a deed that failed: {one.error}")
    return found


def _rule(one: Told) -> Callable[[Model, Mapping[str, Any]], int | None]:
    return (foreign.MODEL if FOREIGN in one.deed.options else MODEL)[one.deed.name]


def _replay(model: Model, one: Told, version: Version, verdict: Verdict) -> None:
    try:
        number = _rule(one)(model, one.deed.args)
    except Refused as refused:
        verdict.wrong.append(f"version {version.number}, {one.deed}: to be refused with {refused}")
        number = None
    if number is None and FOREIGN in one.deed.options:  # deltalake makes a version of nothing, too
        model.versions.append(Commit(model.head, version.operation, Counts(0, 0)))
    elif number != version.number:
        verdict.wrong.append(f"version {version.number}, {one.deed}: the serial execution makes {number} of it")
        del model.versions[version.number :]
        model.versions.append(Commit(model.head, version.operation, Counts(0, 0, None)))


def compare(
    path: Path, model: Model, versions: Sequence[Version], lost: frozenset[int], verdict: Verdict
) -> Mapping[int, str]:
    """Compare every version that can be read with the model's; the hashes of the model's, by number."""
    hashes = {}
    for version, commit in zip(versions, model.versions, strict=False):
        schema = pa.schema([(column.name, column.type) for column in commit.state.columns])
        hashes[version.number] = expected = content_hash.content_hash(commit.state.rows, schema)
        if version.content_hash not in (None, expected):
            verdict.wrong.append(f"version {version.number} records another content hash than that of its rows")
        try:
            found = tv.read_version(path, version.number)
        except errors.VersionVacuumedError:
            if version.number not in lost:
                verdict.wrong.append(f"version {version.number} cannot be read, and no vacuum says that it took it")
            continue
        try:
            reading.assert_state(found, commit.state, f"version {version.number}")
        except AssertionError as error:
            verdict.wrong.append(str(error)[:500])
    return hashes


def _lost(path: Path, versions: Sequence[Version]) -> tuple[frozenset[int], frozenset[int]]:
    """The versions that are recorded as vacuumed now, and those that ever were."""
    log = open_log(path)
    ever = {
        number
        for version in versions
        if version.operation == "vacuum"
        for number in numbers_of(log.vacuum_record(version.number).rows)
    }
    return frozenset(numbers_of(log.vacuumed().rows)), frozenset(ever)


# -- deeds that made no version


def _heads(one: Told) -> Iterable[int]:
    """The heads on which a deed may have been planned."""
    expected = one.deed.options.get("if_version")
    return range(one.start, one.end + 1) if expected is None else [expected]


def _outcomes(one: Told, model: Model) -> Iterator[type[BaseException] | int | None]:
    """What the model makes of a deed on each of those heads."""
    for head in _heads(one):
        before = Model(model.versions[: head + 1])
        try:
            yield _rule(one)(before, one.deed.args)
        except Refused as refused:
            yield refused.kind
        except Undetermined:
            yield Undetermined


def _check_without(one: Told, model: Model, ever: frozenset[int], verdict: Verdict) -> None:
    """That a deed was refused, or changed nothing, must be right on a head that there was while it was done."""
    if one.end >= len(model.versions):
        verdict.not_judged += 1
        return
    if one.error is None:
        outcomes = list(_outcomes(one, model))
        if Undetermined in outcomes:
            verdict.not_judged += 1
        elif None not in outcomes:
            verdict.wrong.append(f"{one.deed} between {one.start} and {one.end} changed nothing; it had to")
        return
    name = one.error[0]
    expected, number = one.deed.options.get("if_version"), one.deed.args.get("version")
    if name == "ConflictError" and expected is not None and one.end > expected:
        return
    if name == "VersionVacuumedError" and number is not None and {number, number - 1} & ever:
        return
    kinds = list(_outcomes(one, model))
    if Undetermined in kinds:
        verdict.not_judged += 1
    elif name not in {kind.__name__ for kind in kinds if isinstance(kind, type)}:
        verdict.wrong.append(f"{one.deed} between {one.start} and {one.end} raised {': '.join(one.error)}")


def _check_unnamed(one: Told, told: Sequence[Told], ever: frozenset[int], verdict: Verdict) -> None:
    assert one.error is not None
    name, deed = one.error[0], one.deed
    made = {other.deed.args.get("name") for other in told if other.deed.name == "tag" and other.version is not None}
    right = {
        "AlreadyExistsError": deed.name == "tag" and deed.args.get("name") in made,
        "VersionVacuumedError": deed.args.get("version") in ever,
        "NotFoundError": deed.name == "unpin",
        "TagNotFoundError": deed.name == "delete tag",
    }
    if not right.get(name):
        verdict.wrong.append(f"{deed} raised {': '.join(one.error)}")


def _check_witnesses(path: Path, told: Sequence[Told], lost: frozenset[int], verdict: Verdict) -> None:
    """Every tag and run that was made, and not taken away, is there, and its version can be read."""
    done: Mapping[str, dict[str, int]] = defaultdict(dict)
    for one in told:
        if one.deed.name in WITNESS and isinstance(one.version, int) and "name" in one.deed.args:
            name = one.deed.args["name"]
            if one.deed.name == "tag" and name in done["tag"]:
                verdict.wrong.append(f"tag {name} was given twice")
            done[one.deed.name][name] = one.version
    tags = {tag.name: tag.version for tag in tv.list_tags(path)}
    expected = {name: number for name, number in done["tag"].items() if name not in done["delete tag"]}
    if tags != expected:
        verdict.wrong.append(f"the tags are {tags}, not {expected}")
    for number in {*expected.values(), *done["link run"].values(), *(pin.version for pin in tv.list_pins(path))}:
        if number in lost:
            verdict.wrong.append(f"version {number} is named by a tag, a run or a pin, and recorded as vacuumed")
        try:
            tv.read_version(path, number)
        except errors.TableverError as error:
            verdict.wrong.append(f"version {number} is named by a tag, a run or a pin, and cannot be read: {error}")
    for name, number in done["link run"].items():
        if name not in {run.run_id for run in tv.runs_of(path, number)}:
            verdict.wrong.append(f"run {name} of version {number} is not there")
