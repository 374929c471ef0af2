"""Text of a table that would steer a terminal: no command of the shell lets it through."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tablever as tv
from tablever import sealed, witness_files
from tablever.cli.main import DEFECT, cli
from tests.cli.conftest import Shell
from tests.hostile.making import actions_of, entry_file

# The title set, the screen wiped with an 8-bit CSI, a bell, lines overwritten, text turned around, lines forged.
STEERING = "\x1b]0;a\x07\x9b2J\rx\b\x7f\u202ey\u2066\u200fz\x85\u2028\nFORGED"
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|^FORGED", re.MULTILINE)
OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\r?\x1b\[(?:2K|1A)")  # colours; the bar of a check
COLUMN = "c" + STEERING
NAME = "t" + STEERING
DAMAGE = ("torn", "feature", "witnesses", "files", "checkpoint")


def raw(text: str) -> list[str]:
    """What would steer a terminal, with what stands around it."""
    return [text[max(found.start() - 60, 0) : found.end() + 10] for found in RAW.finditer(text)]


def planted(folder: Path) -> Path:
    """A table that says such text wherever a table can say text, in a folder of that name."""
    path = folder / NAME
    rows = pa.table(
        {
            "id": [1, 2, 3, 4],
            COLUMN: [STEERING + str(number) for number in range(4)],
            "nested": [[{STEERING: STEERING}]] * 4,
            "day": ["a", "a", "b", "c" + STEERING],
        }
    )
    said: Any = {"message": STEERING, "author": STEERING, "metadata": {STEERING: {STEERING: STEERING}}}
    tv.create_table(path, rows, key=["id", COLUMN], partition_by="day", **said)
    tv.delete(path, where="id = 1", batch_id=STEERING, **said)
    tv.update(path, {"nested": "NULL"}, where="id = 2", **said)
    tv.link_run(path, 2, STEERING, name=STEERING, params={STEERING: STEERING}, metrics={STEERING: 1}, author=STEERING)
    tv.link_run(path, 1, STEERING, artifacts=[STEERING])
    tv.tag(path, "v1", 1, message=STEERING, author=STEERING)
    tv.tag(path, "gone", 1, author=STEERING)
    tv.delete_tag(path, "gone", reason=STEERING, author=STEERING)
    tv.pin(path, 1, reason=STEERING, author=STEERING)
    _forge_tag(path)
    info = {"timestamp": 2_000_000_000_000, "operation": STEERING, "userName": STEERING, "engineInfo": STEERING}
    info |= {"operationParameters": {STEERING: STEERING}, "userMetadata": STEERING, "tablever": {STEERING: STEERING}}
    metadata = actions_of(path, "metaData")[0]
    metadata["configuration"] |= {STEERING: STEERING, "delta.constraints.c" + STEERING: f"id > 0 AND x = '{STEERING}'"}
    protocol = actions_of(path, "protocol")[0]
    protocol["writerFeatures"] = sorted({*protocol["writerFeatures"], "checkConstraints"})
    _put_entry(path, 3, {"commitInfo": info}, {"protocol": protocol}, {"metaData": metadata | {"name": STEERING}})
    return path


def _put_entry(table: Path, number: int, *actions: dict[str, Any]) -> None:
    entry_file(table, number).write_text("".join(json.dumps(each) + "\n" for each in actions))


def _forge_tag(table: Path) -> None:
    """A tag whose name no caller may give."""
    path = witness_files.tag_path("v1")
    values = sealed.parse((table / path).read_bytes(), path=path, kind="tablever.tag/v1")
    name = "v" + STEERING
    at = witness_files.tag_path(name)
    kept = {key: value for key, value in values.items() if key not in ("digest", "format", "object")}
    (table / at).write_bytes(sealed.render(at, "tablever.tag/v1", {**kept, "name": name}))


def damage(table: Path, kind: str) -> None:
    """Something that an error has to quote."""
    if kind == "torn":
        whole = entry_file(table, 2).read_bytes()
        entry_file(table, 3).unlink()
        entry_file(table, 2).write_bytes(whole[:-10])
    elif kind == "feature":
        protocol = {"minReaderVersion": 3, "minWriterVersion": 7}
        protocol |= {"readerFeatures": [STEERING], "writerFeatures": [STEERING]}
        _put_entry(table, 4, {"commitInfo": {"timestamp": 2_000_000_000_001}}, {"protocol": protocol})
    elif kind == "witnesses":
        for path in (table / "_tablever").glob("*/*.json"):
            path.write_bytes(path.read_bytes()[:-20])
    elif kind == "files":
        for path in table.glob("day=*/*.parquet"):
            path.write_bytes(b"PAR1" + STEERING.encode() + b"PAR1")
    else:
        (table / "_delta_log" / f"{3:020d}.checkpoint.parquet").write_bytes(STEERING.encode())
        (table / "_delta_log" / "_last_checkpoint").write_text(json.dumps({"version": 3, "size": STEERING}))


def options_of(command: str) -> list[str]:
    """The names of a command's options."""
    return [name for param in cli.commands[command].params for name in param.opts]


