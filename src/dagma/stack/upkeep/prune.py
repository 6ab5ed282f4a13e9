"""Removing what has grown old: runs, their events and their logs, by the settings DAGMA_KEEP_*.

Dagster works out the state of an asset, a partition and an asset check from the events of runs, so a
run is only removed when no such state would change; see `_hold_state`. Everything is removed in
batches, each of which leaves the rest as it was: it may be killed at any point, and the next call goes
on. Nobody has to wait for it, for only rows and files of finished runs are touched.
"""

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from dagster import DagsterError, DagsterEventType, DagsterInstance, DagsterRun, RunsFilter
from rich.filesize import decimal

from dagma.errors import StackError
from dagma.instance.dagster_private import (
    BACKFILL_ID_TAG,
    FINISHED_STATUSES,
    HOOK_EVENTS,
    MARKER_EVENTS,
    NOT_FINISHED_STATUSES,
    RUN_KEY_TAG,
    STEP_EVENTS,
    event_tables,
    local_compute_logs,
    open_backfills,
)
from dagma.instance.leases import database
from dagma.lock import alone
from dagma.stack import instance as instances
from dagma.stack.control import Stack
from dagma.stack.settings import Settings

#: Told of each step, in one line.
Say = Callable[[str], None]

#: Dagster's tables.
Events, Checks = event_tables()

#: Runs of one batch.
RUNS = 100
#: Rows that one transaction removes at most; it takes a fraction of a second.
ROWS = 10_000
#: Seconds for which the runs that hold the state of assets are remembered: finding them takes seconds
#: in a large event log, and others are added only when a newer run is deleted by hand meanwhile.
FRESH = 60.0

#: What a step did and printed, besides which the page of a run shows it. Not STEP_FAILURE, which says
#: why a run failed, nor LOGS_CAPTURED, which says where its compute logs are. A type that Dagster adds
#: is kept, and so is whatever belongs to an asset.
DISPENSABLE = (
    STEP_EVENTS | MARKER_EVENTS | HOOK_EVENTS | {DagsterEventType.OBJECT_STORE_OPERATION}
) - {
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_OBSERVATION,
    DagsterEventType.ASSET_CHECK_EVALUATION,
}

#: Runs that hold the newest event of a kind of an asset or partition, or the newest evaluation, and
#: the newest completed one, of a check.
_NEWEST = """
SELECT run_id FROM event_logs WHERE id IN (
  SELECT max(id) FROM event_logs WHERE asset_key IS NOT NULL
  GROUP BY asset_key, dagster_event_type, partition)
UNION
SELECT run_id FROM asset_check_executions WHERE id IN (
  SELECT max(id) FROM asset_check_executions GROUP BY asset_key, check_name, partition
  UNION ALL
  SELECT max(id) FROM asset_check_executions WHERE execution_status IN ('SUCCEEDED', 'FAILED')
  GROUP BY asset_key, check_name, partition)
UNION
SELECT run_id FROM event_logs WHERE id = (SELECT max(id) FROM event_logs)
"""
#: Runs that hold the first event since which the data version of an asset or partition is what it is
#: now. An observation that repeats a version is no news to Dagster; would the first be gone, each
#: repetition were, and what is downstream would be materialized again.
_SINCE = """
WITH versions AS (
  SELECT e.id, e.run_id, e.asset_key, e.partition, t.value, first_value(t.value) OVER (
    PARTITION BY e.asset_key, e.partition ORDER BY e.id DESC) AS newest
  FROM event_logs e JOIN asset_event_tags t ON t.event_id = e.id AND t.key = 'dagster/data_version'
  WHERE e.dagster_event_type IN ('ASSET_MATERIALIZATION', 'ASSET_OBSERVATION')
), others AS (
  SELECT *, max(id) FILTER (WHERE value <> newest) OVER (PARTITION BY asset_key, partition) AS other
  FROM versions
)
SELECT DISTINCT ON (asset_key, partition) run_id FROM others
WHERE other IS NULL OR id > other ORDER BY asset_key, partition, id
"""
#: Directory of a run's compute logs in the directory of the run.
LOGS = "compute_logs"
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Removed:
    """What was removed; in a dry run, what would be.

    Attributes:
        runs: Runs.
        rows: Rows of the event log and of evaluations of checks.
        row_bytes: What these rows took, indexes not counted.
        files: Files below DAGSTER_HOME.
        file_bytes: What they took.
    """

    runs: int = 0
    rows: int = 0
    row_bytes: int = 0
    files: int = 0
    file_bytes: int = 0

    def __str__(self) -> str:
        """As the end of a line for the user."""
        rows = f"{self.rows} rows ({decimal(self.row_bytes)})"
        return f"{rows}, {self.files} files ({decimal(self.file_bytes)})"


