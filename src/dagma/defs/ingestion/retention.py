"""Removal of partitions of the inbox that are older than a setting allows."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from dagma import values
from dagma.defs.ingestion.assets import sources
from dagma.defs.ingestion.inbox import Inbox, Key
from dagma.kit.clock import zone
from dagma.kit.settings import given, setting

DAYS, DRY_RUN = "DAGMA_RETENTION_DAYS", "DAGMA_RETENTION_DRY_RUN"


class RetentionConfig(dg.Config):
    """What `expire_partitions` removes."""

    days: int = Field(default=365, ge=1, description="Age in days at which a partition expires.")
    dry_run: bool = Field(default=True, description="Only report what would be removed.")


def from_environment() -> RetentionConfig:
    """The settings as the default configuration."""
    return RetentionConfig(
        days=setting(DAYS, values.Days, 365), dry_run=setting(DRY_RUN, values.Flag, default=True)
    )


#: The sensor holds the inbox for some seconds at a tick.
LATER = dg.RetryPolicy(max_retries=5, delay=10)


@dg.op(retry_policy=LATER)
def expire(context: dg.OpExecutionContext, config: RetentionConfig, inbox: Inbox) -> None:
    """Remove expired partitions with their files in the archive; those being processed stay."""
    if not inbox.path:
        context.log.info("DAGMA_INBOX is not set; there is nothing to expire.")
        return
    limit = datetime.now(UTC) - timedelta(days=config.days)
    with inbox.alone():
        name, archived = str(sources.name), inbox.archived()
        partitions = set(context.instance.get_dynamic_partitions(name))
        old = expired({*partitions, *archived} - set(inbox.taken()), limit)
        for key in [] if config.dry_run else old:
            # The file first: killed in between, the partition is what the next run finds.
            if key in archived:
                archived[key].unlink()
            if key in partitions:
                context.instance.delete_dynamic_partition(name, key)
    verb = "would be" if config.dry_run else "were"
    context.log.info(f"{len(old)} partitions older than {config.days} days {verb} removed.")
    context.add_output_metadata({"expired": len(old), "removed": not config.dry_run, "keys": old})


def expired(keys: set[str], limit: datetime) -> list[str]:
    """The keys that were made before a time; keys that are not ours never expire."""
    return sorted(text for text in keys if (key := Key.of(text)) and key.time < limit)


@dg.job(config=dg.RunConfig(ops={"expire": from_environment()}))
def expire_partitions() -> None:
    """Remove partitions of the inbox past the retention; a dry run unless told otherwise."""
    expire()


#: On by itself where a retention is set.
expire_daily = dg.ScheduleDefinition(
    name="expire_daily",
    job=expire_partitions,
    cron_schedule="0 4 * * *",
    execution_timezone=zone(),
    description="Reports, or removes, partitions of the inbox past DAGMA_RETENTION_DAYS.",
    default_status=(
        dg.DefaultScheduleStatus.RUNNING if given(DAYS) else dg.DefaultScheduleStatus.STOPPED
    ),
)
