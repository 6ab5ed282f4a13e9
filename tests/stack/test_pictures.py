"""Takes the pictures of README and docs; with `--pictures docs/pictures` it renews them there."""

import os
from pathlib import Path

import pytest
from browser import a_browser
from pictures import BYTES, PICTURES, Shown

ASSETS = "{ assetNodes { assetKey { path } groupName isPartitioned isExecutable } }"
TRAINED = ("raw_recipes", "normalized_recipes", "training_recipes", "ingredient_embedding_model")


@pytest.fixture(scope="module")
def page():
    with a_browser() as page:
        yield page


@pytest.fixture(scope="module")
def shown(page, stack):
    """The stack with everything materialized, and the embedding trained in other ways too."""
    if missing := [name for name in ("RECIPES_SOURCE", "DBT_MANIFEST") if name not in os.environ]:
        pytest.skip(f"{' and '.join(missing)} unset: run in `nix develop`")
    for config in ({"dimensions": 16}, {"negative": 15, "epochs": 30}):
        ops = {"ops": {TRAINED[-1]: {"config": config}}}
        stack.wait_for_success(stack.launch_assets(TRAINED, ops), 300)
    nodes = stack.graphql(ASSETS)["assetNodes"]
    made = [node for node in nodes if node["isExecutable"] and not node["isPartitioned"]]
    selector = {
        "repositoryLocationName": "dagma",
        "repositoryName": "__repository__",
        "jobName": "__ASSET_JOB",
        "assetSelection": [node["assetKey"] for node in made],
    }
    run_id = stack.launch(selector)
    stack.wait_for_success(run_id, 300)
    assets = {node["assetKey"]["path"][-1]: node["groupName"] for node in nodes}
    return Shown(stack, run_id, assets)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_taken_in_a_real_browser(name, page, shown, pytestconfig):
    picture = PICTURES[name](page, shown)
    assert 10_000 < len(picture) < BYTES
    if folder := pytestconfig.getoption("--pictures"):
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / f"{name}.webp").write_bytes(picture)
