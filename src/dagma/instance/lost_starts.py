"""Runs whose process dies before they have begun are failed at once, and so run again.

Changes: `DagsterInstance.add_daemon_heartbeat`. Dagster's monitor asks the launcher only about runs that
have started; the others wait for `start_timeout_seconds`. There is no issue about it; its maintainers
propose the same in https://github.com/dagster-io/dagster/pull/26183, which was closed without it.
"""

from typing import TYPE_CHECKING

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from dagma.instance.dagster_private import WorkerStatus

if TYPE_CHECKING:
    from dagma.instance.dagster_private import DaemonHeartbeat

#: The daemon whose heartbeat is the occasion, as Dagster names it.
MONITOR = "MONITORING"


class LostStarts(DagsterInstance):
    """An instance whose monitor also looks at runs that are starting."""

    def add_daemon_heartbeat(self, daemon_heartbeat: "DaemonHeartbeat") -> None:
        """Note that a daemon works; when it is the monitor, each half minute, fail lost starting runs."""
        super().add_daemon_heartbeat(daemon_heartbeat)
        if daemon_heartbeat.daemon_type == MONITOR:
            self._fail_lost_starts()

    def _fail_lost_starts(self) -> None:
        starting = [DagsterRunStatus.STARTING]
        for run in self.get_runs(RunsFilter(statuses=starting)):
            health = self.run_launcher.check_run_worker_health(run)
            now = self.get_run_by_id(run.run_id)
            if health.status == WorkerStatus.NOT_FOUND and now and now.status in starting:
                self.report_run_failed(run, health.msg)
