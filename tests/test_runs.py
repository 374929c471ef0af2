"""Runs and pins: what used a version, and what keeps it."""

from __future__ import annotations

import math
import multiprocessing
from pathlib import Path
from typing import Any

import deltalake
import pytest

import tablever as tv
from tablever import errors, witness_files
from tablever.witnesses import witnessed

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def table(tmp_path: Path) -> tv.Table:
    """Three versions of one, two, three rows."""
    made = tv.create_table(tmp_path / "data" / "t", [{"id": 0}], key="id")
    for number in (1, 2):
        made.append([{"id": number}])
    return made


def linker(path: str, worker: int, start: Any, out: Any) -> None:
    start.wait()
    out.put(tv.link_run(path, 1, "run", metrics={f"m{worker}": worker, "shared": worker}).run_id)


def test_eight_processes_link_one_run(table: tv.Table) -> None:
    """Links of the same run at once make one link, and no metric of any is lost."""
    start, out = SPAWN.Event(), SPAWN.Queue()
    processes = [SPAWN.Process(target=linker, args=(table.uri, worker, start, out)) for worker in range(8)]
    for process in processes:
        process.start()
    start.set()
    assert [out.get(timeout=180) for _ in processes] == ["run"] * 8
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    (found,) = table.runs(1)
    assert found.metrics["shared"] in range(8)
    assert {k: v for k, v in found.metrics.items() if k != "shared"} == {f"m{n}": n for n in range(8)}


def test_what_is_linked_is_what_is_found(table: tv.Table) -> None:
    """A link comes back as it was made, by its version and by its run, and no other version has it."""
    made = table.link_run(
        "latest~1",
        "Mlflow/ABC 1",
        name="baseline",
        role="eval",
        metrics={"f1": 0.91, "rows": 3, "loss": math.inf},
        params={"lr": 1e-3, "layers": [1, 2]},
        artifacts=["s3://models/m.pt"],
        author="Ada",
    )
    assert (made.version, made.role, made.name, made.author) == (1, "eval", "baseline", "Ada")
    assert made.commit_hash == table.version(1).commit_hash
    assert dict(made.metrics) == {"f1": 0.91, "rows": 3, "loss": math.inf}
    assert dict(made.params) == {"lr": 1e-3, "layers": [1, 2]}
    assert made.artifacts == ("s3://models/m.pt",)
    assert table.runs(1) == [made] == table.runs()
    assert table.runs(0) == [] == table.runs("latest")
    assert tv.versions_of(Path(table.uri).parent, "Mlflow/ABC 1") == [made]
    assert tv.versions_of(Path(table.uri).parent, "mlflow/abc 1") == []


def test_a_run_may_use_several_versions_roles_and_tables(table: tv.Table, tmp_path: Path) -> None:
    """Each version, role and table is a link of its own; they are listed by table and version."""
    other = tv.create_table(tmp_path / "data" / "deep" / "u", [{"id": 0}])
    for each, ref, role in ((table, 2, "train"), (table, 0, "train"), (table, 0, "eval"), (other, 0, "train")):
        each.link_run(ref, "r", role=role)
    found = [(Path(run.table).name, run.version, run.role) for run in tv.versions_of(tmp_path, "r")]
    assert found == [("u", 0, "train"), ("t", 0, "eval"), ("t", 0, "train"), ("t", 2, "train")]
    with pytest.raises(errors.TableNotFoundError):
        tv.versions_of(tmp_path / "nowhere", "r")


def test_linking_again_adds_metrics_and_changes_nothing_else(table: tv.Table) -> None:
    """The newest value of a metric counts, the same ones again write nothing; other params or artifacts are told."""
    table.link_run(0, "r", metrics={"f1": 0.8}, params={"lr": 1}, artifacts=["a"])
    assert table.link_run(0, "r", metrics={"f1": 0.9, "loss": math.nan}).metrics["f1"] == 0.9
    before = sorted(path.name for path in Path(table.uri).rglob("*"))
    again = table.link_run(0, "r", metrics={"f1": 0.9, "loss": math.nan}, params={"lr": 1}, artifacts=["a"])
    assert sorted(path.name for path in Path(table.uri).rglob("*")) == before
    assert math.isnan(again.metrics["loss"])
    assert table.link_run(0, "r", metrics={"f1": 0.8}).metrics["f1"] == 0.8
    for other in ({"params": {"lr": 2}}, {"artifacts": ["b"]}, {"name": "n"}, {"params": {}}):
        with pytest.raises(errors.AlreadyExistsError, match="is linked already"):
            table.link_run(0, "r", **other)


def test_metrics_count_in_the_order_of_their_appending(table: tv.Table) -> None:
    """Also when the clock goes back, the metric that was appended last counts."""
    run = table.link_run(0, "r")
    first = witness_files.metrics_path(run.object, [])
    later = first.replace(first.split(".")[3].partition("-")[0], f"{2**60:016x}")
    assert witness_files.metrics_path(run.object, [later]).split(".")[3] > later.split(".")[3]


