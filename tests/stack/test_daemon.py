from platform_client import wait_for

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
