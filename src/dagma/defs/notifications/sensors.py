"""Sensors that tell the webhook how runs ended, and when the corpus has shrunk.

A run is told once. What was told is a tag of the run, in the database, written after the webhook
took the message; so a daemon that starts again, and reads the same events again, finds it. Only a
code server that is killed between the two tells a run twice, which is better than never.
"""

import threading
from collections.abc import Callable

import dagster as dg

from dagma.defs.notifications.message import Message
from dagma.defs.notifications.resources import default_status
from dagma.defs.notifications.webhook import Webhook, WebhookError
from dagma.defs.run_errors import failed_checks, reason
from dagma.defs.schedules.clock import sensor_interval

#: Dagster's web interface hides tags that begin with ".dagster/".
TAG = ".dagster/dagma/notified"
#: The share of recipes that may be gone before it is worth a message.
SHRINKAGE = 0.1

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
    _tell(
        context.instance, webhook, run, "run_failure", lambda: reason(context.instance, run.run_id)
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
    event = "check_failure" if wrong else "run_success"
    _tell(context.instance, webhook, run, event, lambda: "\n".join(wrong))


@dg.asset_sensor(
    asset_key=dg.AssetKey("normalized_recipes"),
    minimum_interval_seconds=sensor_interval(),
    default_status=default_status(),
    description="Tells the webhook when the corpus lost a tenth of its recipes.",
)
def watch_corpus_size(
    context: dg.SensorEvaluationContext, asset_event: dg.EventLogEntry, webhook: Webhook
) -> dg.SkipReason:
    """Tell the webhook when the corpus lost a tenth of its recipes: a truncated file looks so."""
    counts = _recipe_counts(context.instance)
    if len(counts) < 2 or counts[0] >= counts[1] * (1 - SHRINKAGE):
        return dg.SkipReason("The corpus has not shrunk.")
    run = context.instance.get_run_by_id(asset_event.run_id)
    if run is None:
        return dg.SkipReason("The run that shrank the corpus is deleted.")
    text = f"normalized_recipes has {counts[0]} recipes, and had {counts[1]}."
    try:
        _tell(context.instance, webhook, run, "recipes_shrunk", lambda: text)
    except WebhookError as error:
        return dg.SkipReason(f"{text} {error}")  # raised, it would be tried at each tick for ever
    return dg.SkipReason(text)


def _recipe_counts(instance: dg.DagsterInstance) -> list[int]:
    """Recipes in the last two materializations, the newest first."""
    last = instance.fetch_materializations(dg.AssetKey("normalized_recipes"), limit=2).records
    found = [r.asset_materialization.metadata for r in last if r.asset_materialization]
    return [int(str(metadata["recipes"].value)) for metadata in found if "recipes" in metadata]


TITLES = {
    "run_failure": "Run of {} failed",
    "run_success": "Run of {} succeeded",
    "check_failure": "Run of {} made data that failed its checks",
    "recipes_shrunk": "The corpus has shrunk in a run of {}",
}


def _tell(
    instance: dg.DagsterInstance,
    webhook: Webhook,
    run: dg.DagsterRun,
    event: str,
    text: Callable[[], str],
) -> None:
    """Send a message about a run, unless it was sent.

    Raises:
        WebhookError: No attempt had success; Dagster shows it at the sensor, and goes on to the
            next run.
    """
    tag = f"{TAG}.{event}"
    with _one_at_a_time:
        now = instance.get_run_by_id(run.run_id)
        # Retries inherit the tags of their run, so the value says whose it is.
        if now is None or now.tags.get(tag) == run.run_id:
            return
        job = _subject(run)
        message = Message(
            event=event,
            title=TITLES[event].format(job),
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
