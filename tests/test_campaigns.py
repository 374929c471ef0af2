"""The judge of the campaigns (tests/campaigns): right is what the specification and deltalake make, wrong is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties

import tablever as tv
from tablever.integrity.report import Report
from tablever.replanning import Replanning
from tests.campaigns import damage, foreign, races
from tests.campaigns.deeds import COLUMNS, FOREIGN, MORE, Deed, Told
from tests.campaigns.judging import judge
from tests.campaigns.keeping import Case, again, judged, keep
from tests.campaigns.writers import Result, do, together
from tests.model import Column, Model

WIDER = (*COLUMNS, MORE[1])
FIRST = [{"id": n, "part": n % 3, "n": 0, "text": "first"} for n in (0, 2, 4)]


def made(path: Path, key: str | None = "id") -> Model:
    nullable = [Column(c.name, c.type, key is None or c.name != key) for c in COLUMNS]
    schema = pa.schema([(c.name, c.type) for c in COLUMNS])
    tv.create_table(path, pa.Table.from_pylist(FIRST, schema), key=key)
    return Model.create(nullable, [key] if key else [], FIRST)


def ours(path: Path, deed: Deed) -> Told:
    return do(path, tv.open_table(path), deed)


def theirs(path: Path, deed: Deed) -> Told:
    said = CommitProperties(custom_metadata={FOREIGN: deed.options[FOREIGN]})
    foreign.DELTALAKE[deed.name](str(path), deed.args, said)
    return Told(deed, 0, 0)


def rows(*ids: int, wider: bool = False) -> dict[str, Any]:
    found = [{"id": n, "part": 0, "n": 9, "text": "new", **({"more_b": "more"} if wider else {})} for n in ids]
    return {"rows": found, "columns": WIDER if wider else COLUMNS, "evolve": True}


@pytest.mark.parametrize("verb", ["upsert", "append", "overwrite"])
@pytest.mark.parametrize("wider", [False, True])
def test_deltalake_merges_schemas(tmp_path: Path, verb: str, wider: bool) -> None:
    """What deltalake makes of rows that lack a column of the table, or bring one, is right: a row that is there keeps
    its value, another has null.
    """
    path = tmp_path / "t"
    model = made(path)
    told = [
        ours(path, Deed("upsert", rows(2, 6, wider=not wider))),
        theirs(path, Deed(verb, rows(*([10, 11] if verb == "append" else [2, 4, 10]), wider=wider), {FOREIGN: "a"})),
        theirs(path, Deed("restore", {"version": 1}, {FOREIGN: "b"})),
        ours(path, Deed("update", {"low": 0, "high": 3, "shift": 0, "by": 1})),
    ]
    assert judge(path, model, told, []).wrong == []


def test_two_reasons_to_refuse(tmp_path: Path) -> None:
    """An upsert whose rows do not fit, into a table without a key, is refused for the key: it is looked at first."""
    path = tmp_path / "t"
    model = made(path, key=None)
    told = ours(path, Deed("upsert", {**rows(2, wider=True), "evolve": False}))
    assert told.error is not None
    assert told.error[0] == "InvalidKeyError"
    assert judge(path, model, [told], []).wrong == []


def test_a_version_of_two_writers(tmp_path: Path) -> None:
    """A version that one of ours was told is its own, and that the log gives to deltalake, is wrong: one was lost."""
    path = tmp_path / "t"
    model = made(path)
    deed = Deed("append", rows(6), {FOREIGN: "a"})
    told = [theirs(path, deed), Told(Deed("append", rows(8)), 0, 1, tv.list_versions(path)[1])]
    assert any("version 1 was given to" in each for each in judge(path, model, told, []).wrong)


@pytest.mark.parametrize("verb", ["append", "upsert", "delete"])
def test_a_lost_update_of_deltalake(tmp_path: Path, verb: str) -> None:
    """A write that deltalake said was done, and that the log does not have, is wrong."""
    path = tmp_path / "t"
    args = {"low": 0, "high": 3} if verb == "delete" else rows(0, 6)
    verdict = judge(path, made(path), [Told(Deed(verb, args, {FOREIGN: "a"}), 0, 0)], [])
    assert any("changed nothing; it had to" in each for each in verdict.wrong)


def damaged(path: Path) -> None:
    (path / "_delta_log" / f"{1:020}.json").write_text("{")


@pytest.mark.parametrize("harm", [lambda _: None, damaged])
def test_what_is_wrong_is_kept(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    """A round that was wrong is kept with its words, seed and table, and judged again it is as wrong; also where the
    judge cannot read the table.
    """
    path = tmp_path / "t"
    case = Case("a case", 17, made(path), wrong=["a reader died"])
    tv.append(path, rows(7)["rows"], message="of nobody")
    harm(path)
    verdict = judged(path, case)
    assert all(each.startswith("a case, seed 17: ") for each in verdict.wrong)
    assert len(verdict.wrong) == 2
    folder = keep(path, case, [*verdict.wrong, verdict.wrong[0]], tmp_path / "kept")
    assert (folder / "wrong.txt").read_text() == "".join(f"{each}\n" for each in verdict.wrong)
    assert sorted(each.name for each in (folder / "table").iterdir()) == sorted(each.name for each in path.iterdir())
    found = again(folder).wrong
    assert [each.splitlines()[0] for each in found] == [each.splitlines()[0] for each in verdict.wrong]


def test_a_plan_that_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost races are no wrong; a stale plan that is put all the same is one."""
    counted, wrong = races.cases(0, 14)
    assert (counted["cases"], counted["not judged"], wrong) == (1, 0, [])
    monkeypatch.setattr(Replanning, "again", lambda self, *_: self._last and self._last.proposal)
    counted, wrong = races.cases(0, 14, say=lambda _: None)
    assert counted["wrong"] == 1
    assert wrong[0].startswith("case 14")


def test_damage_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short run of the campaign of damage: whatever changes what is read is found, and nothing else is accused; a
    ``verify`` that sees nothing is told.
    """
    tally = damage.tries(60, 1, appends=3)
    assert tally.wrong == []
    assert tally.tries == 60
    assert tally.of(damage.FOUND) > 30
    blind = Report("files", (), (), (), (), (), (), 0, 0, 0, 0.0)
    monkeypatch.setattr(damage, "verified", lambda *_: blind)
    assert damage.tries(12, 1, appends=3, say=lambda _: None).of(damage.MISSED)


def sleeper(_: str, worker: int, *__: Any) -> Result:
    """Ends, or does not."""
    if worker:
        time.sleep(600)
    return Result(commits=1)


def test_a_process_that_hangs(tmp_path: Path) -> None:
    """A process that does not end is told of, and killed; what the others did is judged."""
    made(tmp_path / "t")
    results = together([(sleeper, (str(tmp_path / "t"), n)) for n in range(2)], 2)
    assert [result.commits for result in results] == [1, 0]
    assert results[1].wrong == ["1 of 2 processes did not end within 2 s"]
