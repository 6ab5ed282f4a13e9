"""Every name of Dagster's that Dagma uses and that is not public; nowhere else is one imported.

Dagster may move or change them in any release. `tests/unit/test_dagster_private.py` has a canary for
each, so a newer Dagster is refused by the name of what moved.

What comes with `import dagster` is imported here, the rest when it is asked for: it would cost time at
the start of a service, or of a command.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dagster import DagsterInstance
from dagster._config import process_config as process_config
from dagster._core.definitions.run_request import InstigatorType as InstigatorType
from dagster._core.errors import DagsterCodeLocationLoadError as DagsterCodeLocationLoadError
from dagster._core.errors import DagsterUserCodeUnreachableError as DagsterUserCodeUnreachableError
from dagster._core.events import HOOK_EVENTS as HOOK_EVENTS
from dagster._core.events import MARKER_EVENTS as MARKER_EVENTS
from dagster._core.events import STEP_EVENTS as STEP_EVENTS
from dagster._core.events import JobFailureData as JobFailureData
from dagster._core.instance.ref import InstanceRef as InstanceRef
from dagster._core.launcher.base import CheckRunHealthResult as CheckRunHealthResult
from dagster._core.launcher.base import LaunchRunContext as LaunchRunContext
from dagster._core.launcher.base import WorkerStatus as WorkerStatus
from dagster._core.scheduler.instigation import TickStatus as TickStatus
from dagster._core.storage.daemon_cursor import DaemonCursorStorage as DaemonCursorStorage
from dagster._core.storage.dagster_run import FINISHED_STATUSES as FINISHED_STATUSES
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES as NOT_FINISHED_STATUSES
from dagster._core.storage.fs_io_manager import (
    PickledObjectFilesystemIOManager as PickledObjectFilesystemIOManager,
)
from dagster._core.storage.tags import BACKFILL_ID_TAG as BACKFILL_ID_TAG
from dagster._core.storage.tags import MAX_RETRIES_TAG as MAX_RETRIES_TAG
from dagster._core.storage.tags import RUN_KEY_TAG as RUN_KEY_TAG
from dagster._core.storage.tags import WILL_RETRY_TAG as WILL_RETRY_TAG
from dagster._core.types import builtin_config_schemas as builtin_config_schemas

if TYPE_CHECKING:
    import sqlalchemy as sa
    from dagster._core.execution.backfill import PartitionBackfill
    from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
    from dagster._daemon.types import DaemonHeartbeat as DaemonHeartbeat
    from dagster._grpc.client import DagsterGrpcClient


def grpc_client() -> "type[DagsterGrpcClient]":
    """The class that asks a code server."""
    from dagster._grpc.client import DagsterGrpcClient

    return DagsterGrpcClient


def event_tables() -> "tuple[sa.Table, sa.Table]":
    """The tables of events and of evaluations of asset checks."""
    from dagster._core.storage.event_log.schema import (
        AssetCheckExecutionsTable,
        SqlEventLogStorageTable,
    )

    return SqlEventLogStorageTable, AssetCheckExecutionsTable


def local_compute_logs() -> "type[LocalComputeLogManager]":
    """The class that keeps what steps print in files of this machine."""
    from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

    return LocalComputeLogManager


def open_backfills(instance: DagsterInstance) -> "Sequence[PartitionBackfill]":
    """The backfills of an instance that have not ended."""
    from dagster._core.execution.backfill import (
        BULK_ACTION_TERMINAL_STATUSES,
        BulkActionsFilter,
        BulkActionStatus,
    )

    unfinished = [one for one in BulkActionStatus if one not in BULK_ACTION_TERMINAL_STATUSES]
    return instance.get_backfills(filters=BulkActionsFilter(statuses=unfinished))
