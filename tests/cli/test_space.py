"""du, compact, set-retention, vacuum, protect: what they say, what they ask, what they do."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

import tablever as tv
from tablever.texts import size_text
from tests.cli.conftest import Shell
from tests.test_vacuum import objects, replaced


class Terminal(io.StringIO):
    """Standard input with somebody at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Four versions that share no file; the second is tagged."""
    path = replaced(tmp_path / "t", 3)
    tv.tag(path, "v1", 1)
    return path


def test_vacuum_shows_and_asks(table: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints what goes and what that means, removes nothing on "no", and what it showed on "yes"."""
    before = objects(table)
    for answer, code in (("n\n", 0), ("", 2)):
        monkeypatch.setattr("sys.stdin", Terminal(answer) if answer else io.StringIO())
        found = shell("vacuum", table, "--keep", "pinned", "--safety", "0 days")
        assert found.code == code
        assert objects(table) == before
    assert "--yes" in found.err
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    found = shell("vacuum", table, "--keep", "pinned", "--safety", "0 days", "-m", "tidy")
    assert found.code == 0
    assert "keep pinned: versions 1, 3" in found.out
    assert "be read any more: 0, 2" in found.out
    assert "Remove 2 files" in found.out
    assert len(objects(table)) == 2
    assert tv.resolve_version(table).message == "tidy"
    gone = shell("read", f"{table}@2")
    assert gone.code == 3
    assert "was vacuumed by version 4" in gone.err
    assert "1 and 3" in gone.err
    assert shell("restore", table, "2").code == 3
    assert shell("vacuum", table, "--yes").out.splitlines()[-2:] == [
        "nothing to free",
        "versions that cannot be read any more: 0, 2",
    ]


def test_vacuum_says_what_is_freed_by_version(table: Path, shell: Shell) -> None:
    """What would go is added up by the last version that needs it; the lines add up to all of it, as do the files."""
    plan = tv.vacuum(table, keep="pinned", safety="0 days")
    assert list(plan.by_version) == [0, 2]
    lines = shell("vacuum", table, "--keep", "pinned", "--safety", "0 days", "--dry-run").out.splitlines()
    assert lines[1] == "needed until version  would free"
    shown = [line.split(maxsplit=1) for line in lines[3:5]]
    assert shown == [[str(number), size_text(size)] for number, size in plan.by_version.items()]
    assert lines[5] == f"would free {size_text(plan.bytes)} in 2 files"
    sizes = {name: (table / name).stat().st_size for name in objects(table)}
    assert sum(plan.by_version.values()) == plan.bytes == sum(sizes[removal.path] for removal in plan.removals)


def test_vacuum_for_programs(table: Path, shell: Shell) -> None:
    """--json gives the plan with --dry-run, the report with --yes, and asks nobody."""
    words = ("vacuum", table, "--keep", "1 version", "--safety", "0 days", "--json")
    assert shell(*words).code == 2
    plan = shell(*words, "--dry-run").json
    assert (plan["format"], plan["dry_run"], plan["version"]) == ("tablever.vacuum/v1", True, None)
    assert (plan["kept"], plan["lost"]) == ([[1, 1], [3, 3]], [[0, 0], [2, 2]])
    done = shell(*words, "--yes").json
    assert done["removals"] == plan["removals"]
    assert done["version"]["number"] == 4
    assert sum(removal["bytes"] for removal in done["removals"]) == done["bytes"]
    assert shell("vacuum", table, "--keep", "soon", "--yes").code == 5


def test_a_dry_run_removes_nothing(table: Path, shell: Shell) -> None:
    """--dry-run holds whatever is said besides: with --yes too, nothing is removed and nothing committed."""
    before = objects(table)
    words = ("vacuum", table, "--keep", "pinned", "--safety", "0 days", "--dry-run")
    for more in (("--yes",), ("--yes", "--json"), ("--json",), ()):
        found = shell(*words, *more)
        assert found.code == 0
        assert "would free" in found.out or found.json["dry_run"]
        assert objects(table) == before
        assert tv.resolve_version(table).number == 3


def test_lost_changes_are_said(tmp_path: Path, shell: Shell) -> None:
    """It says of which versions only the change rows go, before and after."""
    path = tmp_path / "t"
    tv.create_table(path, [{"id": n, "text": "x"} for n in range(100)], key="id")
    for n in range(3):
        tv.upsert(path, [{"id": n, "text": "new"}])
    words = ("vacuum", path, "--keep", "pinned", "--safety", "0 days")
    assert "but whose own changes could not be told any more: 1 to 2" in shell(*words, "--dry-run").out
    done = shell(*words, "--yes").out
    assert "but whose own changes cannot be told any more: 1 to 2" in done
    assert "be read any more" not in done


def test_du(table: Path, shell: Shell) -> None:
    """Versions with what they need and what goes with them, and who keeps them; --files names the files."""
    shown = shell("du", table).out
    assert "tag 'v1'" in shown
    assert "in all: data" in shown
    assert shell("du", table, "--files").out.count("part-") == 4
    found = shell("du", table, "--json").json
    assert [each["version"] for each in found["versions"]] == [0, 1, 2, 3]
    assert [each["needs"] for each in found["versions"]] == [each["only"] for each in found["versions"]]
    assert found["bytes"] == tv.du(table).bytes


def test_compact(tmp_path: Path, shell: Shell) -> None:
    """It commits a version with no changes, says when there is nothing to do, and refuses what makes no sense."""
    path = tmp_path / "t"
    for n in range(4):
        (tv.append if n else tv.create_table)(path, [{"id": n}])
    assert "version 4: compact, 4 rows" in shell("compact", path).out
    assert "nothing to change" in shell("compact", path).out
    assert shell("compact", path, "--json").json == {
        "format": "tablever.commit/v1",
        "table": str(path),
        "version": None,
    }
    assert shell("compact", path, "--target", "lots").code == 5
    assert shell("compact", path, "--if-version", "1").code == 6


def test_set_retention(table: Path, shell: Shell) -> None:
    """The policy is stored, and is what a vacuum follows then."""
    assert "set-retention" in shell("set-retention", table, "2 versions").out
    assert shell("vacuum", table, "--dry-run", "--json").json["policy"] == "2 versions"
    assert shell("set-retention", table, "whenever").code == 5


def test_protect_says_what_could_be_lost(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a table's settings let others destroy is said before the question; ours have nothing to say."""
    path = tmp_path / "t"
    write_deltalake(path, pa.table({"id": [1]}), configuration={"delta.logRetentionDuration": "interval 5 days"})
    monkeypatch.setattr("sys.stdin", io.StringIO())
    refused = shell("protect", path)
    assert refused.code == 2
    assert "log entries older than 5 days" in refused.out
    assert "0 of 1 versions are that old today" in refused.out
    assert "more than 1 week ago" in refused.out
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert "version 1: protect" in shell("protect", path).out
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert "nothing to change" in shell("protect", path).out
    other = tmp_path / "other"
    write_deltalake(other, pa.table({"id": [1]}))
    said = shell("protect", other, "--yes", "--json").json
    assert said["version"]["operation"] == "protect"
    assert ["30 days" in threat or "1 week" in threat for threat in said["threats"]] == [True, True]
    assert shell("protect", other, "--yes", "--json").json["threats"] == []
    ours: Any = tv.create_table(tmp_path / "ours", [{"id": 1}])
    assert shell("protect", ours.uri, "--yes").out.startswith("nothing to change")
