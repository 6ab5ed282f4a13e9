"""The webhook, from the settings."""

import os

import dagster as dg

from dagma.kit.closed import closed
from dagma.kit.notifications.webhook import Webhook

#: Field of the resource -> environment variable. The stack sets the file, never the address.
VARIABLES = {
    "url": "DAGMA_WEBHOOK_URL",
    "url_file": "DAGMA_WEBHOOK_URL_FILE",
    "format": "DAGMA_WEBHOOK_FORMAT",
    "public_url": "DAGMA_PUBLIC_URL",
}


def default_status() -> dg.DefaultSensorStatus:
    """Whether the sensors start by themselves: where there is a webhook to tell."""
    told = any(os.environ.get(VARIABLES[field]) for field in ("url", "url_file"))
    return dg.DefaultSensorStatus.RUNNING if told else dg.DefaultSensorStatus.STOPPED


@dg.definitions
def resources() -> dg.Definitions:
    """Bind the webhook; as EnvVar, so that the web interface shows names instead of values."""
    found = {field: dg.EnvVar(name) for field, name in VARIABLES.items() if os.environ.get(name)}
    return dg.Definitions(resources=closed({"webhook": Webhook(**found)}))
