"""A log entry: parsed, replayed into a state, described; what is parsed is written and parsed again."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from tablever.delta import commits, features, replay
from tablever.delta.actions import build_actions, decode_entry, decode_path, parse_entry, render_entry
from tablever.errors import TableverError
from tablever.layout import table_schema

NAME = "00000000000000000003.json"


def run(data: bytes) -> None:
    """One input."""
    try:
        values = decode_entry(data, name=NAME)
        actions = build_actions(values, name=NAME)
    except TableverError:
        return
    assert parse_entry(render_entry(actions), name=NAME) == actions if actions else True
    info = commits.find_info(values)
    commits.recorded_time(info)
    commits.vacuumed(3, info)
    commits.foreign_counts(info, actions, lambda _: None)
    state = replay.apply(replay.State(), actions)
    with suppress(TableverError):
        commits.to_version(
            3, info, commits.Counts(), before=None, commit_hash="", timestamp=datetime(2026, 1, 1, tzinfo=UTC)
        )
        snapshot = replay.to_snapshot(state, number=3, timestamp=datetime(2026, 1, 1, tzinfo=UTC), table="t")
        features.check_readable(snapshot.protocol, snapshot.metadata)
        table_schema(snapshot.metadata)
        _ = snapshot.metadata.key, snapshot.rows
    for file in state.files:
        _ = file.parsed_stats, file.rows
        with suppress(TableverError):
            decode_path(file.path, root="/data/t")
