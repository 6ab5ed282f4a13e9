"""The run config of a step: one field per argument of its function that no other step gives."""

import inspect
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import dagster as dg

__all__ = ["WrongParam", "dagster_type", "fields"]

#: Types that Dagster's run config knows by itself.
SCALARS = (bool, int, float, str)

type Fields = dict[str, dg.Field]


class WrongParam(Exception):
    """A value of the YAML file is not of the argument's type."""

    def __init__(self, argument: str, why: str) -> None:
        super().__init__(why)
        self.argument = argument


def fields(
    function: Callable[..., Any], wired: Collection[str], params: Mapping[str, Any]
) -> Fields:
    """The run config of a step.

    Args:
        function: What the step calls; the types are those of its annotations, or of the values.
        wired: Arguments that are inputs of the step.
        params: Values that the YAML file gives.

    Returns:
        Argument -> field. Values of the YAML file are the defaults, then those of the function; an
        argument with neither is required.

    Raises:
        WrongParam: A value of the YAML file is not of the argument's type.
    """
    hints = _hints(function)
    found: Fields = {}
    for name, default in _open(function, wired, params):
        hint = hints.get(name, type(default) if isinstance(default, SCALARS) else Any)
        try:
            found[name] = _field(hint, default)
        except dg.DagsterInvalidConfigError as error:
            raise WrongParam(name, _first(error)) from error
    return found


def dagster_type(function: Callable[..., Any], argument: str) -> Any:  # noqa: ANN401 - a type, or Any
    """The type of an argument as an input that the run config may give."""
    hint = _hints(function).get(argument, Any)
    plain = get_origin(hint) or hint
    return plain if plain in (*SCALARS, list, dict) else Any


def _open(
    function: Callable[..., Any], wired: Collection[str], params: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Arguments that nothing else gives, with a default or `inspect.Parameter.empty`."""
    yield from params.items()
    for name, parameter in inspect.signature(function).parameters.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        # A default that no YAML could say, such as an object, stays the function's own.
        sayable = parameter.default is parameter.empty or _is_plain(parameter.default)
        if name not in {*wired, *params} and not variadic and sayable:
            yield name, parameter.default


def _field(hint: Any, default: Any) -> dg.Field:  # noqa: ANN401
    if default is inspect.Parameter.empty:
        return dg.Field(_config_type(hint), is_required=True)
    kind = _config_type(hint)
    if default is None and not isinstance(kind, dg.Noneable):
        kind = dg.Noneable(kind)
    return dg.Field(kind, is_required=False, default_value=default)


def _config_type(hint: Any) -> Any:  # noqa: ANN401 - Dagster's types of config have no common class
    if hint in SCALARS:
        return hint
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        rest = [one for one in inner if one is not type(None)]
        kind = _config_type(rest[0]) if len(rest) == 1 else dg.Any
        return dg.Noneable(kind) if len(rest) < len(inner) else kind
    if origin is Literal and len(kinds := {type(one) for one in inner}) == 1:
        return _config_type(*kinds)
    if origin in (list, Sequence):
        return dg.Array(_config_type(*inner))
    if hint is dict or origin in (dict, Mapping):
        return dg.Permissive()  # type: ignore[no-untyped-call]
    return dg.Any


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError):  # names for type checkers only
        return {}


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return isinstance(value, list) and all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    return value is None or isinstance(value, SCALARS)


def _first(error: dg.DagsterInvalidConfigError) -> str:
    return str(error.errors[0].message).rstrip(".")
