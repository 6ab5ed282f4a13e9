"""Why a run, or what it made, is not good, in the words of its own log."""

import dagster as dg

__all__ = ["failed_checks", "reason"]

#: Longest reason, in characters.
LIMIT = 2000


def reason(instance: dg.DagsterInstance, run_id: str) -> str:
    """The first error of a run that failed or was canceled; at most 2000 characters.

    A `dg.Failure` is its description, any other exception its type and message, a run whose process
    died what Dagster says about that.
    """
    for log in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        if log.dagster_event and (text := _of_step(log.dagster_event)):
            return text[:LIMIT]
    for kind in (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED):
        for log in instance.all_logs(run_id, of_type=kind):
            if log.dagster_event and log.dagster_event.message:
                return log.dagster_event.message.strip()[:LIMIT]
    return "Dagster noted no reason."


def _of_step(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description.strip()
    error = data.error
    while error and error.cause:  # the outermost one only says which step it was
        error = error.cause
    return error.message.strip() if error else ""


def failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """A sentence per asset check of a run that failed with the severity ERROR.

    A run succeeds although such checks fail, unless they block.
    """
    found = []
    for log in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        if log.dagster_event is None:
            continue
        check = log.dagster_event.asset_check_evaluation_data
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            numbers = [
                f"{name} {one.value:.4g}"
                for name, one in check.metadata.items()
                if isinstance(one.value, int | float)
            ]
            said = check.description or ", ".join(numbers) or "it gives no reason"
            found.append(
                f"Check {check.check_name} of {check.asset_key.to_user_string()} failed: {said}."
            )
    return found
