"""DataFrames as PostgreSQL tables."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from dagma.kit.preview import frame_metadata

if TYPE_CHECKING:
    from pandas import DataFrame
    from sqlalchemy import Connection, Table

__all__ = ["PARTITION_EXPR", "URL_VARIABLE", "PostgresIOManager", "required_url"]

#: The stack sets it to its own database.
URL_VARIABLE = "DAGMA_ANALYTICS_URL"
#: Definition metadata of a partitioned asset: the column that holds the partition's key. Dagster's
#: own database IO managers use the same name.
PARTITION_EXPR = "partition_expr"
#: PostgreSQL cuts longer names, so that two tables could become one.
LONGEST_NAME = 63
#: Rows that are sent at one time; bounds the memory that their text takes.
CHUNK_ROWS = 10_000


def required_url(url: str | None) -> str:
    """The URL itself.

    Raises:
        Failure: There is none.
    """
    if not url:
        raise dg.Failure(
            f"{URL_VARIABLE} is not set: set it to the database of the assets' tables, "
            "postgresql+psycopg2://USER@HOST:PORT/DATABASE?passfile=FILE.",
            allow_retries=False,
        )
    return url


class PostgresIOManager(dg.ConfigurableIOManager):
    """Stores each DataFrame in a PostgreSQL table, in one transaction.

    The table has the last part of the asset key as its name, prefixed by the others (`a__b`). A new
    materialization replaces all its rows; of a partitioned asset, those whose column
    `partition_expr` (definition metadata) is the partition's key. Readers see the rows of before
    until the transaction ends and are not blocked, unless the columns changed. Views that depend on
    a table whose columns change make the replacement fail, and nothing is changed then.
    """

    url: str = Field(description="postgresql+psycopg2://USER@HOST:PORT/DATABASE?passfile=FILE")
    db_schema: str = Field(default="public", description="Schema of the tables; made if missing.")

    def handle_output(self, context: dg.OutputContext, obj: "DataFrame") -> None:
        """Replace the table, or the partition's rows of it.

        Raises:
            TypeError: The output is no DataFrame.
            Failure: The setting, the partition's column or a name is wrong.
        """
        import pandas as pd
        import psycopg2

        if not isinstance(obj, pd.DataFrame):
            raise TypeError(
                f"The output of {context.step_key} is of type {type(obj).__name__}, and "
                "PostgresIOManager stores DataFrames: choose another io_manager_key for it."
            )
        name = _table_name(context)
        column, keys = _partition(context)
        if column:
            _check_partition(obj, column, keys)
        with self._transaction() as connection:
            database = connection.engine.url.database
            replaced = self._make_room(connection, name, obj, column, keys)
            try:
                obj.to_sql(
                    name,
                    connection,
                    schema=self.db_schema,
                    if_exists="append" if replaced else "fail",
                    index=False,
                    chunksize=CHUNK_ROWS,
                    method=_copy,
                )
            except psycopg2.DataError as error:
                raise dg.Failure(
                    f"PostgreSQL refused the rows of {self.db_schema}.{name}, and nothing was "
                    f"changed: {str(error).strip()} If a column's type is another now, drop the "
                    "table first.",
                    allow_retries=False,
                ) from error
        context.add_output_metadata(
            frame_metadata(obj) | {"dagster/table_name": f"{database}.{self.db_schema}.{name}"}
        )

    def load_input(self, context: dg.InputContext) -> "DataFrame":
        """Read the table, or the rows of the partitions asked for; in no particular order.

        Raises:
            Failure: The table does not exist.
        """
        import pandas as pd

        name = _table_name(context)
        column, keys = _partition(context)
        with self._transaction() as connection:
            table = self._existing(connection, name)
            if table is None:
                raise dg.Failure(
                    f"PostgreSQL has no table {self.db_schema}.{name}: materialize "
                    f"{context.asset_key.to_user_string()} first.",
                    allow_retries=False,
                )
            rows = table.select()
            return pd.read_sql(
                rows.where(table.c[column].in_(keys)) if column else rows, connection
            )

    @contextmanager
    def _transaction(self) -> "Iterator[Connection]":
        import sqlalchemy as sa

        engine = sa.create_engine(required_url(self.url), poolclass=sa.NullPool)
        with engine.begin() as connection:
            yield connection

    def _make_room(
        self,
        connection: "Connection",
        name: str,
        frame: "DataFrame",
        column: str | None,
        keys: Sequence[str],
    ) -> bool:
        """Delete what the frame replaces; whether the table is there and fits."""
        import sqlalchemy as sa

        # Writers of one table wait for each other, from before it exists.
        key = sa.func.hashtextextended(f"{self.db_schema}.{name}", 0)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
        connection.execute(sa.schema.CreateSchema(self.db_schema, if_not_exists=True))
        table = self._existing(connection, name)
        if table is None:
            return False
        if [one.name for one in table.columns] != list(frame.columns):
            if column:
                raise dg.Failure(
                    f"The table {self.db_schema}.{name} has the columns "
                    f"{', '.join(table.columns.keys())} and this partition "
                    f"{', '.join(map(str, frame.columns))}: drop the table, then materialize "
                    "all partitions.",
                    allow_retries=False,
                )
            table.drop(connection)
            return False
        rows = table.delete()
        connection.execute(rows.where(table.c[column].in_(keys)) if column else rows)
        return True

    def _existing(self, connection: "Connection", name: str) -> "Table | None":
        import sqlalchemy as sa

        if not sa.inspect(connection).has_table(name, self.db_schema):
            return None
        return sa.Table(name, sa.MetaData(self.db_schema), autoload_with=connection)


def _table_name(context: dg.InputContext | dg.OutputContext) -> str:
    name = context.asset_key.to_python_identifier()
    if len(name.encode()) > LONGEST_NAME:
        raise dg.Failure(
            f"{name} is too long for a PostgreSQL table: at most {LONGEST_NAME} bytes.",
            allow_retries=False,
        )
    return name


def _partition(context: dg.InputContext | dg.OutputContext) -> tuple[str | None, Sequence[str]]:
    """The column of the partition keys, and the keys; None where the asset has no partitions."""
    if not context.has_asset_partitions:
        return None, []
    output = context.upstream_output if isinstance(context, dg.InputContext) else context
    column = (output.definition_metadata if output else {}).get(PARTITION_EXPR)
    if not isinstance(column, str):
        raise dg.Failure(
            f"{context.asset_key.to_user_string()} is partitioned: name the column of its "
            f'partition keys with metadata={{"{PARTITION_EXPR}": COLUMN}}.',
            allow_retries=False,
        )
    return column, list(context.asset_partition_keys)


def _check_partition(frame: "DataFrame", column: str, keys: Sequence[str]) -> None:
    """Rows of other partitions would be there twice after the next run of theirs."""
    if column not in frame.columns:
        raise dg.Failure(f"The DataFrame has no column {column}.", allow_retries=False)
    others = frame.loc[~frame[column].isin(keys), column]
    if len(others):
        raise dg.Failure(
            f"{len(others)} rows have another value than the partition {', '.join(keys)} in "
            f"{column}, the first {others.iloc[0]!r}.",
            allow_retries=False,
        )


def _copy(table: Any, connection: Any, columns: list[str], rows: Iterable[Any]) -> None:  # noqa: ANN401 - what pandas hands to `method`
    """Insert rows by COPY, many times faster than INSERT."""
    from psycopg2 import sql

    text = io.StringIO()
    # Without quotes is NULL, with quotes the empty text.
    csv.writer(text, quoting=csv.QUOTE_NOTNULL).writerows(rows)
    text.seek(0)
    statement = sql.SQL("COPY {}.{} ({}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier(table.schema),
        sql.Identifier(table.name),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
    )
    with connection.connection.cursor() as cursor:
        cursor.copy_expert(statement, text)
