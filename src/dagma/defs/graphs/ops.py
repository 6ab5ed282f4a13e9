"""Ops: one that is configured, one that is tried again, and hooks on every step."""

import dagster as dg
from pydantic import Field


class DrawConfig(dg.Config):
    """What `draw` makes."""

    count: int = Field(default=5, ge=1, le=1000, description="How many numbers, from 1 up.")
    fail_until_retry: int = Field(
        default=0, ge=0, le=3, description="Fails before this retry; to see the policy work."
    )


# Waits 0.1, 0.2 and 0.4 s: for services that are away for a moment, not for mistakes.
PATIENT = dg.RetryPolicy(max_retries=3, delay=0.1, backoff=dg.Backoff.EXPONENTIAL)


@dg.op(retry_policy=PATIENT)
def draw(context: dg.OpExecutionContext, config: DrawConfig) -> list[int]:
    """The numbers from 1 to `count`; fails first when told to, as a service might."""
    if context.retry_number < config.fail_until_retry:
        raise ConnectionError(f"no answer at attempt {context.retry_number + 1}")
    return list(range(1, config.count + 1))


@dg.op
def square(number: int) -> int:
    """A number times itself."""
    return number * number


@dg.op
def add_up(numbers: list[int]) -> int:
    """The sum of some numbers."""
    return sum(numbers)


@dg.op
def mean(total: int, numbers: list[int]) -> float:
    """A total, shared among the numbers that it is the sum of."""
    return total / len(numbers)


@dg.success_hook
def log_success(context: dg.HookContext) -> None:
    """Note each step that ended well."""
    context.log.info(f"{context.step_key} is done")


@dg.failure_hook
def log_failure(context: dg.HookContext) -> None:
    """Note why a step failed, after its last attempt; a hook can tell other systems, too."""
    context.log.warning(f"{context.step_key} failed: {context.op_exception!r}")
