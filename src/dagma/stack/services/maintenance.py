"""Maintenance: a process that once a day backs up and prunes, as the settings ask for it.

The process itself is `dagma.stack.upkeep.maintenance`, which imports none of this.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dagma import values
from dagma.stack.fields import Part, setting
from dagma.stack.service import Process, Service, text
from dagma.stack.upkeep import maintenance

if TYPE_CHECKING:
    from dagma.stack.settings import Settings

_PROCESS = ("maintenance",)


class MaintenanceSettings(Part):
    """What a user can set about backups and what is kept."""

    backups: values.Directory | None = setting(
        "DAGMA_BACKUPS",
        None,
        "Directory of backups; not in DAGMA_HOME, so that a factory reset spares them.",
        "DAGMA_HOME-backups",
        taken_by=_PROCESS,
    )
    backups_kept: values.Count = setting(
        "DAGMA_BACKUPS_KEPT",
        7,
        "Backups of this installation that are kept in a directory, and dumps of each database of before upgrades.",
        taken_by=_PROCESS,
    )
    backup_daily: values.Flag = setting(
        "DAGMA_BACKUP_DAILY",
        False,
        "Whether the running stack writes a backup every day.",
        taken_by=_PROCESS,
    )
    maintenance_at: values.TimeOfDay = setting(
        "DAGMA_MAINTENANCE_AT",
        "05:00",
        "Time of day of that backup, then of `dagma prune`, in the zone DAGMA_TIMEZONE.",
        taken_by=_PROCESS,
    )
    keep_events: values.Days | None = setting(
        "DAGMA_KEEP_EVENTS_DAYS",
        None,
        "Age at which `dagma prune` removes log lines and step events of finished runs.",
        "they are kept for ever",
        taken_by=_PROCESS,
    )
    keep_runs: values.Days | None = setting(
        "DAGMA_KEEP_RUNS_DAYS",
        None,
        "Age at which it removes finished runs that nothing needs any more.",
        "they are kept for ever",
        taken_by=_PROCESS,
    )
    keep_compute_logs: values.Days | None = setting(
        "DAGMA_KEEP_COMPUTE_LOGS_DAYS",
        None,
        "Age at which it removes what steps of finished runs printed.",
        "they are kept for ever",
        taken_by=_PROCESS,
    )

    @property
    def daily(self) -> list[str]:
        """The commands that the process runs; what is pruned is in a backup before."""
        kept = (self.keep_events, self.keep_runs, self.keep_compute_logs)
        prune = ["prune"] if any(days is not None for days in kept) else []
        return ["backup", *prune] if self.backup_daily else prune


class Maintenance(Service):
    """Sleeps, then runs commands of Dagma's."""

    name = "maintenance"
    page = "retention.md"
    made = frozenset({"DAGMA_DAILY", "DAGMA_WITHOUT_MAINTENANCE"})
    processes = (Process("maintenance", "daily at {s.maintenance_at} {s.timezone}"),)

    def wanted(self, settings: "Settings") -> bool:
        """The settings ask for a backup or for something to be removed."""
        return bool(settings.daily)

    def exports(
        self, settings: "Settings", running: list[str], environ: Mapping[str, str]
    ) -> dict[str, str]:
        """What it is to do."""
        return {
            "DAGMA_DAILY": " ".join(settings.daily),
            "DAGMA_WITHOUT_MAINTENANCE": text("maintenance" not in running),
        }

    def trouble(self, settings: "Settings") -> str | None:
        """What failed the last time."""
        return maintenance.problem(settings.home)
