"""What the fuzzers look for, shortened: every kept input again, and inputs that Hypothesis makes of them."""

from __future__ import annotations

from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import CORPUS, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs_break_no_law(name: str) -> None:
    """Each input of the corpus gives a right answer or an error of ours."""
    kept = sorted((CORPUS / name).iterdir())
    assert kept
    for path in kept:
        import_module(f"tests.fuzz.{name}").run(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=40)
@given(data=st.data())
def test_changed_inputs_break_no_law(name: str, data: st.DataObject) -> None:
    """So does any other: bytes alone, or a kept input with a piece of it replaced."""
    base = data.draw(st.sampled_from([b"", *(path.read_bytes() for path in sorted((CORPUS / name).iterdir()))]))
    start = data.draw(st.integers(0, len(base)))
    end = data.draw(st.integers(start, min(len(base), start + 40)))
    run = import_module(f"tests.fuzz.{name}").run
    run(base[:start] + data.draw(st.binary(max_size=40)) + base[end:])
