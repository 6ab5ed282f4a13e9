"""Filling the state directory before the first process starts; doing it again changes nothing."""

import hashlib
import json
import os
import stat
from importlib import resources
from pathlib import Path

from dagma import private
from dagma.errors import PreflightError
from dagma.private import write_private
from dagma.stack import access, passwords
from dagma.stack.layout import Layout
from dagma.stack.settings import Settings

#: Dagster's configuration, in DAGSTER_HOME.
_INSTANCE = ("dagster.yaml", "workspace.yaml")
#: What the second is where the user code is asked to listen on a port.
_WITH_PORT = {"workspace.yaml": "workspace-port.yaml"}
_MARK = "# Written by dagma, sha256 "
#: A log larger than this, in bytes, starts anew at the next start; the old one is kept once.
LARGEST_LOG = 10_000_000


def prepare(settings: Settings) -> list[str]:
    """Create directories, passwords and Dagster's configuration.

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
        _qdrant(layout, settings)
        _rotate(layout.log("user_code"))
        return _instance(layout.dagster(settings), _WITH_PORT if settings.user_code_port else {})
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
    own = (layout.logs, layout.mlflow_artifacts.parent, layout.mlflow_artifacts, layout.qdrant)
    for directory in (*own, layout.inbox(settings), layout.dagster(settings)):
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


def _qdrant(layout: Layout, settings: Settings) -> None:
    """Let Qdrant's server ask for the token, which it calls its API key.

    By default pages of any site may read what it answers; its own dashboard is not of another site.
    """
    service: dict[str, bool | str] = {"enable_cors": False}
    if access.needs_token(settings):
        service["api_key"] = access.secret(settings)
    write_private(layout.qdrant_config, json.dumps({"service": service}) + "\n")


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LARGEST_LOG:
        log.replace(log.with_suffix(".log.1"))


def _instance(home: Path, instead: dict[str, str]) -> list[str]:
    """Renew Dagster's two files, unless the user has edited them; `instead` names other originals."""
    notes = []
    for name in _INSTANCE:
        original = resources.files("dagma.instance") / instead.get(name, name)
        body = original.read_text(encoding="utf-8")
        target = home / name
        if target.exists() and not _ours(target.read_text(encoding="utf-8")):
            notes.append(f"{target} has been edited and is used as it is.")
            _agrees(target, asks_for_port=bool(instead))
            continue
        write_private(target, f"{_MARK}{_digest(body)}\n{body}")
    return notes


def _agrees(target: Path, asks_for_port: bool) -> None:
    """Refuse a file of before the user code had a socket, unless the port in it is given.

    Raises:
        PreflightError: Dagster's processes would not start with it.
    """
    if "USER_CODE_PORT" in target.read_text(encoding="utf-8") and not asks_for_port:
        raise PreflightError(
            f"{target} has been edited and names USER_CODE_PORT, which is not set: set it, or put "
            "`socket: {env: DAGMA_USER_CODE_SOCKET}` in the place of `host` and `port`."
        )


def unedited(path: Path) -> bool:
    """Whether it is one of Dagster's two files as Dagma wrote it."""
    return (
        path.name in _INSTANCE
        and path.is_file()
        and _ours(path.read_text(encoding="utf-8", errors="replace"))
    )


def _ours(text: str) -> bool:
    head, _, body = text.partition("\n")
    return head == _MARK + _digest(body)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
