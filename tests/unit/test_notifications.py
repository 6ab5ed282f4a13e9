import logging
import threading
import time
from dataclasses import replace

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.storage.tags import TagType, get_tag_type
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._serdes import serialize_value
from dagster._utils.error import SerializableErrorInfo, serializable_error_info_from_exc_info
from webhook_server import a_webhook

from dagma.defs.notifications.corpus import watch_corpus_size
from dagma.instance import leases
from dagma.kit.notifications import resources, sensors, webhook
from dagma.kit.notifications.message import WECOM_LIMIT, Message
from dagma.kit.notifications.schedules import watch_schedules
from dagma.kit.notifications.sensors import notify_failure, notify_success
from dagma.kit.notifications.webhook import Webhook, WebhookError

MESSAGE = Message(
    "run_failure", "Run of x failed", "x", "1234567890", None, "why", "http://w/runs/1"
)


@pytest.fixture
def server():
    with a_webhook() as server:
        yield server


@pytest.fixture
def hook(server, tmp_path):
    (tmp_path / "url").write_text(server.url + "\n")
    return Webhook(url_file=str(tmp_path / "url"), public_url="https://dagster.example/")


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "i").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "i")) as instance:
        yield instance


@dg.op
def fails():
    raise ValueError("bad input")


@dg.op
def fails_with_a_sentence():
    raise dg.Failure("The file is empty.")


@dg.op
def works(): ...


@dg.job
def broken():
    fails()


@dg.job
def described():
    fails_with_a_sentence()


@dg.job
def fine():
    works()


def executed(job, instance):
    return job.execute_in_process(instance=instance, raise_on_error=False)


def failed(instance, hook, job=broken):
    """Run a job that fails, and let the sensor see it; the run's id."""
    result = executed(job, instance)
    tell_failure(instance, hook, result)
    return result.run_id


def tell_failure(instance, hook, result):
    event = result.get_run_failure_event()
    run = instance.get_run_by_id(result.run_id)
    context = dg.build_run_status_sensor_context(
        "notify_failure", event, instance, run
    ).for_run_failure()
    notify_failure(context, webhook=hook)


def tell_success(instance, hook, result):
    context = dg.build_run_status_sensor_context(
        "notify_success", result.get_run_success_event(), instance, result.dagster_run
    )
    notify_success(context, webhook=hook)


def test_a_failed_run_is_told_with_its_reason_and_link(instance, hook, server):
    run_id = failed(instance, hook)
    assert server.messages == [
        {
            "event": "run_failure",
            "title": "Run of broken failed",
            "job": "broken",
            "run_id": run_id,
            "partition": None,
            "text": "ValueError: bad input",
            "url": f"https://dagster.example/runs/{run_id}",
        }
    ]


def test_the_reason_of_a_failure_is_its_description(instance, hook, server):
    failed(instance, hook, described)
    assert server.messages[0]["text"] == "The file is empty."


def test_a_run_whose_process_died_has_dagsters_words(instance, hook, server):
    run = instance.create_run_for_job(fine, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run, "The process was killed.")
    [log] = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    context = dg.build_run_status_sensor_context(
        "notify_failure", log.dagster_event, instance, run
    ).for_run_failure()
    notify_failure(context, webhook=hook)
    assert server.messages[0]["text"] == "The process was killed."


def test_a_run_that_succeeded_is_told(instance, hook, server):
    tell_success(instance, hook, executed(fine, instance))
    assert server.messages[0]["title"] == "Run of fine succeeded"


def checked(severity):
    @dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="data")])
    def data():
        yield dg.Output(1)
        yield dg.AssetCheckResult(
            check_name="sound", passed=False, severity=severity, metadata={"share": 0.8}
        )

    return data


def test_a_run_whose_check_failed_is_not_told_as_a_success(instance, hook, server):
    result = dg.materialize([checked(dg.AssetCheckSeverity.ERROR)], instance=instance)
    assert result.success
    tell_success(instance, hook, result)
    [message] = server.messages
    assert message["event"] == "check_failure"
    assert message["title"] == "Run of __ephemeral_asset_job__ made data that failed its checks"
    assert message["text"] == "Check sound of data failed: share 0.8."


