"""The webserver's connections to PostgreSQL: one that was cut is replaced before it is used.

Changes: `DagsterInstance.optimize_for_webserver`. Dagster keeps a connection open and does not look
whether it still answers, so some requests after each restart of PostgreSQL end in an error:
https://github.com/dagster-io/dagster/issues/33879, https://github.com/dagster-io/dagster/issues/3812.
"""

from typing import Any

import sqlalchemy as sa
from dagster import DagsterInstance


def _answers(connection: Any, *_pool: object) -> None:  # noqa: ANN401
    """Let a pool replace a connection that does not answer."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as error:  # whatever the driver calls it
        raise sa.exc.DisconnectionError from error


class LivePool(DagsterInstance):
    """An instance whose webserver takes no dead connection from its pool."""

    def optimize_for_webserver(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        """Keep connections open, as Dagster does; each is asked when it is taken."""
        sa.event.listen(sa.Pool, "checkout", _answers)
        super().optimize_for_webserver(*arguments, **options)
