"""A diff as one HTML file that opens offline, and as a few lines of HTML for notebooks.

Whatever comes from data passes through the template's one outlet, which writes control characters as escapes, and
through autoescape; only the style sheet, the script and the charts, which are ours, are taken as they are.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tablever.errors import UnsupportedFeatureError
from tablever.escapes import safe
from tablever.findings import Findings
from tablever.report import screen, wording
from tablever.report.view import LONGEST, shown, view
from tablever.texts import changes_text, count, cut, plural, size_text, time_text

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

INSTALL = "pip install 'tablever[report]'"
NOTEBOOK_WIDTH = 100
# Colours that can be read on white and on black.
ROLE_STYLES: Mapping[screen.Role, str] = {
    "title": "font-weight: bold",
    "dim": "opacity: 0.65",
    "name": "font-weight: bold",
    "added": "color: #2b935f",
    "removed": "color: #d9534a",
    "updated": "color: #a87a00",
    "warning": "color: #a87a00",
}


def render(findings: Findings) -> str:
    """The page.

    Raises:
        UnsupportedFeatureError: jinja2 or matplotlib is not installed.
    """
    environment = _environment()
    style, script = _resource("diff.css"), _resource("diff.js")
    page: str = environment.get_template("diff.html.j2").render(
        findings=findings, view=view(findings), style=style, script=script, policy=_policy(style, script)
    )
    return page


def _environment() -> Environment:
    try:
        import matplotlib as mpl  # noqa: F401
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise UnsupportedFeatureError(
            f"an HTML report needs {error.name or 'a library'}, which is not installed",
            hint=INSTALL,
            feature="report",
        ) from error
    environment = Environment(
        loader=PackageLoader("tablever.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_outlet,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        svg=Markup, runs=runs, shown=shown, count=count, plural=plural, size=size_text, time=time_text
    )
    environment.globals.update(wording=wording, changes_text=changes_text)
    return environment


def _outlet(value: Any) -> Any:
    """Everything that the template prints comes through here; texts that are not its own lose what could steer."""
    return cut(safe(value), LONGEST) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _resource(name: str) -> Markup:
    from markupsafe import Markup

    return Markup(files("tablever.report").joinpath("templates", name).read_text("utf-8"))


def _policy(style: str, script: str) -> Markup:
    """What the page may load and run: nothing but its own style sheet and its own script."""
    from markupsafe import Markup

    own_style, own_script = (
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (style, script)
    )
    return Markup(
        f"default-src 'none'; script-src {own_script}; style-src {own_style}; style-src-attr 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def runs(text: str) -> list[tuple[str, bool]]:
    """The text, cut, in parts: those that print as they are, and those (True) that are shown as escapes."""
    short = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return [("".join(part), escape) for escape, part in groupby(short, key=lambda char: safe(char) != char)]


def notebook(findings: Findings) -> str:
    """A few lines for a notebook: the terminal's text, escaped, in colours for light and dark ones; needs no extra."""
    lines = screen.lines(findings, width=NOTEBOOK_WIDTH)
    rows = ["".join(_span(text, role) for text, role in line) for line in lines]
    return '<pre style="line-height: 1.35; overflow-x: auto; white-space: pre">' + "\n".join(rows) + "</pre>"


def _span(text: str, role: screen.Role) -> str:
    style = ROLE_STYLES.get(role)
    escaped = html.escape(text)
    return f'<span style="{style}">{escaped}</span>' if style else escaped