def test_a_check_that_only_warns_leaves_a_success(instance, hook, server):
    result = dg.materialize([checked(dg.AssetCheckSeverity.WARN)], instance=instance)
    tell_success(instance, hook, result)
    assert server.messages[0]["event"] == "run_success"


def ticked(instance, status, due, end):
    """A tick of the schedule `nightly` in the database, as the daemon leaves it."""
    state = next(iter(instance.all_instigator_state()), None)
    if state is None:
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(a_location(), "r"), "nightly")
        data = ScheduleInstigatorData("0 3 * * *")
        kind, on = InstigatorType.SCHEDULE, InstigatorStatus.RUNNING
        state = instance.add_instigator_state(InstigatorState(origin, kind, on, data))
    error = SerializableErrorInfo("bad cron\n", [], "Error") if status == "FAILURE" else None
    tick = TickData(
        state.instigator_origin_id,
        "nightly",
        state.instigator_type,
        TickStatus(status),
        due,
        run_ids=[],
        run_keys=[],
        error=error,
        end_timestamp=end,
        selector_id=state.selector_id,
    )
    instance.create_tick(tick)


def a_location():
    return ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="m"), "l")


@pytest.fixture
def with_schedules(tmp_path):
    """An instance that keeps ticks."""
    (tmp_path / "s").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "s")) as instance:
        yield instance


def look(instance, hook, cursor=None):
    context = dg.build_sensor_context(
        instance, cursor=cursor, resources={"webhook": hook}, sensor_name="watch_schedules"
    )
    return watch_schedules.evaluate_tick(context)


def test_schedules_that_fail_or_run_late_are_told_once(with_schedules, hook, server):
    now = time.time()
    ticked(with_schedules, "SUCCESS", now - 3600, now - 3590)
    ticked(with_schedules, "SUCCESS", now - 1800, now - 600)
    ticked(with_schedules, "FAILURE", now - 60, now - 59)
    seen = look(with_schedules, hook)
    assert [(one["event"], one["title"]) for one in server.messages] == [
        ("schedule_late", "Schedule nightly ran late"),
        ("schedule_failed", "Schedule nightly failed"),
    ]
    assert "it ran 20 minutes later" in server.messages[0]["text"]
    assert "bad cron" in server.messages[1]["text"]
    assert server.messages[0]["url"] == "https://dagster.example/automation"
    look(with_schedules, hook, seen.cursor)
    assert len(server.messages) == 2


def test_a_dead_webhook_does_not_stop_the_watch_of_schedules(with_schedules, hook, server):
    server.answers = [404]
    ticked(with_schedules, "FAILURE", time.time() - 60, time.time())
    assert "status 404" in look(with_schedules, hook).skip_message


def test_slack_gets_its_own_markup(hook, server):
    message = replace(MESSAGE, partition="p", text="a < b\n& c")
    Webhook(url=server.url, format="slack").send(message)
    assert server.messages == [
        {
            "text": "*Run of x failed*\npartition p\n> a &lt; b\n> &amp; c\n"
            "<http://w/runs/1|12345678>"
        }
    ]


@pytest.mark.parametrize("tag", [sensors.TAG, leases.TAG])
def test_tags_that_are_machinery_are_not_on_the_page_of_runs(tag):
    assert get_tag_type(tag) == TagType.HIDDEN


def test_a_run_is_told_once(instance, hook, server):
    result = executed(fine, instance)
    tell_success(instance, hook, result)
    tell_success(instance, hook, result)
    assert len(server.messages) == 1


def test_two_ticks_at_one_time_tell_a_run_once(instance, hook, server):
    result = executed(fine, instance)
    ticks = [threading.Thread(target=tell_success, args=(instance, hook, result)) for _ in range(4)]
    for tick in ticks:
        tick.start()
    for tick in ticks:
        tick.join()
    assert len(server.messages) == 1


