"""Who may ask the web interfaces: whether the token is needed here, and how its owner gets in."""

import html
import os
import pwd
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from dagma.door import token
from dagma.errors import StackError
from dagma.private import write_private
from dagma.stack import topology
from dagma.stack.layout import Layout
from dagma.stack.settings import Settings

#: Services that people open in a browser.
PAGES = tuple(name for name, process in topology.SERVICES.items() if process.page)
#: The first user id of a person: login.defs' UID_MIN, and macOS.
FIRST_PERSON = 501 if sys.platform == "darwin" else 1000
#: The user id of nobody; above it are those of containers.
NOBODY = 65534
_NO_LOGIN = ("nologin", "false", "sync")
#: What nsswitch.conf may name for `passwd` without more users than the list has.
_LISTED = frozenset({"files", "compat", "systemd", "mymachines", "altfiles", "extrausers", "db"})
NSSWITCH = Path("/etc/nsswitch.conf")


def needs_token(settings: Settings) -> bool:
    """Whether only who has the token may ask.

    DAGMA_TOKEN says so; `auto` means wherever others can ask: the machine has other login users, or
    DAGMA_HOST is beyond loopback.
    """
    if settings.token != "auto":
        return settings.token == "on"
    return not settings.host.startswith("127.") or others_log_in(
        os.getuid(), pwd.getpwall, NSSWITCH
    )


def others_log_in(
    me: int, accounts: Callable[[], Iterable[pwd.struct_passwd]], nsswitch: Path
) -> bool:
    """Whether people other than this user and root may log in to the machine.

    They are accounts with a person's user id and a shell. A directory service (LDAP, SSSD, winbind)
    need not list its users, so where one is configured there are others.

    Args:
        me: The user id of who starts the stack.
        accounts: Gives the machine's accounts; a directory service is not asked for them.
        nsswitch: Where its sources of accounts are configured; it need not be there.
    """
    return _has_directory_service(nsswitch) or any(
        FIRST_PERSON <= account.pw_uid < NOBODY
        and account.pw_uid != me
        and Path(account.pw_shell or "/bin/sh").name not in _NO_LOGIN
        for account in accounts()
    )


def _has_directory_service(nsswitch: Path) -> bool:
    try:
        lines = nsswitch.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    for line in lines:
        name, _, sources = line.partition("#")[0].partition(":")
        if name.strip() == "passwd":
            named = {word for word in sources.split() if not word.startswith("[")}
            return bool(named - _LISTED)
    return False


def address(service: str, settings: Settings) -> str:
    """Where a browser finds a service; with the token, where our door asks for it."""
    url = topology.url(service, settings)
    if topology.SERVICES[service].page != "door" or not needs_token(settings):
        return url
    return token.link(f"{url}/", secret(settings))


def ways_in(services: Iterable[str], settings: Settings, terminal: bool) -> list[str]:
    """What to say, in lines, where only who has the token may ask.

    Args:
        services: Those that run.
        settings: Which addresses they have.
        terminal: Whether a person reads it; no log is to hold the links, which have the token.
    """
    if not needs_token(settings):
        return []
    if not terminal:
        return ["The web interfaces ask for a token; `dagma open` brings it to your browser."]
    pages = [n for n in PAGES if n in services and topology.SERVICES[n].page == "door"]
    return [f"{name:<10}  {address(name, settings)}" for name in pages]


def secret(settings: Settings) -> str:
    """The token.

    Raises:
        OSError: None was made yet.
    """
    return Layout.of(settings).token.read_text(encoding="ascii")


def browse(service: str, settings: Settings, needed: bool) -> None:
    """Open a service in the user's browser.

    The browser's command line, which everybody sees, names a private file that leads there.

    Args:
        service: One of `PAGES`.
        settings: Which address it has.
        needed: The user has no other way to the page, such as the link in a terminal.

    Raises:
        StackError: It is needed, and there is no browser.
    """
    import webbrowser  # for this command only

    page = Layout.of(settings).secrets / "open.html"
    target = html.escape(address(service, settings), quote=True)
    write_private(
        page,
        '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
        f'<meta http-equiv="refresh" content="0;url={target}"><a href="{target}">{service}</a>\n',
    )
    if not webbrowser.open(page.as_uri()) and needed:
        raise StackError("There is no browser here; in a terminal, `dagma open` shows the link.")
