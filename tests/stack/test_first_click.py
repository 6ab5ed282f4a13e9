"""What the button "Materialize all" of the page Lineage does, through the same GraphQL."""

import os

import pytest

#: What the web interface asks of the assets before it launches anything.
ASSETS = """
query { assetNodes { assetKey { path } isObservable isExecutable jobNames
  partitionDefinition { name } configField { isRequired }
  requiredResources { resourceKey } repository { name } } }
"""


def test_one_click_materializes_all_that_can_be(other_stack):
    if missing := [name for name in ("RECIPES_SOURCE", "DBT_MANIFEST") if name not in os.environ]:
        pytest.skip(f"{' and '.join(missing)} unset: run in `nix develop`")
    other_stack.dagma("up", "-d", "minimal")
    nodes = other_stack.graphql(ASSETS)["assetNodes"]
    assets = [node for node in nodes if node["isExecutable"] and not node["isObservable"]]
    # One partitioned asset, and there is a dialog; one required setting, and there is a form.
    assert [one["assetKey"]["path"] for one in assets if one["partitionDefinition"]] == []
    assert [one for one in assets if one["configField"] and one["configField"]["isRequired"]] == []
    common = set.intersection(*(set(one["jobNames"]) for one in assets))
    selector = {
        "repositoryLocationName": "dagma",
        "repositoryName": assets[0]["repository"]["name"],
        "jobName": min(common),
        "assetSelection": [one["assetKey"] for one in assets],
    }
    other_stack.wait_for_success(other_stack.launch(selector), 300)
