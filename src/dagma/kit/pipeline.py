"""A component that turns a short YAML file into assets, or into a job of ops."""

import importlib
import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import dagster as dg
from dagster_shared.yaml_utils import parse_yaml_with_source_position
from dagster_shared.yaml_utils.source_position import SourcePositionTree
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dagma.kit.run_config import WrongParam, dagster_type, fields

__all__ = ["Pipeline", "PipelineModel", "Step"]

#: The output of a step that names none; it is Dagster's own default.
RESULT = "result"


def _name_the_keys(schema: dict[str, Any]) -> None:
    """Let a validator of the schema say which keys there are, beside which one there is not."""
    schema["propertyNames"] = {"enum": list(schema["properties"])}


class _Keys(BaseModel):
    """A mapping of the YAML file: says which keys there are when another is used."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_name_the_keys)

    @model_validator(mode="before")
    @classmethod
    def _are_known(cls, data: object) -> object:
        unknown = set(data) - set(cls.model_fields) if isinstance(data, dict) else set()
        if unknown:
            named = ", ".join(sorted(map(str, unknown)))
            raise ValueError(f"unknown {named}; allowed are {', '.join(cls.model_fields)}")
        return data


class Step(_Keys):
    """A Python function, where its arguments come from and what its outputs are called."""

    function: str = Field(description="The function, as MODULE.FUNCTION.")
    inputs: dict[str, str | None] = Field(
        default={},
        description="Argument -> STEP, STEP.OUTPUT or the key of another asset (a/b); in a job "
        "nothing: the run config gives it.",
    )
    params: dict[str, Any] = Field(
        default={}, description="Argument -> a value, which the run config may change."
    )

    @property
    def wired(self) -> dict[str, str]:
        """The inputs that have a source."""
        return {argument: source for argument, source in self.inputs.items() if source}

    outputs: list[str] | dict[str, str] = Field(
        default=[],
        description="Names of several outputs, maybe with a description of each: the function "
        "returns a dict with these keys.",
    )
    description: str | None = Field(default=None, description="By default the function's own.")


class PipelineModel(_Keys):
    """The attributes of a pipeline."""

    produce: Literal["assets", "job"] = Field(
        default="assets", description="An asset per output, or a job with an op per step."
    )
    io_manager_key: str = Field(
        default="io_manager", description="The IO manager that stores the outputs."
    )
    steps: dict[str, Step] = Field(min_length=1, description="Name -> step.")


class Mistake(NamedTuple):
    """What is wrong, and the keys that lead there from the attributes."""

    place: list[str | int]
    what: str


class Pipeline(dg.Component):
    """Python functions wired by name; see docs/pipelines.md."""

    def __init__(self, name: str, model: PipelineModel) -> None:
        self.name = name
        self.model = model

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema of `attributes`, which `dg check yaml` holds a file to."""
        return PipelineModel

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "Pipeline":
        """Make the pipeline of a `defs.yaml`, named after its folder.

        Raises:
            DagsterInvalidDefinitionError: The steps do not fit together; the message has the line.
        """
        if not isinstance(attributes, PipelineModel):
            raise dg.DagsterInvalidDefinitionError(
                f"{context.path}: a pipeline needs attributes: {', '.join(PipelineModel.model_fields)}."
            )
        tree = context.resolution_context.source_position_tree
        return cls(context.path.name, attributes)._checked(tree, ["attributes"])

    @classmethod
    def from_file(cls, path: Path) -> "Pipeline":
        """Make the pipeline of a YAML file that holds the attributes alone, named after the file.

        Raises:
            DagsterInvalidDefinitionError: The message has file, line and what is allowed.
        """
        try:
            parsed = parse_yaml_with_source_position(path.read_text(encoding="utf-8"), str(path))
        except (
            Exception
        ) as error:  # of the parser, of UTF-8, and Dagster's own about nothing at all
            raise dg.DagsterInvalidDefinitionError(_not_yaml(path, error)) from None
        tree = parsed.source_position_tree
        try:
            model = PipelineModel.model_validate(parsed.value)
        except ValidationError as error:
            first = error.errors()[0]
            mistake = Mistake(list(first["loc"]), first["msg"].removeprefix("Value error, "))
            raise _invalid(mistake, tree) from None
        return cls(path.stem, model)._checked(tree, [])

    def build_defs(self, context: dg.ComponentLoadContext | None = None) -> dg.Definitions:
        """The assets, or the job."""
        if self.model.produce == "job":
            return dg.Definitions(jobs=[self._job()])
        return dg.Definitions(assets=[self._assets(name) for name in self.model.steps])

    def mistakes(self) -> Iterator[Mistake]:
        """What the schema cannot see: functions, their arguments, and references between steps."""
        for name, step in self.model.steps.items():
            place: list[str | int] = ["steps", name]
            if not name.isidentifier():
                yield Mistake(place, f"the step {name} needs a name of letters, digits and _")
            for output in step.outputs:
                if not output.isidentifier():
                    yield Mistake([*place, "outputs"], f"{output} is no name for an output")
            try:
                signature = inspect.signature(_function(step.function))
            except (ImportError, AttributeError, TypeError, ValueError) as error:
                yield Mistake([*place, "function"], f"{step.function} is no function: {error}")
                continue
            # What is missing in a job, the run config must give.
            bind = signature.bind_partial if self.model.produce == "job" else signature.bind
            try:
                bind(**step.inputs, **step.params)
                fields(_function(step.function), step.inputs, step.params)
            except TypeError as error:
                yield Mistake(place, f"{step.function}{signature} and the step: {error}")
            except WrongParam as error:
                yield Mistake([*place, "params", error.argument], str(error))
            for argument, source in step.inputs.items():
                if wrong := self._wrong_source(source):
                    yield Mistake([*place, "inputs", argument], wrong)

    def _checked(self, tree: SourcePositionTree | None, prefix: list[str | int]) -> "Pipeline":
        for mistake in self.mistakes():
            raise _invalid(mistake._replace(place=prefix + mistake.place), tree)
        return self

    def _wrong_source(self, source: str | None) -> str | None:
        if not source:
            asset = self.model.produce == "assets"
            return (
                "an asset's input needs a source; only a job's may be left open" if asset else None
            )
        step, dot, output = source.partition(".")
        steps = self.model.steps
        if step not in steps:
            if dot or self.model.produce == "job":
                return f"{source}: there is no step {step}; the steps are {', '.join(steps)}"
            return None
        names = steps[step].outputs or [RESULT]
        if (output or RESULT) not in names:
            wanted = ", ".join(f"{step}.{name}" for name in names)
            return f"{source}: {step} has no such output; name one of {wanted}"
        return None

    @cached_property
    def _keys(self) -> Mapping[tuple[str, str], dg.AssetKey]:
        return {
            (name, output): dg.AssetKey([name, output] if step.outputs else name)
            for name, step in self.model.steps.items()
            for output in step.outputs or [RESULT]
        }

    def _source(self, source: str) -> tuple[str, str] | None:
        step, _, output = source.partition(".")
        return (step, output or RESULT) if step in self.model.steps else None

    def _assets(self, name: str) -> dg.AssetsDefinition:
        step = self.model.steps[name]
        function = _function(step.function)

        def key(source: str) -> dg.AssetKey:
            found = self._source(source)
            return self._keys[found] if found else dg.AssetKey.from_user_string(source)

        @dg.multi_asset(
            name=name,
            group_name=self.name,
            description=_description(step, function),
            ins={one: dg.AssetIn(key(source)) for one, source in step.wired.items()},
            config_schema=fields(function, step.inputs, step.params),
            outs={
                output: dg.AssetOut(
                    key=self._keys[name, output],
                    io_manager_key=self.model.io_manager_key,
                    description=_description(step, function, output),
                    kinds={"python", "yaml"},
                )
                for output in step.outputs or [RESULT]
            },
        )
        def run(context: dg.AssetExecutionContext, **inputs: Any) -> Iterator[dg.Output[Any]]:  # noqa: ANN401 - whatever the function takes
            config = context.op_execution_context.op_config
            yield from _outputs(step, _called(context.log, function, **inputs, **config))

        return run

    def _job(self) -> dg.JobDefinition:
        graph = dg.GraphDefinition(
            name=self.name,
            node_defs=[self._op(name) for name in self.model.steps],
            dependencies={
                name: {
                    argument: dg.DependencyDefinition(*found)
                    for argument, source in step.wired.items()
                    if (found := self._source(source))
                }
                for name, step in self.model.steps.items()
            },
        )
        return graph.to_job(description=f"Runs {', '.join(self.model.steps)}, as the YAML says.")

    def _op(self, name: str) -> dg.OpDefinition:
        step = self.model.steps[name]
        function = _function(step.function)

        @dg.op(
            name=name,
            description=_description(step, function),
            ins={one: dg.In(dagster_type(function, one)) for one in step.inputs},
            config_schema=fields(function, step.inputs, step.params),
            out={
                output: dg.Out(io_manager_key=self.model.io_manager_key)
                for output in step.outputs or [RESULT]
            },
        )
        def run(context: dg.OpExecutionContext, **inputs: Any) -> Iterator[dg.Output[Any]]:  # noqa: ANN401 - whatever the function takes
            config = context.op_config
            yield from _outputs(step, _called(context.log, function, **inputs, **config))

        return run


