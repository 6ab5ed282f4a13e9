import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dbt_manifest import reduced

from dagma.defs.dbt import manifest
from dagma.defs.dbt.assets import recipe_ingredients
from dagma.defs.dbt.manifest import PROJECT, Manifest
from dagma.defs.dbt.models import models

pytestmark = pytest.mark.skipif(
    "DBT_MANIFEST" not in os.environ, reason="DBT_MANIFEST is unset: run in `nix develop`"
)


@pytest.fixture(scope="module")
def content():
    return json.loads(Path(os.environ["DBT_MANIFEST"]).read_text())


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    """The manifest as dbt itself writes it now."""
    target = tmp_path_factory.mktemp("target")
    arguments = ["--no-partial-parse", "--target-path", target, "--log-path", target]
    where = ["--project-dir", PROJECT, "--profiles-dir", PROJECT]
    subprocess.run(["dbt", "--quiet", "parse", *where, *arguments], check=True)
    return json.loads((target / "manifest.json").read_text())


def test_the_built_manifest_is_that_of_the_project(content, parsed):
    # Entered `nix develop` before the last edit of a model? Enter it again.
    assert content == json.loads(json.dumps(reduced(parsed)))


def test_two_builds_give_the_same_manifest(parsed):
    later = copy.deepcopy(parsed)
    later["metadata"]["generated_at"] = "2030-01-01"
    later["nodes"]["model.recipes.ingredient_counts"]["created_at"] = 1
    assert reduced(later) == reduced(parsed)


@pytest.mark.filterwarnings("ignore:sqlglotrs is deprecated:DeprecationWarning")
def test_keys_dependencies_and_checks_are_those_of_dagster_dbt(content):
    from dagster_dbt import DagsterDbtTranslator
    from dagster_dbt.asset_utils import build_dbt_specs

    specs, checks = build_dbt_specs(
        translator=DagsterDbtTranslator(),
        manifest=content,
        select="fqn:*",
        exclude="",
        selector="",
        io_manager_key=None,
        project=None,
    )
    ours = Manifest(content)
    assert {(s.key, frozenset(d.asset_key for d in s.deps)) for s in ours.models} == {
        (s.key, frozenset(d.asset_key for d in s.deps)) for s in specs
    }
    assert {(c.key, c.blocking) for c in ours.tests} == {(c.key, c.blocking) for c in checks}
    assert len(ours.tests) == 7


def test_the_models_are_downstream_of_the_recipes(content):
    by_key = {spec.key.to_user_string(): spec for spec in Manifest(content).models}
    assert set(by_key) == {"recipes_per_cuisine", "ingredient_counts"}
    for spec in by_key.values():
        assert [dep.asset_key for dep in spec.deps] == [recipe_ingredients.key]
    assert recipe_ingredients.dependency_keys == {dg.AssetKey("normalized_recipes")}


def test_the_source_is_the_table_of_the_asset(content):
    (source,) = content["sources"].values()
    assert (source["schema"], source["name"]) == ("public", recipe_ingredients.key.path[-1])


def test_a_schema_of_a_model_is_part_of_its_key(content):
    changed = copy.deepcopy(content)
    changed["nodes"]["model.recipes.ingredient_counts"]["config"]["schema"] = "marts"
    keys = {spec.key for spec in Manifest(changed).models}
    assert dg.AssetKey(["marts", "ingredient_counts"]) in keys


@pytest.mark.parametrize("text", ["{", "[]", '{"nodes": {}}', None])
def test_a_broken_manifest_is_named(tmp_path, monkeypatch, text):
    path = tmp_path / "manifest.json"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("DBT_MANIFEST", str(path))
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="manifest"):
        models()


def test_without_a_manifest_there_are_no_models_and_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("DBT_MANIFEST")
    monkeypatch.setattr(manifest, "PROJECT", tmp_path)
    assert not list(models().assets or [])
    assert "No dbt models" in caplog.text


def test_what_dbt_parse_leaves_in_the_project_is_found(tmp_path, monkeypatch):
    monkeypatch.delenv("DBT_MANIFEST")
    monkeypatch.setattr(manifest, "PROJECT", tmp_path)
    (tmp_path / "target").mkdir()
    (tmp_path / "target/manifest.json").touch()
    assert manifest.find() == tmp_path / "target/manifest.json"


def test_reading_the_manifest_imports_nothing_of_dbt():
    code = (
        "import sys; from dagma.defs.dbt.models import models; models();"
        "print({'dbt', 'dagster_dbt', 'jinja2', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
