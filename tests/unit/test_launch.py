import subprocess
import sys

import pytest

#: A process whose clock jumps at the fourth look.
JUMPS = """
import sys, threading, time
from dagma.stack import launch

real, jump, looks = time.time, float(sys.argv[1]), []
def clock():
    looks.append(None)
    return real() + (jump if len(looks) > 3 else 0)
time.time = clock
threading.Thread(target=launch.end_after_setback, daemon=True).start()
while len(looks) < 6:
    time.sleep(0.1)
print("goes on")
"""


@pytest.mark.parametrize(
    ("jump", "exit_code", "said"),
    [
        (-7200, 1, "The clock was set back by 7200 s; starting again."),
        (-1, 0, "goes on"),
        (7200, 0, "goes on"),
    ],
)
def test_a_process_whose_clock_is_set_back_ends_and_no_other(jump, exit_code, said):
    command = [sys.executable, "-c", JUMPS, str(jump)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (exit_code, said), done.stderr
