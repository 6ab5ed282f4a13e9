import time

import pytest

from dagma.stack import alerts, graphql
from dagma.stack.settings import load

HOUR = 3600


@pytest.fixture
def answers(monkeypatch):
    """What the web interface says, which `tests/stack` asks for real: last tick and next one."""

    def answers(ticked, due, status="RUNNING"):
        state = {"status": status, "ticks": [{"timestamp": ticked}] if ticked else []}
        node = {
            "name": "r",
            "location": {"name": "dagma"},
            "schedules": [{"name": "nightly", "scheduleState": state}],
        }
        first = {"assetNodes": [], "repositoriesOrError": {"nodes": [node]}}
        second = {"s0": {"futureTicks": {"results": [{"timestamp": due}]}}}
        said = iter([first, second])
        monkeypatch.setattr(graphql, "ask", lambda *_: next(said))
        return alerts.lines(load({}).settings)

    return answers


def test_a_schedule_that_should_have_run_is_late(answers):
    now = time.time()
    [line] = answers(now - 25 * HOUR, now - HOUR)
    assert line.startswith("The schedule nightly was due 20")
    assert answers(now - HOUR, now + 23 * HOUR) == []
    assert answers(now - 25 * HOUR, now - 300) == []
    assert answers(now - 25 * HOUR, now - HOUR, "STOPPED") == []
    assert answers(None, now) == []
