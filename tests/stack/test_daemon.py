import os
import signal

from platform_client import wait_for

from dagma.stack import daemons, settings
from dagma.stack.control import Stack

HEALTH = """
query { instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }
"""
INSTANCE = "query { instance { info runQueuingSupported runQueueConfig { maxConcurrentRuns } } }"


def test_every_required_daemon_reports_its_health(stack):
    def all_healthy():
        found = stack.graphql(HEALTH)["instance"]["daemonHealth"]["allDaemonStatuses"]
        required = [status for status in found if status["required"]]
        return required if all(status["healthy"] for status in required) else None

    found = wait_for(all_healthy, 60, "all daemons healthy")
    types = {status["daemonType"] for status in found}
    assert {"SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR", "MONITORING"} <= types


def test_runs_are_queued_with_the_limit_of_the_settings(stack):
    instance = stack.graphql(INSTANCE)["instance"]
    assert instance["runQueuingSupported"]
    assert instance["runQueueConfig"]["maxConcurrentRuns"] == 4
    assert "telemetry:\n  enabled: false" in instance["info"]


def test_loops_of_the_daemon_that_are_silent_are_named_until_they_are_not(stack):
    ours = Stack(settings.load(stack.environ()))
    [daemon] = [status for status in ours.status() if status.name == "daemon"]

    def silent():
        return daemons.silent(ours.settings, daemon, 40.0)  # one heartbeat takes 30

    def sensor_silent():
        # The loops beat one after another, so they fall silent one after another.
        said = silent()
        return said if said and "SENSOR" in said else None

    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        said = wait_for(sensor_silent, 120, "silence of the sensors' loop")
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    assert "`dagma restart daemon`" in said
    wait_for(lambda: silent() is None, 60, "heartbeats")
