"""`backup`, `restore` and `prune`."""

import sys
from pathlib import Path

import click

from dagma.cli import base
from dagma.errors import BackupError


@click.command()
@click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
def backup_command(directory: Path | None) -> None:
    """Write a backup of the running stack.

    It goes to DIRECTORY, by default DAGMA_BACKUPS.
    """
    from dagma.stack.upkeep import backup

    stack = base.stack()
    with base.interruptible():
        target = directory or stack.layout.backups(stack.settings)
        base.say(f"Backup: {backup.write(stack, target, base.say)}")


@click.command()
@click.argument("archive", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask before a state is replaced.")
def restore_command(archive: Path, yes: bool) -> None:
    """Restore a backup, while the stack is stopped.

    A present state is kept beside.
    """
    from dagma.stack.upkeep import restore

    stack = base.stack()
    with base.interruptible():
        created = restore.restore(stack, archive, lambda found: _agree(found, yes), base.say)
    base.say(f"Restored the backup of {created}; `dagma up` starts it.")


def _agree(replaced: list[Path], yes: bool) -> None:
    """Ask whether a present state may be replaced, where there is one and somebody to ask."""
    if not replaced or yes:
        return
    names = ", ".join(str(path) for path in replaced)
    if not sys.stdin.isatty():
        raise BackupError(f"{names} holds a state: add --yes to replace it; it is kept beside.")
    click.confirm(f"{names} holds a state. Replace it? It is kept beside.", abort=True)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
def prune_command(dry_run: bool) -> None:
    """Remove old runs, events and logs.

    What is old, the settings DAGMA_KEEP_* say; the stack has to run. The state of assets, partitions and asset checks stays as it is.
    """
    from dagma.stack.upkeep import prune  # imports Dagster

    stack = base.stack()
    with base.interruptible():
        prune.prune(stack, base.say, dry_run)
