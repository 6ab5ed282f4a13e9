import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import dagster as dg
import pandas as pd
import pytest

from dagma.definitions import defs
from dagma.defs.pipelines import files, functions
from dagma.kit.io.parquet import ParquetIOManager
from dagma.kit.io.resources import resources as io_managers
from dagma.kit.pipeline import Pipeline, Step
from dagma.kit.run_config import WrongParam, fields

ROOT = Path(__file__).parents[2]
GOOD = (files.FOLDER / "cuisines.yaml").read_text()
OUTPUTS = next(line.partition("outputs: ")[2] for line in GOOD.splitlines() if "outputs:" in line)
ROWS = pd.DataFrame(
    {
        "recipe_id": ["1", "1", "2", "3"],
        "cuisine": ["greek", "greek", "thai", None],
        "ingredient": ["feta", "salt", "salt", "salt"],
    }
)


@dg.asset(io_manager_key="parquet_io_manager")
def normalized_recipes():
    return ROWS


@pytest.fixture
def written(tmp_path):
    def written(text, name="cooking.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


def mistake(path):
    with pytest.raises(dg.DagsterInvalidDefinitionError) as caught:
        Pipeline.from_file(path)
    return str(caught.value)


def run(pipeline, tmp_path, **options):
    return dg.materialize(
        [normalized_recipes, *pipeline.build_defs().assets],
        resources={"parquet_io_manager": ParquetIOManager(base_dir=str(tmp_path / "lake"))},
        **options,
    )


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("steps:\n  a: {function: x.y\n  b: 3\n", 3, "expected ',' or '}', but got ':'"),
        ("steps: 'x\n", 2, "found unexpected end of stream"),
        ("a: b: c\n", 1, "mapping values are not allowed here"),
        ("a: 1\nb: *c\n", 2, "found undefined alias 'c'"),
    ],
)
def test_what_is_not_yaml_is_one_sentence_with_file_and_line(written, text, line, what):
    path = written(text)
    with pytest.raises(dg.DagsterInvalidDefinitionError) as caught:
        Pipeline.from_file(path)
    assert str(caught.value) == f"{path}:{line}, not YAML: {what}."
    assert caught.value.__suppress_context__


def test_what_is_not_utf_8_names_its_file(written):
    path = written("")
    path.write_bytes(b"steps: \xff")
    assert mistake(path).startswith(f"{path}, not YAML: 'utf-8' codec can't decode byte 0xff")


def test_outputs_are_assets_and_the_dot_names_one_of_them(tmp_path):
    result = run(Pipeline.from_file(files.FOLDER / "cuisines.yaml"), tmp_path)
    common = result.output_for_node("common_ingredients")
    assert common.to_numpy().tolist() == [["salt", 2], ["feta", 1]]
    assert (tmp_path / "lake/recipes_by_cuisine/known.parquet").exists()


def test_the_assets_know_what_they_come_from():
    graph = defs().get_repository_def().asset_graph
    common = graph.get(dg.AssetKey("common_ingredients"))
    assert common.parent_keys == {dg.AssetKey(["recipes_by_cuisine", "known"])}
    split = graph.get(dg.AssetKey(["recipes_by_cuisine", "known"]))
    assert split.parent_keys == {dg.AssetKey("normalized_recipes")}
    assert split.description == "Rows of recipes with a known cuisine"
    assert common.description == functions.most_common.__doc__
    assert split.group_name == "cuisines"


def test_a_pipeline_can_be_a_job_of_ops():
    job = defs().resolve_job_def("dice")
    result = job.execute_in_process()
    thrown = functions.roll(seed=1, times=3)
    assert result.output_for_node("total") == sum(thrown["first"]) + sum(thrown["second"])


