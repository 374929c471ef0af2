"""Who commits, tags or links, and what they may say: text that every reader of the log can read."""

from __future__ import annotations

import getpass
import subprocess
from functools import lru_cache

from tablever.errors import InvalidInputError


@lru_cache(maxsize=1)
def default_author() -> str:
    """Git's user name and address, as git would sign a commit here; else the system's user."""
    values = []
    for name in ("user.name", "user.email"):
        try:
            found = subprocess.run(["git", "config", name], capture_output=True, text=True, timeout=5, check=False)
        except (OSError, subprocess.SubprocessError):
            break
        values.append(found.stdout.strip())
    if values and values[0]:
        return f"{values[0]} <{values[1]}>" if len(values) > 1 and values[1] else values[0]
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def check_text(name: str, value: object) -> None:
    """Raises InvalidInputError where an argument is neither None nor text that UTF-8 can hold."""
    if value is not None and not isinstance(value, str):
        raise InvalidInputError(f"{name} must be text, not {value!r}")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidInputError(f"{name} is not valid Unicode: {value!r}", hint="is the terminal's encoding UTF-8?")