def _called(log: logging.Logger, function: Callable[..., Any], **arguments: Any) -> Any:  # noqa: ANN401 - whatever the function takes and returns
    """What a function returns; its warnings go to the run's log."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = function(**arguments)
    for one in caught:
        log.warning(f"{function.__name__}: {one.message}")
    return value


def _function(name: str) -> Callable[..., Any]:
    module, _, attribute = name.rpartition(".")
    function = getattr(importlib.import_module(module), attribute)
    if not callable(function):
        raise TypeError(f"it is of type {type(function).__name__}")
    found: Callable[..., Any] = function
    return found


def _description(step: Step, function: Callable[..., Any], output: str = "") -> str | None:
    if isinstance(step.outputs, dict) and output in step.outputs:
        return step.outputs[output]
    return step.description or inspect.getdoc(function)


def _outputs(step: Step, value: Any) -> Iterator[dg.Output[Any]]:  # noqa: ANN401 - whatever the function returns
    if not step.outputs:
        yield dg.Output(value, RESULT)
        return
    if not isinstance(value, Mapping) or set(value) != set(step.outputs):
        got = ", ".join(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
        raise dg.Failure(
            f"{step.function} must return a dict with the keys {', '.join(step.outputs)}, "
            f"and returned {got}.",
            allow_retries=False,
        )
    for output in step.outputs:
        yield dg.Output(value[output], output)


def _not_yaml(path: Path, error: Exception) -> str:
    """One sentence with file and line, of the many that the parser has about its inside."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    where = f"{path}:{mark.line + 1}" if mark else str(path)
    return f"{where}, not YAML: {what}."


def _invalid(mistake: Mistake, tree: SourcePositionTree | None) -> dg.DagsterInvalidDefinitionError:
    where = tree.lookup_closest_and_path(mistake.place, None)[0] if tree else "?"
    named = ".".join(map(str, mistake.place)) or "the file"
    return dg.DagsterInvalidDefinitionError(f"{where}, {named}: {mistake.what}.")