def test_unlinking_leaves_a_record(table: tv.Table) -> None:
    """An unlinked run is gone from every list; it cannot be linked again in that role, nor unlinked again."""
    table.link_run(0, "r", metrics={"f1": 1})
    table.link_run(0, "r", metrics={"f1": 2})
    assert table.unlink_run(0, "r", reason="wrong table").metrics == {"f1": 2}
    assert table.runs() == [] == tv.versions_of(table.uri, "r")
    assert witnessed(table.log) == {}
    with pytest.raises(errors.NotFoundError, match="is not linked"):
        table.unlink_run(0, "r")
    with pytest.raises(errors.AlreadyExistsError, match=r"was deleted by Test Author on .*: wrong table"):
        table.link_run(0, "r")
    assert table.link_run(0, "r", role="train-2").version == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "Train"},
        {"role": "a.b"},
        {"role": "../x"},
        {"role": ""},
        {"role": "r" * 33},
        {"run_id": ""},
        {"run_id": 7},
        {"run_id": "\ud800"},
        {"metrics": {"f1": "0.9"}},
        {"metrics": {"f1": True}},
        {"metrics": {1: 1.0}},
        {"params": {"x": {1, 2}}},
        {"metrics": [("f1", 0.9)]},
        {"params": {"x": math.nan}},
        {"params": {1: "a", "1": "b"}},
        {"params": {"x": [{2: 3}]}},
        {"artifacts": "model.pt"},
        {"artifacts": [1]},
    ],
    ids=str,
)
def test_wrong_arguments_write_nothing(table: tv.Table, wrong: dict[str, Any]) -> None:
    """What cannot be recorded is an InvalidInputError, and nothing is written."""
    with pytest.raises(errors.InvalidInputError):
        table.link_run(0, **{"run_id": "r", **wrong})
    assert not (Path(table.uri) / "_tablever").exists()


def test_a_run_of_a_rolled_back_log_is_no_run_of_another_version(table: tv.Table) -> None:
    """After a roll-back, runs and pins of the lost version are told, and never listed with the one that took over."""
    table.link_run(2, "r")
    table.pin(2, reason="audit")
    (Path(table.uri) / "_delta_log" / f"{2:020}.json").unlink()
    cut = tv.open_table(table.uri)
    for ask in (cut.runs, cut.pins, lambda: witnessed(cut.log), lambda: tv.versions_of(table.uri, "r")):
        with pytest.raises(errors.CorruptionError, match="rolled back"):
            ask()
    cut.append([{"id": 77}])
    for ask in (cut.runs, cut.pins, lambda: cut.runs(2)):
        with pytest.raises(errors.CorruptionError, match="has another version 2"):
            ask()
    cut.unlink_run(2, "r")
    cut.unpin(2)
    assert cut.runs() == [] == cut.pins()


def test_pins(table: tv.Table) -> None:
    """Pins of a version are several; unpinned together, and a version can be pinned again."""
    for reason in ("audit", "paper"):
        table.pin(1, reason=reason, author="Ada")
    assert [(pin.version, pin.reason, pin.author) for pin in table.pins()] == [(1, "audit", "Ada"), (1, "paper", "Ada")]
    with pytest.raises(errors.NotFoundError, match="has no pin"):
        table.unpin(0)
    assert [pin.reason for pin in table.unpin("latest~1")] == ["audit", "paper"]
    assert table.pins() == []
    with pytest.raises(errors.NotFoundError, match="has no pin"):
        table.unpin(1)
    table.pin(1, reason="again")
    assert [pin.reason for pin in table.pins()] == ["again"]
    for reason in ("", None, 3):
        with pytest.raises(errors.InvalidInputError):
            table.pin(1, reason=reason)  # type: ignore[arg-type]


def test_witnessed_says_which_versions_are_remembered_and_by_what(table: tv.Table) -> None:
    """Tags, runs and pins, by version; deleted ones not; equal to the three lists."""
    table.tag("v1.0", 2)
    table.tag("old", 0)
    table.link_run(2, "r", role="eval")
    table.pin(1, reason="audit")
    table.delete_tag("old")
    found = {number: [witness.label for witness in each] for number, each in witnessed(table.log).items()}
    assert found == {1: ["pin: audit"], 2: ["tag 'v1.0'", "run 'r' (eval)"]}
    assert [w for each in witnessed(table.log).values() for w in each] == [*table.pins(), *table.tags(), *table.runs()]


def test_a_version_that_is_lost_meanwhile_is_not_kept_by_name(table: tv.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """A maker whose version is removed while it puts its object is told, and its witness counts no more."""
    deltalake.DeltaTable(table.uri).create_checkpoint()
    put = witness_files.put

    def put_while_another_tool_cleans(storage: Any, path: str, values: Any) -> bool:
        landed = put(storage, path, values)
        if "deleted" not in path:
            (storage.root / "_delta_log" / f"{0:020}.json").unlink(missing_ok=True)
        return landed

    monkeypatch.setattr(witness_files, "put", put_while_another_tool_cleans)
    with pytest.raises(errors.VersionVacuumedError):
        table.tag("v0", 0)
    with pytest.raises(errors.TagNotFoundError, match="was removed while this was made"):
        tv.open_table(table.uri).log.tag("v0")
