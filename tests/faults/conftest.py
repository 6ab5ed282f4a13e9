"""Options, the stack under fault, and the report at the end."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_stack import a_stack
from report import Report
from under_fault import GROUP, StackUnderFault

REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser):
    group = parser.getgroup("faults")
    group.addoption("--repetitions", type=int, default=1, help="how often each kill is tried")
    group.addoption("--storm", type=int, default=12, help="runs queued in the storm")
    group.addoption("--kills", type=int, default=None, help="kills in the storm; a quarter of them")
    group.addoption("--seed", type=int, default=None, help="repeats a storm")
    group.addoption("--report", type=Path, default=None, help="file for the report as JSON")


def pytest_configure(config):
    config.addinivalue_line("markers", "stack: starts real services")
    config.stash[REPORT] = Report()


def pytest_generate_tests(metafunc):
    if "repetition" in metafunc.fixturenames:
        metafunc.parametrize("repetition", range(metafunc.config.getoption("repetitions")))


def pytest_terminal_summary(terminalreporter, config):
    report = config.stash[REPORT]
    if not report.lines:
        return
    terminalreporter.section("fault report")
    for line in report.table():
        terminalreporter.write_line(line)
    if path := config.getoption("report"):
        report.write(path)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the ends of the services' logs."""
    outcome = yield
    made = outcome.get_result()
    stack = getattr(item, "funcargs", {}).get("stack")
    if made.failed and stack is not None:
        made.sections.append(("ends of the services' logs", stack.live.log_tails()))


@pytest.fixture(scope="session")
def stack(tmp_path_factory) -> Iterator[StackUnderFault]:
    """The stack with the code location under fault, started once."""
    folder = tmp_path_factory.mktemp("executions")
    with a_stack(DAGMA_CODE_MODULE="counted", FAULTS_FOLDER=str(folder)) as live:
        shutil.copy(Path(__file__).with_name("counted.py"), live.work)
        live.dagma("up", "-d", GROUP)
        yield StackUnderFault(live, folder)


@pytest.fixture(scope="session")
def report(request) -> Report:
    return request.config.stash[REPORT]


@pytest.fixture(scope="session")
def seed(request, report) -> int:
    """The seed of the storm, in the report."""
    given = request.config.getoption("seed")
    chosen = random.randrange(10**6) if given is None else given
    report.notes.append(f"The storm's seed: {chosen} (`--seed {chosen}` repeats it).")
    return chosen


@pytest.fixture(scope="session")
def storm(request) -> int:
    """How many runs are queued in the storm."""
    return request.config.getoption("storm")


@pytest.fixture(scope="session")
def kills(request, storm) -> int:
    """How many kills are tried in the storm."""
    given = request.config.getoption("kills")
    return max(1, storm // 4) if given is None else given
