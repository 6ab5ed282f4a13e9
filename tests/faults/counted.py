"""The code location under fault: an asset whose executions can be counted, and two at one time told.

Each execution leaves files in FAULTS_FOLDER: `began-PARTITION-RUN` when it begins, `wrote-PARTITION-RUN`
when its work is done, `overlap-PARTITION-RUN` when another execution of the same partition was still
alive. A file `hold-PARTITION` makes it wait, a file `hold-code` makes loading this module wait.
"""

import fcntl
import os
import time
from pathlib import Path

import dagster as dg

FOLDER = Path(os.environ["FAULTS_FOLDER"])
#: Seconds of work.
WORK = 1.0
PARTITIONS = dg.StaticPartitionsDefinition([f"p{number:04}" for number in range(2000)])
#: In a storm one run may be killed many times.
RETRIES = {"dagster/max_retries": "50"}

while (FOLDER / "hold-code").exists():
    time.sleep(0.1)


@dg.asset(partitions_def=PARTITIONS)
def counted(context: dg.AssetExecutionContext) -> None:
    name = f"{context.partition_key}-{context.run_id}"
    # The kernel lets go of the lock at the very end of the process.
    with (FOLDER / f"lock-{context.partition_key}").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (FOLDER / f"overlap-{name}").touch()
        (FOLDER / f"began-{name}").touch()
        while (FOLDER / f"hold-{context.partition_key}").exists():
            time.sleep(0.1)
        time.sleep(WORK)
        (FOLDER / f"wrote-{name}").touch()


#: Dagster's default, a process per step; and all in the run's own process.
apart = dg.define_asset_job("apart", selection=[counted], tags=RETRIES)
together = dg.define_asset_job(
    "together", selection=[counted], tags=RETRIES, executor_def=dg.in_process_executor
)
defs = dg.Definitions(assets=[counted], jobs=[apart, together])
