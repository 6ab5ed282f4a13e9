"""Changed user code is loaded into a running stack, broken code is not."""

import signal

import pytest
from patient_stack import CODE, a_patient_stack, begin, others, status
from platform_client import wait_for

#: A sensor that only the new code has: its ticks show that the daemon has followed.
SENSOR = """

@dg.sensor(minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING, job=job)
def NAME(): ...

defs = dg.Definitions(assets=[patient], jobs=[job], sensors=[NAME], executor=dg.in_process_executor)
"""


def with_sensor(name):
    return CODE + SENSOR.replace("NAME", name)


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t")
    with a_patient_stack(folder) as live:
        live.dagma("up", "-d", "minimal")
        yield live, folder


def sensors(stack):
    query = "query { sensorsOrError(repositorySelector: {repositoryLocationName: "
    query += '"dagma", repositoryName: "__repository__"}) { ... on Sensors { results { name } } } }'
    return [found["name"] for found in stack.graphql(query)["sensorsOrError"].get("results", [])]


def test_webserver_and_daemon_see_the_new_code_while_a_run_finishes_on_the_old(patient):
    stack, folder = patient
    run_id = begin(stack, folder)
    (stack.work / "patient.py").write_text(with_sensor("first"))
    assert stack.dagma("reload") == "Reloaded.\n"
    assert sensors(stack) == ["first"]
    ticks = "SELECT count(*) FROM job_ticks WHERE tick_body LIKE '%%\"first\"%%' AND id > %s"
    wait_for(lambda: stack.rows(ticks, 0)[0][0] > 0, 120, "a tick of the new sensor")
    assert status(stack, run_id) == "STARTED"
    (folder / "go").touch()
    wait_for(lambda: status(stack, run_id) == "SUCCESS", 60, "success")
    assert others(stack, run_id) == []


def test_code_that_does_not_load_is_refused_and_the_last_version_serves_on(patient):
    stack, _ = patient
    (stack.work / "patient.py").write_text(CODE + "\nundefined_name\n")
    said = stack.dagma("reload", fails=True)
    assert said.startswith("dagma: patient does not load; what was loaded before goes on serving.")
    assert "NameError: name 'undefined_name' is not defined" in said
    assert "patient.py" in said
    assert len(said.splitlines()) < 10
    assert sensors(stack) == ["first"]
    assert "does not load" not in stack.dagma("status")


def test_watching_reloads_after_a_change_and_says_what_is_broken(patient):
    stack, _ = patient
    process = stack.start("reload", "--watch")
    try:
        assert process.stdout.readline() == f"Watching {stack.work}; Ctrl-C ends it.\n"
        (stack.work / "patient.py").write_text("def f(:\n")
        assert process.stdout.readline().startswith("dagma: patient does not load; what was loaded")
        (stack.work / "patient.py").write_text(with_sensor("second"))
        while (line := process.stdout.readline()).startswith("  | "):
            pass
        assert line == "Reloaded.\n"
        assert sensors(stack) == ["second"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.communicate()


def test_broken_code_that_is_served_all_the_same_is_one_line_of_status(patient):
    stack, _ = patient
    (stack.work / "patient.py").write_text("raise ValueError('boom')\n")
    stack.graphql(
        'mutation { reloadRepositoryLocation(repositoryLocationName: "dagma") { __typename } }'
    )
    code, said = stack.run("status")
    assert code == 3
    assert "\npatient does not load: ValueError: boom; details at http://127.0.0.1:" in said
    (stack.work / "patient.py").write_text(CODE)
    stack.dagma("reload")
    assert "does not load" not in stack.dagma("status")
