"""Settings of resources, which Dagster reads from the environment when a run needs them."""

import os

import dagster as dg


def from_environment(variable: str, default: str = "") -> str:
    """The value of a resource's field: the variable where it is set, otherwise the default.

    An EnvVar that is unset fails a run before its first step, whatever else the run would do. With
    an empty default, the asset that needs the value fails alone, with a sentence that says what to
    set.
    """
    return dg.EnvVar(variable) if os.environ.get(variable) else default
