"""Days after which ticks of schedules and sensors are removed: a section of `dagster.yaml` for settings.

Changes: `DagsterInstance.get_tick_retention_settings`, and the class has an option of its own. Dagster's
section `retention` takes numbers, but none from the environment:
https://github.com/dagster-io/dagster/issues/9131.
"""

from collections.abc import Mapping
from typing import Any

from dagster import DagsterInstance, DagsterInvalidConfigError, Field, IntSource

from dagma.instance.dagster_private import InstanceRef, InstigatorType, TickStatus, process_config

#: Days by the end of a tick, in the section `tick_retention_days`.
_TICKS = {end: Field(IntSource, is_required=False) for end in ("skipped", "failure", "success")}


class TickRetention(DagsterInstance):
    """An instance with the section `tick_retention_days`."""

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401
        tick_retention_days: Mapping[str, Any] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*arguments, **options)
        self._tick_retention = tick_retention_days

    @classmethod
    def config_schema(cls) -> Mapping[str, Any]:
        """Return the options in `dagster.yaml` that are not Dagster's own."""
        return {"tick_retention_days": Field(_TICKS, is_required=False)}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Mapping[str, Any]:
        """Return what holds where `dagster.yaml` is silent: Dagster's defaults."""
        return InstanceRef.config_defaults(base_dir)

    def get_tick_retention_settings(
        self, instigator_type: InstigatorType
    ) -> Mapping[TickStatus, int]:
        """Return the days after which ticks are removed; -1 means never.

        `tick_retention_days` wins over Dagster's section `retention`; variables that it names are
        read here, so only the daemon needs them.
        """
        days = super().get_tick_retention_settings(instigator_type)
        if self._tick_retention is None:
            return days
        read = process_config(_TICKS, self._tick_retention)
        if not read.success:
            raise DagsterInvalidConfigError(  # type: ignore[no-untyped-call]
                "tick_retention_days in dagster.yaml", read.errors, self._tick_retention
            )
        return {**days, **{TickStatus(name.upper()): n for name, n in (read.value or {}).items()}}