def asked(table: Path, scratch: Path) -> dict[str, list[list[object]]]:
    """Command lines for every command, those that go wrong too."""
    root, bad = table.parent, STEERING
    rows, patch = scratch / "rows.jsonl", scratch / ("patch" + STEERING)
    rows.write_text(json.dumps({"id": 9, COLUMN: bad, "nested": None, "day": bad}) + "\n")
    other = scratch / ("wrong" + STEERING + ".csv")
    other.write_text(f'id,"{bad}"\n{bad},"{bad}"\n')
    key = ["id=3", f"{COLUMN}={bad}2"]
    at = f"{table}@1"
    return {
        "create": [["create", table, rows], ["create", scratch / bad, other, "--key", bad]],
        "append": [["append", table, rows], ["append", table, other], ["append", table, scratch / bad]],
        "upsert": [["upsert", table, rows], ["upsert", table, other], ["upsert", table, rows, "--if-version", bad]],
        "update": [["update", table, f"{bad}=1"], ["update", table, "id=1", "--where", bad]],
        "delete": [["delete", table, "--where", bad], ["delete", table, "--where", "id = 3"]],
        "overwrite": [["overwrite", table, other], ["overwrite", table, rows]],
        "restore": [["restore", table, bad], ["restore", table, "1"]],
        "revert": [["revert", table, bad], ["revert", table, "2"]],
        "apply": [["apply", table, patch], ["apply", table, other]],
        "set-key": [["set-key", table, bad], ["set-key", table, "day"]],
        "set-not-null": [["set-not-null", table, bad], ["set-not-null", table, "nested"]],
        "add-constraint": [["add-constraint", table, bad, "id > 5"], ["add-constraint", table, "c", bad]],
        "log": [["log", table], ["log", table, "--limit", bad]],
        "show": [["show", table, ref] for ref in ("0", "1", "2", "3", bad)] + [["show", at, "--stat"]],
        "diff": [
            ["diff", table, "0", "2"],
            ["diff", table, "0", "3", "--stat"],
            ["diff", table, "0", "2", "--name-only"],
            ["diff", table, "0", "3", "--markdown"],
            ["diff", table, "0", "3", "--by", "day", "--statistics"],
            ["diff", table, "0", "3", "--preview"],
            ["diff", table, "0", "3", "--patch", patch],
            ["diff", table, "0", "3", "--html", scratch / bad],
            ["diff", table, "0", "3", "--key", bad],
            ["diff", table, "0", "3", "--columns", bad],
            ["diff", table, "0", "3", "--fail-on", bad],
            ["diff", table, bad, bad],
        ],
        "history": [["history", table, *key], ["history", table, f"{bad}=1"], ["history", table, bad]],
        "blame": [["blame", table], ["blame", table, *key, "--cells"], ["blame", table, bad]],
        "schema": [["schema", table], ["schema", f"{table}@{bad}"]],
        "hash": [["hash", table], ["hash", at], ["hash", scratch / bad]],
        "read": [["read", table], ["read", table, "--where", bad], ["read", table, "--columns", bad]],
        "sql": [
            ["sql", f'FROM "{NAME}"', "--root", root],
            ["sql", f"FROM table_versions('{NAME}')", "--root", root],
            ["sql", f"FROM table_history('{NAME}')", "--root", root],
            ["sql", "FROM nothing", "--root", root],
            ["sql", bad, "--root", root],
            ["sql", f"SELECT error('{bad}')", "--root", root],
            ["sql", "SELECT 1", "--table", f"{bad}={scratch / bad}"],
        ],
        "tag": [["tag", table, bad], ["tag", at, "v1"], ["tag", at, "gone"], ["tag", at, "v2", "-m", bad]],
        "tags": [["tags", table]],
        "delete-tag": [["delete-tag", table, bad], ["delete-tag", table, "v2"], ["delete-tag", table, "gone"]],
        "link-run": [["link-run", at, bad, *more] for more in ([], ["--role", bad], ["--metric", bad])],
        "unlink-run": [["unlink-run", at, bad], ["unlink-run", at, bad], ["unlink-run", at, bad, "--role", bad]],
        "runs": [["runs", table], ["runs", at]],
        "versions-of": [["versions-of", bad, "--root", root]],
        "runs-that-saw": [["runs-that-saw", table, *key]],
        "pin": [["pin", at, "-m", bad]],
        "unpin": [["unpin", at, "-m", bad], ["unpin", at]],
        "pins": [["pins", table]],
        "verify": [["verify", table, "--level", level] for level in ("log", "files", "rows")]
        + [["verify", table, "--expect", bad]],
        "repair": [["repair", table, "--dry-run"], ["repair", table, "--yes", "--give-up", bad]],
        "du": [["du", table, "--files"]],
        "compact": [["compact", table, "--min-files", "1"], ["compact", table, "--target", bad]],
        "set-retention": [["set-retention", table, bad], ["set-retention", table, "pinned"]],
        "vacuum": [["vacuum", table, "--dry-run"], ["vacuum", table, "--keep", bad, "--yes"]],
        "protect": [["protect", table, "--yes"]],
    }


