"""Restore a backup: everything is built in new directories beside, which then take the places.

Until the last step, a few renames, nothing of the present state is touched; and it is kept after it.
"""

import contextlib
import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from packaging.version import InvalidVersion, Version

from dagma import private
from dagma.errors import BackupError, DatabaseError
from dagma.lock import alone
from dagma.stack import init, preflight, prepare, services, supervisor
from dagma.stack.applications import applications
from dagma.stack.control import Stack
from dagma.stack.layout import Layout
from dagma.stack.service import Application, Say
from dagma.stack.settings import Loaded, Settings
from dagma.stack.upkeep import backup, dumps, temporary
from dagma.stack.upkeep.archive import Archive, opened

#: Added to a directory's name while it is being restored.
UNFINISHED = ".restoring"

#: One directory of the state: where it is, and where its successor is built.
Place = tuple[Path, Path]


def restore(stack: Stack, path: Path, agree: Callable[[list[Path]], None], say: Say) -> str:
    """Restore a backup, in place of what there is.

    Args:
        stack: The stack, stopped.
        path: The archive.
        agree: Asked before anything is written, with the directories that would be replaced; it
            raises what ends the restore.
        say: Told of the progress, and where the former state is kept.

    Returns:
        When the backup was written, in UTC, as ISO 8601.

    Raises:
        BackupError: The archive is not whole or does not fit, or the restore failed; the state is
            as it was.
    """
    with opened(path) as archive:
        check(stack, archive)
        say(f"{len(archive.manifest.files)} files are whole.")
        agree(occupied(stack))
        for former in run(stack, archive, say):
            say(f"The former state is kept in {former}; delete it when you like.")
    return archive.manifest.created


def check(stack: Stack, archive: Archive) -> None:
    """All that must hold before a restore; writes nothing.

    Raises:
        BackupError: The stack runs, or the archive needs what is newer than what is installed.
        PreflightError: A program is missing, a port is taken, a directory cannot be written.
    """
    if stack.running() or supervisor.members(stack.settings.home):
        raise BackupError("The stack is running: stop it with `dagma down`, then restore.")
    preflight.programs(["postgres"])
    if shutil.which("pg_restore") is None:
        raise BackupError("Not on PATH: pg_restore; it comes with PostgreSQL.")
    ours = backup.installed(stack.settings) | {"postgresql": _postgresql()}
    for service in services.ALL:
        ours |= service.restorable(stack.settings, archive)
    _not_newer(archive.manifest.versions, ours)
    preflight.state_directory(_beside(stack.loaded).settings)


def _postgresql() -> str:
    """The major version of the server on PATH."""
    said = subprocess.run(["postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\) (\d+)", said.stdout)
    if found is None:
        raise BackupError("postgres on PATH does not tell its version; is it damaged?")
    return found[1]


def _not_newer(wanted: dict[str, str], ours: dict[str, str]) -> None:
    for name, written in wanted.items():
        try:
            newer = name in ours and Version(written) > Version(ours[name])
        except InvalidVersion as error:
            raise BackupError(
                f"The backup was written by {name} {written!r}, no version."
            ) from error
        if newer:
            raise BackupError(
                f"The backup was written by {name} {written}, and here is {ours[name]}, which may "
                "not be able to read it: restore it with that version or a newer one."
            )


def occupied(stack: Stack) -> list[Path]:
    """The directories whose content a restore would replace."""
    return [live for live, _ in _places(stack.settings) if _filled(live)]


def _filled(path: Path) -> bool:
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def run(stack: Stack, archive: Archive, say: Say) -> list[Path]:
    """Restore an archive for which `check` found nothing.

    Args:
        stack: The stack, stopped.
        archive: The checked archive.
        say: Told of the progress.

    Returns:
        Where the former directories are now.

    Raises:
        BackupError: It failed; the state is as it was.
    """
    fresh = _beside(stack.loaded)
    places = _places(stack.settings)
    with _alone(places), _locked(stack, say):
        check(stack, archive)
        _clean(fresh, places)
        try:
            _build(fresh, archive, say)
            return _swap(places)
        except OSError as error:
            raise BackupError(f"The restore failed, the state is as it was: {error}.") from error
        finally:
            _clean(fresh, places)


def _places(settings: Settings) -> list[Place]:
    """The state directory, and what the settings put outside of it; links stay links."""
    layout = Layout.of(settings)
    home = layout.home.resolve()
    others = [t.path(settings).resolve() for t in backup.trees(settings) if t.setting]
    outside = [path for path in others if not path.is_relative_to(home)]
    return [(path, _unfinished(path)) for path in (*outside, home)]


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + UNFINISHED)