def test_a_retry_is_told_although_it_has_the_tags_of_its_run(instance, hook, server):
    first = executed(broken, instance)
    tell_failure(instance, hook, first)
    tags = instance.get_run_by_id(first.run_id).tags
    again = broken.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
    tell_failure(instance, hook, again)
    assert [message["run_id"] for message in server.messages] == [first.run_id, again.run_id]


def test_a_run_that_is_started_again_is_not_told(instance, hook, server):
    result = executed(broken, instance)
    instance.add_run_tags(result.run_id, {"dagster/will_retry": "true"})
    tell_failure(instance, hook, result)
    assert server.messages == []


def test_after_two_errors_the_third_attempt_is_enough(hook, server):
    server.answers = [503, 500]
    hook.send(MESSAGE)
    assert len(server.messages) == 3


@pytest.mark.parametrize("status", [400, 404, 302])
def test_a_refusal_is_not_repeated_and_names_the_status(hook, server, status):
    server.answers = [status]
    with pytest.raises(WebhookError, match=f"status {status}"):
        hook.send(MESSAGE)
    assert len(server.messages) == 1


def test_a_server_that_never_answers_is_given_up(hook, server, monkeypatch):
    monkeypatch.setattr(webhook, "TIMEOUT", (0.2, 0.2))
    server.silent.set()
    with pytest.raises(WebhookError, match="did not answer: ReadTimeoutError"):
        hook.send(MESSAGE)
    assert len(server.messages) == 3


def test_all_attempts_of_five_runs_fit_into_a_tick():
    attempts = 1 + webhook.RETRIES
    pauses = 0.5 * 2  # urllib3's, before the last attempt
    assert 5 * (attempts * max(webhook.TIMEOUT) + pauses) < 60


def test_a_failed_delivery_leaves_the_run_to_be_told_later(instance, hook, server):
    server.answers = [404]
    result = executed(fine, instance)
    with pytest.raises(WebhookError):
        tell_success(instance, hook, result)
    tell_success(instance, hook, result)
    assert len(server.messages) == 2


def secret_free(text):
    return "very-secret" not in text and "/hook" not in text


def test_the_address_is_in_no_error_and_no_log(hook, server, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(webhook, "TIMEOUT", (0.2, 0.2))
    for prepare in (lambda: server.answers.append(404), server.silent.set):
        prepare()
        with pytest.raises(WebhookError) as caught:
            hook.send(MESSAGE)
        assert secret_free(str(caught.value))
        shown = serializable_error_info_from_exc_info(caught._excinfo).to_string()
        assert secret_free(shown)  # as a tick keeps it
    with pytest.raises(WebhookError, match="NewConnectionError") as caught:
        Webhook(url="http://127.0.0.1:9/hook?key=very-secret").send(MESSAGE)
    assert secret_free(str(caught.value))
    assert secret_free(caplog.text)


@pytest.mark.parametrize(
    "url", ["ftp://very-secret/hook", "very-secret/hook", "http://[very-secret/hook"]
)
def test_a_wrong_address_is_an_error_without_it(url):
    with pytest.raises(WebhookError) as caught:
        Webhook(url=url).send(MESSAGE)
    assert secret_free(str(caught.value))


def test_other_threads_log_as_before(caplog):
    caplog.set_level(logging.WARNING)
    logger = logging.getLogger("urllib3.connectionpool")
    with webhook._unlogged():
        thread = threading.Thread(target=logger.warning, args=("of another",))
        thread.start()
        thread.join()
        logger.warning("of ours")
    logger.warning("afterwards")
    assert [record.message for record in caplog.records] == ["of another", "afterwards"]


def test_without_an_address_it_says_what_to_set():
    with pytest.raises(WebhookError, match="DAGMA_WEBHOOK_URL is not set"):
        Webhook().send(MESSAGE)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WebhookError, match=r"url cannot be read: No such file"):
        Webhook(url_file=str(tmp_path / "url")).send(MESSAGE)


