"""What holds for every service of the list, whatever it is called."""

import pkgutil
import re
from pathlib import Path

import pytest
import yaml

from dagma.stack import fields, services, settings, topology
from dagma.stack.service import GROUPS, Service
from dagma.stack.upkeep import archive

ROOT = Path(__file__).parents[2]
STACK = Path(str(services.__file__)).parents[1]


@pytest.fixture(params=services.ALL, ids=lambda service: service.name)
def service(request: pytest.FixtureRequest) -> Service:
    found: Service = request.param
    return found


@pytest.fixture
def chosen(tmp_path: Path) -> settings.Settings:
    return settings.load({"DAGMA_HOME": str(tmp_path / "h")}).settings


def keeps_state(service: Service, chosen: settings.Settings) -> bool:
    return bool(service.directories(chosen) or service.applications(chosen))


def test_each_module_is_a_service_of_the_list():
    modules = {module.name for module in pkgutil.iter_modules(services.__path__)} - {"__main__"}
    assert modules == {service.name for service in services.ALL}


def test_the_processes_are_those_of_the_topology(checkout: None):
    there = yaml.safe_load(re.sub(r"\$\{\w+\}", "1", topology.path().read_text()))["processes"]
    assert {topology.INIT, *services.PROCESSES} == set(there)


def test_its_settings_and_groups_are_there(service: Service):
    for process in service.processes:
        assert set(process.ports) <= set(settings.Settings.model_fields)
    moved = {tree.setting for tree in service.trees} - {None}
    assert moved <= set(settings.Settings.model_fields)
    assert set(service.groups) <= set(GROUPS)
    assert GROUPS[-1] in service.groups
    takers = {name for of in service.products.values() for name in of}
    assert takers <= set(services.PROCESSES)


def test_who_takes_a_setting_is_a_process(service: Service):
    for name in settings.table():
        takers = settings.taken_by(name)
        assert takers in {fields.AT_ONCE, fields.STACK} or set(takers) <= set(services.PROCESSES)


def test_what_it_keeps_is_backed_up_and_measured(service: Service, chosen: settings.Settings):
    if not keeps_state(service, chosen):
        pytest.skip("keeps nothing of its own")
    kept = bool(service.applications(chosen)) or bool(service.trees)
    assert kept or type(service).back_up is not Service.back_up
    for directory in service.directories(chosen):
        measured = service.sized(chosen) if service.measured else []
        assert any(
            directory.is_relative_to(path) or path.is_relative_to(directory) for path in measured
        ), f"`dagma status` shows no size of {directory}"


def test_what_is_written_into_a_backup_is_restored(service: Service):
    own = type(service)
    assert (own.back_up is Service.back_up) == (own.restore is Service.restore)
    for tree in service.trees:
        assert tree.folder.split("/")[0] in archive.PARTS


def test_its_page_names_it(service: Service):
    text = (ROOT / "docs" / service.page).read_text().lower()
    assert service.name in text
    assert f"({service.page}" in (ROOT / "docs/README.md").read_text()


def test_each_process_of_what_keeps_state_is_killed_in_a_test(
    service: Service, chosen: settings.Settings
):
    if not keeps_state(service, chosen):
        pytest.skip("keeps nothing of its own")
    text = (ROOT / "tests/faults/kills.py").read_text()
    for process in service.processes:
        assert f'_kill_service("{process.name}"' in text


def test_nobody_else_knows_the_applications_by_name():
    """But for the services' own files, where `grep` finds them."""
    named = [
        path.relative_to(STACK)
        for path in STACK.rglob("*.py")
        if path.parent.name != "services" and re.search("qdrant|mlflow", path.read_text())
    ]
    assert named == []
