"""What every asset of this code location shares, bound to its name in one place."""

import dagster as dg

from dagma import values
from dagma.defs.recipes.source import RecipesSource
from dagma.kit.closed import closed
from dagma.kit.io import resources as io_managers
from dagma.kit.io.files import files
from dagma.kit.notifications import resources as notifications
from dagma.kit.settings import from_environment
from dagma.kit.tracking import resources as tracking
from dagma.kit.vectors import resources as vectors

SOURCE_VARIABLE = "RECIPES_SOURCE"


@dg.definitions
def resources() -> dg.Definitions:
    """Bind the kit's resources and our own."""
    of_the_kit = (io_managers, notifications, tracking, vectors)
    return dg.Definitions.merge(own(), *(module.resources() for module in of_the_kit))


def own() -> dg.Definitions:
    """The default IO manager, the corpus and the executor.

    `files` writes below the instance's storage directory: `$DAGSTER_HOME/storage/`, or a temporary
    directory where DAGSTER_HOME is unset.

    The steps run inside the run's own process: a process per step imports Dagster again each time,
    which takes longer than any step here.
    """
    return dg.Definitions(
        resources=closed(
            {
                "io_manager": files,
                "recipes_source": RecipesSource(
                    path=from_environment(SOURCE_VARIABLE, values.Text)
                ),
            }
        ),
        executor=dg.in_process_executor,
    )
