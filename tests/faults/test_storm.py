"""Runs queued while services are killed at random: each partition is materialized exactly once."""

import random
import time
from collections import Counter

import pytest
from kills import FAULTS
from under_fault import FINAL, JOBS

pytestmark = pytest.mark.stack

#: Seconds between two kills, at random; the second often comes before the first is healed.
PAUSE = (0.5, 8.0)
#: Seconds in which at least one run has to end, as long as there are some.
STANDSTILL = 240.0


def test_every_run_of_a_storm_ends_well_exactly_once(stack, report, seed, storm, kills):
    stack.wait_well()
    chance = random.Random(seed)
    history = stack.history()
    plan = [(chance.choice(FAULTS), chance.uniform(*PAUSE)) for _ in range(kills)]
    partitions = [stack.launch(chance.choice(JOBS)) for _ in range(storm)]
    line = report.line("any of these", f"storm of {storm} runs")
    line.lost = storm
    done = Counter()

    for fault, pause in plan:
        time.sleep(pause)
        begun = [run.run_id for run in stack.runs(*partitions) if run.status == "STARTED"]
        if fault.needs_run and not begun:
            continue
        fault.kill(stack, chance.choice(begun) if begun else None)
        done[fault.name] += 1
        line.tried += 1
        print(f"{time.strftime('%X')} killed: {fault.name}", flush=True)
    killed = time.monotonic()
    report.notes.append("Killed in the storm: " + ", ".join(f"{n} {c}" for n, c in done.items()))

    stack.wait_well()
    line.service_seconds = time.monotonic() - killed
    wait_for_the_end(stack, partitions)
    line.run_seconds = time.monotonic() - killed

    runs = stack.runs(*partitions)
    successes = Counter(run.partition for run in runs if run.status == "SUCCESS")
    line.lost = sum(1 for partition in partitions if not successes[partition])
    duplicated = [name for name in stack.duplicated() if any(p in name for p in partitions)]
    line.duplicated = len(duplicated)
    report.notes.append(f"{storm} partitions took {len(runs)} runs.")

    assert duplicated == []
    assert successes == Counter(partitions)
    stack.check_runs(*partitions)
    stack.check_history(history)
    stack.check_processes()
    line.recovered = line.tried


def wait_for_the_end(stack, partitions):
    """Return when every partition has its success, or when nothing moves any more."""
    moved, before = time.monotonic(), None
    while not stack.done(*partitions) and time.monotonic() - moved < STANDSTILL:
        now = [run for run in stack.runs(*partitions) if run.status in FINAL]
        if now != before:
            moved, before = time.monotonic(), now
        time.sleep(1)
