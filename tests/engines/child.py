"""A program of another world that answers requests: one JSON object a line, in on stdin and out on stdout."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Absent(Exception):  # noqa: N818 - not a failure: a reason for skipping
    """What it takes to run the other program is not to be had here; the reason."""


class EngineError(Exception):
    """What the other program said to a request that it could not carry out."""


class Child:
    """A process that is fed requests; what it writes beside its answers goes to a log."""

    def __init__(self, command: Sequence[str], *, log: Path, seconds: float = 300) -> None:
        """Start it, and wait until it says that it is ready."""
        self._seconds, self._left, self._log = seconds, b"", log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        try:
            self.hello: Mapping[str, Any] = self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, **request: Any) -> Mapping[str, Any]:
        """The answer to a request.

        Raises:
            EngineError: it could not be carried out.
            TimeoutError: no answer in time.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise EngineError(answer["error"])
        return answer

    def close(self) -> None:
        """End it: by the end of its input, or by force where that does not help."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        until = time.monotonic() + self._seconds
        while b"\n" not in self._left:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, until - time.monotonic()))
            if not ready:
                self._process.kill()  # a later request would be given this one's answer
                raise TimeoutError(f"no answer in {self._seconds} s; its log ends: {self._tail()}")
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece:
                raise RuntimeError(f"the program ended; its log ends: {self._tail()}")
            self._left += piece
        line, self._left = self._left.split(b"\n", 1)
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-2_000:]