def prune(stack: Stack, say: Say, dry_run: bool) -> None:
    """Remove what is older than the settings say.

    Args:
        stack: The running stack.
        say: Told what was removed.
        dry_run: Only count.

    Raises:
        NotRunning: PostgreSQL does not run.
        StackError: Another one is at work, or something cannot be removed.
    """
    stack.require_postgres()
    try:
        busy = StackError("Another `dagma prune` is at work here.")
        with alone(stack.layout.run, busy), instances.connect(stack.loaded) as instance:
            Pruning(instance, stack.settings, dry_run).all(say)
    except (sa.exc.SQLAlchemyError, DagsterError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise StackError(f"Not everything was pruned, try again later: {reason}.") from error


@dataclass
class Pruning:
    """One pass over an instance on PostgreSQL."""

    instance: DagsterInstance
    settings: Settings
    dry_run: bool
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        engine = database(self.instance)
        if engine is None:
            raise StackError("Dagster's storage is not PostgreSQL, so it cannot be pruned.")
        self._engine = engine
        self._remembered: tuple[float, set[str]] = (0.0, set())
        #: Removed, or would be.
        self._gone: set[str] = set()

    def all(self, say: Say) -> None:
        """Remove whatever a setting limits, and say it in one line for each."""
        done = "would be removed" if self.dry_run else "removed"
        for what, name, days, remove in (
            ("Finished runs", "keep_runs", self.settings.keep_runs, self.runs),
            (
                "Log lines and step events",
                "keep_events",
                self.settings.keep_events,
                self.events,
            ),
            (
                "Compute logs",
                "keep_compute_logs",
                self.settings.keep_compute_logs,
                self.compute_logs,
            ),
        ):
            if days is None:
                say(f"{what} are kept for ever ({Settings.model_fields[name].alias}).")
            else:
                found = remove(self.now - timedelta(days=days))
                say(f"{what} older than {days} days: {done} of {found.runs} runs, {found}.")

    def runs(self, before: datetime) -> Removed:
        """Remove whole runs that ended before a time and that nothing needs."""
        total = Removed()
        for batch in _batches(self._ended(before)):
            kept = self._in_use() | self._hold_state()
            unneeded = [run.run_id for run in self._runs(batch) if not _is_kept(run, kept)]
            if unneeded:
                self._remove_runs(unneeded, total)
        return total

    def events(self, before: datetime) -> Removed:
        """Remove log lines and step events of runs that ended before a time."""
        total = Removed()
        for batch in _batches(self._ended(before)):
            kept = self._in_use()
            runs = [run.run_id for run in self._runs(batch) if not _is_awaited(run, kept)]
            found = self._remove_events([run for run in runs if run not in self._gone], total)
            total.runs += found
        return total

    def compute_logs(self, before: datetime) -> Removed:
        """Remove what steps printed, of runs that ended before a time or are no more."""
        total = Removed()
        base = self._log_directory()
        for batch in _batches(_run_ids(base) if base else []):
            known = {run.run_id: run for run in self._runs(batch)}
            ended, kept = set(self._ended(before, batch)), self._in_use()
            for run_id in [one for one in batch if one not in self._gone]:
                logs, run = Path(str(base)) / run_id / LOGS, known.get(run_id)
                old = run_id in ended if run else _changed(logs) < before.timestamp()
                if old and logs.is_dir() and not (run and _is_awaited(run, kept)):
                    total.runs += 1
                    self._remove_tree(logs, total)
                    if not self.dry_run:
                        with contextlib.suppress(OSError):
                            logs.parent.rmdir()  # when nothing else of the run is in it
        return total

    def _ended(self, before: datetime, among: Sequence[str] | None = None) -> list[str]:
        """Finished runs in which nothing changed since, newest first."""
        wanted = RunsFilter(run_ids=among, statuses=FINISHED_STATUSES, updated_before=before)
        return list(self.instance.get_run_ids(wanted))

    def _runs(self, run_ids: Sequence[str]) -> Sequence[DagsterRun]:
        return self.instance.get_runs(RunsFilter(run_ids=run_ids))

    def _in_use(self) -> set[str]:
        """Runs that something unfinished refers to: a retry, or a backfill."""
        found = set()
        for run in self.instance.get_runs(RunsFilter(statuses=NOT_FINISHED_STATUSES)):
            found |= {str(one) for one in (run.parent_run_id, run.root_run_id) if one}
        ids = [backfill.backfill_id for backfill in open_backfills(self.instance)]
        if ids:
            found |= set(self.instance.get_run_ids(RunsFilter(tags={BACKFILL_ID_TAG: ids})))
        return found

    def _hold_state(self) -> set[str]:
        """Runs without which an asset, a partition or a check would look different."""
        at, found = self._remembered
        if not at or time.monotonic() - at > FRESH:
            with self._engine.connect() as link:
                rows = [row for query in (_NEWEST, _SINCE) for row in link.execute(sa.text(query))]
            found = {str(run_id) for (run_id,) in rows}
            self._remembered = time.monotonic(), found
        return found

    def _remove_runs(self, run_ids: list[str], total: Removed) -> None:
        """Remove runs: first what hangs on them, so that a run is found again until all is gone."""
        rows, size = self._count(Events, Events.c.event, run_ids)
        checks, more = self._count(Checks, Checks.c.evaluation_event, run_ids)
        total.rows += rows + checks
        total.row_bytes += size + more
        total.runs += len(run_ids)
        self._gone |= set(run_ids)
        for run_id in run_ids:
            self._remove_files(run_id, total)
        if self.dry_run:
            return
        with self._engine.connect() as link:
            link.execute(sa.delete(Checks).where(Checks.c.run_id.in_(run_ids)))
        for run_id in run_ids:
            self.instance.event_log_storage.delete_events(run_id)
            self.instance.delete_run(run_id)

    def _remove_files(self, run_id: str, total: Removed) -> None:
        """Remove what steps printed, and what ops handed on by files; assets' files are elsewhere."""
        base = self._log_directory()
        for directory in {Path(self.instance.storage_directory()), base}:
            if directory:
                self._remove_tree(directory / run_id, total)
        if base is None and not self.dry_run:
            self.instance.compute_log_manager.delete_logs(prefix=[run_id])

    def _log_directory(self) -> Path | None:
        """Where compute logs are; None when they are not in files of this machine."""
        manager = self.instance.compute_log_manager
        if not isinstance(manager, local_compute_logs()):
            return None
        return Path(manager.get_captured_local_path(["any"], "err")).parent

    def _count(self, table: sa.Table, text: sa.Column[str], run_ids: list[str]) -> tuple[int, int]:
        """Rows of these runs, and bytes."""
        size = sa.func.coalesce(sa.func.sum(sa.func.pg_column_size(text)), 0)
        query = sa.select(sa.func.count(), size).where(table.c.run_id.in_(run_ids))
        with self._engine.connect() as link:
            [(count, total)] = link.execute(query).all()
        return int(str(count)), int(str(total))

    def _remove_events(self, run_ids: list[str], total: Removed) -> int:
        """Remove dispensable rows of these runs; of how many runs there were any."""
        touched: set[str] = set()
        newest = sa.select(sa.func.max(Events.c.id)).scalar_subquery()
        size = sa.func.pg_column_size(Events.c.event)
        wanted = sa.and_(
            Events.c.run_id.in_(run_ids),
            Events.c.asset_key.is_(None),
            sa.or_(
                Events.c.dagster_event_type.is_(None),
                Events.c.dagster_event_type.in_([kind.value for kind in DISPENSABLE]),
            ),
            Events.c.id < newest,  # Dagster begins new cursors there
        )
        some = sa.select(Events.c.id).where(wanted).limit(ROWS)
        remove = sa.delete(Events).where(Events.c.id.in_(some)).returning(Events.c.run_id, size)
        query = sa.select(Events.c.run_id, size).where(wanted) if self.dry_run else remove
        with self._engine.connect() as link:
            while run_ids and (rows := link.execute(query).all()):
                touched |= {str(run_id) for run_id, _ in rows}
                total.rows += len(rows)
                total.row_bytes += sum(int(str(size)) for _, size in rows)
                if self.dry_run:
                    break
        return len(touched)

    def _remove_tree(self, tree: Path, total: Removed) -> None:
        for folder, _, names in tree.walk():
            for name in names:
                with contextlib.suppress(OSError):
                    total.file_bytes += (folder / name).lstat().st_size
                    total.files += 1
        if not self.dry_run and tree.exists():
            shutil.rmtree(tree)


def _is_awaited(run: DagsterRun, kept: set[str]) -> bool:
    """Whether a finished run is not over: its retry is to come, or something unfinished needs it."""
    return run.run_id in kept or run.is_complete_and_waiting_to_retry


def _is_kept(run: DagsterRun, kept: set[str]) -> bool:
    """Whether a run has to stay; the key of one that a sensor requested keeps it from being again."""
    return _is_awaited(run, kept) or RUN_KEY_TAG in run.tags


def _batches(run_ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(run_ids), RUNS):
        yield run_ids[start : start + RUNS]


def _run_ids(directory: Path) -> list[str]:
    """The runs that have files in a directory, in which those of assets are as well."""
    if not directory.is_dir():
        return []
    return [path.name for path in directory.iterdir() if _RUN_ID.fullmatch(path.name)]


def _changed(directory: Path) -> float:
    """When something was last added to a directory, in seconds since 1970."""
    try:
        return directory.stat().st_mtime
    except FileNotFoundError:
        return time.time()
