"""What a service of the stack declares, each in a file of its own in `services`.

The rest of the stack goes through the list of services and knows none of its applications by name.
A hook that a service does not need stays as it is here, and does nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.parse import quote

from dagma.stack.layout import Layout

if TYPE_CHECKING:
    from dagma.stack.control import Stack
    from dagma.stack.settings import Loaded, Settings
    from dagma.stack.upkeep.archive import Archive, Writer

#: What a user may ask for, by name; the last has every service.
GROUPS = ("minimal", "data", "vector", "ml", "full")

#: Told of each step of a backup or restore, in one line.
type Say = Callable[[str], None]


@dataclass(frozen=True)
class Process:
    """What the command line has to know about one process of ``process-compose.yaml``.

    Attributes:
        name: Its name there.
        url: Where a user finds it, or when; a format string over the settings `s` and the host `web`.
        ports: The settings that hold its ports.
        loopback: It listens on 127.0.0.1 whatever DAGMA_HOST says.
        programs: What has to be on PATH.
        page: Whether people open it in a browser, and who asks them for the token, where one is
            needed: our door before it, or the product itself.
    """

    name: str
    url: str
    ports: tuple[str, ...] = ()
    loopback: bool = False
    programs: tuple[str, ...] = ()
    page: Literal["door", "own"] | None = None


@dataclass(frozen=True)
class Application:
    """One owner of a database.

    Attributes:
        name: Its name here, and of its password file.
        distribution: The Python distribution whose version decides about migrations; None where
            there are none.
        role: Its PostgreSQL role.
        database: Its database.
        migrate: The command that brings its schema to the installed version.
        scripts: Alembic's scripts that this command runs, as Alembic's `script_location`.
        processes: Who uses the database while the stack runs.
    """

    name: str
    distribution: str | None
    role: str
    database: str
    migrate: tuple[str, ...] = ()
    scripts: str = ""
    processes: tuple[str, ...] = ()

    @property
    def installed(self) -> str:
        """The installed version."""
        return version(self.distribution) if self.distribution else "-"

    @property
    def prepared(self) -> str:
        """What has to be remembered for the database to need nothing."""
        return f"{self.installed} {self.database}"


@dataclass(frozen=True)
class Tree:
    """A directory whose files are in a backup.

    Attributes:
        folder: Where they are in the archive.
        what: What the user calls them.
        path: Where they are on this machine.
        setting: The setting with which a user puts them outside of DAGMA_HOME, if there is one.
    """

    folder: str
    what: str
    path: Callable[["Settings"], Path]
    setting: str | None = None


@dataclass(frozen=True)
class Finding:
    """One line of `dagma doctor`: OK, WARN (it may work) or FAIL (it will not)."""

    verdict: Literal["OK", "WARN", "FAIL"]
    text: str


class Service:
    """One service: its processes, its state, and how that is kept.

    Attributes:
        name: Its name, which its module has too.
        page: Its page in `docs`, by the file's name.
        processes: Those of the topology, in the order in which they start.
        groups: In which of `GROUPS` it is.
        own: What the names of all its settings and of nothing else begin with.
        products: What the variables of its products begin with, and the processes that take them.
        never_empty: Beginnings of variables that a product would misunderstand when they are empty.
        made: Variables that it makes beside its settings: no mistake where they are met.
        distributions: Python distributions whose version a report of a problem needs.
        trees: Directories that a backup copies.
        measured: The name and the label under which `dagma status` shows the size of `sized`.
    """

    name: ClassVar[str]
    page: ClassVar[str]
    processes: ClassVar[tuple[Process, ...]]
    groups: ClassVar[tuple[str, ...]] = GROUPS
    own: ClassVar[tuple[str, ...]] = ()
    products: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    never_empty: ClassVar[tuple[str, ...]] = ()
    made: ClassVar[frozenset[str]] = frozenset()
    distributions: ClassVar[tuple[str, ...]] = ()
    trees: ClassVar[tuple[Tree, ...]] = ()
    measured: ClassVar[tuple[str, str] | None] = None

    def wanted(self, settings: "Settings") -> bool:
        """Whether the settings leave it something to do."""
        return True

    def missing(self, settings: "Settings") -> str | None:
        """Why this machine cannot run it, in one line that is told; None when it can.

        Raises:
            PreflightError: The user named a program that is none.
        """
        return None

    def url(self, process: Process, settings: "Settings") -> str:
        """Where a user finds one of its processes."""
        return process.url.format(s=settings, web=probe_host(settings))

    def directories(self, settings: "Settings") -> list[Path]:
        """Directories to be made for its owner only, those above before those below."""
        return []

    def prepare(self, settings: "Settings") -> list[str]:
        """Write its files before a start; lines worth telling the user."""
        return []

    def applications(self, settings: "Settings") -> list[Application]:
        """Its databases and their roles."""
        return []

    def exports(
        self, settings: "Settings", running: list[str], environ: Mapping[str, str]
    ) -> dict[str, str]:
        """What all processes, and `dagma env`, get from it; no secret.

        Args:
            settings: The settings.
            running: The processes of the stack.
            environ: The user's own variables.
        """
        return {}

    def serve(self) -> None:
        """Become its process, where the topology starts `dagma.stack.services`."""
        raise NotImplementedError(self.name)

    def trouble(self, settings: "Settings") -> str | None:
        """What its last work failed at, though it runs."""
        return None

    def problem(self, loaded: "Loaded", running: list[str]) -> str | None:
        """A sentence about what is wrong with it though all is healthy."""
        return None

    def examine(self, stack: "Stack") -> list[Finding]:
        """What `dagma doctor` says of it."""
        return []

    def sized(self, settings: "Settings") -> list[Path]:
        """Directories whose size `dagma status` shows, besides databases."""
        return [tree.path(settings) for tree in self.trees]

    def back_up(self, stack: "Stack", writer: "Writer", spool: Path, say: Say) -> dict[str, str]:
        """Write what neither its databases nor its trees have; the versions that wrote it.

        Raises:
            BackupError: It cannot be read.
        """
        return {}

    def restorable(self, settings: "Settings", archive: "Archive") -> dict[str, str]:
        """The versions here of what has to read an archive.

        Raises:
            BackupError: There is none.
        """
        return {}

    def restore(self, fresh: "Loaded", archive: "Archive", say: Say) -> None:
        """Bring back what `back_up` wrote.

        Raises:
            BackupError: It cannot be brought back.
        """


def probe_host(settings: "Settings") -> str:
    """Where this machine reaches the web interfaces."""
    return "127.0.0.1" if settings.host == "0.0.0.0" else settings.host


def database_url(settings: "Settings", role: str, database: str) -> str:
    """SQLAlchemy URL without a password; the driver is named, since SQLAlchemy 2.1 assumes another."""
    passfile = quote(str(Layout.of(settings).pgpass), safe="/")
    port = settings.postgres_port
    return f"postgresql+psycopg2://{role}@127.0.0.1:{port}/{database}?passfile={passfile}"


def text(value: object) -> str:
    """A value as a variable of the environment."""
    return str(value).lower() if isinstance(value, bool) else str(value)
