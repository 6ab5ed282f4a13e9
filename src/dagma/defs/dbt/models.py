"""The models of the dbt project in `project/`."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from dagma import values
from dagma.defs.dbt import manifest
from dagma.defs.dbt.manifest import PROJECT, UNIQUE_ID, Manifest
from dagma.kit.io.postgres import URL_VARIABLE, required_url
from dagma.kit.settings import setting


@dg.definitions
def models() -> dg.Definitions:
    """Every model as an asset and every test of one as a check, from the manifest.

    Without a manifest there are none of them, and a warning says how to get one.
    """
    path = manifest.find()
    if path is None:
        dg.get_dagster_logger().warning(
            "No dbt models: there is no manifest. Run `nix develop`, or `dbt parse` in %s.", PROJECT
        )
        return dg.Definitions()
    found = Manifest.read(path)

    @dg.multi_asset(name="dbt_build", specs=found.models, check_specs=found.tests, can_subset=True)
    def dbt_build(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Build and test what is selected with one `dbt build`."""
        yield from _build(context, found)

    return dg.Definitions(assets=[dbt_build])


def _build(context: dg.AssetExecutionContext, found: Manifest) -> Iterator[Any]:
    from dagster_dbt import DagsterDbtTranslator, DbtCliResource

    names = found.selectors(
        [
            *(
                one.metadata[UNIQUE_ID]
                for one in found.models
                if one.key in context.selected_asset_keys
            ),
            *(
                one.metadata[UNIQUE_ID]
                for one in found.tests
                if one.metadata and one.key in context.selected_asset_check_keys
            ),
        ]
    )
    # All that dbt writes, since the project itself may be read-only; its log is the run's.
    with tempfile.TemporaryDirectory(prefix="dbt") as target:
        with _connection_of_dbt():
            run = DbtCliResource(project_dir=PROJECT, profiles_dir=PROJECT).cli(
                ["build", "--indirect-selection=empty", "--select", " ".join(names)],
                manifest=found.content,
                target_path=Path(target),
            )
        for event in run.stream_raw_events():
            yield from event.to_default_asset_events(
                found.content, DagsterDbtTranslator(), context=context
            )


@contextmanager
def _connection_of_dbt() -> Iterator[None]:
    """The environment that profiles.yml reads, from DAGMA_ANALYTICS_URL."""
    from sqlalchemy import make_url

    parts = make_url(required_url(setting(URL_VARIABLE, values.DatabaseUrl, "")))
    given = {
        "DBT_POSTGRES_HOST": parts.host,
        "DBT_POSTGRES_PORT": str(parts.port or 5432),
        "DBT_POSTGRES_USER": parts.username,
        "DBT_POSTGRES_DATABASE": parts.database,
        # libpq's own, since dbt has no setting for them.
        "PGPASSFILE": parts.query.get("passfile"),
        "PGPASSWORD": parts.password,
    }
    made = {name: value for name, value in given.items() if value}
    before = {name: os.environ.get(name) for name in made}
    _change_environment(made)
    try:
        yield
    finally:
        _change_environment(before)


def _change_environment(values: Mapping[str, object]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = str(value)
