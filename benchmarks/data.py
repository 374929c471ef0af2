"""The table that is measured on: reviews, as they are labelled and corrected; deterministic for a number of rows."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pyarrow as pa

SOURCES = ["web", "app", "mail", "shop"]
LABELS = ["neg", "neutral", "pos"]
WORDS = (
    "able again always arrived asked back bad battery best better big black blue both bought box broke broken button "
    "cable came case cheap clean clear cold color could cover cracked daily day dead deal delivery design different "
    "early easy even every excellent expected fast fine first fit gift glass gone good great handle happy hard heavy "
    "help hold hot instead just keep kept large late later leak less light little long lost loud love low made make "
    "many money month more much near never new nice noise old only open order other pack paid part perfect plastic "
    "poor power price quality quick quiet refund return right rough same scratch screen seal sent service ship short "
    "size slow small smell soft solid sound still stopped strong sturdy support taste thin tight tiny together too "
    "top use useful value warm warranty water weak week weight white wide wire without works worse worth wrong year"
).split()


def reviews(rows: int, *, start: int = 0) -> pa.Table:
    """``rows`` reviews with ids from ``start``, in the order of their ids; ten columns, about 40 bytes a row on disk.

    Columns: id int64, user_id int32, source and label strings of 4 and 3 values, score double, confidence float,
    created timestamp[us, UTC], verified bool, votes int32, text: six words and a number.
    """
    return _arrow(_reviews(pl.int_range(start, start + rows, dtype=pl.Int64, eager=True)))


def scattered(rows: int, count: int, *, seed: int = 1) -> pl.Series:
    """``count`` different ids out of ``rows``, in random order."""
    return pl.int_range(rows, dtype=pl.Int64, eager=True).sample(count, seed=seed, shuffle=True).alias("id")


def corrected(rows: int, count: int, *, seed: int = 1) -> pa.Table:
    """``count`` scattered reviews out of ``rows``, each with a new label and another text."""
    return _corrected(scattered(rows, count, seed=seed))


def clustered(rows: int, count: int) -> pa.Table:
    """``count`` reviews next to each other, in the middle of ``rows``, each with a new label and another text."""
    start = (rows - count) // 2
    return _corrected(pl.int_range(start, start + count, dtype=pl.Int64, eager=True).alias("id"))


def corrections(rows: int, count: int, *, times: int) -> pa.Table:
    """``times`` times ``count`` corrected reviews, one lot after the other, each text saying which lot."""
    lots = []
    for seed in range(1, times + 1):
        lot = pl.from_arrow(corrected(rows, count, seed=seed))
        assert isinstance(lot, pl.DataFrame)
        lots.append(lot.with_columns(text=pl.lit(f"{seed} ") + pl.col("text")))
    return _arrow(pl.concat(lots))


def with_corrections(rows: pa.Table, corrections: pa.Table) -> pa.Table:
    """The rows, in their order, those that are corrected replaced."""
    old, new = pl.from_arrow(rows), pl.from_arrow(corrections)
    assert isinstance(old, pl.DataFrame)
    assert isinstance(new, pl.DataFrame)
    return _arrow(old.update(new, on="id"))


def shuffled(rows: pa.Table) -> pa.Table:
    """The rows in random order."""
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    return _arrow(frame.sample(fraction=1.0, seed=1, shuffle=True))


def _corrected(ids: pl.Series) -> pa.Table:
    return _arrow(_reviews(ids).with_columns(label=pl.lit("mixed"), text="corrected: " + pl.col("text")))


def _reviews(ids: pl.Series) -> pl.DataFrame:
    user, source, label, score, confidence, moment, verified, votes, number = (_draw(seed) for seed in range(9))
    began = pl.lit(datetime(2024, 1, 1, tzinfo=UTC)).dt.cast_time_unit("us")
    words = [_pick(_draw(10 + n), WORDS) for n in range(6)]
    return pl.DataFrame({"id": ids}).select(
        "id",
        (user % 400_000).cast(pl.Int32).alias("user_id"),
        _pick(source, SOURCES).alias("source"),
        _pick(label, LABELS).alias("label"),
        (score / 2.0**64).alias("score"),
        (confidence / 2.0**64).cast(pl.Float32).alias("confidence"),
        (began + pl.duration(microseconds=pl.col("id") * 1_234_000 + moment % 1_234_000)).alias("created"),
        (verified % 10 < 7).alias("verified"),
        (votes % 50).cast(pl.Int32).alias("votes"),
        pl.concat_str([*words, (number % 10_000_000).cast(pl.String)], separator=" ").alias("text"),
    )


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _draw(seed: int) -> pl.Expr:
    return pl.col("id").hash(seed).hash(seed)


def _pick(draw: pl.Expr, values: list[str]) -> pl.Expr:
    return pl.lit(pl.Series(values, dtype=pl.String)).gather(draw % len(values))
