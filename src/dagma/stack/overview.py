"""What `dagma status` says: all that is known of a stack at one moment."""

from dataclasses import dataclass

from dagma.stack import alerts, changes, disk, preflight, problems
from dagma.stack.control import Stack, Status
from dagma.stack.upkeep import sizes


@dataclass(frozen=True)
class Overview:
    """The stack at one moment; the fields are those of `dagma status --json`.

    Attributes:
        services: The services, as `Stack.status` has them; the daemon as its loops are.
        code_error: One line about user code that does not load.
        disk_error: One line about a disk that PostgreSQL could not start on.
        exposed: One line about others than this machine who are served.
        alerts: Lines about what needs somebody although all services are healthy.
        changed: What the services were not started with.
        sizes: What the state takes.
    """

    services: list[Status]
    code_error: str | None
    disk_error: str | None
    exposed: str | None
    alerts: list[str]
    changed: changes.Changes
    sizes: sizes.Sizes

    @property
    def healthy(self) -> bool:
        """Whether all services are, and the code loads."""
        return all(service.healthy for service in self.services) and not self.code_error


def look(stack: Stack) -> Overview:
    """Ask the supervisor, the services and the disk; changes nothing."""
    found = stack.status()
    code_error = problems.of_code(stack, found)
    found = [problems.unless_silent(stack, service, found) for service in found]
    database = any(service.name == "postgres" and service.healthy for service in found)
    return Overview(
        services=found,
        code_error=code_error,
        disk_error=disk.full(stack.layout.postgres),
        exposed=preflight.exposure(stack.settings),
        alerts=alerts.lines(stack.settings) if problems.serves(found) else [],
        changed=changes.find(stack),
        sizes=sizes.measure(stack.settings, database),
    )
