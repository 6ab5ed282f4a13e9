"""Settings, as code locations read them: from the environment, checked as the stack checks them."""

import os

import dagster as dg

from dagma import values

__all__ = ["from_environment", "given", "setting"]


def given(name: str) -> bool:
    """Whether a variable is set, and not empty."""
    return bool(os.environ.get(name))


def setting[T](name: str, kind: object, default: T) -> T:
    """The value of a setting.

    Args:
        name: Of the environment variable.
        kind: What its value may be: one of the types of `dagma.values`, or any that pydantic knows.
        default: The value where the variable is unset or empty.

    Raises:
        SettingsError: The value is another; the sentence says which there may be.
    """
    found: T = values.checked(name, kind, os.environ[name]) if given(name) else default
    return found


def from_environment(name: str, kind: object, default: str = "", *, secret: bool = False) -> str:
    """The value of a resource's field: the variable where it is set, otherwise the default.

    Dagster reads the variable when a run needs the resource, and its web interface shows the name
    instead of the value. An EnvVar that is unset fails a run before its first step, whatever else the
    run would do. With an empty default, the asset that needs the value fails alone, with a sentence
    that says what to set.

    Args:
        name: Of the environment variable.
        kind: As for `setting`.
        default: The value where the variable is unset or empty.
        secret: Whether the sentence about a wrong value leaves it out.

    Raises:
        SettingsError: The value is of another kind.
    """
    if not given(name):
        return default
    values.checked(name, kind, os.environ[name], secret=secret)
    return dg.EnvVar(name)
