"""The IO managers, by the names that assets choose them with."""

import dagster as dg

from dagma.defs.closed import closed
from dagma.defs.from_environment import from_environment
from dagma.defs.io.files import pickles
from dagma.defs.io.parquet import ParquetIOManager
from dagma.defs.io.postgres import URL_VARIABLE, PostgresIOManager


@dg.definitions
def resources() -> dg.Definitions:
    """Bind the IO managers that assets name; the default one is ../resources.py's.

    Where the variable is unset, only the assets that need the database fail, with a sentence.
    """
    return dg.Definitions(
        resources=closed(
            {
                "parquet_io_manager": ParquetIOManager(),
                "pickle_io_manager": pickles,
                "postgres_io_manager": PostgresIOManager(url=from_environment(URL_VARIABLE)),
            }
        )
    )
