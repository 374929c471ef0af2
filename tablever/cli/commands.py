"""The commands by name: the module of each, which is imported when it is asked for, and its line in the help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

import click

# In the order of a table's life.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("main", "See it at work on real data."),
    "create": ("write_commands", "Create a table from files."),
    "append": ("write_commands", "Add rows."),
    "upsert": ("write_commands", "Insert rows by key, or replace them."),
    "update": ("write_commands", "Set columns of rows."),
    "delete": ("write_commands", "Delete rows."),
    "overwrite": ("write_commands", "Make the table hold exactly these rows."),
    "restore": ("write_commands", "Bring back a version."),
    "revert": ("write_commands", "Undo one version."),
    "apply": ("diff_commands", "Apply changes that diff --patch wrote."),
    "set-key": ("write_commands", "Choose the key."),
    "set-not-null": ("write_commands", "Refuse nulls in columns."),
    "add-constraint": ("write_commands", "Refuse rows that fail a condition."),
    "log": ("read_commands", "Show the versions."),
    "show": ("diff_commands", "Show one version and what it changed."),
    "diff": ("diff_commands", "Show what changed between two versions."),
    "history": ("history_commands", "Show a row's life."),
    "blame": ("history_commands", "Show which version last wrote each row."),
    "schema": ("read_commands", "Show columns, key and constraints."),
    "hash": ("read_commands", "Show what a version is called by its content."),
    "read": ("read_commands", "Read the rows of a version."),
    "sql": ("read_commands", "Ask in SQL, of any version."),
    "tag": ("witness_commands", "Give a version a name, for ever."),
    "tags": ("witness_commands", "List the tags."),
    "delete-tag": ("witness_commands", "Delete a tag; its name stays taken."),
    "link-run": ("witness_commands", "Record that a run used a version."),
    "unlink-run": ("witness_commands", "Take back that a run used a version."),
    "runs": ("witness_commands", "List the runs that used a version."),
    "versions-of": ("witness_commands", "List the versions that a run used."),
    "runs-that-saw": ("history_commands", "List the runs that used a version with a row in it."),
    "pin": ("witness_commands", "Keep a version."),
    "unpin": ("witness_commands", "Take a version's pins away."),
    "pins": ("witness_commands", "List the pins."),
    "verify": ("verify_command", "Check that versions are what was committed."),
    "repair": ("repair_command", "Go on after a power cut tore the log."),
    "du": ("space_commands", "Show what versions and files take."),
    "compact": ("space_commands", "Merge small files."),
    "set-retention": ("space_commands", "Choose what a vacuum keeps."),
    "vacuum": ("space_commands", "Free the space of versions that nobody keeps."),
    "protect": ("space_commands", "Keep other tools from destroying history."),
}


class Commands(Mapping[str, click.Command]):
    """The commands, none of which is imported before it is looked up."""

    def __getitem__(self, name: str) -> click.Command:
        module, line = COMMANDS[name]
        found = vars(import_module(f"tablever.cli.{module}")).values()
        command = next(each for each in found if isinstance(each, click.Command) and each.name == name)
        command.short_help = line
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class LazyGroup(click.Group):
    """A group whose help lists the commands in their order, and imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature is click's
        """The names."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the names and their lines."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
