"""The Dockerfile of docs/images.md: somebody's own code and wheels on our image, without a pip in it."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTED = "registry.example/team/dagma/user-code:1.0"
IMAGE = "localhost/dagma/user-code:test"
#: Not in our image, with an extension in C++.
WHEEL = "rapidfuzz"
CODE = """
import dagster as dg
from rapidfuzz import fuzz

@dg.asset
def similarity():
    return fuzz.ratio("dagma", "dogma")

defs = dg.Definitions(assets=[similarity])
"""


def dockerfiles():
    """The Dockerfiles of the section, in its order."""
    section = (ROOT / "docs/images.md").read_text().split("## Your own code\n")[1].split("\n## ")[0]
    return re.findall(r"```dockerfile\n(.*?)```", section, re.DOTALL)


def pip(*arguments, cwd):
    """The machine's own pip, which knows the way to an index."""
    return subprocess.run(["/usr/bin/python3", "-m", "pip", *arguments], cwd=cwd, check=True)


def build(context, requirements):
    """Build the second of them; the finished build."""
    (context / "requirements.txt").write_text(requirements)
    (context / "my_platform").mkdir(exist_ok=True)
    (context / "my_platform/__init__.py").touch()
    (context / "my_platform/definitions.py").write_text(CODE)
    (context / "Dockerfile").write_text(dockerfiles()[1].replace(DOCUMENTED, IMAGE))
    # The machine's own way to a Python index, if it has one.
    mine = [path for path in ("/etc/pip.conf", "/etc/ssl/certs") if Path(path).exists()]
    volumes = [f"--volume={path}:{path}:ro" for path in mine]
    options = ["--isolation=chroot", "--network=host", "--tag=localhost/own:test", *volumes]
    command = ["podman", "build", *options, str(context)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def context(images, tmp_path):
    pip("download", "--quiet", "--no-deps", "pip", cwd=tmp_path)
    return tmp_path


def test_code_with_wheels_of_its_own_runs_and_adds_only_them(context):
    built = build(context, f"{WHEEL}\ndagster\n")
    assert built.returncode == 0, built.stdout + built.stderr
    run = ["podman", "run", "--rm", "--read-only", "--tmpfs=/tmp", "localhost/own:test"]
    code = (
        "from my_platform.definitions import similarity; import dagster as dg, os;"
        " print(dg.materialize([similarity]).output_for_node('similarity'));"
        " print(*sorted(os.listdir('/opt/dagster/app')))"
    )
    done = subprocess.run([*run, "python", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    value, names = done.stdout.splitlines()[-2:]
    assert float(value) == pytest.approx(80.0)
    added = {name for name in names.split() if not re.fullmatch(r"dagma.*|__pycache__", name)}
    assert {name for name in added if WHEEL not in name} == {"my_platform"}


def test_another_version_of_what_is_in_the_image_ends_the_build(context):
    built = build(context, "click==8.0.0\n")
    assert built.returncode != 0
    assert "click==8.0.0" in built.stdout + built.stderr
    assert "conflict" in built.stdout + built.stderr
