"""Write the parts of the documentation that are made from the code.

A generated part lies between ``<!-- generated: NAME -->`` and ``<!-- end -->``. ``python -m docs.generate`` renews
all of them.
"""

from __future__ import annotations

import ast
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
    return "\n".join(_command(cli, click.Context(cli, info_name="tablever", **cli.context_settings)))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    context.terminal_width = context.max_content_width = 100
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                below = click.Context(child, info_name=name, parent=context, **child.context_settings)
                yield from _command(child, below)


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
    values = [getattr(package, name) for name in package.__all__]
    classes = [value for value in values if inspect.isclass(value)]
    parts = [_function(value) for value in values if inspect.isfunction(value)]
    return "\n".join([*parts, *map(_class, sorted(classes, key=lambda kind: kind.__name__))])


def _function(function: Callable[..., object]) -> str:
    return f"## {function.__name__}\n\n```text\n{_signature(function)}\n\n{_indented(function)}\n```\n"


def _class(kind: type) -> str:
    lines = [f"## {kind.__name__}\n\n```text\n{inspect.cleandoc(kind.__doc__ or '')}\n"]
    for name, member in vars(kind).items():
        if isinstance(member, property) and not name.startswith("_"):
            lines.append(f"{name}: {inspect.getdoc(member)}")
        elif inspect.isfunction(member) and not name.startswith("_"):
            lines.append(f"{_signature(member)}\n{_indented(member)}")
    return "\n".join(lines).rstrip() + "\n```\n"


def _indented(function: Callable[..., object]) -> str:
    return textwrap.indent(inspect.cleandoc(function.__doc__ or ""), "    ")


def _signature(function: Callable[..., object]) -> str:
    """As in the source, on one line or with a line for each parameter."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(tree, ast.FunctionDef)
    returns = f" -> {ast.unparse(tree.returns)}" if tree.returns else ""
    parameters = [text for text in _parameters(tree.args) if text != "self"]
    text = f"{tree.name}({', '.join(parameters)}){returns}"
    if len(text) <= 100:
        return text
    return f"{tree.name}(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f"){returns}"


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    """Each parameter with its annotation and default, in order."""
    keyword_only = list(zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))
    without = [None] * (len(arguments.args) - len(arguments.defaults))
    for argument, default in zip(arguments.args, [*without, *arguments.defaults], strict=True):
        yield ast.unparse(argument) + (f" = {ast.unparse(default)}" if default else "")
    if keyword_only:
        yield "*"
    for argument, default in keyword_only:
        yield ast.unparse(argument) + (f" = {ast.unparse(default)}" if default else "")
    if arguments.kwarg:
        yield f"**{ast.unparse(arguments.kwarg)}"


PARTS: dict[str, Callable[[], str]] = {"commands": commands, "errors": error_table, "functions": functions}
PAGES = frozenset({DOCS / "reference" / "cli.md", DOCS / "reference" / "errors.md", DOCS / "reference" / "python.md"})


def generated(page: Path) -> str:
    """The page's text with its generated parts as the code has them now."""
    return PART.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}{match[3]}", page.read_text("utf-8"))


if __name__ == "__main__":
    for path in sorted(PAGES):
        path.write_text(generated(path), "utf-8")
