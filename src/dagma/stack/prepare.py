"""Filling the state directory before the first process starts; doing it again changes nothing."""

import os
import stat
from pathlib import Path

from dagma import private
from dagma.errors import PreflightError
from dagma.private import write_private
from dagma.stack import passwords, services
from dagma.stack.layout import Layout
from dagma.stack.settings import Settings


def prepare(settings: Settings) -> list[str]:
    """Create directories, passwords and what each service has in files.

    Returns:
        Lines worth telling the user.

    Raises:
        PreflightError: The state directory cannot be written.
    """
    layout = Layout.of(settings)
    try:
        _directories(layout, settings)
        passwords.ensure(layout, settings)
        _webhook(layout.webhook_url, settings.webhook_url)
        return [note for service in services.ALL for note in service.prepare(settings)]
    except OSError as error:
        raise PreflightError(f"{error.filename} cannot be written: {error.strerror}.") from error


def open_run(layout: Layout) -> None:
    """Make the state directory and that of the lock, for their owner only.

    Raises:
        OSError: They cannot be written.
    """
    private.directory(layout.home, passage_mode())
    private.directory(layout.code_sockets)
    layout.run.chmod(0o700)  # an earlier version let others reach the lock in it


def passage_mode() -> int:
    """Of the state directory and what is above it: root's PostgreSQL is another user, and goes through."""
    return 0o711 if os.geteuid() == 0 else 0o700


def _directories(layout: Layout, settings: Settings) -> None:
    open_run(layout)
    _close(layout)
    own = [directory for service in services.ALL for directory in service.directories(settings)]
    for directory in (layout.logs, layout.inbox(settings), *own):
        private.directory(directory)


def _close(layout: Layout) -> None:
    """Close what an earlier version, or a user, left open; a part that is closed was so all along."""
    mode = stat.S_IMODE(layout.home.stat().st_mode)
    was_open = mode & ~passage_mode()
    if was_open:
        layout.home.chmod(mode & passage_mode())
    for part in layout.home.iterdir():
        if part != layout.postgres and (was_open or part.lstat().st_mode & 0o077):
            private.close(part)


def _webhook(file: Path, url: str | None) -> None:
    """Hand the address to the user code in a file, so that no other service's environment has it."""
    if url:
        write_private(file, url)
    else:
        file.unlink(missing_ok=True)
