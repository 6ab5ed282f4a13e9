"""The DataFrame type for annotations.

Dagster evaluates annotations when it loads the definitions, and importing pandas there would double
the time of every start. So pandas' class is what the type checker sees, and Dagster sees Any.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame as DataFrame
else:
    DataFrame = Any

__all__ = ["DataFrame"]