@pytest.mark.parametrize(("kind", "as_json"), [("whole", True), *((kind, False) for kind in ("whole", *DAMAGE))])
def test_no_command_lets_text_steer_the_terminal(tmp_path: Path, shell: Shell, kind: str, as_json: bool) -> None:
    """Every command on a table full of such text, whole or damaged: escapes on the screen, and in JSON JSON's own."""
    table = planted(tmp_path)
    if kind != "whole":
        damage(table, kind)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    commands = asked(table, scratch)
    assert set(commands) == set(cli.commands) - {"demo"}
    steered, defects = [], []
    for line in chain.from_iterable(commands.values()):
        options = ["--json"] if as_json and "--json" in options_of(str(line[0])) else []
        answer = shell(*line, *options)
        steered += [(line, part) for part in raw(answer.out) + raw(answer.err)]
        defects += [(line, answer.err)] if answer.code == DEFECT else []
    assert not steered
    assert not defects


def on_a_terminal(lines: Sequence[Sequence[object]], folder: Path) -> str:
    """What a terminal is sent by the command lines, on both of its streams."""
    script = folder / "lines.json"
    script.write_text(json.dumps([[str(word) for word in line] for line in lines]))
    run = "import json, sys; from tablever.cli import main; main.show_warnings()\n"
    run += "for line in json.load(open(sys.argv[1])): main.exit_code(line)"
    screen, terminal = pty.openpty()
    with os.fdopen(screen, "rb", buffering=0) as file:
        environment = {**os.environ, "PAGER": "cat", "TERM": "xterm", "COLUMNS": "200", "LINES": "10"}
        command = [sys.executable, "-c", run, str(script)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal, env=environment)
        os.close(terminal)
        sent = b"".join(_chunks(file))
        process.wait()
    return sent.decode().replace("\r\n", "\n")


def _chunks(file: io.FileIO) -> Iterator[bytes]:
    with suppress(OSError):  # Linux ends a terminal that nobody holds with EIO
        while chunk := file.read(65_536):
            yield chunk


def test_a_terminal_is_sent_our_own_sequences_alone(tmp_path: Path) -> None:
    """With colours, the pager and warnings too, and CSV on a screen: only our own sequences arrive."""
    table = planted(tmp_path)
    damage(table, "checkpoint")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    commands = asked(table, scratch)
    asking = "log show diff history blame schema read sql tags runs pins du verify".split()
    lines = [line for name in asking for line in commands[name][:1]]
    formats = [["read", table, "--format", form] for form in ("csv", "tsv", "jsonl")]
    sent = OURS.sub("", on_a_terminal([*lines, *formats], tmp_path))
    assert "warning:" in sent
    assert "\\x1b]0;a" in sent
    assert not raw(sent.replace("\nFORGED", ""))  # the line ends of cells are CSV's


def test_a_pipe_has_the_data_as_it_is(tmp_path: Path, shell: Shell) -> None:
    """CSV in a pipe is the text of the cells; JSON's escapes give it, and letters of all scripts stay letters."""
    table = tmp_path / "t"
    tv.create_table(table, [{"id": 1, "label": STEERING + "日本 ñ 👩\u200d👧"}])
    label = tv.read_version(table).column("label")[0].as_py()
    out = shell("read", table, "--format", "csv").out
    assert list(csv.reader(io.StringIO(out, newline="")))[1] == ["1", label]
    for line in (["read", table, "--json"], ["diff", table, "0", "--json"]):
        out = shell(*line).out
        assert not raw(out)
    out = shell("read", table, "--json").out
    assert json.loads(out)["label"] == label
    assert "日本 ñ 👩\u200d👧" in out
