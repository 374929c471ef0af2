"""Run a coverage-guided fuzzer on one target: ``python -m tests.fuzz NAME [--minutes N]``.

Needs atheris, in an environment that also has what tablever needs. What it finds new is kept in
tests/fuzz/corpus/NAME/; an input that breaks the law is written to the current folder, and ends the run.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

import atheris

from tests.fuzz.targets import CORPUS, TARGETS


def main() -> None:
    """Fuzz until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("name", choices=sorted(TARGETS))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    module = f"tests.fuzz.{asked.name}"
    with atheris.instrument_imports(include=["tablever", "tests.fuzz"]):
        target = import_module(module)
    folder = CORPUS / asked.name
    folder.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={int(asked.minutes * 60)}",
        f"-seed={asked.seed}",
        "-max_len=4096",
        "-timeout=20",
        "-rss_limit_mb=3000",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
