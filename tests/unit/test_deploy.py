"""deploy/ as files; tests/image runs the compose file."""

import json
import os
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest
import yaml

from dagma.stack import settings, topology
from dagma.stack.services import qdrant

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "deploy/compose.yaml").read_text()
SERVICES = yaml.safe_load(COMPOSE)["services"]
VALUES = yaml.safe_load((ROOT / "deploy/kubernetes/values.yaml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
VARIABLES = dict(re.findall(r"\$\{(\w+):-([^}]+)\}", COMPOSE))


def test_compose_has_the_services_of_the_stack():
    here = set(topology.SERVICES) - {"maintenance"}  # for the machine that has the volumes
    assert here | {"init", "init_mlflow"} == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_hardened_and_restarted(name):
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]
    once = name.startswith("init")
    assert service["restart"] == ("on-failure" if once else "unless-stopped")
    assert once or service["healthcheck"]["test"]


def test_ports_are_on_loopback_with_the_defaults_of_the_settings():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:${") for port in ports)
    for name, info in settings.table().items():
        if name in VARIABLES:
            assert VARIABLES[name] == settings.shown_default(info)


def test_every_variable_of_compose_is_known_to_the_settings_and_explained():
    known = set(settings.table()) | settings.OF_COMPOSE
    explained = (ROOT / "docs/deploy.md").read_text()
    assert set(VARIABLES) <= known
    assert set(VARIABLES) >= settings.OF_COMPOSE
    assert [name for name in VARIABLES if f"`{name}`" not in explained] == []


def test_no_service_gets_a_password():
    given = [key for service in SERVICES.values() for key in service.get("environment", {})]
    assert {key for key in given if "PASS" in key} == {"PGPASSFILE", "POSTGRES_PASSWORD_FILE"}


def test_each_volume_is_used_and_the_database_has_one():
    mounts = [mount for service in SERVICES.values() for mount in service["volumes"]]
    assert {mount.split(":")[0] for mount in mounts} == set(yaml.safe_load(COMPOSE)["volumes"])
    assert "postgres:/var/lib/postgresql/data" in SERVICES["postgres"]["volumes"]


def test_images_are_of_this_version():
    images = [service["image"] for service in SERVICES.values()]
    assert VARIABLES["DAGMA_IMAGE_TAG"] == PROJECT
    assert not [image for image in images if "latest" in image]
    tags = {
        VALUES["dagsterWebserver"]["image"]["tag"],
        VALUES["dagsterDaemon"]["image"]["tag"],
        VALUES["dagster-user-deployments"]["deployments"][0]["image"]["tag"],
    }
    assert tags == {PROJECT}


def test_the_chart_is_of_our_dagster():
    for path in ("deploy/kubernetes/values.yaml", "docs/deploy.md"):
        assert version("dagster") in (ROOT / path).read_text()


def test_the_qdrant_of_compose_fits_our_client():
    tag = VARIABLES["DAGMA_QDRANT_IMAGE"].rpartition(":v")[2]
    assert qdrant.fits(tag, version("qdrant-client")), tag


def test_the_qdrant_of_compose_lets_no_other_site_read():
    given = SERVICES["qdrant"]["environment"]
    assert given["QDRANT__SERVICE__ENABLE_CORS"] == "false"


@pytest.mark.skipif(
    "DAGSTER_CHART" not in os.environ,
    reason="DAGSTER_CHART names no checkout of Dagster's Helm chart: its schema is not compared",
)
def test_the_values_are_valid_for_the_chart():
    chart = Path(os.environ["DAGSTER_CHART"])
    defaults = yaml.safe_load((chart / "values.yaml").read_text())
    jsonschema.validate(
        merged(defaults, VALUES), json.loads((chart / "values.schema.json").read_text())
    )


def merged(below, above):
    """Values over a chart's defaults, as Helm merges them."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: merged(below.get(key), value) for key, value in above.items()}
