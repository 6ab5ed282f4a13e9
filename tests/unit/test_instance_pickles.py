import subprocess
import sys

import pytest

#: Runs a job whose input is a planted pickle; `refuse` changes the whole process.
ATTACK = """
import os, pickle, sys
import dagster as dg

class Planted:
    def __reduce__(self):
        return os.mkdir, (sys.argv[1],)

@dg.op
def count(number: int): ...

@dg.op
def anything(value): ...

@dg.job
def job():
    count()
    anything()

path = sys.argv[1] + ".pickle"
with open(path, "wb") as file:
    pickle.dump(Planted(), file)
if sys.argv[2] == "refuse":
    from dagma.instance import Instance
given, planted = {"value": 1}, {"pickle": {"path": path}}
for number, value in ((planted, given), (given, planted)):
    inputs = {"count": {"inputs": {"number": number}}, "anything": {"inputs": {"value": value}}}
    done = job.execute_in_process(run_config={"ops": inputs}, raise_on_error=False)
    print(done.success, os.path.isdir(sys.argv[1]))
    for event in done.get_step_failure_events():
        print(event.step_failure_data.error_display_string, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("how", "said"), [("refuse", ["False False"] * 2), ("as Dagster is", ["False True"] * 2)]
)
def test_an_input_of_a_job_is_not_loaded_from_a_pickle(tmp_path, how, said):
    """The second case shows that there is something to refuse; when it fails, Dagster does it."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ATTACK, str(tmp_path / "ran"), how],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == said, done.stderr
    assert ("Give the input as a value" in done.stderr) == (how == "refuse")
