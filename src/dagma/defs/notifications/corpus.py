"""The sensors of this code location: the kit's, and one that tells when the corpus has shrunk."""

import dagster as dg

from dagma.kit.clock import sensor_interval
from dagma.kit.notifications.resources import default_status
from dagma.kit.notifications.schedules import watch_schedules
from dagma.kit.notifications.sensors import notify_failure, notify_success, tell
from dagma.kit.notifications.webhook import Webhook, WebhookError

#: The share of recipes that may be gone before it is worth a message.
SHRINKAGE = 0.1


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
    event = "recipes_shrunk", "The corpus has shrunk in a run of {}"
    try:
        tell(context.instance, webhook, run, event, lambda: text)
    except WebhookError as error:
        return dg.SkipReason(f"{text} {error}")  # raised, it would be tried at each tick for ever
    return dg.SkipReason(text)


def _recipe_counts(instance: dg.DagsterInstance) -> list[int]:
    """Recipes in the last two materializations, the newest first."""
    last = instance.fetch_materializations(dg.AssetKey("normalized_recipes"), limit=2).records
    found = [r.asset_materialization.metadata for r in last if r.asset_materialization]
    return [int(str(metadata["recipes"].value)) for metadata in found if "recipes" in metadata]


@dg.definitions
def sensors() -> dg.Definitions:
    """All of them."""
    return dg.Definitions(
        sensors=[notify_failure, notify_success, watch_corpus_size, watch_schedules]
    )
