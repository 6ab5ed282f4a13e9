"""What every asset of this code location shares, bound to its name in one place."""

import dagster as dg

from dagma.defs.closed import closed
from dagma.defs.from_environment import from_environment
from dagma.defs.io.files import files
from dagma.defs.recipes.source import RecipesSource

SOURCE_VARIABLE = "RECIPES_SOURCE"


@dg.definitions
def resources() -> dg.Definitions:
    """Bind the resources, the IO manager and the executor.

    `files` writes below the instance's storage directory: `$DAGSTER_HOME/storage/`, or a temporary
    directory where DAGSTER_HOME is unset.

    The steps run inside the run's own process: a process per step imports Dagster again each time,
    which takes longer than any step here.
    """
    return dg.Definitions(
        resources=closed(
            {
                "io_manager": files,
                "recipes_source": RecipesSource(path=from_environment(SOURCE_VARIABLE)),
            }
        ),
        executor=dg.in_process_executor,
    )
