"""A stack of its own whose one asset waits for a file, and what tests ask about its runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from live_stack import LiveStack, a_stack
from platform_client import wait_for

CODE = """
import os, pathlib, time
import dagster as dg

@dg.asset
def patient():
    here = pathlib.Path(os.environ["TEST_FOLDER"])
    (here / f"began-{os.getpid()}").touch()
    while not (here / "go").exists():
        time.sleep(0.1)

job = dg.define_asset_job("wait", selection=[patient])
defs = dg.Definitions(assets=[patient], jobs=[job], executor=dg.in_process_executor)
"""
#: The job of that asset, for `launch`.
WAIT = {
    "repositoryLocationName": "dagma",
    "repositoryName": "__repository__",
    "jobName": "wait",
}


@contextmanager
def a_patient_stack(folder: Path) -> Iterator[LiveStack]:
    """A stack that is not up yet; its asset says in the folder that it began, and waits for `go`."""
    with a_stack(DAGMA_CODE_MODULE="patient", TEST_FOLDER=str(folder)) as live:
        (live.work / "patient.py").write_text(CODE)
        yield live


def status(stack: LiveStack, run_id: str) -> str:
    return stack.rows("SELECT status FROM runs WHERE run_id = %s", run_id)[0][0]


def others(stack: LiveStack, run_id: str) -> list[tuple[Any, ...]]:
    return stack.rows("SELECT run_id FROM runs WHERE run_id != %s", run_id)


def begin(stack: LiveStack, folder: Path) -> str:
    """Launch the job and wait until its asset waits."""
    run_id = stack.launch(WAIT)
    wait_for(lambda: list(folder.glob("began-*")), 60, "the asset")
    wait_for(lambda: status(stack, run_id) == "STARTED", 10, "the run to be STARTED")
    return run_id
