"""Dagster without the pickles that run config can name.

Changes: the module `pickle` as `dagster._core.types.builtin_config_schemas` sees it.

An input that no step gives is taken from run config: as a value, or as `{pickle: {path: ...}}`, the path
of a pickle, which would run the code in it. Every number, text and Any among the inputs of a job offers
that to whoever can launch it, and no setting of Dagster's takes it away. There is no issue about it.
"""

from typing import Any, NoReturn

from dagma.instance.dagster_private import builtin_config_schemas


class _Refusing:
    """In the place of the module `pickle`, of which only `load` is used there."""

    @staticmethod
    def load(file: Any) -> NoReturn:  # noqa: ANN401 - as pickle's
        """Refuse.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"The pickle {getattr(file, 'name', '')} is not loaded: whoever wrote it would run code "
            "here. Give the input as a value, or as JSON."
        )


def refuse() -> None:
    """Let this process load no pickle that run config names."""
    setattr(builtin_config_schemas, "pickle", _Refusing)  # noqa: B010 - it is no attribute to mypy
