"""Sensors that tell the webhook how runs ended.

A run is told once. What was told is a tag of the run, in the database, written after the webhook
took the message; so a daemon that starts again, and reads the same events again, finds it. Only a
code server that is killed between the two tells a run twice, which is better than never.
"""

import threading
from collections.abc import Callable

import dagster as dg

from dagma.kit.clock import sensor_interval
from dagma.kit.notifications.message import Message
from dagma.kit.notifications.resources import default_status
from dagma.kit.notifications.webhook import Webhook
from dagma.kit.run_errors import failed_checks, reason

__all__ = ["TAG", "notify_failure", "notify_success", "tell"]

#: Dagster's web interface hides tags that begin with ".dagster/".
TAG = ".dagster/dagma/notified"

# A daemon killed while a message is on its way starts a second tick beside the first.
_one_at_a_time = threading.Lock()


@dg.run_failure_sensor(
    minimum_interval_seconds=sensor_interval(),
    default_status=default_status(),
    description="Tells the webhook about a run that failed and is not started again.",
)
def notify_failure(context: dg.RunFailureSensorContext, webhook: Webhook) -> None:
    """Tell the webhook about a run that failed and is not started again."""
    run = context.dagster_run
    if run.tags.get("dagster/will_retry") == "true":
        return  # what becomes of the retry is told
    tell(
        context.instance,
        webhook,
        run,
        ("run_failure", "Run of {} failed"),
        lambda: reason(context.instance, run.run_id),
    )


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    minimum_interval_seconds=sensor_interval(),
    default_status=default_status(),
    description="Tells the webhook about a run that succeeded, and which of its checks failed.",
)
def notify_success(context: dg.RunStatusSensorContext, webhook: Webhook) -> None:
    """Tell the webhook about a run that succeeded, and which of its checks failed."""
    run = context.dagster_run
    wrong = failed_checks(context.instance, run.run_id)
    event = (
        ("check_failure", "Run of {} made data that failed its checks")
        if wrong
        else ("run_success", "Run of {} succeeded")
    )
    tell(context.instance, webhook, run, event, lambda: "\n".join(wrong))


def tell(
    instance: dg.DagsterInstance,
    webhook: Webhook,
    run: dg.DagsterRun,
    event: tuple[str, str],
    text: Callable[[], str],
) -> None:
    """Send a message about a run, unless it was sent.

    Args:
        instance: Where the run is, and what was told of it.
        webhook: Who is told.
        run: What it is about.
        event: Its name, one message of each per run; and a title, with {} for the name of the job.
        text: Makes the text, when there is something to send.

    Raises:
        WebhookError: No attempt had success; Dagster shows it at the sensor, and goes on to the
            next run.
    """
    name, title = event
    tag = f"{TAG}.{name}"
    with _one_at_a_time:
        now = instance.get_run_by_id(run.run_id)
        # Retries inherit the tags of their run, so the value says whose it is.
        if now is None or now.tags.get(tag) == run.run_id:
            return
        job = _subject(run)
        message = Message(
            event=name,
            title=title.format(job),
            job=job,
            run_id=run.run_id,
            partition=run.tags.get("dagster/partition"),
            text=text(),
            url=webhook.link(run.run_id),
        )
        webhook.send(message)
        instance.add_run_tags(run.run_id, {tag: run.run_id})


def _subject(run: dg.DagsterRun) -> str:
    """The job's name, or what was selected in a run of assets without one."""
    if not run.job_name.startswith("__") or not run.asset_selection:
        return run.job_name
    names = sorted(key.to_user_string() for key in run.asset_selection)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
