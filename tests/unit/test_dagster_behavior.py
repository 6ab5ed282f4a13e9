"""Canaries for what Dagma recognises or overrides in Dagster: its methods, sentences and sequences.

A newer Dagster in which one has changed fails here by its name. Each canary is also seen to fail, on a
Dagster in which it was changed.
"""

import inspect
from types import SimpleNamespace

import canaries
import dagster as dg
import pytest
from canaries import (
    a_killed_server_is_named,
    a_retry_is_given_up_while_the_error_is_handled,
    a_step_has_a_process_that_says_so,
    a_tag_says_how_often_a_run_is_retried,
    only_a_lost_run_is_failed,
    rewritten,
    the_first_event_is_recognised,
    the_monitor_has_its_name,
)
from dagster_postgres import PostgresRunStorage

from dagma import code_server
from dagma.instance import Instance, launcher, leases

CONCERNS = [parent for parent in Instance.__mro__ if parent.__module__.startswith("dagma.")]

#: Methods that Dagster calls and Dagma overrides, with the arguments that Dagma understands.
OVERRIDES = {
    (dg.DagsterInstance, "get_tick_retention_settings"): ["self", "instigator_type"],
    (dg.DagsterInstance, "handle_new_event"): ["self", "event", "batch_metadata"],
    (dg.DagsterInstance, "add_run_tags"): ["self", "run_id", "new_tags"],
    (dg.DagsterInstance, "daemon_cursor_storage"): ["self"],
    (dg.DagsterInstance, "add_daemon_heartbeat"): ["self", "daemon_heartbeat"],
    (dg.DagsterInstance, "report_run_failed"): [
        "self",
        "dagster_run",
        "message",
        "job_failure_data",
    ],
    (dg.DagsterInstance, "optimize_for_webserver"): [
        "self",
        "statement_timeout",
        "pool_recycle",
        "max_overflow",
    ],
    (dg.DagsterInstance, "dispose"): ["self"],
    (dg.DefaultRunLauncher, "supports_check_run_worker_health"): ["self"],
    (dg.DefaultRunLauncher, "check_run_worker_health"): ["self", "run"],
    (dg.DefaultRunLauncher, "launch_run"): ["self", "context"],
}
OVERRIDDEN = pytest.mark.parametrize(
    ("method", "expected"), OVERRIDES.items(), ids=[name for _, name in OVERRIDES]
)


def check_override(parent, name, expected):
    """Fail by the name when Dagster no longer calls it, or with other arguments."""
    found = getattr(parent, name, None)
    if found is None:
        raise AssertionError(f"{parent.__name__}.{name} is gone; Dagma overrides it")
    arguments = [*inspect.signature(getattr(found, "fget", found)).parameters]
    if arguments != expected:
        raise AssertionError(f"{parent.__name__}.{name} takes {arguments}; Dagma knows {expected}")


@OVERRIDDEN
def test_override(method, expected):
    check_override(*method, expected)


@OVERRIDDEN
def test_an_overridden_method_that_moved_is_said(method, expected):
    parent, name = method
    with pytest.raises(AssertionError, match=rf"{name} is gone"):
        check_override(SimpleNamespace(__name__=parent.__name__), name, expected)
    changed = SimpleNamespace(__name__=parent.__name__, **{name: lambda self, one, other: None})
    with pytest.raises(AssertionError, match=rf"{name} takes \['self', 'one', 'other'\]"):
        check_override(changed, name, expected)


def test_what_else_a_concern_has_is_unknown_to_dagster():
    ours = [(dg.DagsterInstance, name) for concern in CONCERNS for name in vars(concern)]
    ours += [(dg.DefaultRunLauncher, name) for name in vars(launcher.RunLauncher)]
    common = {(of, name) for of, name in ours if hasattr(of, name) and not _is_of_every_class(name)}
    assert common == set(OVERRIDES)


def _is_of_every_class(name):
    return name.startswith("__") or name in {"_abc_impl", "_is_protocol"}


