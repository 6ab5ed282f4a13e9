"""What a running stack does not have yet: settings and code other than those it was started with."""

import os
from dataclasses import dataclass, field, replace
from importlib.metadata import version

from dagma.errors import NotRunning, StackError
from dagma.stack import environment, fields, passwords, prepare, settings, source, started, topology
from dagma.stack.control import Report, Stack


@dataclass(frozen=True)
class Changes:
    """What differs; the fields are those of `changed` in `dagma status --json`.

    Attributes:
        settings: Variable -> the services that were started with another value.
        whole: Settings that only a start of the whole stack takes.
        code: The user code serves other code of Dagma and the example than this command has.
        dagster: The version of Dagster that the stack runs with, when this command has another one.
    """

    settings: dict[str, list[str]] = field(default_factory=dict)
    whole: list[str] = field(default_factory=list)
    code: bool = False
    dagster: str | None = None

    @property
    def services(self) -> list[str]:
        """The services that `dagma up --apply` starts anew, in the order of the topology."""
        concerned = {service for services in self.settings.values() for service in services}
        concerned |= {started.USER_CODE} if self.code else set()
        return [service for service in topology.SERVICES if service in concerned]

    def lines(self) -> list[str]:
        """A line for each kind of difference, with what to do."""
        said = [line for line in (self._whole(), self._dagster()) if line]
        if self.settings:
            named = [f"{name} ({', '.join(of)})" for name, of in self.settings.items()]
            said.append(
                f"Not what these services were started with: {', '.join(named)};"
                " `dagma up --apply` brings it to them, and only to them."
            )
        if self.code:
            said.append(
                "The stack serves other code than this command has; `dagma reload` loads it."
            )
        return said

    def require_same_stack(self) -> None:
        """Nothing, when services may be started anew one by one.

        Raises:
            StackError: What differs is for all of them.
        """
        if reason := self._whole() or self._dagster():
            raise StackError(reason)

    def _whole(self) -> str | None:
        if not self.whole:
            return None
        what = f"Not what the stack was started with: {', '.join(self.whole)}"
        return f"{what}; `dagma down`, then `dagma up` takes it, or put it back."

    def _dagster(self) -> str | None:
        if not self.dagster:
            return None
        what = f"The stack runs with Dagster {self.dagster}, this command has another one"
        return f"{what}; `dagma down`, then `dagma up` takes it."


def apply(stack: Stack, changes: Changes, report: Report) -> list[str]:
    """Bring what differs to the services concerned, and only to them; runs go on.

    Args:
        stack: The running stack.
        changes: What `find` found.
        report: Told of each service that is healthy again.

    Returns:
        The services that were started anew, reloaded or stopped.

    Raises:
        StackError: What differs is for all services, or one does not come back.
        CodeError: The code does not load; services before it have taken the change.
    """
    from dagma.stack import reload  # its imports are for a change only

    changes.require_same_stack()
    prepare.prepare(stack.settings)
    wanted, _ = topology.members("full", stack.settings)
    for service in changes.services:
        if service == started.USER_CODE:
            reload.reload(stack)
        elif service not in wanted:
            stack.supervisor.stop_process(service)
        else:
            stack.restart(service, report)
    return changes.services


def find(stack: Stack) -> Changes:
    """Compare what the services were started with to what they would be started with now."""
    try:
        names = stack.members()
    except NotRunning:
        return Changes()
    found = Changes()
    today = environment.exports(stack.loaded, names, os.environ)
    for service in names:
        former = started.read(stack.layout.home, service)
        if not former:  # it was started by an earlier version
            continue
        for name in _compared(former, today):
            if former.get(name) != today.get(name):
                _note(found, name, service)
    return _of_code(stack, _secrets(stack, found))


def _compared(former: dict[str, str], today: dict[str, str]) -> list[str]:
    """Settings and the user's own variables, not what is made of them."""
    own = sorted({*former, *today} - settings.table().keys() - environment.MADE)
    return [name for name in settings.table() if name not in settings.secrets()] + own


def _note(found: Changes, name: str, service: str) -> None:
    concerned = concerns(name)
    if concerned == fields.STACK and name not in found.whole:
        found.whole.append(name)
    elif service in concerned:
        found.settings.setdefault(name, []).append(service)


def concerns(name: str) -> tuple[str, ...]:
    """The services that a variable is for; STACK and AT_ONCE are none."""
    if name in settings.table():
        return settings.taken_by(name)
    # Variables whose product says whom they concern; those of your own concern the user code.
    found = [services for prefix, services in settings.PRODUCTS.items() if name.startswith(prefix)]
    return found[0] if found else (started.USER_CODE,)


def _secrets(stack: Stack, found: Changes) -> Changes:
    """Secrets are kept in files of their own; none is in what a service was started with."""
    chosen, layout = stack.settings, stack.layout
    kept = layout.webhook_url.read_text("utf-8") if layout.webhook_url.exists() else None
    if kept != chosen.webhook_url:
        found.settings["DAGMA_WEBHOOK_URL"] = [started.USER_CODE]
    given = chosen.postgres_password
    if given and given != passwords.read(layout, passwords.DAGSTER):
        found.whole.append("POSTGRES_PASSWORD")
    return found


def _of_code(stack: Stack, found: Changes) -> Changes:
    former = started.read(stack.layout.home, started.USER_CODE)
    if not former:
        return found
    other = former[started.CODE] != source.digest()
    dagster = former[started.DAGSTER]
    return replace(found, code=other, dagster=dagster if dagster != version("dagster") else None)
