"""The shell for these tests too."""

from tests.cli.conftest import shell

__all__ = ["shell"]
