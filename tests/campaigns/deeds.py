"""What writers do in a campaign: each deed as a value, how the store does it, and what the model says it does.

A deed is drawn by one process, done in it, and judged by another: so it is data, and no closure.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

import tablever as tv
from tablever import errors
from tablever.model import Version
from tests.model import Column, Model, Refused, Row

KEYS = 60  # few enough that writers meet
COLUMNS = (
    Column("id", pa.int64()),
    Column("part", pa.int64()),
    Column("n", pa.int64()),
    Column("text", pa.string()),
)
MORE = (Column("more_a", pa.float64()), Column("more_b", pa.string()), Column("more_c", pa.list_(pa.int64())))
FOREIGN = "campaign"  # what deltalake's commits are called by
TEXTS = ("", "a", "é", "日本", "😀", "'", None)


@dataclass(frozen=True)
class Deed:
    """One operation: its name, and what it was given."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in {**self.args, **self.options}.items())})"


@dataclass(frozen=True)
class Told:
    """What a process was told of a deed.

    Attributes:
        start, end: the head's number before it and after it.
        version: the Version that came back; of a witness its version's number.
        error: the name of the error that was raised, and its words.
    """

    deed: Deed
    start: int
    end: int
    version: Version | int | None = None
    error: tuple[str, str] | None = None


# -- as the store does it


def _rows(args: Mapping[str, Any]) -> pa.Table:
    columns = args["columns"]
    return pa.Table.from_pylist(args["rows"], schema=pa.schema([(c.name, c.type) for c in columns]))


def _where(args: Mapping[str, Any]) -> str:
    return f"id BETWEEN {args['low']} AND {args['high']}"


def _assigned(args: Mapping[str, Any]) -> dict[str, str]:
    return {"id": f"id + {args['shift']}"} if args["shift"] else {"n": f"n + {args['by']}", "text": "'updated'"}


STORE: Mapping[str, Callable[..., Version | None]] = {
    "append": lambda t, a, o: tv.append(t, _rows(a), evolve=a["evolve"], **o),
    "upsert": lambda t, a, o: tv.upsert(t, _rows(a), evolve=a["evolve"], **o),
    "overwrite": lambda t, a, o: tv.overwrite(t, _rows(a), **o),
    "update": lambda t, a, o: tv.update(t, _assigned(a), where=_where(a), **o),
    "delete": lambda t, a, o: tv.delete(t, where=_where(a), **o),
    "delete keys": lambda t, a, o: tv.delete(t, keys=[{"id": key} for key in a["keys"]], **o),
    "restore": lambda t, a, o: tv.restore(t, a["version"], **o),
    "revert": lambda t, a, o: tv.revert(t, a["version"], **o),
    "set key": lambda t, a, o: tv.set_key(t, a["key"], **o),
    "set retention": lambda t, a, o: tv.set_retention(t, a["policy"], **o),
    "compact": lambda t, a, o: tv.compact(t, target=a["target"], deleted=a["deleted"], cluster=a["cluster"], **o),
    "vacuum": lambda t, a, o: tv.vacuum(t, keep=a["keep"], safety=a["safety"], dry_run=False, **o).version,
}
# What names a version beside the log: no version of its own.
WITNESS: Mapping[str, Callable[..., Any]] = {
    "tag": lambda t, a: tv.tag(t, a["name"], a["version"]).version,
    "delete tag": lambda t, a: tv.delete_tag(t, a["name"]).version,
    "pin": lambda t, a: tv.pin(t, a["version"], reason="campaign").version,
    "unpin": lambda t, a: len(tv.unpin(t, a["version"])),
    "link run": lambda t, a: tv.link_run(t, a["version"], a["name"], metrics={"f1": 0.5}).version,
}
KEEPS_ROWS = ("compact", "vacuum", "set retention", "set properties")


# -- as the model says it