def test_an_unknown_format_is_named(hook):
    with pytest.raises(WebhookError, match="'xml', not json, slack or wecom"):
        Webhook(url=hook.url, format="xml").send(MESSAGE)


def test_a_wecom_bot_gets_markdown(hook, server):
    Webhook(url=server.url, format="wecom").send(MESSAGE)
    assert server.messages == [
        {
            "msgtype": "markdown",
            "markdown": {"content": "**Run of x failed**\n> why\n[12345678](http://w/runs/1)"},
        }
    ]


@pytest.mark.parametrize("body", [b'{"errcode": 45009, "errmsg": "freq"}', b"<html>", b"[]"])
def test_what_wecom_refuses_is_an_error_although_it_says_200(server, body):
    server.body = body
    with pytest.raises(WebhookError, match=r"errcode (45009|unknown)"):
        Webhook(url=server.url, format="wecom").send(MESSAGE)


def test_a_wecom_message_is_cut_to_what_fits_and_keeps_its_link():
    long = Message(
        "run_failure", "Run of x failed", "x", "1" * 36, "p", "番茄\n" * 3000, "http://w/1"
    )
    content = long.wecom()["markdown"]["content"]
    assert WECOM_LIMIT - 8 < len(content.encode()) <= WECOM_LIMIT
    assert content.endswith("(http://w/1)")


@pytest.mark.parametrize("name", ["DAGMA_WEBHOOK_URL", "DAGMA_WEBHOOK_URL_FILE"])
def test_the_sensors_are_on_only_where_there_is_a_webhook(monkeypatch, name):
    for variable in resources.ADDRESSES:
        monkeypatch.delenv(variable, raising=False)
    assert resources.default_status() == dg.DefaultSensorStatus.STOPPED
    monkeypatch.setenv(name, "x")
    assert resources.default_status() == dg.DefaultSensorStatus.RUNNING


def test_the_web_interface_gets_the_name_of_the_variable_instead_of_the_address(monkeypatch):
    monkeypatch.setenv("DAGMA_WEBHOOK_URL", "http://very-secret")
    repository = resources.resources().get_repository_def()
    shown = serialize_value(RepositorySnap.from_def(repository))
    assert '"webhook"' in shown
    assert "very-secret" not in shown


@pytest.fixture
def corpus(instance):
    def materialized(recipes):
        @dg.asset(name="normalized_recipes")
        def normalized_recipes():
            return dg.MaterializeResult(metadata={"recipes": recipes})

        dg.materialize([normalized_recipes], instance=instance)

    return materialized


def watch(instance, hook, cursor=None):
    context = dg.build_sensor_context(
        instance, cursor=cursor, resources={"webhook": hook}, sensor_name="watch_corpus_size"
    )
    return watch_corpus_size.evaluate_tick(context).skip_message


def test_a_corpus_that_lost_more_than_a_tenth_is_told_once(instance, hook, server, corpus):
    corpus(100)
    corpus(80)
    assert "has 80 recipes, and had 100" in watch(instance, hook)
    watch(instance, hook)
    assert [message["event"] for message in server.messages] == ["recipes_shrunk"]


@pytest.mark.parametrize("counts", [(100,), (100, 90), (100, 200)])
def test_a_corpus_of_about_the_same_size_is_not_told(instance, hook, server, corpus, counts):
    for count in counts:
        corpus(count)
    assert watch(instance, hook) == "The corpus has not shrunk."
    assert server.messages == []


def test_a_dead_webhook_does_not_stop_the_watch(instance, hook, server, corpus):
    server.answers = [404]
    corpus(100)
    corpus(80)
    assert "status 404" in watch(instance, hook)


def test_the_subject_of_a_run_of_assets_is_its_selection(instance):
    keys = {dg.AssetKey(name) for name in "abcde"}
    run = dg.DagsterRun(job_name="__ASSET_JOB", asset_selection=keys)
    assert sensors._subject(run) == "a, b, c and 2 more"
