"""Where everything lives below DAGMA_HOME."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagma.stack.settings import Settings

#: Bytes of a unix socket's path, without the final zero (unix(4) of macOS, unix(7) of Linux).
LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107


@dataclass(frozen=True)
class Layout:
    """The paths of one state directory; nothing here touches the disk."""

    home: Path

    @classmethod
    def of(cls, settings: "Settings") -> "Layout":
        """The layout of the state directory that the settings name."""
        return cls(settings.home)

    @property
    def postgres(self) -> Path:
        """What belongs to PostgreSQL's owner, who may be another user than the caller."""
        return self.home / "postgres"

    @property
    def cluster(self) -> Path:
        """The database cluster (PGDATA)."""
        return self.postgres / "data"

    @property
    def run(self) -> Path:
        """Sockets and the lock; nothing in it outlives the stack."""
        return self.home / "run"

    @property
    def postgres_socket(self) -> Path:
        """Directory of PostgreSQL's socket; not `run`, which the server's owner may not enter."""
        return self.postgres

    @property
    def control_socket(self) -> Path:
        """The socket of process-compose."""
        return self.run / "process-compose.sock"

    @property
    def code_sockets(self) -> Path:
        """Directory of the sockets of the user code's processes, through which code can be run."""
        return self.run / "code"

    @property
    def user_code_socket(self) -> Path:
        """The socket of the user code's server."""
        return self.code_sockets / "server"

    @property
    def logs(self) -> Path:
        """One file per service."""
        return self.home / "logs"

    @property
    def secrets(self) -> Path:
        """Passwords, readable by the owner only."""
        return self.home / "secrets"

    @property
    def pgpass(self) -> Path:
        """Libpq's password file for the roles of the applications."""
        return self.secrets / "pgpass"

    @property
    def token(self) -> Path:
        """What the web interfaces ask for, where DAGMA_TOKEN says so."""
        return self.secrets / "token"

    @property
    def webhook_url(self) -> Path:
        """The address that notifications go to, when there is one."""
        return self.secrets / "webhook_url"

    def backups(self, settings: "Settings") -> Path:
        """Where backups go: beside the state directory, which a factory reset deletes."""
        return settings.backups or self.home.with_name(f"{self.home.name}-backups")

    def inbox(self, settings: "Settings") -> Path:
        """Where users put files to be processed."""
        return settings.inbox or self.home / "inbox"

    def log(self, service: str) -> Path:
        """The log file of a service."""
        return self.logs / f"{service}.log"
