"""What a round found wrong is kept: the words, the seed, the table, and all that the judge was given.

So nothing is found twice for want of notes, and a mended judge, or a mended store, can be asked again
(``python -m tests.campaigns.writers again FOLDER``).
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.campaigns.deeds import Told
from tests.campaigns.judging import Seen, Verdict, judge
from tests.model import Model

KEPT = Path(tempfile.gettempdir()) / "tablever-findings"


@dataclass(frozen=True)
class Case:
    """One round: what its processes were told and saw, and what happened in it besides."""

    name: str
    seed: int
    first: Model
    told: Sequence[Told] = ()
    seen: Sequence[Seen] = ()
    wrong: Sequence[str] = ()


def judged(path: Path, case: Case) -> Verdict:
    """The verdict on a round, every sentence with its name and seed. A judge that falls over says so, and no more."""
    try:
        verdict = judge(path, case.first, case.told, case.seen)
    except Exception:  # noqa: BLE001 - what the judge trips over is a finding like any other
        verdict = Verdict(wrong=[f"the judge fell over:\n{traceback.format_exc()}"])
    verdict.wrong[:] = [f"{case.name}, seed {case.seed}: {each}" for each in (*case.wrong, *verdict.wrong)]
    return verdict


def keep(path: Path, case: Case, wrong: Sequence[str], under: Path = KEPT) -> Path:
    """Copy a table aside, with every distinct sentence and the case. Returns the folder."""
    name = "".join(c if c.isalnum() else "-" for c in case.name)
    folder = under / f"{name}-{case.seed}-{datetime.now(UTC):%H%M%S%f}"
    shutil.copytree(path, folder / "table")
    (folder / "wrong.txt").write_text("".join(f"{each}\n" for each in dict.fromkeys(wrong)))
    (folder / "case.pickle").write_bytes(pickle.dumps(case))
    return folder


def again(folder: Path) -> Verdict:
    """Judge a kept case again."""
    return judged(folder / "table", pickle.loads((folder / "case.pickle").read_bytes()))
