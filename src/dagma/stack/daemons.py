"""Whether the loops of Dagster's daemon are at work: its process may live while one of them hangs."""

import time

import psutil

from dagma.stack import graphql
from dagma.stack.control import Status
from dagma.stack.settings import Settings

_QUERY = """
query { instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime } } } }
"""
#: Seconds without a heartbeat; each loop sends one every 30, and one look of a sensor may take 60.
#: Dagster's own web interface waits for half an hour before it shows a daemon as unhealthy.
SILENCE = 300.0


def silent(settings: Settings, daemon: Status, silence: float = SILENCE) -> str | None:
    """What to say about loops that have not been heard of for some seconds; None when all have.

    Args:
        settings: Of the stack, whose web interface is asked.
        daemon: The service, as the supervisor sees it.
        silence: So many seconds; a daemon that is younger is not judged.
    """
    now = time.time()
    try:
        if now - psutil.Process(daemon.pid).create_time() < silence:
            return None
        health = graphql.ask(settings, _QUERY)["instance"]["daemonHealth"]
        last = {
            one["daemonType"]: one["lastHeartbeatTime"] or 0.0
            for one in health["allDaemonStatuses"]
            if one["required"]
        }
    except (OSError, ValueError, LookupError, TypeError, psutil.Error):
        return None  # the web interface itself will say more than we could
    late = sorted(name for name, at in last.items() if now - at > silence)
    if not late:
        return None
    return (
        f"no heartbeat of {', '.join(late)} for more than {silence:.0f} s; when that lasts, it hangs: "
        "`dagma restart daemon`"
    )
