"""Finds the YAML files that lie in this folder."""

from pathlib import Path

import dagster as dg

from dagma.kit.pipeline import Pipeline

FOLDER = Path(__file__).parent


@dg.definitions
def pipelines() -> dg.Definitions:
    """A pipeline per `*.yaml` or `*.yml`; folders with a `defs.yaml` are found by Dagster itself."""
    files = sorted(path for path in FOLDER.iterdir() if path.suffix in (".yaml", ".yml"))
    return dg.Definitions.merge(*[Pipeline.from_file(path).build_defs() for path in files])