def extra_columns(model: Model, args: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns of the rows that the table lacks."""
    known = {column.name for column in model.head.columns}
    return tuple(column for column in args["columns"] if column.name not in known)


def _given(model: Model, args: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns that the rows add; refused where they lack one of the table's, or have more and may not."""
    names = {column.name for column in args["columns"]}
    lacking = [column for column in model.head.columns if column.name not in names]
    extra = extra_columns(model, args)
    if lacking or (extra and not args["evolve"]):
        raise Refused(errors.SchemaMismatchError)
    return extra


def _test(args: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: args["low"] <= row["id"] <= args["high"]


def _values(args: Mapping[str, Any]) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    if args["shift"]:
        return {"id": lambda row: row["id"] + args["shift"]}
    return {"n": lambda row: row["n"] + args["by"], "text": lambda _: "updated"}


def _upsert(model: Model, args: Mapping[str, Any]) -> int | None:
    if not model.head.key:  # of two reasons to refuse the first
        raise Refused(errors.InvalidKeyError)
    return model.upsert(args["rows"], _given(model, args))


def _overwrite(model: Model, args: Mapping[str, Any]) -> int | None:
    _given(model, args)
    return model.overwrite(args["rows"])


MODEL: Mapping[str, Callable[[Model, Mapping[str, Any]], int | None]] = {
    "append": lambda m, a: m.append(a["rows"], _given(m, a)),
    "upsert": _upsert,
    "overwrite": _overwrite,
    "update": lambda m, a: m.update(_values(a), _test(a)),
    "delete": lambda m, a: m.delete(_test(a)),
    "delete keys": lambda m, a: m.delete_keys([{"id": key} for key in a["keys"]]),
    "restore": lambda m, a: m.restore(a["version"]),
    "revert": lambda m, a: m.revert(a["version"]),
    "set key": lambda m, a: m.set_key(a["key"] or ()) if tuple(a["key"] or ()) != m.head.key else None,
}


# -- drawn


@dataclass
class Hand:
    """Draws one writer's deeds.

    Attributes:
        rates: how often each kind comes, against the others.
        safety: the interval that its vacuums leave.
        evolves: whether it adds columns now and then.
    """

    worker: int
    chance: random.Random
    rates: Mapping[str, int]
    safety: str = "1 day"
    evolves: bool = True
    drawn: int = 0
    tags: list[str] = field(default_factory=list)

    def draw(self, head: int, columns: Sequence[Column]) -> Deed:
        """The next deed on a table whose head had this number and these columns a moment ago."""
        self.drawn += 1
        name = self.chance.choices(list(self.rates), list(self.rates.values()))[0]
        return getattr(self, "_" + name.replace(" ", "_"))(head, columns)

    def options(self, head: int) -> dict[str, Any]:
        """A message that tells whose deed it was; now and then the head that is expected."""
        options: dict[str, Any] = {"message": f"{self.worker}/{self.drawn}", "author": "campaign"}
        if self.chance.random() < 0.1:
            options["if_version"] = head
        return options

    def rows(self, columns: Sequence[Column], count: int, *, fresh: float) -> list[Row]:
        """Rows of different ids: of this writer's own, never used, or of those that all share."""
        ids: dict[int, None] = {}
        while len(ids) < count:
            own = self.chance.random() < fresh
            ids[(self.worker + 1) * 10**6 + self.drawn * 100 + len(ids) if own else self.chance.randrange(KEYS)] = None
        return [{column.name: self.value(column, key) for column in columns} for key in ids]

    def value(self, column: Column, key: int) -> Any:
        drawn: dict[str, Any] = {
            "id": key,
            "part": key % 3,
            "n": self.chance.randrange(5),
            "text": self.chance.choice(TEXTS),
            "more_a": self.chance.choice([None, 0.0, -0.0, 1.5, float("nan")]),
            "more_b": self.chance.choice(TEXTS),
            "more_c": self.chance.choice([None, [], [1, None]]),
        }
        return drawn[column.name]

    def past(self, head: int) -> int:
        return max(0, head - self.chance.randrange(12))

    def _insert(self, name: str, head: int, columns: Sequence[Column], rows: int, fresh: float) -> Deed:
        evolves = self.evolves and self.chance.random() < 0.05
        wider = [*columns, self.chance.choice(MORE)] if evolves else list(columns)
        wider = list({column.name: column for column in wider}.values())
        args = {
            "rows": self.rows(wider, rows, fresh=fresh),
            "columns": tuple(wider),
            "evolve": len(wider) > len(columns),
        }
        return Deed(name, args, self.options(head))

    def _append(self, head: int, columns: Sequence[Column]) -> Deed:
        return self._insert("append", head, columns, self.chance.randint(1, 4), 0.9)

    def _upsert(self, head: int, columns: Sequence[Column]) -> Deed:
        return self._insert("upsert", head, columns, self.chance.randint(1, 6), 0.2)

    def _load(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002 - the same load in every process
        """A batch that several processes load: the number of a tenth of a hundred versions names it."""
        batch = head // 10
        same = Hand(-1, random.Random(batch), {}, drawn=batch)
        args = {"rows": same.rows(COLUMNS, 3, fresh=1.0), "columns": COLUMNS, "evolve": False}
        return Deed("append", args, {"batch_id": f"b{batch}"})

    def _overwrite(self, head: int, columns: Sequence[Column]) -> Deed:
        args = {"rows": self.rows(columns, self.chance.randint(0, 30), fresh=0.1), "columns": tuple(columns)}
        return Deed("overwrite", {**args, "evolve": False}, self.options(head))

    def _range(self) -> dict[str, int]:
        low = self.chance.randrange(KEYS)
        return {"low": low, "high": low + self.chance.randrange(4)}

    def _update(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        shift = self.chance.choice([0, 0, 0, 0, 1])
        return Deed("update", {**self._range(), "shift": shift, "by": self.chance.randint(0, 2)}, self.options(head))

    def _delete(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        chosen = self._range()
        if self.chance.random() < 0.3:  # what appends bring goes again
            low = (self.chance.randrange(10) + 1) * 10**6
            chosen = {"low": low, "high": low + self.drawn * 100}
        return Deed("delete", chosen, self.options(head))

    def _delete_keys(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        keys = self.chance.sample(range(KEYS), self.chance.randint(1, 5))
        return Deed("delete keys", {"keys": keys}, self.options(head))

    def _restore(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        return Deed("restore", {"version": self.past(head)}, self.options(head))

    def _revert(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        return Deed("revert", {"version": self.past(head)}, self.options(head))

    def _set_key(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        return Deed("set key", {"key": self.chance.choice([None, ["id"]])}, self.options(head))

    def _set_retention(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        policy = self.chance.choice(["all", "pinned", "3 versions", "2 seconds", None])
        return Deed("set retention", {"policy": policy}, self.options(head))

    def _compact(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        args = {
            "target": self.chance.choice([1, "3 KB", "256 MB"]),
            "deleted": self.chance.choice([0.01, 0.5]),
            "cluster": False,
        }
        return Deed("compact", args, {"message": f"{self.worker}/{self.drawn}"})

    def _vacuum(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        keep = self.chance.choice(["pinned", "5 versions", "20 versions, 1 second", None])
        return Deed("vacuum", {"keep": keep, "safety": self.safety}, {"message": f"{self.worker}/{self.drawn}"})

    def _tag(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        # Some names are wanted by all: one gets each.
        name = f"all{head // 20}" if self.chance.random() < 0.3 else f"w{self.worker}-{self.drawn}"
        self.tags.append(name)
        return Deed("tag", {"name": name, "version": self.past(head)})

    def _delete_tag(self, head: int, columns: Sequence[Column]) -> Deed:
        if not self.tags:
            return self._tag(head, columns)
        return Deed("delete tag", {"name": self.tags.pop(self.chance.randrange(len(self.tags)))})

    def _pin(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        return Deed("pin", {"version": self.past(head)})

    def _unpin(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        return Deed("unpin", {"version": self.past(head)})

    def _link_run(self, head: int, columns: Sequence[Column]) -> Deed:  # noqa: ARG002
        return Deed("link run", {"version": self.past(head), "name": f"run{self.worker}-{self.drawn}"})
