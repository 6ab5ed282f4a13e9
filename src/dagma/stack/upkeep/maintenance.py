"""The process `maintenance`: once a day `dagma backup` and `dagma prune`, as child processes.

process-compose has schedules of its own only since 1.90, and they do not make up for what was missed.
This sleeps nearly all the time, so it imports neither Dagster nor our settings: it has what it needs
in its environment, checked by `dagma up`.
"""

import json
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from dagma.files import written_whole

#: Seconds from our start to what was missed while the machine was off: the others start first.
DELAY = 20.0
#: Seconds of one sleep; it is short, since a machine that was suspended does not count them.
NAP = 30.0
#: In DAGMA_HOME: the time that was done last, and what failed then.
NOTE = "maintenance.json"


def main() -> None:
    """Do what is due, until a signal ends us."""
    home, zone = Path(os.environ["DAGMA_HOME"]), ZoneInfo(os.environ["DAGMA_TIMEZONE"])
    hour, minute = map(int, os.environ["DAGMA_MAINTENANCE_AT"].split(":"))
    commands = os.environ["DAGMA_DAILY"].split()
    note = read(home)
    if not note:  # nothing was missed by a new state
        _write(home, datetime.now(zone), [])
        note = read(home)
    due = following(datetime.fromisoformat(str(note["at"])), hour, minute, zone)
    _announce(due, commands)
    time.sleep(DELAY)
    while True:
        left = due.timestamp() - time.time()
        if left > 0:
            time.sleep(min(NAP, left))
            continue
        failed = _work(commands)
        now = datetime.now(zone)
        try:
            _write(home, now, failed)
        except OSError as error:  # a full disk, say; if we ended, all would be done again at once
            print(f"{home / NOTE} cannot be written: {error.strerror}.", flush=True)
        due = following(now, hour, minute, zone)
        _announce(due, commands)


def _work(commands: list[str]) -> list[str]:
    """Run the commands up to the first that fails; that one.

    What follows would prune what no backup has.
    """
    for number, command in enumerate(commands):
        if not _run(command):
            for left_out in commands[number + 1 :]:
                print(f"So `dagma {left_out}` is left out today.", flush=True)
            return [command]
    return []


def following(last: datetime, hour: int, minute: int, zone: ZoneInfo) -> datetime:
    """The first time after `last` at which a clock in the zone shows that hour and minute.

    Where summer time leaves out that time, it is the moment to which the clock jumps, or so.
    """
    day = last.astimezone(zone).replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
    # A day is added by the wall clock, so it may have 23 or 25 hours; moments are compared, which `>`
    # between times of one zone would not do.
    return day if day.timestamp() > last.timestamp() else day + timedelta(days=1)


def read(home: Path) -> dict[str, object]:
    """The note about what was done last; empty when there is none that can be read."""
    try:
        found: dict[str, object] = json.loads((home / NOTE).read_text(encoding="utf-8"))
        datetime.fromisoformat(str(found["at"]))
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return found


def problem(home: Path) -> str | None:
    """What failed the last time, for `dagma status`."""
    found = read(home)
    failed = found.get("failed")
    if not isinstance(failed, list) or not failed:
        return None
    commands = " and ".join(f"`dagma {command}`" for command in failed)
    return f"{commands} failed at {found['at']}; {home / 'logs/maintenance.log'} says why"


def _announce(due: datetime, commands: list[str]) -> None:
    what = ", ".join(commands) or "nothing; `dagma down` and `dagma up` take over new settings"
    print(f"The next maintenance is at {due.isoformat(timespec='minutes')}: {what}.", flush=True)


def _run(command: str) -> bool:
    """Run one of Dagma's commands to its end; what it prints goes to our log."""
    print(f"Running `dagma {command}`.", flush=True)
    done = subprocess.run([sys.executable, "-P", "-m", "dagma.cli", command], check=False)
    if done.returncode != 0:
        print(f"`dagma {command}` failed with exit code {done.returncode}.", flush=True)
    return done.returncode == 0


def _write(home: Path, at: datetime, failed: list[str]) -> None:
    """Note what was done, whole or not at all."""
    text = json.dumps({"at": at.isoformat(timespec="seconds"), "failed": failed})
    with written_whole(home / NOTE) as file:
        file.write(text.encode())


if __name__ == "__main__":
    main()
