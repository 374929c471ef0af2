"""The demo: its data are the released data, and what it shows is so."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

import tablever as tv
from tablever.cli.main import exit_code, run_command
from tablever.demo.releases import COLUMNS, RELEASES, load, rows_of
from tablever.demo.tour import _way_to_the_command, run, typed
from tests.demo_data import fetch, released_rows


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_each_release_is_as_published(release, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Every shipped release has the rows, values and order of the CSV that airportsdata published."""
    try:
        wheel = fetch(release.name, tmp_path)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"the package registry cannot be reached: {error}")
    header, published = released_rows(wheel)
    shipped = rows_of(load(), release)
    assert shipped.column_names == header
    assert [list(row) for row in zip(*(column.to_pylist() for column in shipped.columns), strict=True)] == published


def test_the_tour(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every version of the demo's table is its release, and each command that was shown prints what was shown."""
    folder = tmp_path / "air ports"
    run(str(folder), run_command)
    out = capfd.readouterr().out
    shipped = load()
    for release, version in zip(RELEASES, tv.list_versions(folder), strict=True):
        key = [("icao", "ascending")]
        assert tv.read_version(folder, version.number).sort_by(key).to_pylist() == rows_of(shipped, release).to_pylist()
        assert version.message == release.message
    assert tv.open_table(folder).schema.names == COLUMNS
    commands = out.split("\n$ ")[1:]
    assert len(commands) == 5
    for part in commands:
        line = next(whole for whole in _prefixes(part) if _closed(whole))
        assert exit_code(shlex.split(line)[1:]) == 0
        again = capfd.readouterr().out
        assert part.removeprefix(line).startswith("\n" + again)


def _prefixes(text: str) -> list[str]:
    lines = text.split("\n")
    return ["\n".join(lines[:count]) for count in range(1, len(lines) + 1)]


def _closed(text: str) -> bool:
    try:
        shlex.split(text)
    except ValueError:
        return False
    return True


def test_the_tour_says_how_to_get_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the shell does not find `tablever`, the demo says what to type first, from here."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [".venv/bin/tablever", "demo"])
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert _way_to_the_command() == "source .venv/bin/activate"
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert _way_to_the_command() is None


def test_the_tour_takes_no_folder_that_is_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An existing folder is refused with the way on, and left as it was."""
    assert exit_code(["demo", str(tmp_path)]) == 4
    assert "or choose another place" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["a b", "it's", 'say "it\'s"', "$(x)'", "plain", "a\n'b'"])
def test_commands_are_shown_as_a_shell_takes_them(text: str) -> None:
    """What is printed after $ splits into the arguments that were run."""
    assert shlex.split(typed(["tablever", text])) == ["tablever", text]
