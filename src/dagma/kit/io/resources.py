"""The IO managers, by the names that assets choose them with."""

import dagster as dg

from dagma import values
from dagma.kit.closed import closed
from dagma.kit.io.files import pickles
from dagma.kit.io.parquet import ParquetIOManager
from dagma.kit.io.postgres import URL_VARIABLE, PostgresIOManager
from dagma.kit.settings import from_environment

__all__ = ["resources"]


@dg.definitions
def resources() -> dg.Definitions:
    """Bind the IO managers that assets name; the default one, `io_manager`, is for you to choose.

    Where the variable is unset, only the assets that need the database fail, with a sentence.
    """
    return dg.Definitions(
        resources=closed(
            {
                "parquet_io_manager": ParquetIOManager(),
                "pickle_io_manager": pickles,
                "postgres_io_manager": PostgresIOManager(
                    url=from_environment(URL_VARIABLE, values.DatabaseUrl)
                ),
            }
        )
    )
