"""The services of the stack, one in each module, in the order in which they are shown.

A new service is a module here, a line below, and a process in ``process-compose.yaml``.
"""

from typing import TYPE_CHECKING

from dagma.stack.service import Application, Process, Service, Tree
from dagma.stack.services.dagster import Dagster, DagsterSettings
from dagma.stack.services.maintenance import Maintenance, MaintenanceSettings
from dagma.stack.services.mlflow import Mlflow, MlflowSettings
from dagma.stack.services.postgres import Postgres, PostgresSettings
from dagma.stack.services.qdrant import Qdrant, QdrantSettings

if TYPE_CHECKING:
    from dagma.stack.settings import Settings

ALL: tuple[Service, ...] = (Postgres(), Dagster(), Mlflow(), Qdrant(), Maintenance())


class ServiceSettings(
    QdrantSettings, MlflowSettings, DagsterSettings, PostgresSettings, MaintenanceSettings
):
    """What a user can set about services; pydantic takes the fields of the last one first."""


#: Each process of the topology, and the service that it is of.
PROCESSES: dict[str, tuple[Process, Service]] = {
    process.name: (process, service) for service in ALL for process in service.processes
}

#: The directories whose files are in a backup.
TREES: tuple[Tree, ...] = tuple(tree for service in ALL for tree in service.trees)


def applications(settings: "Settings") -> list[Application]:
    """The databases of all services, and their roles."""
    return [application for service in ALL for application in service.applications(settings)]