def test_files_of_the_folder_are_found_without_being_registered(written, monkeypatch, tmp_path):
    written(GOOD, "a.yaml")
    other = GOOD.replace("recipes_by_cuisine", "parts").replace("common_", "usual_")
    written(other, "b.yml")
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    rest = dg.Definitions(assets=[normalized_recipes])
    found = dg.Definitions.merge(files.pipelines(), io_managers(), rest)
    groups = {spec.group_name for spec in found.resolve_all_asset_specs()}
    assert groups == {"a", "b", "default"}


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("    params: {count: 20}", "    parms: {count: 20}", 8, "unknown parms; allowed are func"),
        ("steps:", "stages:", 2, "unknown stages; allowed are produce, io_manager_key, steps"),
        ("inputs: {rows", "inputs: {row", 8, "missing a required argument: 'rows'"),
        ("params: {count: 20}", "params: {count: many}", 11, 'expected type "Int"'),
        ("inputs: {recipes: normalized_recipes}", "inputs: {recipes: }", 6, "needs a source"),
        ("params: {count: 20}", "params: {number: 20}", 8, "missing a required argument: 'count'"),
        ("cuisine.known}", "cuisine.greek}", 10, "name one of recipes_by_cuisine.known, recip"),
        ("cuisine.known}", "cuisine}", 10, "name one of recipes_by_cuisine.known, recip"),
        ("recipes_by_cuisine.known}", "parts.known}", 10, "there is no step parts"),
        ("functions.most_common", "functions.mostcommon", 9, "has no attribute 'mostcommon'"),
        ("pipelines.functions.most", "nowhere.most", 9, "No module named"),
        ("  common_ingredients:", "  common-ingredients:", 8, "letters, digits and _"),
        (OUTPUTS, "[known, un.known]", 7, "un.known is no name for an output"),
        (OUTPUTS, "known", 7, "Input should be a valid"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(written, old, new, line, said):
    assert old in GOOD
    path = written(GOOD.replace(old, new))
    message = mistake(path)
    assert message.startswith(f"{path}:{line}, "), message
    assert said in message


@pytest.mark.parametrize("text", ["steps: [", "", "- 1", "steps: {}"])
def test_a_file_that_is_no_pipeline_is_named(written, text):
    path = written(text)
    assert str(path) in mistake(path)


def test_a_job_needs_its_inputs_from_its_own_steps(written):
    path = written("produce: job\n" + GOOD)
    assert "there is no step normalized_recipes" in mistake(path)


def test_a_function_that_returns_other_outputs_fails_its_step(written, tmp_path):
    text = GOOD.replace(OUTPUTS, "[known, others]")
    result = run(Pipeline.from_file(written(text)), tmp_path, raise_on_error=False)
    (event,) = [event for event in result.all_events if event.is_step_failure]
    said = event.step_failure_data.user_failure_data.description
    assert "the keys known, others, and returned known, unknown" in said


def with_definitions(folder, code):
    """Run code with the definitions of the copy of the package that is in a folder."""
    return subprocess.run(
        [sys.executable, "-P", "-c", f"from dagma.definitions import defs; {code}"],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_mistake_in_a_defs_yaml_is_named_with_file_and_line(tmp_path):
    shutil.copytree(ROOT / "src/dagma", tmp_path / "dagma")
    path = tmp_path / "dagma/defs/pipelines/dice/defs.yaml"
    path.write_text(path.read_text().replace("roll.second", "roll.third"))
    done = with_definitions(tmp_path, "defs().get_repository_def()")
    assert f"{path}:12, attributes.steps.total.inputs.second" in done.stderr, done.stderr[-2000:]


def as_formerly(path):
    """Write the component's name of before there was the kit, which files of teams have."""
    text = path.read_text()
    former = text.replace("type: dagma.kit.pipeline.Pipeline", "type: dagma.components.Pipeline")
    assert former != text
    path.write_text(former)
    return former


def test_a_file_with_the_components_former_name_still_loads(tmp_path):
    shutil.copytree(ROOT / "src/dagma", tmp_path / "dagma")
    as_formerly(tmp_path / "dagma/defs/pipelines/dice/defs.yaml")
    done = with_definitions(tmp_path, "print(defs().resolve_job_def('dice').name)")
    assert done.stdout.strip() == "dice", done.stderr[-2000:]


def dg_cli(*arguments, cwd=ROOT):
    return subprocess.run(["dg", *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_dg_lists_the_component():
    assert "dagma.kit.pipeline.Pipeline" in dg_cli("list", "components", "--json").stdout


def test_dg_checks_the_yaml(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert dg_cli("check", "yaml", cwd=tmp_path).returncode == 0
    path = tmp_path / "src/dagma/defs/pipelines/dice/defs.yaml"
    new = path.read_text()
    as_formerly(path)
    done = dg_cli("check", "yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    path.write_text(new.replace("params", "parms"))
    done = dg_cli("check", "yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "dice/defs.yaml:8" in done.stdout + done.stderr
    assert "'parms' was unexpected" in done.stdout + done.stderr
    allowed = ", ".join(repr(key) for key in Step.model_fields)
    assert f"'parms' is not one of [{allowed}]" in done.stdout + done.stderr


#: The pipeline of a well-known YAML DSL of long ago, whose run config was `x: 1` and `num: 3`.
CUBE = """
produce: job
steps:
  add_x:
    function: test_pipelines.add
    inputs: {num: }
  add_one:
    function: test_pipelines.add
    inputs: {num: add_x}
    params: {x: 1}
"""


def add(x: int, num: int) -> int:
    return x + num


def unloved(
    rows: "NoSuchName",  # noqa: F821
    how: Literal["left", "right"] = "left",
    names: list[str] | None = None,
    limit: float | None = None,
    path: Path = ROOT,
    *,
    parts: dict[str, int] = {},  # noqa: B006
    times=2,
):
    return names


def test_run_config_gives_what_the_yaml_leaves_open(written):
    job = Pipeline.from_file(written(CUBE)).build_defs().resolve_job_def("cooking")
    given = {"ops": {"add_x": {"config": {"x": 1}, "inputs": {"num": 3}}}}
    assert job.execute_in_process(run_config=given).output_for_node("add_one") == 5
    given["ops"]["add_one"] = {"config": {"x": 10}}
    assert job.execute_in_process(run_config=given).output_for_node("add_one") == 14


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"x": 1, "bogus": 1}, 'unexpected config entry "bogus"'),
        ({"x": "one"}, "Int"),
        ({}, 'Missing required config entry "x"'),
    ],
)
def test_wrong_run_config_is_refused_before_the_run(written, config, said):
    job = Pipeline.from_file(written(CUBE)).build_defs().resolve_job_def("cooking")
    given = {"ops": {"add_x": {"config": config, "inputs": {"num": 3}}}}
    with pytest.raises(dg.DagsterInvalidConfigError, match=said):
        dg.validate_run_config(job, given)


def test_the_run_config_of_the_packaged_job_is_used_and_held_to_its_types():
    job = defs().resolve_job_def("dice")
    given = {"ops": {"roll": {"config": {"seed": 99}}}}
    assert (
        job.execute_in_process(run_config=given).output_for_node("roll", "first")
        == (functions.roll(seed=99, times=3)["first"])
    )
    for step, config in (("roll", {"seed": 99, "bogus": 1}), ("total", {"bogus": 1})):
        with pytest.raises(dg.DagsterInvalidConfigError, match="bogus"):
            dg.validate_run_config(job, {"ops": {step: {"config": config}}})


def test_assets_take_run_config_and_need_none(tmp_path):
    pipeline = Pipeline.from_file(files.FOLDER / "cuisines.yaml")
    config = {"ops": {"common_ingredients": {"config": {"count": 1}}}}
    result = run(pipeline, tmp_path, run_config=config)
    assert result.output_for_node("common_ingredients").to_numpy().tolist() == [["salt", 2]]
    config["ops"]["common_ingredients"]["config"]["rows"] = []
    with pytest.raises(dg.DagsterInvalidConfigError, match="rows"):
        run(pipeline, tmp_path, run_config=config)


def test_types_come_from_annotations_or_values_and_an_object_stays_the_functions():
    found = fields(unloved, ["rows"], {})
    assert set(found) == {"how", "names", "limit", "parts", "times"}
    with pytest.raises(WrongParam):
        fields(add, ["num"], {"x": "one"})

    def annotated(
        how: Literal["left"], names: list[str] | None, parts: dict[str, int], other: set[int]
    ):
        pass

    @dg.op(config_schema=fields(annotated, [], {}))
    def step(): ...

    @dg.job
    def job():
        step()

    good = {"how": "left", "names": ["a"], "parts": {"a": 1}, "other": [1]}
    dg.validate_run_config(job, {"ops": {"step": {"config": good | {"names": None}}}})
    for wrong in ({"how": 1}, {"names": [1]}, {"parts": 1}):
        with pytest.raises(dg.DagsterInvalidConfigError):
            dg.validate_run_config(job, {"ops": {"step": {"config": good | wrong}}})


def test_a_corpus_without_cuisines_is_said_in_the_log(tmp_path, monkeypatch):
    monkeypatch.setitem(ROWS, "cuisine", [None] * len(ROWS))
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        pipeline = Pipeline.from_file(files.FOLDER / "cuisines.yaml")
        result = run(pipeline, tmp_path, instance=instance)
        said = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert "most_common: there are no rows, as where no recipe has a cuisine" in said
