"""The command line: parses, calls, prints. What it does is in `dagma.stack`.

A file a subject. What a command calls is imported when it is called: so its own help, that of
`dagma`, and what a shell completes need click only.
"""

import os
import sys
from collections import UserDict
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar

import click

from dagma import interrupts, private
from dagma.cli import base
from dagma.errors import DagmaError

#: File -> its commands; each is there as `NAME_command`.
SUBJECTS = {
    "lifecycle": ("up", "down", "restart"),
    "view": ("status", "logs", "schedules", "doctor"),
    "code": ("reload",),
    "ways_in": ("env", "open"),
    "upkeep": ("backup", "restore", "prune"),
}


class Commands(UserDict[str, click.Command]):
    """The commands by name; the file of one is imported when it is asked for."""

    _files: ClassVar = {name: file for file, names in SUBJECTS.items() for name in names}

    def __contains__(self, name: object) -> bool:
        """Whether there is a command of that name."""
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._files)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._files)

    def __getitem__(self, name: str) -> click.Command:
        """A command.

        Raises:
            KeyError: There is none of that name.
        """
        command = getattr(import_module(f"dagma.cli.{self._files[name]}"), f"{name}_command")
        assert isinstance(command, click.Command), name
        return command


class Sentences(click.Group):
    """Turns our errors into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was typed."""
        try:
            return super().invoke(ctx)
        except DagmaError as error:
            click.echo(f"dagma: {error}", err=True)
            return ctx.exit(1)
        except interrupts.Undone:
            return ctx.exit(base.INTERRUPTED)


def _version() -> str:
    try:
        return version("dagma")
    except PackageNotFoundError:
        return "of a source tree"


@click.group(
    cls=Sentences,
    commands=Commands(),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(_version(), "--version", prog_name="dagma")
def main() -> None:
    """Dagster, PostgreSQL, MLflow and Qdrant in one command.

    Settings come from the environment and from .env in the current directory; .env.example lists
    them. State is kept in DAGMA_HOME (./.dagma).
    """
    os.umask(private.UMASK)  # the services have it from us
    _own_programs_first()


def _own_programs_first() -> None:
    """Let services be the programs of the environment that this command line is part of."""
    own = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    if own not in path.split(os.pathsep):
        os.environ["PATH"] = own + os.pathsep + path
