import dagster as dg
import pytest

from dagma.defs.graphs.jobs import average, average_of_numbers, draw_and_average, sum_of_squares
from dagma.defs.graphs.ops import DrawConfig, add_up, square


def config(**values):
    return dg.RunConfig(ops={"draw": DrawConfig(**values)})


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def log(instance, result):
    return [entry.user_message for entry in instance.all_logs(result.run_id)]


def steps(result, kind):
    return [event.step_key for event in result.all_events if event.event_type == kind]


def test_an_op_is_a_function():
    assert square(3) == 9
    assert add_up([1, 2]) == 3


def test_an_op_is_configured_per_run():
    result = sum_of_squares.execute_in_process(run_config=config(count=3))
    assert result.output_for_node("add_up") == 14


@pytest.mark.parametrize("count", [0, 1001])
def test_a_value_that_is_not_allowed_fails_the_run(count):
    wrong = {"ops": {"draw": {"config": {"count": count}}}}
    result = sum_of_squares.execute_in_process(run_config=wrong, raise_on_error=False)
    assert not result.success
    assert steps(result, dg.DagsterEventType.STEP_SUCCESS) == []


def test_a_job_has_a_configuration_of_its_own():
    assert average_of_numbers.execute_in_process().output_for_node("draw") == list(range(1, 11))


def test_a_graph_in_a_graph_has_its_name_before_its_steps():
    result = average_of_numbers.execute_in_process()
    assert steps(result, dg.DagsterEventType.STEP_SUCCESS) == [
        "draw",
        "average.add_up",
        "average.mean",
    ]
    assert result.output_for_node("average") == 5.5


def test_a_graph_is_run_alone():
    assert draw_and_average.execute_in_process().output_value() == 3.0
    assert average.execute_in_process(input_values={"numbers": [1, 2]}).output_value() == 1.5


def test_a_dynamic_graph_has_a_step_per_value():
    result = sum_of_squares.execute_in_process(run_config=config(count=3))
    done = steps(result, dg.DagsterEventType.STEP_SUCCESS)
    assert [step for step in done if step.startswith("square")] == [
        "square[1]",
        "square[2]",
        "square[3]",
    ]


def test_a_step_is_tried_again_as_its_policy_says():
    result = sum_of_squares.execute_in_process(run_config=config(fail_until_retry=2))
    assert result.success
    assert steps(result, dg.DagsterEventType.STEP_RESTARTED) == ["draw", "draw"]


def test_a_hook_sees_each_step_that_ended_well(instance):
    result = average_of_numbers.execute_in_process(instance=instance)
    done = [message for message in log(instance, result) if message.endswith("is done")]
    assert done == ["draw is done", "average.add_up is done", "average.mean is done"]


def test_a_hook_sees_why_a_step_failed(instance):
    @dg.op
    def broken() -> None:
        raise ValueError("no leeks")

    @dg.job(hooks=set(sum_of_squares.hook_defs))
    def fails() -> None:
        broken()

    result = fails.execute_in_process(instance=instance, raise_on_error=False)
    assert "broken failed: ValueError('no leeks')" in log(instance, result)
