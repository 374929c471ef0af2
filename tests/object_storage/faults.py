"""A network that fails on demand: an HTTP proxy on loopback that stands between a client and an object store.

It counts every request by what was asked and by the kind of object that it was asked of, and treats chosen ones badly.
What is signed stays valid: bytes and headers, ``Host`` among them, go on as they came.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Self, get_args
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal[
    "latency",  # the answer comes late
    "error",  # 500, nothing was done
    "slow down",  # 503, nothing was done
    "conflict",  # 409, nothing was done: what S3 says to one of two conditional puts at the same instant
    "denied",  # 403, nothing was done: credentials that ran out, a clock that is off; no client tries again
    "timeout",  # nothing was done, and no answer ever comes
    "reset",  # the connection breaks before anything was done
    "cut",  # done, and the connection breaks in the middle of the answer
    "answer lost",  # done, and the connection breaks before the answer
    "answer wrong",  # done, and the answer is 500: a client that tries again meets its own work
    "late",  # the connection breaks, and it is done afterwards
]
KINDS: tuple[Kind, ...] = get_args(Kind)

OBJECTS = {
    r"/_delta_log/\d{20}\.json$": "log entry",
    r"/_delta_log/_last_checkpoint$": "last checkpoint",
    r"/_delta_log/.*\.checkpoint": "checkpoint",
    r"/_delta_log(/|$)": "log",
    r"/_tablever/cache(/|$)": "cache",
    r"/_tablever/": "witness",
    r"/_dv/": "vectors",
    r"/_change_data/": "change rows",
    r"\.parquet$": "rows",
}


@dataclass(frozen=True)
class Request:
    """What was asked: the method (``LIST`` for a GET that lists), the object's path, and whether under a condition."""

    method: str
    path: str
    conditional: bool = False

    @property
    def object(self) -> str:
        """What kind of object of a table the path is of."""
        return next((kind for pattern, kind in OBJECTS.items() if re.search(pattern, self.path)), "other")

    def __str__(self) -> str:
        return f"{self.method} {self.object}"


@dataclass
class Fault:
    """Something that goes wrong with the requests that ``of`` says, the next ``times`` of them (None: with all).

    Attributes:
        seconds: how long: the latency, how long a timeout is held, when what is late is done.
    """

    kind: Kind
    of: Callable[[Request], bool] = lambda _: True
    times: int | None = 1
    seconds: float = 0.2


def asked(what: str) -> Callable[[Request], bool]:
    """Requests of one method, of one kind of object: ``PUT log entry``."""
    return lambda request: str(request) == what


@dataclass
class Exchange:
    """One HTTP message: its first line and headers as bytes, and its body."""

    head: bytes
    body: bytes

    @property
    def first(self) -> list[str]:
        """The words of the first line."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)

    @property
    def headers(self) -> dict[str, str]:
        """The headers, by name in lower case."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        return {name.strip().lower(): value.strip() for name, value in pairs}

    def request(self) -> Request:
        """What it asks."""
        method, target, _ = self.first
        parts = urlsplit(target)
        query = parse_qs(parts.query, keep_blank_values=True)
        path = unquote(parts.path)
        if method == "GET" and ("prefix" in query or "list-type" in query or query.get("comp") == ["list"]):
            return Request("LIST", f"{path.rstrip('/')}/{query.get('prefix', [''])[0]}".rstrip("/"))
        if method == "POST" and "delete" in query:
            return Request("DELETE", path)
        condition = {"if-none-match", "if-match", "x-goog-if-generation-match"} & self.headers.keys()
        return Request(method, path, bool(condition))


@dataclass(frozen=True)
class Passed:
    """A request that reached the store, with the bytes that it carried there and those that came back, heads aside."""

    request: Request
    sent: int
    received: int


