"""The daily work of a running stack: what was missed is done after the start."""

import json
import time
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from live_stack import LONG, a_stack
from platform_client import wait_for

from dagma.stack.upkeep import maintenance


@pytest.fixture(scope="module")
def kept():
    """A stack that is to be backed up and pruned, and was last three days ago."""
    with a_stack(DAGMA_BACKUP_DAILY="true", DAGMA_KEEP_RUNS_DAYS="9") as live:
        live.dagma("env")  # makes the state directory
        at = datetime.now(UTC) - timedelta(days=3)
        (live.home / maintenance.NOTE).write_text(json.dumps({"at": at.isoformat(), "failed": []}))
        yield live


def test_what_was_missed_is_done_after_the_start_and_the_log_shows_it(kept):
    kept.dagma("up", "-d", "minimal")
    service = kept.status()["maintenance"]
    assert service["healthy"]
    assert service["url"] == "daily at 05:00 UTC"
    rss = psutil.Process(service["pid"]).memory_info().rss
    assert rss < 40_000_000, rss

    def done():
        return "Running `dagma prune`." in (text := kept.dagma("logs", "maintenance")) and (
            text.count("The next maintenance is at") == 2 and text
        )

    text = wait_for(done, LONG, "backup and pruning")
    assert len(list(kept.backups.glob("*.tar"))) == 1
    assert "Finished runs older than 9 days: removed of 0 runs" in text
    assert kept.status()["maintenance"]["reason"] is None


def test_a_failed_backup_shows_in_status_and_nothing_is_pruned(kept):
    (kept.home / maintenance.NOTE).write_text(
        json.dumps({"at": time.strftime("%Y-01-01T00:00:00+00:00"), "failed": []})
    )
    backups = kept.backups
    backups.rename(kept.base / "former")
    backups.touch()  # no directory
    before = kept.dagma("logs", "maintenance").count("Running `dagma prune`.")
    kept.dagma("restart", "maintenance")
    wait_for(lambda: kept.status()["maintenance"]["reason"], LONG, "the failure")
    code, said = kept.run("status")
    assert code == 0
    assert "`dagma backup` failed at 20" in said
    assert "`dagma prune` failed" not in said
    log = kept.dagma("logs", "maintenance")
    assert "So `dagma prune` is left out today." in log
    assert log.count("Running `dagma prune`.") == before