def _beside(loaded: Loaded) -> Loaded:
    """The same settings for the directories in which the restore is built."""
    settings = loaded.settings
    home = settings.home.resolve()
    moved: dict[str, Path] = {"home": _unfinished(home)}
    for name in (tree.setting for tree in services.TREES):
        if name is None or (path := getattr(settings, name)) is None:
            continue
        path = path.resolve()
        inside = path.is_relative_to(home)
        moved[name] = moved["home"] / path.relative_to(home) if inside else _unfinished(path)
    return replace(loaded, settings=settings.model_copy(update=moved))


@contextlib.contextmanager
def _alone(places: list[Place]) -> Iterator[None]:
    """Keep another restore of the same state directory out."""
    parent = places[-1][0].parent
    busy = BackupError(f"Another restore is at work in {parent}.")
    with contextlib.ExitStack() as held:
        try:
            private.directory(parent, prepare.passage_mode())
            held.enter_context(alone(parent, busy))
        except OSError as error:
            raise BackupError(f"{parent} cannot be used: {error.strerror}.") from error
        yield


@contextlib.contextmanager
def _locked(stack: Stack, say: Say) -> Iterator[None]:
    """Keep `dagma up` out, where there is a state that it could start."""
    with stack.alone(say) if _filled(stack.settings.home) else contextlib.nullcontext():
        yield


def _clean(fresh: Loaded, places: list[Place]) -> None:
    """Remove what this restore, or a killed one, has not finished."""
    supervisor.end(supervisor.members(fresh.settings.home), patience=20.0)
    for _, unfinished in places:
        if unfinished.exists():
            shutil.rmtree(unfinished)


def _build(fresh: Loaded, archive: Archive, say: Say) -> None:
    """Fill the new directories."""
    preflight.ports(fresh.settings, "postgres")
    prepare.prepare(fresh.settings)
    for tree in backup.trees(fresh.settings):
        if count := archive.extract(tree.folder, tree.path(fresh.settings)):
            say(f"Restored {tree.what}: {count} files.")
    _databases(fresh, archive, say)
    for service in services.ALL:
        service.restore(fresh, archive, say)
    os.sync()


def _databases(fresh: Loaded, archive: Archive, say: Say) -> None:
    """Restore the dumps into a new cluster."""
    chosen = fresh.settings
    held = archive.names("databases")
    wanted = [
        application
        for application in applications(chosen)
        if f"databases/{application.name}.dump" in held
    ]
    command = [sys.executable, "-P", "-m", "dagma.stack.services", "postgres"]
    with temporary.server(fresh, "postgres", command, {}) as server:
        port = chosen.postgres_port
        temporary.wait(server, fresh, "postgres", lambda: temporary.listens(port))
        init.create_empty(chosen, wanted, archive.manifest.prepared)
        with tempfile.TemporaryDirectory(dir=chosen.home) as folder:
            archive.extract("databases", Path(folder))
            for application in wanted:
                _load(chosen, application, Path(folder) / f"{application.name}.dump")
                say(f"Restored the database {application.database}.")


def _load(chosen: Settings, application: Application, dump: Path) -> None:
    try:
        dumps.load(chosen, application.role, application.database, dump)
    except DatabaseError as error:
        raise BackupError(
            f"The database {application.database} cannot be restored, the state is as it was; "
            f"{error}"
        ) from error


def _swap(places: list[Place]) -> list[Path]:
    """Put the new directories into the places of the old ones, which are kept; all or none."""
    now = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}"
    done: list[tuple[Path, Path]] = []
    kept = []
    try:
        for live, fresh in places:
            if not fresh.exists():
                continue
            if _filled(live):
                former = live.with_name(f"{live.name}.before-restore-{now}")
                live.rename(former)
                done.append((former, live))
                kept.append(former)
            elif live.exists():
                live.rmdir()
            fresh.rename(live)
            done.append((live, fresh))
    except OSError:
        for source, target in reversed(done):
            source.rename(target)
        raise
    return kept
