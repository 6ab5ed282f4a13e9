"""The code location of the example platform: everything under `dagma/defs`."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Load every asset, check, job and resource below `defs/`; new files are found by themselves."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
