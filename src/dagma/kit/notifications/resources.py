"""The webhook, from the settings."""

import dagster as dg

from dagma import values
from dagma.kit.closed import closed
from dagma.kit.notifications.webhook import Webhook
from dagma.kit.settings import from_environment, given

__all__ = ["default_status", "resources"]

#: The address, or a file that holds it; the stack sets the file, never the address.
ADDRESSES = URL, URL_FILE = "DAGMA_WEBHOOK_URL", "DAGMA_WEBHOOK_URL_FILE"


def default_status() -> dg.DefaultSensorStatus:
    """Whether the sensors start by themselves: where there is a webhook to tell."""
    told = any(map(given, ADDRESSES))
    return dg.DefaultSensorStatus.RUNNING if told else dg.DefaultSensorStatus.STOPPED


@dg.definitions
def resources() -> dg.Definitions:
    """Bind the webhook; the web interface shows names instead of values."""
    webhook = Webhook(
        url=from_environment(URL, values.Url, secret=True),
        url_file=from_environment(URL_FILE, values.Text),
        format=from_environment("DAGMA_WEBHOOK_FORMAT", values.WebhookFormat, "json"),
        public_url=from_environment("DAGMA_PUBLIC_URL", values.Url),
    )
    return dg.Definitions(resources=closed({"webhook": webhook}))
