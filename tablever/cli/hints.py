"""The library's hints, said in the shell's words: commands and options for functions, paths as they were typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from tablever.cli.target import is_uri, split_target
from tablever.errors import TableverError

_IN_PYTHON = (
    (r"set_key\(table, '?column'?\)", "tablever set-key TABLE COLUMN"),
    (r"overwrite\(…, replace_schema=True\)", "tablever overwrite TABLE FILES --replace-schema"),
    (r"\breplace_schema=True", "--replace-schema"),
    (r"\bevolve=True", "--evolve"),
    (r"query\(…, allow_folders=\['([^']*)'\]\)", r"--allow-folder \1"),
    (r"open_table\(…, allow_folders=\['([^']*)'\]\)", r"tablever --allow-folder \1 …"),
    (r"^replace_schema\b", "--replace-schema"),
    (r"\bkey=\[\]", "--key ''"),
    (r"\b(columns|by)=\[['\"](\w+)['\"]\]", r"--\1 \2"),
    (r"\b(key|columns|exclude)=(?!\w)", r"--\1"),
    (r"tolerance={'score': 1e-6} or {'score': \(1e-6, 1e-3\)}", "--tolerance score=1e-6,1e-3"),
)


def in_shell(hint: str | None, arguments: Sequence[str]) -> str | None:
    """The hint as one would type it, after a command line with these arguments."""
    if hint is None:
        return None
    for python, shell in _IN_PYTHON:
        hint = re.sub(python, shell, hint)
    tables = [_folder(argument) for argument in arguments[1:]]
    known = [table for table in tables if _is_table(table)]
    if known:
        hint = re.sub(r"\b(set-key|overwrite) TABLE\b", lambda found: f"{found[1]} {shlex.quote(known[0])}", hint)
    named = {Path(table).absolute().name: table for table in reversed(known)}
    for root in tables:
        match = re.search(r"tablever (?:log|pins|repair|runs|tags) (.+?)(?=[),]|$)", hint)
        if match and match[1] not in named and _is_table(str(Path(root) / match[1])):
            named[match[1]] = str(Path(root) / match[1])
    for name, typed in named.items():
        command = rf"tablever \1 {shlex.quote(typed)}".replace("\\", r"\\").replace(r"\\1", r"\1")
        hint = re.sub(rf"tablever (log|pins|repair|runs|tags) {re.escape(name)}(?=[),]|$)", command, hint)
    return hint


def _folder(argument: str) -> str:
    try:
        return split_target(argument)[0]
    except (TableverError, OSError, ValueError):
        return argument


def _is_table(folder: str) -> bool:
    if is_uri(folder):
        return True  # not asked: a hint is worth no request
    try:
        return (Path(folder) / "_delta_log").is_dir()
    except (OSError, ValueError):  # an argument that is no path: too long, or with a null byte
        return False
