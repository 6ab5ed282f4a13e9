"""The ops wired to graphs, and graphs made to jobs."""

from collections.abc import Iterator

import dagster as dg

from dagma.defs.graphs.ops import add_up, draw, log_failure, log_success, mean, square


@dg.graph
def average(numbers: list[int]) -> object:
    """The mean of some numbers: a graph is used like an op."""
    return mean(add_up(numbers), numbers)


@dg.graph
def draw_and_average() -> object:
    """A graph with a graph in it."""
    return average(draw())


#: A graph becomes a job where its hooks, configuration and resources are known.
average_of_numbers = draw_and_average.to_job(
    name="average_of_numbers",
    hooks={log_success, log_failure},
    config=dg.RunConfig(ops={"draw": {"config": {"count": 10}}}),
)


@dg.op(out=dg.DynamicOut(int))
def each(numbers: list[int]) -> Iterator[dg.DynamicOutput[int]]:
    """One output per number: how many there are is known only when the job runs."""
    for number in numbers:
        yield dg.DynamicOutput(number, mapping_key=str(number))


@dg.job(hooks={log_failure})
def sum_of_squares() -> None:
    """Square each number in a step of its own, then add up what all of them gave."""
    add_up(each(draw()).map(square).collect())
