"""What can be fuzzed, and the law: a right answer or an error of ours; never another exception, a hang, a crash."""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
TARGETS = ("entry", "checkpoint", "vector", "ref", "sql", "patch", "sealed", "text_files")