def test_the_storage_of_runs_says_where_its_database_is():
    url = "postgresql+psycopg2://dagster@127.0.0.1:9/dagster"
    runs = PostgresRunStorage(url, should_autocreate_tables=False)
    engine = leases.database(SimpleNamespace(run_storage=runs))
    assert engine is not None, "without postgres_url no run has a lease"
    assert engine.url.render_as_string() == url


@pytest.mark.parametrize("name", ["dagster", "dagster-daemon"])
def test_dagster_declares_its_commands(name):
    assert callable(code_server.program(name))


#: What is recognised in what Dagster says and does, and a change of Dagster's that has to be noticed:
#: the function, where it is looked up, what is changed in it, and what the canary says.
RECOGNISED = {
    the_first_event_is_recognised: (
        "dagster._grpc.impl._run_in_subprocess",
        ("Started process for run", "Began the process of run"),
        "first event",
    ),
    a_retry_is_given_up_while_the_error_is_handled: (
        "dagster._daemon.auto_run_reexecution.event_log_consumer"
        ".consume_new_runs_for_automatic_reexecution",
        ('{WILL_RETRY_TAG: "false"}', '{WILL_RETRY_TAG: "no"}'),
        "will_retry",
    ),
    the_monitor_has_its_name: (
        "dagster._daemon.daemon.MonitoringDaemon.daemon_type",
        ("MONITORING", "RUN_MONITORING"),
        "'RUN_MONITORING'",
    ),
    only_a_lost_run_is_failed: (
        "dagster._daemon.monitoring.run_monitoring.monitor_started_run",
        ("[WorkerStatus.RUNNING, WorkerStatus.SUCCESS]", "[WorkerStatus.SUCCESS]"),
        "RUNNING",
    ),
    a_tag_says_how_often_a_run_is_retried: (
        "dagster._core.execution.retries.auto_reexecution_should_retry_run",
        ("run.tags.get(MAX_RETRIES_TAG)", "run.tags.get('dagster/other')"),
        "dagster/max_retries",
    ),
    a_killed_server_is_named: (
        "dagster._grpc.server.wait_for_grpc_server",
        ("while starting up", "at its start"),
        "at its start",
    ),
}
BEHAVIORS = pytest.mark.parametrize("canary", RECOGNISED, ids=lambda canary: canary.__name__)


@pytest.mark.filterwarnings("ignore")  # Dagster's, about a code location that is away
@BEHAVIORS
def test_recognised(canary, tmp_path):
    canary(tmp_path)


@pytest.mark.filterwarnings("ignore")
@BEHAVIORS
def test_a_dagster_that_says_or_does_something_else_is_noticed(canary, tmp_path, monkeypatch):
    place, change, said = RECOGNISED[canary]
    monkeypatch.setattr(place, rewritten(place, *change))
    with pytest.raises(AssertionError, match=said):
        canary(tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (
            "_create_cursor_key",
            ("EVENT_LOG_CONSUMER_CURSOR-", "RETRIES_CURSOR-"),
            "place in the event log",
        ),
        (  # the error is no longer handled when the tag is set
            "consume_new_runs_for_automatic_reexecution",
            (
                "            workspace_process_context.instance.add_run_tags(",
                "        if error_info:\n            workspace_process_context.instance.add_run_tags(",
            ),
            "will_retry",
        ),
    ],
)
def test_another_sequence_of_a_retry_is_noticed(name, change, said, tmp_path, monkeypatch):
    place = f"dagster._daemon.auto_run_reexecution.event_log_consumer.{name}"
    monkeypatch.setattr(place, rewritten(place, *change))
    with pytest.raises(AssertionError, match=said):
        a_retry_is_given_up_while_the_error_is_handled(tmp_path)


def test_a_step_has_a_process_that_says_so(tmp_path):
    a_step_has_a_process_that_says_so(tmp_path)


def test_a_step_without_a_process_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(canaries, "spread", canaries.tiny)  # all in one process
    with pytest.raises(AssertionError, match="no STEP_WORKER_STARTED"):
        a_step_has_a_process_that_says_so(tmp_path)
