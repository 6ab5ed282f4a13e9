"""The sensor that brings each file of the inbox to its end."""

import json
import time
from pathlib import Path

import dagster as dg

from dagma.defs.ingestion.assets import INGEST, sources
from dagma.defs.ingestion.errors import Refused
from dagma.defs.ingestion.inbox import Inbox, Key, State, shown
from dagma.defs.ingestion.resources import default_status
from dagma.kit.clock import sensor_interval
from dagma.kit.run_errors import failed_checks, reason

#: Seconds after which a tick takes no further file; Dagster ends a tick after 60.
PATIENCE = 20.0
#: Files that one tick takes at most.
AT_ONCE = 100


@dg.sensor(
    job_name=INGEST,
    minimum_interval_seconds=sensor_interval(),
    default_status=default_status(),
    description="Takes files of the inbox, and files them away by how their runs ended.",
)
def recipe_inbox(context: dg.SensorEvaluationContext, inbox: Inbox) -> dg.SensorResult:
    """Take new files of the inbox, request their runs, and file them away by how these ended."""
    if not inbox.path:
        return dg.SensorResult(skip_reason="DAGMA_INBOX is not set; there is nothing to watch.")
    try:
        with inbox.alone():
            return _Tick(context, inbox).result()
    except BlockingIOError:
        return dg.SensorResult(skip_reason="The tick before this one is still at work.")


class _Tick:
    """One look at the inbox; nothing of it is needed by the next but the cursor."""

    def __init__(self, context: dg.SensorEvaluationContext, inbox: Inbox) -> None:
        self.instance, self.log, self.inbox = context.instance, context.log, inbox
        # What the tick before saw, to tell which files have stopped changing.
        self.before = {name: State(*state) for name, state in json.loads(context.cursor or "{}")}
        self.waiting: list[str] = []
        # What stays where it is, and why; not logged, since each tick says it again.
        self.notes: list[str] = []

    def result(self) -> dg.SensorResult:
        self.file_away()
        seen = self.take()
        keys = list(self.waiting)
        return dg.SensorResult(
            skip_reason="; ".join(self.notes) if self.notes and not keys else None,
            # Asked for again at each tick until there is a run; Dagster starts one per run key.
            run_requests=[dg.RunRequest(run_key=key, partition_key=key) for key in keys],
            dynamic_partitions_requests=[sources.build_add_request(keys)] if keys else [],
            cursor=json.dumps(list(seen.items())),
        )

    def file_away(self) -> None:
        """Move what is finished out of `processing`, and note what has no run yet."""
        for key, file in self.inbox.taken().items():
            run = self.last_run(key)
            try:
                if run is None:
                    self.waiting.append(key)
                elif run.status == dg.DagsterRunStatus.SUCCESS:
                    self.succeeded(key, file, run)
                elif run.is_finished and not self.is_retried(run):
                    why = reason(self.instance, run.run_id)
                    self.broke(key, file, f"Run {run.run_id} ended in {run.status.value}: {why}")
            except OSError as error:
                self.notes.append(f"{file.name} cannot be moved: {error}")

    def succeeded(self, key: str, file: Path, run: dg.DagsterRun) -> None:
        if wrong := failed_checks(self.instance, run.run_id):
            self.broke(key, file, f"Run {run.run_id}: {' '.join(wrong)}")
        else:
            self.inbox.succeeded(file)
            self.log.info(f"{file.name} was processed and is in the archive.")

    def broke(self, key: str, file: Path, why: str) -> None:
        # The partition goes first, for the file is what reminds us: killed in between, we do both
        # again. Without it, backfills skip the file, and back in the inbox it is processed anew.
        self.instance.delete_dynamic_partition(str(sources.name), key)
        self.inbox.broke(file, why)
        self.log.warning(f"{file.name} failed and is in {self.inbox.failed}.")

    def last_run(self, key: str) -> dg.DagsterRun | None:
        # Retries of a crashed run have its tags, so the newest one counts.
        tags = {"dagster/run_key": key, "dagster/sensor_name": "recipe_inbox"}
        runs = self.instance.get_runs(dg.RunsFilter(tags=tags), limit=1)
        return runs[0] if runs else None

    def is_retried(self, run: dg.DagsterRun) -> bool:
        """Whether Dagster starts it again, or has not yet decided."""
        if run.status != dg.DagsterRunStatus.FAILURE or not self.instance.run_retries_enabled:
            return False
        return run.tags.get("dagster/will_retry") != "false"

    def take(self) -> dict[str, State]:
        """Take files that have not changed since the tick before; all the others, for the next."""
        files, others = self.inbox.arrivals()
        self.notes += others
        settled = [name for name, state in files.items() if self.before.get(name) == state]
        if settled:
            keys = self.instance.get_dynamic_partitions(str(sources.name))
            known = {key.hash for text in (*keys, *self.inbox.taken()) if (key := Key.of(text))}
            deadline = time.monotonic() + PATIENCE
            for name in settled[:AT_ONCE]:
                if time.monotonic() > deadline:
                    break
                self.take_one(name, files[name], known)
        return files

    def take_one(self, name: str, state: State, known: set[str]) -> None:
        try:
            found = self.inbox.content_hash(name, state)
            if found is None:
                return  # it changes again
            if found in known:
                self.inbox.put_aside(name, found)
                self.log.info(f"{shown(name)} is a copy of a file that was taken before.")
                return
            self.waiting.append(str(self.inbox.take(name, found)))
            known.add(found)
        except Refused as error:
            self.inbox.refuse(name, str(error))
            self.log.warning(f"{shown(name)} is refused: {error}.")
        except OSError as error:
            self.notes.append(f"{shown(name)} cannot be moved: {error}")
