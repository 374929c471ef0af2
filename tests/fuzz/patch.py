"""A patch file."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from tablever.diff.patch_files import read_patch
from tablever.errors import TableverError

_folder = tempfile.TemporaryDirectory()


def run(data: bytes) -> None:
    """One input."""
    path = Path(_folder.name) / f"{os.getpid()}.patch"
    path.write_bytes(data)
    with suppress(TableverError):
        patch = read_patch(path)
        _ = patch.went, patch.came
