"""A sensor that tells the webhook about schedules that failed, or ran late."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from dagma.kit.clock import sensor_interval
from dagma.kit.notifications.message import Message
from dagma.kit.notifications.resources import default_status
from dagma.kit.notifications.webhook import Webhook, WebhookError

__all__ = ["watch_schedules"]

#: Seconds after its time at which a schedule is late: the daemon was down, or had too much to do.
LATE = 600.0
#: Seconds that the first look goes back.
DAY = 86_400.0
#: Ticks of one schedule that are looked at: one that runs every minute has this many in 20 minutes.
TICKS = 20


@dg.sensor(
    minimum_interval_seconds=sensor_interval(),
    default_status=default_status(),
    description="Tells the webhook about a schedule that failed, or ran ten minutes late.",
)
def watch_schedules(context: dg.SensorEvaluationContext, webhook: Webhook) -> dg.SensorResult:
    """Tell the webhook about schedules whose last ticks failed, or came late."""
    seen: dict[str, float] = json.loads(context.cursor or "{}")
    told: list[str] = []
    for state in context.instance.all_instigator_state():
        if state.instigator_type.value != "SCHEDULE":
            continue
        for tick in _ticks(context.instance, state, seen.get(state.name, time.time() - DAY)):
            seen[state.name] = max(tick.timestamp, seen.get(state.name, 0.0))
            if message := _message(webhook, state.name, tick):
                told.append(_send(webhook, message))
    return dg.SensorResult(
        skip_reason=" ".join(told) or "Every schedule ran in time.", cursor=json.dumps(seen)
    )


def _ticks(instance: dg.DagsterInstance, state: Any, after: float) -> list[Any]:  # noqa: ANN401 - not in Dagster's public names
    """Ticks of a schedule that are over, the oldest first."""
    found = instance.get_ticks(
        state.instigator_origin_id, state.selector_id, after=after, limit=TICKS
    )
    over = [tick for tick in found if tick.status.value != "STARTED" and tick.timestamp > after]
    return sorted(over, key=lambda tick: tick.timestamp)


def _message(webhook: Webhook, name: str, tick: Any) -> Message | None:  # noqa: ANN401
    """What to say about a tick; None when all is well."""
    due = datetime.fromtimestamp(tick.timestamp, UTC).isoformat(timespec="seconds")
    late = (tick.tick_data.end_timestamp or tick.timestamp) - tick.timestamp
    if tick.status.value == "FAILURE":
        why = tick.error.message.strip() if tick.error else "Dagster noted no reason."
        event, title, text = "schedule_failed", f"Schedule {name} failed", f"Due {due}. {why}"
    elif late > LATE:
        event, title = "schedule_late", f"Schedule {name} ran late"
        text = f"Due {due}; it ran {late / 60:.0f} minutes later."
    else:
        return None
    return Message(event, title, name, "", None, text, webhook.page("automation"))


def _send(webhook: Webhook, message: Message) -> str:
    """What became of a message; raised, an error would have it tried at each tick for ever."""
    try:
        webhook.send(message)
    except WebhookError as error:
        return f"{message.title}: {error}"
    return f"{message.title}."
