import json
import os
import subprocess
import sys

import pytest

ASK = """
import json, os
from dagster._cli.utils import get_instance_for_cli
with get_instance_for_cli():
    print(json.dumps({name: os.environ.get(name) for name in ("MINE", "ONLY_THERE", "SAME")}))
"""


@pytest.mark.parametrize(
    ("service", "found"),
    [
        ({"DAGMA_SUPERVISED": "/h"}, {"MINE": "given", "ONLY_THERE": None, "SAME": "1"}),
        ({}, {"MINE": "file", "ONLY_THERE": "secret", "SAME": "1"}),
    ],
)
def test_a_service_has_what_the_stack_gave_it_whatever_dagster_reads_in_dotenv(
    tmp_path, service, found
):
    (tmp_path / "dagster.yaml").write_text(
        "instance_class: {module: dagma.instance, class: Instance}\n"
    )
    (tmp_path / ".env").write_text("MINE=file\nONLY_THERE=secret\nSAME=1\n")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("DAGMA_")}
    given = {"DAGSTER_HOME": str(tmp_path), "MINE": "given", "SAME": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=tmp_path,
        env=inherited | given | service,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == found
