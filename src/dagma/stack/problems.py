"""What is wrong with a stack whose services live, asked of the services themselves."""

from dataclasses import replace

from dagma.stack import services
from dagma.stack.control import Stack, Status


def of_code(stack: Stack, services: list[Status]) -> str | None:
    """One line about user code that does not load, where there is a web interface to ask."""
    from dagma.stack import location  # its imports are for those who ask only

    return location.problem(stack.settings) if serves(services) else None


def of_services(stack: Stack, names: list[str]) -> list[str]:
    """Lines about services that live and do not fit, as they say themselves."""
    found = (service.problem(stack.loaded, names) for service in services.ALL)
    return [problem for problem in found if problem]


def unless_silent(stack: Stack, service: Status, services: list[Status]) -> Status:
    """The daemon is not healthy while its loops are silent, though its process lives."""
    from dagma.stack import daemons

    asked = service.name == "daemon" and service.healthy and serves(services)
    reason = daemons.silent(stack.settings, service) if asked else None
    return replace(service, state="silent", healthy=False, reason=reason) if reason else service


def serves(services: list[Status]) -> bool:
    """Whether there is a web interface to ask."""
    return any(service.name == "webserver" and service.healthy for service in services)
