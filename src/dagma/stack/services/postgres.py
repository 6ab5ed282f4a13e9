"""PostgreSQL: the cluster, created at the first start, and the server, which root hands to another user.

PostgreSQL refuses to run as root. Started by root, this takes the identity of the cluster's owner;
for a new cluster that of an unprivileged account. Where such an account cannot reach the state
directory (below /root, say), a user namespace hides root from PostgreSQL instead.
"""

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dagma import private, values
from dagma.errors import DatabaseError
from dagma.stack import disk
from dagma.stack.fields import STACK, Part, secret, setting
from dagma.stack.layout import Layout
from dagma.stack.service import Process, Service

if TYPE_CHECKING:
    from dagma.stack.settings import Settings

#: Accounts to run as when root starts a new cluster, in order; the first is that of the images.
ACCOUNTS = ("65532", "postgres", "nobody")
#: The cluster's first role, and the database of that name.
SUPERUSER = "postgres"
#: Databases that new ones are copied from.
TEMPLATES = ("template0", "template1")
#: Seconds between two looks at a full disk.
PAUSE = 1.0

_INITDB = (
    "initdb",
    "--no-sync",
    f"--username={SUPERUSER}",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth=scram-sha-256",
    "--no-instructions",
)


class PostgresSettings(Part):
    """What a user can set about PostgreSQL."""

    postgres_port: values.Port = setting(
        "POSTGRES_PORT", 5432, "Port of PostgreSQL, on loopback only.", taken_by=STACK
    )
    postgres_user: values.DatabaseName = setting(
        "POSTGRES_USER", "dagster", "PostgreSQL role of Dagster.", taken_by=STACK
    )
    postgres_password: values.Password | None = secret(
        "POSTGRES_PASSWORD",
        "Password of that role; without it one is made and kept in DAGMA_HOME/secrets.",
        "generated",
        taken_by=STACK,
    )
    postgres_db: values.DatabaseName = setting(
        "POSTGRES_DB", "dagster", "PostgreSQL database of Dagster.", taken_by=STACK
    )


class Postgres(Service):
    """The database server; what is in its databases is of the services that own them."""

    name = "postgres"
    page = "backup.md"
    own = ("POSTGRES_",)
    processes = (
        Process(
            "postgres",
            "postgresql://{s.postgres_user}@127.0.0.1:{s.postgres_port}/{s.postgres_db}",
            ("postgres_port",),
            loopback=True,
            programs=("postgres", "initdb", "pg_isready"),
        ),
    )

    def serve(self) -> NoReturn:
        """Become the server."""
        from dagma.stack import passwords, settings

        chosen = settings.load(os.environ).settings
        layout = Layout.of(chosen)
        password = passwords.read(layout, SUPERUSER)
        if os.geteuid() == 0:
            leave_root(layout)
        private.directory(layout.postgres)
        os.chdir(layout.postgres)
        wait_for_room(layout.postgres)
        if not (layout.cluster / "PG_VERSION").exists():
            create_cluster(layout.cluster, password)
        arguments = server_arguments(layout, chosen)
        os.execvp(arguments[0], arguments)


def wait_for_room(directory: Path) -> None:
    """Return when the disk has room for a start, however long that takes."""
    told = False
    while problem := disk.full(directory):
        if not told:
            print(f"{problem} Waiting for that.", flush=True)
            told = True
        time.sleep(PAUSE)


def server_arguments(layout: Layout, chosen: "Settings") -> list[str]:
    """The command line of the server: what is set here wins over postgresql.conf."""
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(chosen.postgres_port),
        "unix_socket_directories": str(layout.postgres_socket),
        "unix_socket_permissions": "0700",
        "password_encryption": "scram-sha-256",
        "log_checkpoints": "off",  # they say nothing that helps a reader of this log
    }
    return ["postgres", "-D", str(layout.cluster)] + [
        part for name, value in options.items() for part in ("-c", f"{name}={value}")
    ]


def create_cluster(target: Path, password: str) -> None:
    """Make a cluster beside its place and move it there whole, so that a kill leaves nothing half.

    Raises:
        DatabaseError: initdb failed; the message holds what it said.
    """
    temporary = target.with_name("new")
    shutil.rmtree(temporary, ignore_errors=True)
    made = _initdb(temporary, password)
    if made.returncode != 0:
        raise DatabaseError(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}")
    os.sync()
    temporary.rename(target)
    print(f"Created a new cluster in {target}.", flush=True)


def _initdb(target: Path, password: str) -> subprocess.CompletedProcess[str]:
    """Run initdb; the password goes through a pipe, so it is in no file and no argument."""
    reading, writing = os.pipe()
    os.write(writing, f"{password}\n".encode())
    os.close(writing)
    try:
        return subprocess.run(
            [*_INITDB, f"--pgdata={target}", f"--pwfile=/dev/fd/{reading}"],
            pass_fds=[reading],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.close(reading)


def leave_root(layout: Layout) -> None:
    """Become the owner of the cluster, or hide that we are root.

    Raises:
        DatabaseError: This machine offers no way to do so.
    """
    owned = layout.postgres.exists()
    owner = layout.postgres.stat().st_uid if owned else _account().pw_uid
    if owner != 0 and (owned or reachable(layout.home)):
        _become(owner, _group(owner), layout.postgres)
    else:
        _hide_root(_account())


def reachable(directory: Path) -> bool:
    """Whether any account can reach the state directory and the server's program."""
    program = Path(shutil.which("postgres") or "/").resolve()
    passed = {directory, *directory.resolve().parents, *program.parents}
    return all(path.stat().st_mode & 0o001 for path in passed)


def _account() -> pwd.struct_passwd:
    known = {key: entry for entry in pwd.getpwall() for key in (str(entry.pw_uid), entry.pw_name)}
    for name in ACCOUNTS:
        if name in known:
            return known[name]
    raise DatabaseError(
        "PostgreSQL refuses to run as root and /etc/passwd has no account to run it as: "
        "run as an ordinary user, or add an account named postgres."
    )


def _group(owner: int) -> int:
    try:
        return pwd.getpwuid(owner).pw_gid
    except KeyError:
        return owner


def _become(uid: int, gid: int, directory: Path) -> None:
    private.directory(directory)
    os.chown(directory, uid, gid)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _hide_root(account: pwd.struct_passwd) -> None:
    """Enter a user namespace in which the account's ids stand for root's."""
    try:
        os.unshare(os.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{account.pw_uid} 0 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{account.pw_gid} 0 1", encoding="ascii")
    except (OSError, AttributeError) as error:
        raise DatabaseError(
            "PostgreSQL refuses to run as root, other accounts cannot reach the state directory, "
            "and this machine allows no user namespace: set DAGMA_HOME to a directory below /var, "
            "or run as an ordinary user."
        ) from error
