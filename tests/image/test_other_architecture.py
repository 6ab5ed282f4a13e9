"""The images for the other architecture, built here and run by QEMU: what their files alone do not tell.

QEMU runs one program, which starts no other: neither process 1 nor a service that starts processes.
"""

import json
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stored import ARCHITECTURES

ROOT = Path(__file__).parents[2]
OTHER = {"x86_64": "aarch64", "aarch64": "x86_64"}.get(platform.machine(), "")
#: What each imports: user code all that it starts with, which takes a minute of emulation.
MODULES = {
    "user-code": ["dagma.code_server", "dagma.definitions"],
    "webserver": ["starlette.applications", "uvicorn", "psycopg2"],
    "daemon": ["grpc", "sqlalchemy", "psycopg2"],
    "mlflow": ["fastapi", "numpy", "psycopg2"],
}
#: As load_libraries.py, whose processes would be programs that the machine cannot start.
LOAD = """
import os, sys
from pathlib import Path
sys.path.append("/checks")
import load_libraries
loaded = 0
for prefix in sorted(Path("/nix/store").iterdir()):
    if (prefix / "pyvenv.cfg").exists() or not (prefix / "lib/python3.13/site-packages").is_dir():
        continue
    if paths := load_libraries.libraries(prefix):
        if not os.fork():
            sys.argv[1:] = paths
            exec(load_libraries.LOAD)
        if status := os.wait()[1]:
            sys.exit(f"{prefix}: {os.waitstatus_to_exitcode(status)}")
        loaded += len(paths)
print("loaded", loaded)
"""


@pytest.fixture(scope="session")
def qemu() -> Path:
    """QEMU for the other architecture: a static program, which a container needs no other files for."""
    found = shutil.which(f"qemu-{OTHER}-static")
    if not found:
        pytest.skip(
            f"no qemu-{OTHER or 'ARCHITECTURE'}-static on PATH (Debian: qemu-user-static):"
            " images for the other architecture are not run"
        )
    return Path(found).resolve()


@pytest.fixture(scope="session")
def other_layout(qemu: Path) -> Path:
    """The OCI layout of this checkout for the other architecture."""
    command = ["./nixw", "build", f".#image-{OTHER}", "--no-link", "--print-out-paths"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Path(built.stdout.strip())


class Emulated:
    """One image, run by QEMU as its user and without a network."""

    def __init__(self, layout: Path, role: str, qemu: Path) -> None:
        self.qemu = qemu
        pulled = self.podman("pull", "--quiet", f"oci:{layout}:{role}")
        assert pulled.returncode == 0, pulled.stderr
        self.image = pulled.stdout.split()[-1]
        (self.about,) = json.loads(self.podman("image", "inspect", self.image).stdout)
        variables = dict(pair.split("=", 1) for pair in self.about["Config"]["Env"])
        (folder,) = [f for f in variables["PATH"].split(":") if f.endswith(f"-image-{role}/bin")]
        self.interpreter = f"{folder}/python"

    @staticmethod
    def podman(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False)

    def python(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the interpreter of the image with the folder nix/python as /checks."""
        mounts = {self.qemu: "/qemu", ROOT / "nix/python": "/checks"}
        options = [f"--volume={here}:{there}:ro" for here, there in mounts.items()]
        options += ["--rm", "--read-only", "--tmpfs=/tmp", "--network=none", "--entrypoint=/qemu"]
        command = [self.interpreter, "-B", "-P", *arguments]
        return self.podman("run", *options, self.image, *command)


@pytest.fixture(params=MODULES)
def emulated(
    request: pytest.FixtureRequest, qemu: Path, other_layout: Path, podman: None
) -> Iterator[Emulated]:
    """Each of the images."""
    image = Emulated(other_layout, request.param, qemu)
    yield image
    Emulated.podman("rmi", "--force", image.image)


def test_the_interpreter_starts_and_compiles_nothing(emulated, request):
    role = request.node.callspec.params["emulated"]
    assert emulated.about["Architecture"] == ARCHITECTURES[OTHER]
    done = emulated.python("-c", "import os, platform, ssl; print(platform.machine(), os.getuid())")
    assert done.stdout.split() == [OTHER, "65532"], done.stderr
    done = emulated.python("/checks/check_bytecode.py", *MODULES[role])
    assert ", ".join(MODULES[role]) in done.stdout, done.stderr
    # The code location itself has no bytecode.
    compiled = done.stderr.partition("compiled:\n")[2].split()
    assert [path for path in compiled if not path.startswith("/opt/dagster/app/")] == []


@pytest.mark.parametrize("emulated", ["user-code", "mlflow"], indirect=True)
def test_every_library_loads(emulated):
    done = emulated.python("-c", LOAD)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 100
