"""Run the examples of the documentation and compare, or rewrite, the outputs that they show.

A Markdown page is one session in an empty folder. Its fenced blocks run from top to bottom:

- ``python``: lines after ``>>> `` and ``... `` are run in one namespace, as at Python's prompt;
- ``console``: lines after ``$ `` and ``> `` are run by bash.

Anything else (``bash``, ``sql``, ``text``, …) is only read. Times of commits, commit hashes, generated names and
durations differ between runs and are not compared, nor is the width of a column.

``python -m docs.examples [PAGE…]`` compares, ``--write`` puts the real outputs in.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROMPTS = {"python": (">>> ", "... "), "console": ("$ ", "> ")}
FENCE = re.compile(r"^```(\w*)[ ]*$")

VARYING = [
    (re.compile(r"\b20(2[6-9]|[3-9]\d)-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?UTC|Z|[+-]\d\d(:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<hash>"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|seconds)\b"), "<duration>"),
    (re.compile(r"([─━═-])\1{2,}"), "---"),
    (re.compile(r"[ \t]+"), " "),
]


@dataclass(frozen=True)
class Example:
    """One prompt of a page: what is typed, the output shown, and the lines (from 0, end exclusive) of that output."""

    language: str
    source: str
    output: str
    first: int
    end: int


def pages() -> list[Path]:
    """The pages whose examples run: the README and all below docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def examples_of(text: str) -> list[Example]:
    """A page's examples, in their order. Raises ValueError where a block that runs does not begin with a prompt."""
    found: list[Example] = []
    lines = text.splitlines()
    start, language = 0, ""
    for number, line in enumerate(lines):
        if language:
            if line == "```":
                if language in PROMPTS:
                    found += _block(language, lines, start, number)
                language = ""
        elif match := FENCE.match(line):
            start, language = number + 1, match[1] or "text"
    return found


def _block(language: str, lines: Sequence[str], start: int, end: int) -> Iterator[Example]:
    prompt, continued = PROMPTS[language]
    starts = [n for n in range(start, end) if lines[n].startswith(prompt)]
    if not starts or starts[0] != start:
        raise ValueError(f"line {start + 1}: a {language} block begins with {prompt!r}")
    for first, stop in zip(starts, [*starts[1:], end], strict=True):
        after = first + 1
        while after < stop and (lines[after].startswith(continued) or lines[after] == continued.rstrip()):
            after += 1
        source = "\n".join(line[len(prompt) :] for line in lines[first:after])
        yield Example(language, source, "\n".join(lines[after:stop]), after, stop)


def run(examples: Sequence[Example]) -> list[str]:
    """The output that each example really gives, run in the current folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    return [_run_python(e.source, names) if e.language == "python" else _run_shell(e.source) for e in examples]


def _run_python(source: str, names: dict[str, Any]) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            body = ast.parse(source).body
            if body and isinstance(body[-1], ast.Expr):
                exec(compile(ast.Module(body[:-1], []), "<example>", "exec"), names)  # noqa: S102 - the page's own code
                value = eval(compile(ast.Expression(body[-1].value), "<example>", "eval"), names)  # noqa: S307
                if value is not None:
                    print(repr(value))  # noqa: T201 - into the captured output
            else:
                exec(compile(source, "<example>", "exec"), names)  # noqa: S102
        except Exception as error:  # noqa: BLE001 - shown as Python's prompt would, so the page has to expect it
            last = traceback.format_exception_only(error)[-1]
            output.write(f"Traceback (most recent call last):\n    ...\n{last}")
    return output.getvalue().rstrip("\n")


def _run_shell(source: str) -> str:
    done = subprocess.run(
        ["bash", "-c", source],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.rstrip("\n")


def environment(home: Path) -> dict[str, str]:
    """What a page's session sees: this Python's scripts first, a fixed author, width and language."""
    (home / ".gitconfig").write_text("[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n")
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_SYSTEM": os.devnull,
        "COLUMNS": "110",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": str(ROOT),
    }


def comparable(output: str) -> str:
    """An output without what differs from run to run."""
    for pattern, replacement in VARYING:
        output = pattern.sub(replacement, output)
    return "\n".join(line.strip() for line in output.splitlines()).strip()


def rewritten(text: str, results: Sequence[tuple[Example, str]]) -> str:
    """The page with the outputs of ``results`` in place of those that no longer compare equal."""
    lines = text.splitlines()
    for example, output in sorted(results, key=lambda result: -result[0].first):
        if comparable(example.output) != comparable(output):
            lines[example.first : example.end] = output.splitlines()
    return "\n".join(lines) + "\n"


def run_page(page: Path, folder: Path) -> list[tuple[Example, str]]:
    """Run one page in a process of its own: its files go to ``folder/work``, its home is ``folder/home``."""
    for name in ("home", "work"):
        (folder / name).mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "docs.examples", "--outputs", str(page.resolve())],
        cwd=folder / "work",
        env=environment(folder / "home"),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return list(zip(examples_of(page.read_text("utf-8")), json.loads(done.stdout), strict=True))


def main() -> int:
    """Compare or rewrite the pages named, all of them by default; 1 where an output differs."""
    parser = argparse.ArgumentParser(prog="python -m docs.examples", description="run the documentation's examples")
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--write", action="store_true", help="put the real outputs into the pages")
    parser.add_argument("--outputs", action="store_true", help="run one page right here; print its outputs as JSON")
    options = parser.parse_args()
    if options.outputs:
        (page,) = options.pages
        sys.stdout.write(json.dumps(run(examples_of(page.read_text("utf-8")))))
        return 0
    different = False
    for page in options.pages or pages():
        with tempfile.TemporaryDirectory() as folder:
            results = run_page(page, Path(folder))
        text = page.read_text("utf-8")
        if options.write:
            page.write_text(rewritten(text, results), "utf-8")
        for example, output in results:
            if comparable(example.output) != comparable(output):
                different = True
                sys.stdout.write(f"{page}:{example.first}: {example.source}\n{output}\n\n")
    return int(different and not options.write)


if __name__ == "__main__":
    raise SystemExit(main())
