"""An audit says what happened to a table while it lasted, whoever wrote it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

import tablever as tv
from tablever import errors

ROWS = [{"id": 1, "x": "a"}, {"id": 2, "x": "b"}]


def test_several_commits_are_one_change(tmp_path: Path) -> None:
    """What was changed and changed back within the block is no change; before and after are the heads."""
    table = tv.create_table(tmp_path / "t", ROWS, key="id")
    with tv.audit(table) as job:
        tv.update(table, {"x": "'z'"}, where="id = 1")
        tv.update(table, {"x": "'a'"}, where="id = 1")
        tv.append(table, [{"id": 3, "x": "c"}])
        assert job.after is None
    assert job.before is not None
    assert job.after is not None
    assert (job.before.number, job.after.number) == (0, 3)
    assert (job.diff.summary.added, job.diff.summary.updated, job.diff.summary.removed) == (1, 0, 0)
    tv.delete(table, where="true")
    assert job.diff.added["id"].to_pylist() == [3], "what comes after the block does not count"


def test_another_tools_writes_count(tmp_path: Path) -> None:
    """A job that writes with deltalake is seen as well."""
    table = tv.create_table(tmp_path / "t", pa.table({"id": [1, 2]}))
    with tv.audit(tmp_path / "t") as job:
        write_deltalake(tmp_path / "t", pa.table({"id": [3]}), mode="append")
        DeltaTable(tmp_path / "t").delete("id = 1")
    assert (job.diff.added["id"].to_pylist(), job.diff.removed["id"].to_pylist()) == ([3], [1])
    assert table.version().number == 2


def _delete_and_fail(table: tv.Table) -> None:
    tv.delete(table, where="id = 2")
    tv.delete(table, where="nothing")


def test_a_block_that_fails_is_audited(tmp_path: Path) -> None:
    """The block's error is raised as it is, and what it did until then is known."""
    table = tv.create_table(tmp_path / "t", ROWS, key="id")
    with pytest.raises(errors.QueryError), tv.audit(table) as job:
        _delete_and_fail(table)
    assert job.diff.removed["id"].to_pylist() == [2]


def test_a_table_that_was_not_there(tmp_path: Path) -> None:
    """A table that the block makes is compared with nothing; one that is never there is not found."""
    with tv.audit(tmp_path / "t") as job:
        table = tv.create_table(tmp_path / "t", ROWS, key="id")
        tv.append(table, [{"id": 3, "x": "c"}])
    assert job.before is None
    assert sorted(job.diff.added["id"].to_pylist()) == [1, 2, 3]
    with tv.audit(tmp_path / "none") as job:
        pass
    with pytest.raises(errors.TableNotFoundError, match="there was none before"):
        _ = job.diff


def test_nothing_done_is_no_change(tmp_path: Path) -> None:
    """A block without a commit has a diff that is empty."""
    table = tv.create_table(tmp_path / "t", ROWS, key="id")
    with tv.audit(table) as job:
        tv.read_version(table)
    assert not job.diff
    assert job.before == job.after


@pytest.mark.parametrize("more", [0, 2])
def test_a_table_made_anew_is_no_continuation(tmp_path: Path, more: int) -> None:
    """A table dropped and made again, with fewer versions or as many, conflicts; one dropped is not found."""
    table = tv.create_table(tmp_path / "t", ROWS, key="id")
    tv.append(table, [{"id": 3, "x": "c"}])
    with tv.audit(table) as job:
        shutil.rmtree(tmp_path / "t")
        again = tv.create_table(tmp_path / "t", ROWS, key="id")
        for i in range(more):
            tv.append(again, [{"id": 10 + i, "x": "c"}])
    with pytest.raises(errors.ConflictError, match="made anew"):
        _ = job.diff
    with tv.audit(table) as job:
        shutil.rmtree(tmp_path / "t")
    with pytest.raises(errors.TableNotFoundError, match="it was at version"):
        _ = job.diff


def test_inside_the_block_there_is_no_diff_yet(tmp_path: Path) -> None:
    """Asking too early is told, and does not spoil what comes."""
    table = tv.create_table(tmp_path / "t", ROWS, key="id")
    with tv.audit(table) as job:
        with pytest.raises(errors.InvalidInputError, match="not over"):
            _ = job.diff
        tv.delete(table, where="id = 2")
    assert job.diff.removed.num_rows == 1


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_job_that_cleans_the_log(tmp_path: Path, made_anew: bool) -> None:
    """A job whose writer removes the entry of the head from before is audited; a table made anew still conflicts."""
    table = tv.create_table(tmp_path / "t", ROWS, key="id")
    with tv.audit(table) as job:
        if made_anew:
            shutil.rmtree(tmp_path / "t")
            tv.create_table(tmp_path / "t", ROWS, key="id")
        tv.append(tmp_path / "t", [{"id": 3, "x": "c"}])
        other = DeltaTable(tmp_path / "t")
        other.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
        for entry in (tmp_path / "t" / "_delta_log").glob("*.json"):
            os.utime(entry, (0, 0))
        other.create_checkpoint()
        other.cleanup_metadata()
    assert not (tmp_path / "t" / "_delta_log" / f"{0:020}.json").exists()
    if made_anew:
        with pytest.raises(errors.ConflictError, match="made anew"):
            _ = job.diff
    else:
        assert job.diff.added["id"].to_pylist() == [3]
        assert job.diff.summary.removed == 0
