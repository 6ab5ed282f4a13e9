import os
import signal

import psutil
from live_stack import wait_for

TICKS = "SELECT count(*) FROM job_ticks WHERE tick_body LIKE '%%notify_success%%'"


def ticks(stack):
    return stack.rows(TICKS)[0][0]


def test_a_run_is_told_once_although_the_daemon_is_killed(stack, webhook):
    def told(run_id):
        return [message for message in webhook.messages if message["run_id"] == run_id]

    wait_for(lambda: ticks(stack), 60, "the sensor's first tick")
    busy, refused = stack.launch_numbers(), stack.launch_numbers()
    webhook.answers_to = {busy: [503, 503], refused: [404]}
    wait_for(lambda: len(told(busy)) == 3, 120, "the third attempt")
    wait_for(lambda: told(refused), 60, "the message that is refused")
    log = stack.home / "logs/daemon.log"
    wait_for(lambda: "answered with status 404" in log.read_text(), 60, "the refusal in the log")
    os.kill(stack.status()["daemon"]["pid"], signal.SIGKILL)
    before = ticks(stack)
    wait_for(lambda: ticks(stack) > before + 1, 120, "ticks after the restart")
    assert (len(told(busy)), len(told(refused))) == (3, 1)
    message = told(busy)[-1]
    port = stack.ports["DAGSTER_WEBSERVER_PORT"]
    assert message["event"] == "run_success"
    assert message["url"] == f"http://127.0.0.1:{port}/runs/{busy}"


def test_the_address_is_in_no_log_no_table_and_no_environment(stack, webhook):
    wait_for(lambda: ticks(stack), 60, "a tick")
    secret = "very-secret"
    assert secret in webhook.url
    assert secret in (stack.home / "secrets/webhook_url").read_text()
    assert (stack.home / "secrets/webhook_url").stat().st_mode & 0o777 == 0o600
    logs = (path.read_text(errors="replace") for path in (stack.home / "logs").iterdir())
    assert secret not in "".join(logs)
    assert secret not in stack.dagma("env")
    tables = stack.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for (table,) in tables:
        assert secret not in str(stack.rows(f"SELECT * FROM {table}")), table
    for pid in filter(None, (service["pid"] for service in stack.status().values())):
        assert secret not in str(psutil.Process(pid).environ())