class FaultyNetwork:
    """The proxy. ``address`` stands for the store's while its ``with`` block runs."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        assert parts.hostname
        assert parts.port
        self._target = (parts.hostname, parts.port)
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._decide: Callable[[Request], Fault | None] = lambda _: None
        self._late: set[asyncio.Task[None]] = set()
        self.requests: list[Request] = []
        self.passed: list[Passed] = []
        self.injected: Counter[tuple[Kind, str]] = Counter()

    # What a test says

    def inject(self, *faults: Fault) -> None:
        """From now on, these go wrong, the first that fits."""
        with self._lock:
            self._faults.extend(faults)

    def decide(self, by: Callable[[Request], Fault | None]) -> None:
        """From now on, ``by`` says what goes wrong with a request, if no injected fault fits."""
        with self._lock:
            self._decide = by

    def heal(self) -> None:
        """From now on nothing goes wrong; what is late has been done when this returns."""
        with self._lock:
            self._faults.clear()
            self._decide = lambda _: None
        asyncio.run_coroutine_threadsafe(self._settle(), self._loop).result(timeout=60)

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """The requests of the ``with`` block, by method and kind of object: ``PUT log entry``."""
        with self._lock:
            start = len(self.requests)
        found: Counter[str] = Counter()
        yield found
        with self._lock:
            found.update(map(str, self.requests[start:]))

    @contextmanager
    def measured(self) -> Iterator[list[Passed]]:
        """What passed in the ``with`` block."""
        start = len(self.passed)
        found: list[Passed] = []
        yield found
        found.extend(self.passed[start:])

    # Its life

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=60)

    def _run(self, started: threading.Event) -> None:
        async def serve() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            started.set()
            await self._stop.wait()
            server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run(serve())

    async def _settle(self) -> None:
        await asyncio.gather(*self._late, return_exceptions=True)

    # One connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (asks := await read_message(reader)) is not None and await self._answer(asks, writer):
                pass
        except (
            ConnectionError,
            asyncio.IncompleteReadError,
            asyncio.CancelledError,
        ):  # the client, or the proxy, is gone
            pass
        finally:
            writer.close()

    async def _answer(self, asks: Exchange, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection goes on."""
        request = asks.request()
        fault = self._fault(request)
        kind = fault.kind if fault else None
        seconds = fault.seconds if fault else 0.0
        if kind == "latency":
            await asyncio.sleep(seconds)
        if kind == "timeout":
            await asyncio.sleep(seconds)
            return break_off(writer)
        if kind == "reset":
            return break_off(writer)
        if kind == "late":
            task = asyncio.create_task(self._do_late(asks, seconds))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return break_off(writer)
        if kind in REFUSALS:
            return await send(writer, refusal(*REFUSALS[kind]))
        answer = await self._forward(asks)
        if kind == "answer lost":
            return break_off(writer)
        if kind == "answer wrong":
            return await send(writer, refusal(*REFUSALS["error"]))
        if kind == "cut":
            await send(writer, Exchange(answer.head, answer.body[: len(answer.body) // 2]))
            return break_off(writer)
        return await send(writer, answer)

    def _fault(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            fault = next((fault for fault in self._faults if fault.times != 0 and fault.of(request)), None)
            if fault is not None and fault.times is not None:
                fault.times -= 1
            fault = fault or self._decide(request)
            if fault is not None:
                self.injected[fault.kind, str(request)] += 1
            return fault

    async def _do_late(self, asks: Exchange, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._forward(asks)

    async def _forward(self, asks: Exchange) -> Exchange:
        reader, writer = await asyncio.open_connection(*self._target)
        try:
            writer.write(asks.head + asks.body)
            await writer.drain()
            answer = await read_message(reader, bodyless=asks.first[0] == "HEAD")
            if answer is None:
                raise ConnectionResetError("the store closed the connection")
            self.passed.append(Passed(asks.request(), len(asks.body), len(answer.body)))
            return answer
        finally:
            writer.close()


REFUSALS: dict[str | None, tuple[str, str]] = {
    "error": ("500 Internal Server Error", "InternalError"),
    "slow down": ("503 Service Unavailable", "SlowDown"),
    "conflict": ("409 Conflict", "ConditionalRequestConflict"),
    "denied": ("403 Forbidden", "RequestTimeTooSkewed"),
}


def refusal(status: str, code: str) -> Exchange:
    """An answer in the form of S3's errors."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return Exchange(head.encode(), body)


async def send(writer: asyncio.StreamWriter, message: Exchange) -> bool:
    """Write a message; True."""
    writer.write(message.head + message.body)
    await writer.drain()
    return True


def break_off(writer: asyncio.StreamWriter) -> bool:
    """End the connection as a broken network does, with a reset; False."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def read_message(reader: asyncio.StreamReader, *, bodyless: bool = False) -> Exchange | None:
    """The next message, whole; None where the connection ended before it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    message = Exchange(head, b"")
    headers, status = message.headers, message.first[1]
    if bodyless or status in ("204", "304"):
        return message
    if "chunked" in headers.get("transfer-encoding", ""):
        return Exchange(head, b"".join([piece async for piece in chunks(reader)]))
    if "content-length" in headers:
        return Exchange(head, await reader.readexactly(int(headers["content-length"])))
    return message if head[:5] != b"HTTP/" else Exchange(head, await reader.read())


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """A chunked body as it came, its framing included."""
    while True:
        size = await reader.readuntil(b"\r\n")
        yield size
        length = int(size.split(b";")[0], 16)
        yield await reader.readexactly(length + 2)
        if not length:
            return
