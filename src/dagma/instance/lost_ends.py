"""A run that was killed after its last step, and before it could say so, is a success.

Changes: `DagsterInstance.report_run_failed`. Dagster fails such a run, and then refuses to run no step
again (https://github.com/dagster-io/dagster/pull/31227, before which it could run every step). There is
no issue about the failure itself.
"""

from dagster import DagsterEvent, DagsterEventType, DagsterRun, DagsterRunStatus

from dagma.instance.dagster_private import JobFailureData
from dagma.instance.leases import LeasedRuns


class LostEnds(LeasedRuns):
    """An instance that looks at a run's steps before it is failed from outside."""

    def report_run_failed(
        self,
        dagster_run: DagsterRun,
        message: str | None = None,
        job_failure_data: JobFailureData | None = None,
    ) -> DagsterEvent:
        """Fail a run from outside of its process, unless all its steps had succeeded."""
        if self.executes_run or not self._is_all_done(dagster_run.run_id):
            return super().report_run_failed(dagster_run, message, job_failure_data)
        message = "All steps had succeeded when the run's process was lost."
        event = DagsterEvent(
            DagsterEventType.RUN_SUCCESS.value, dagster_run.job_name, message=message
        )
        self.report_dagster_event(event, run_id=dagster_run.run_id)
        return event

    def _is_all_done(self, run_id: str) -> bool:
        run = self.get_run_by_id(run_id)
        if run is None or run.status != DagsterRunStatus.STARTED:
            return False
        if run.execution_plan_snapshot_id is None:
            return False
        plan = self.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
        events = self.all_logs(run_id, of_type=DagsterEventType.STEP_SUCCESS)
        done = {event.step_key for event in events}
        return bool(plan.step_keys_to_execute) and done.issuperset(plan.step_keys_to_execute)
