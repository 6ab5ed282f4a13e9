import signal
import subprocess
import sys

import pytest

#: A program of Click's that does with SIGTERM what Dagster does.
PROGRAM = """
import signal, sys, time, click
from dagma import stopped

@click.command()
@click.argument("how")
def program(how):
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    try:
        print("ready", flush=True)
        if how in ("handles", "waits"):
            time.sleep(60)
    except KeyboardInterrupt:
        if how == "handles":
            return
        raise
    sys.exit(int(how))

stopped.run(program)
"""


def status(how: str, *, term: bool) -> int:
    command = [sys.executable, "-c", PROGRAM, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        assert program.stdout
        assert program.stdout.readline() == b"ready\n"
        if term:
            program.send_signal(signal.SIGTERM)
        return program.wait(30)


def test_one_that_is_stopped_before_it_waits_for_that_ends_with_143() -> None:
    assert status("waits", term=True) == 143


@pytest.mark.parametrize(("how", "term", "code"), [("handles", True, 0), ("3", False, 3)])
def test_another_status_is_its_own(how: str, term: bool, code: int) -> None:
    assert status(how, term=term) == code
