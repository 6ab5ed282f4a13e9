"""One real stack for all tests in this directory: group data, started once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_stack import LiveStack, a_stack
from platform_client import CORPUS_TO_VECTORS_AND_MODELS
from webhook_server import WebhookServer, a_webhook


def pytest_addoption(parser):
    parser.addoption("--pictures", metavar="FOLDER", help="Where test_pictures.py writes them.")


def pytest_configure(config):
    config.addinivalue_line("markers", "stack: starts real services")


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.stack)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the ends of the services' logs."""
    outcome = yield
    report = outcome.get_result()
    live = getattr(item, "funcargs", {}).get("stack")
    if report.failed and live is not None:
        report.sections.append(("ends of the services' logs", live.log_tails()))


@pytest.fixture(scope="session")
def webhook() -> Iterator[WebhookServer]:
    """The webhook that the stack notifies."""
    with a_webhook() as server:
        yield server


@pytest.fixture(scope="session")
def stack(webhook: WebhookServer) -> Iterator[LiveStack]:
    """The group data, started once; its sensors look as often as Dagster lets them."""
    with a_stack(DAGMA_SENSOR_INTERVAL="5", DAGMA_WEBHOOK_URL=webhook.url) as live:
        live.dagma("up", "-d", "data")
        yield live


@pytest.fixture(scope="session")
def whole_run(stack: LiveStack) -> str:
    """The id of one run from the corpus to the vectors and dbt's models."""
    if missing := [name for name in ("RECIPES_SOURCE", "DBT_MANIFEST") if name not in os.environ]:
        pytest.skip(f"{' and '.join(missing)} unset: run in `nix develop`")
    run_id = stack.launch_assets(CORPUS_TO_VECTORS_AND_MODELS)
    stack.wait_for_success(run_id, 300)
    return run_id


@pytest.fixture
def other_stack() -> Iterator[LiveStack]:
    """A state directory in which nothing runs yet."""
    with a_stack() as live:
        yield live
