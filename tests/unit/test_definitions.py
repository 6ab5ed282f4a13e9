import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import pytest

import dagma
from dagma.definitions import defs

PACKAGE = Path(dagma.__file__).parent
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
#: Made by the sensor's job alone.
INBOX = {"source_recipes", "source_ingredients"}
ASSETS = {
    *("raw_numbers", "sum_numbers", "viz_ready_data"),
    *("raw_recipes", "normalized_recipes"),
    *INBOX,
    *("recipe_ingredients", "recipes_per_cuisine", "ingredient_counts"),
    *("recipes_by_cuisine/known", "recipes_by_cuisine/unknown", "common_ingredients"),
    *("train_model_stub", "training_recipes", "ingredient_embedding_model"),
    *("ingredient_vectors", "similar_ingredients"),
}


@pytest.fixture(scope="module")
def repository():
    return defs().get_repository_def()


def test_the_assets_are_these(repository):
    assert {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()} == ASSETS


def test_materialize_all_has_no_dialog_for_all_that_can_be_materialized_has_no_partitions(
    repository,
):
    nodes = [node for node in repository.asset_graph.asset_nodes if node.is_executable]
    assert {node.key.to_user_string() for node in nodes} == ASSETS - INBOX
    assert [node.key for node in nodes if node.is_partitioned] == []


def test_every_definition_is_loadable():
    dg.Definitions.validate_loadable(defs())


@pytest.mark.parametrize(
    ("job", "assets"),
    [
        ("numbers", {"raw_numbers", "sum_numbers", "viz_ready_data"}),
        ("recipes", {"raw_recipes", "normalized_recipes"}),
        ("ingest_source", INBOX),
        ("analytics", {"recipe_ingredients", "recipes_per_cuisine", "ingredient_counts"}),
    ],
)
def test_a_job_selects_the_assets_of_its_subject(repository, job, assets):
    selected = repository.get_job(job).asset_layer.executable_asset_keys
    assert {key.to_user_string() for key in selected} == assets


def test_the_recipes_job_runs_every_check(repository):
    checks = repository.get_job("recipes").asset_layer.asset_graph.asset_check_keys
    assert len(checks) == 6


def test_people_read_what_each_job_schedule_sensor_asset_and_check_is_for(repository):
    assets = repository.asset_graph
    automation = [*repository.schedule_defs, *repository.sensor_defs]
    described = {one.name: one.description for one in (*repository.get_all_jobs(), *automation)}
    described |= {
        key.to_user_string(): assets.get(key).description for key in assets.get_all_asset_keys()
    }
    specs = [assets.get_check_spec(key) for key in assets.asset_check_keys]
    described |= {spec.key.to_user_string(): spec.description for spec in specs}
    del described["__ASSET_JOB"]  # Dagster's own
    wrong = {name: text for name, text in described.items() if not text or "None" in text}
    assert wrong == {}


def test_jobs_run_in_the_process_of_the_run(repository):
    assert repository.get_job("numbers").executor_def.name == "in_process"


def test_every_asset_and_check_is_described(repository):
    graph = repository.asset_graph
    assert [key for key in graph.get_all_asset_keys() if not graph.get(key).description] == []
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    assert [spec.key for spec in specs if not spec.description] == []


def test_the_packaged_dg_settings_are_those_of_pyproject():
    packaged = tomllib.loads((PACKAGE / "dg.toml").read_text())
    project = tomllib.loads(PYPROJECT.read_text())["tool"]["dg"]
    # In a checkout Dagster names the location after the folder unless both files name it.
    assert packaged == project


def test_the_definitions_are_loaded_and_described_without_heavy_imports():
    code = (
        "import sys; from dagma.definitions import defs; loaded = defs().get_repository_def();"
        # What a code server tells the webserver about all of it.
        "from dagster._core.remote_representation.external_data import RepositorySnap as Snap;"
        "Snap.from_def(loaded);"
        "print({'pandas', 'numpy', 'pluralizer', 'mlflow', 'pyarrow', 'dbt', 'dagster_dbt', 'gensim',"
        " 'scipy', 'matplotlib', 'qdrant_client'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_definitions_load_where_no_pyproject_is_near(tmp_path):
    (tmp_path / "dagma").symlink_to(PACKAGE)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import dagma.definitions as module;"
        f"assert module.__file__.startswith({str(tmp_path)!r}), module.__file__;"
        "print(len(module.defs().get_repository_def().asset_graph.get_all_asset_keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str(len(ASSETS)), done.stderr
