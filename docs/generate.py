"""Write the parts of the documentation that are made from the code.

A generated part lies between ``<!-- generated: NAME -->`` and ``<!-- end -->``. ``python -m docs.generate`` renews
all of them.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import click

from tablever import errors
from tablever.cli.main import cli

DOCS = Path(__file__).resolve().parent
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def commands() -> str:
    """Every command of the shell, with the text of its ``--help``."""
    return "\n".join(_command(cli, click.Context(cli, info_name="tablever")))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    context.terminal_width = context.max_content_width = 100
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _command(child, click.Context(child, info_name=name, parent=context))


def error_table() -> str:
    """Every error, below its parent, with its code and what it means."""
    rows = ["| error | `code` | meaning |", "| --- | --- | --- |"]
    rows += _error_rows(errors.TableverError, 0)
    return "\n".join(rows) + "\n"


def _error_rows(kind: type[errors.TableverError], depth: int) -> Iterator[str]:
    meaning = " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split()).replace("``", "`")
    yield f"| {'&nbsp;' * 4 * depth}`{kind.__name__}` | `{kind.code}` | {meaning} |"
    for child in kind.__subclasses__():
        yield from _error_rows(child, depth + 1)


def functions() -> str:
    """The public functions and classes: signature and docstring."""
    package = import_module("tablever")
    parts = []
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            parts.append(_entry(name, value))
    return "\n".join(parts)


def _entry(name: str, value: Callable[..., object]) -> str:
    parts = [f"## {name}\n"]
    if inspect.isfunction(value):
        parts.append(f"```text\n{_signature(name, value)}\n```\n")
    parts.append(f"```text\n{inspect.cleandoc(value.__doc__ or '')}\n```\n")
    return "\n".join(parts)


def _signature(name: str, function: Callable[..., object]) -> str:
    text = f"{name}{inspect.signature(function)}".replace("'", "")
    if len(text) <= 100:
        return text
    parameters = inspect.signature(function).parameters.values()
    keyword, lines = False, []
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            keyword = True
            lines.append("*,")
        lines.append(f"{parameter},".replace("'", ""))
    returns = str(inspect.signature(function).return_annotation).replace("'", "")
    return f"{name}(\n{textwrap.indent(chr(10).join(lines), '    ')}\n) -> {returns}"


PARTS: dict[str, Callable[[], str]] = {"commands": commands, "errors": error_table, "functions": functions}
PAGES = frozenset({DOCS / "reference" / "cli.md", DOCS / "reference" / "errors.md", DOCS / "reference" / "python.md"})


def generated(page: Path) -> str:
    """The page's text with its generated parts as the code has them now."""
    return PART.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}{match[3]}", page.read_text("utf-8"))


if __name__ == "__main__":
    for path in sorted(PAGES):
        path.write_text(generated(path), "utf-8")
