"""Options, the stack under fault, and the report at the end."""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from live_stack import a_stack
from report import Report
from under_fault import GROUP, StackUnderFault

#: Bytes of the small disk; a new state takes a fifth.
SMALL_DISK = 300_000_000
#: Seconds for which a cause lasts, in the short form and in the long one.
OUTAGE, LONG_OUTAGE = 10.0, 45.0
REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser):
    group = parser.getgroup("faults")
    group.addoption("--repetitions", type=int, default=1, help="how often each kill is tried")
    group.addoption("--storm", type=int, default=12, help="runs queued in the storm")
    group.addoption("--kills", type=int, default=None, help="kills in the storm; a quarter of them")
    group.addoption("--seed", type=int, default=None, help="repeats a storm")
    group.addoption("--outage", type=float, default=None, help="seconds that a cause lasts")
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
    given = getattr(item, "funcargs", {})
    stack = given.get("stack") or given.get("small_disk")
    if made.failed and stack is not None:
        made.sections.append(("ends of the services' logs", stack.live.log_tails()))


@contextmanager
def a_stack_under_fault(folder: Path) -> Iterator[StackUnderFault]:
    """A stack with the code location under fault, not started yet."""
    with a_stack(DAGMA_CODE_MODULE="counted", FAULTS_FOLDER=str(folder)) as live:
        shutil.copy(Path(__file__).with_name("counted.py"), live.work)
        yield StackUnderFault(live, folder)


@pytest.fixture(scope="session")
def stack(tmp_path_factory) -> Iterator[StackUnderFault]:
    """The stack under fault, started once."""
    with a_stack_under_fault(tmp_path_factory.mktemp("executions")) as made:
        made.live.dagma("up", "-d", GROUP)
        yield made


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory) -> Iterator[StackUnderFault]:
    """The same with its state on a small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    with a_stack_under_fault(tmp_path_factory.mktemp("executions")) as made:
        home = str(made.live.home)
        made.live.home.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=711", "tmpfs", home]
        mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
        try:
            made.live.dagma("up", "-d", GROUP)
            yield made
        finally:
            made.live.run("down", "--now")
            subprocess.run(["umount", home], check=True)


@pytest.fixture(scope="session")
def report(request) -> Report:
    return request.config.stash[REPORT]


@pytest.fixture(scope="session")
def outage(request) -> float:
    """Seconds for which a cause lasts; some minutes with `--outage 600`."""
    given = request.config.getoption("outage")
    short = request.config.getoption("repetitions") == 1
    return given or (OUTAGE if short else LONG_OUTAGE)


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
