"""The code location of the example platform: everything under `dagma/defs`."""

import warnings
from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Load every asset, check, job and resource below `defs/`; new files are found by themselves.

    `dg.load_from_defs_folder` does this too, but hands on the tree of components as well. Where Dagster
    describes that to a web interface it imports every installed package that offers components, and with
    dagster_dbt that is dbt: more work than all the rest of loading. `dg` reads the folder by itself.
    """
    tree = dg.ComponentTree.for_project(Path(__file__).parent)
    with warnings.catch_warnings():  # the loader's own use of its newer parts, as there
        warnings.simplefilter("ignore", dg.PreviewWarning)
        warnings.simplefilter("ignore", dg.BetaWarning)
        return tree.build_defs(tree.defs_module_path)
