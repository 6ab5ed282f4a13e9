import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import psutil
import pytest
from platform_client import wait_for

from dagma.stack import environment, settings, topology
from dagma.stack.upkeep import maintenance

BERLIN = ZoneInfo("Europe/Berlin")
#: Last, hour and minute, next; in March 2026 summer time begins on the 29th, at two.
TIMES = {
    "later today": ("2026-01-01T04:59:59+01:00", (5, 0), "2026-01-01T05:00:00+01:00"),
    "tomorrow": ("2026-01-01T05:00:00+01:00", (5, 0), "2026-01-02T05:00:00+01:00"),
    "in another zone": ("2026-01-01T22:59:00+00:00", (0, 30), "2026-01-02T00:30:00+01:00"),
    "a day of 23 hours": ("2026-03-28T05:00:00+01:00", (5, 0), "2026-03-29T05:00:00+02:00"),
    "a time that is not": ("2026-03-29T01:00:00+01:00", (2, 30), "2026-03-29T03:30:00+02:00"),
    "the clock went back": ("2026-10-25T02:10:00+01:00", (2, 30), "2026-10-26T02:30:00+01:00"),
    "twice in a night": ("2026-10-25T02:30:01+02:00", (2, 30), "2026-10-26T02:30:00+01:00"),
}


@pytest.mark.parametrize("case", TIMES)
def test_the_next_time_is_that_of_a_clock_on_the_wall(case):
    last, (hour, minute), expected = TIMES[case]
    found = maintenance.following(datetime.fromisoformat(last), hour, minute, BERLIN)
    assert found.timestamp() == datetime.fromisoformat(expected).timestamp()


def daily(tmp_path, **values):
    chosen = settings.load({"DAGMA_HOME": str(tmp_path), **values}).settings
    return chosen.daily, [
        group for group in topology.GROUPS if "maintenance" in topology.members(group, chosen)[0]
    ]


def test_it_runs_where_a_setting_gives_it_something_to_do(tmp_path):
    assert daily(tmp_path) == ([], [])
    assert daily(tmp_path, DAGMA_KEEP_RUNS_DAYS="9") == (["prune"], list(topology.GROUPS))
    both = daily(tmp_path, DAGMA_BACKUP_DAILY="true", DAGMA_KEEP_EVENTS_DAYS="9")
    assert both == (["backup", "prune"], list(topology.GROUPS))


@pytest.fixture
def start(tmp_path):
    """Start the process with the environment that `dagma up` gives it."""
    started = []

    def begin(before="", **values):
        loaded = settings.load({"DAGMA_HOME": str(tmp_path / "h"), **values})
        services, _ = topology.members("minimal", loaded.settings)
        environ = environment.of_services(loaded, services, os.environ)
        then = "from dagma.stack.upkeep import maintenance as m; m.DELAY = 0.1; m.main()"
        process = subprocess.Popen(
            [sys.executable, "-c", before + then], env=environ, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    (tmp_path / "h").mkdir()
    yield begin
    for process in started:
        process.kill()
        with process:
            process.communicate(timeout=60)


def note(home, days):
    at = datetime.now(BERLIN) - timedelta(days=days)
    (home / maintenance.NOTE).write_text(f'{{"at": "{at.isoformat()}", "failed": []}}')


def test_a_new_state_has_missed_nothing(start, tmp_path):
    process = start(DAGMA_KEEP_RUNS_DAYS="9", DAGMA_MAINTENANCE_AT="04:05")
    assert process.stdout.readline().startswith("The next maintenance is at ")
    noted = maintenance.read(tmp_path / "h")
    age = datetime.now(BERLIN) - datetime.fromisoformat(noted["at"])
    assert age < timedelta(minutes=5)


def test_what_was_missed_is_done_once_and_a_failure_is_kept_for_status(start, tmp_path):
    home = tmp_path / "h"
    note(home, days=3)
    process = start(DAGMA_BACKUP_DAILY="true", DAGMA_KEEP_RUNS_DAYS="9")
    said = [process.stdout.readline() for _ in range(5)]  # no stack runs, so the command fails
    assert said[1] == "Running `dagma backup`.\n"
    assert said[3] == "So `dagma prune` is left out today.\n"
    assert said[-1].startswith("The next maintenance is at ")
    assert process.poll() is None
    problem = maintenance.problem(home)
    assert problem.startswith("`dagma backup` failed at 20")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM
    again = start(DAGMA_BACKUP_DAILY="true")
    assert again.stdout.readline().startswith("The next maintenance is at ")
    assert maintenance.problem(home) == problem


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"at": "yesterday"}', '{"at": 1}'])
def test_a_note_that_cannot_be_read_counts_as_none(tmp_path, text):
    (tmp_path / maintenance.NOTE).write_text(text)
    assert maintenance.read(tmp_path) == {}
    assert maintenance.problem(tmp_path) is None


def test_it_imports_nothing_large(start):
    process = start(DAGMA_KEEP_RUNS_DAYS="9")
    process.stdout.readline()
    loaded = {path for path in (m.path for m in psutil.Process(process.pid).memory_maps())}
    assert not [path for path in loaded if "pydantic" in path or "psycopg2" in path]
    wait_for(lambda: psutil.Process(process.pid).status() == "sleeping", 60, "sleep")
    assert psutil.Process(process.pid).memory_info().rss < 40_000_000


def test_a_note_that_cannot_be_written_does_not_end_it(start, tmp_path):
    home = tmp_path / "h"
    note(home, days=3)
    no_file = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
    process = start(no_file, DAGMA_KEEP_RUNS_DAYS="9")
    lines = [process.stdout.readline() for _ in range(5)]
    assert f"{home / maintenance.NOTE} cannot be written: File too large.\n" in lines
    assert lines[-1].startswith("The next maintenance is at ")
    assert process.poll() is None
