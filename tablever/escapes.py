"""What could steer a terminal, as escapes: in text for people, and in JSON, which reads them as the same text."""

from __future__ import annotations

import json
import unicodedata

JOINER = "\u200d"  # inside emoji


def safe(text: str) -> str:
    r"""The text on one line, with everything that could steer a terminal as an escape (``\n``, ``\x1b``)."""
    if text.isprintable():
        return text
    return "".join(char.encode("unicode_escape").decode("ascii") if steers(char) else char for char in text)


def in_json(text: str) -> str:
    r"""A JSON text with what could steer a terminal as ``\u`` escapes; its controls are escapes already."""
    if text.isprintable():
        return text
    return "".join(json.dumps(char)[1:-1] if steers(char) else char for char in text)


def on_screen(text: str) -> str:
    """Lines of a format whose line ends and tabs must stay, and nothing else that could steer a terminal."""
    return "".join(char if char in "\n\t" else safe(char) for char in text)


def steers(char: str) -> bool:
    """Whether a terminal may do something at the character: a control, a direction, a line end; an unknown one too."""
    return not char.isprintable() and char != JOINER and unicodedata.category(char) != "Zs"
