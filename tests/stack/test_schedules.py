import json


def test_the_nightly_retraining_is_on_and_its_next_ticks_are_listed(stack):
    listed = json.loads(stack.dagma("schedules", "--json", "-n", "2"))["automations"]
    found = {one["name"]: one for one in listed}
    nightly = found["nightly_retraining"]
    assert (nightly["status"], nightly["rhythm"]) == ("RUNNING", "0 3 * * * UTC")
    assert [tick[10:] for tick in nightly["next"]] == ["T03:00:00+00:00"] * 2
    assert found["expire_daily"] == {
        "name": "expire_daily", "status": "STOPPED", "rhythm": "0 4 * * * UTC", "next": [],
    }  # fmt: skip
    assert found["recipe_inbox"]["status"] == "RUNNING"
    assert found["notify_failure"]["status"] == "RUNNING"  # this stack has a webhook


def test_for_people_it_is_a_table(stack):
    lines = stack.dagma("schedules", "-n", "1").splitlines()
    assert any(line.startswith("nightly_retraining  RUNNING  0 3 * * * UTC  20") for line in lines)
    assert any(line.endswith("every 5 s") for line in lines)


def test_without_a_stack_it_says_how_to_start_one(other_stack):
    text = other_stack.dagma("schedules", fails=True)
    port = other_stack.ports["DAGSTER_WEBSERVER_PORT"]
    assert text == (
        f"dagma: Dagster's web interface does not answer at http://127.0.0.1:{port}; "
        "`dagma up` starts it.\n"
    )
