"""The nightly retraining: the corpus and everything that is made of it."""

import dagster as dg

from dagma.defs.schedules.clock import nightly
from dagma.kit.clock import zone

#: What is downstream is found when the definitions are loaded, so new assets take part.
retraining = dg.define_asset_job(
    "retraining",
    selection=dg.AssetSelection.assets("raw_recipes").downstream(),
    description="Materializes raw_recipes and all that is downstream of it.",
)

nightly_retraining = dg.ScheduleDefinition(
    name="nightly_retraining",
    job=retraining,
    cron_schedule=nightly(),
    execution_timezone=zone(),
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs the job retraining every night.",
)
