"""Real containers: the images of this checkout, in storage and networks that these tests alone use."""

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from compose import Compose

ROOT = Path(__file__).parents[2]
ROLES = ("user-code", "webserver", "daemon", "mlflow")


@pytest.fixture(scope="session")
def layout() -> Path:
    """The OCI layout of this checkout."""
    command = ["./nixw", "build", ".#image", "--no-link", "--print-out-paths"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Path(built.stdout.strip())


@pytest.fixture(scope="session")
def podman() -> Iterator[None]:
    """Make every `podman` use a storage of its own and what works on restricted machines too.

    crun refuses hybrid cgroups, systemd may not be there, and the engine's default limits may be
    above those of the machine.
    """
    if shutil.which("podman") is None:
        pytest.skip("no podman on PATH: the images are not run")
    folder = Path(tempfile.mkdtemp(prefix="dagma-podman-"))
    runtime = 'runtime = "runc"' if shutil.which("runc") else ""
    (folder / "containers.conf").write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
        f'[engine]\n{runtime}\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{folder}/networks"\n'
    )
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
    )
    patch = pytest.MonkeyPatch()
    patch.setenv("CONTAINERS_CONF", str(folder / "containers.conf"))
    patch.setenv("CONTAINERS_STORAGE_CONF", str(folder / "storage.conf"))
    try:
        yield
    finally:
        for mount in (folder / "storage/overlay", folder / "run"):
            subprocess.run(["umount", "--quiet", mount], check=False, capture_output=True)
        patch.undo()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_image(podman: None) -> str:
    """An image that starts like upstream's, from the PostgreSQL of the package set.

    No registry of images is needed. The programs are the machine's /nix/store, mounted.
    """
    folders = {Path(str(shutil.which(name))).resolve().parent for name in ("postgres", "cat")}
    shell = Path(str(shutil.which("bash"))).resolve()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in (
            ("nix/store", 0o755),
            ("tmp", 0o1777),
            ("var/lib/postgresql/data", 0o1777),
            ("var/run/postgresql", 0o3777),
        ):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, mode, 999, 999
            tar.addfile(folder)
        for name, content in (
            ("etc/passwd", b"postgres:x:999:999::/var/lib/postgresql:/bin/sh\n"),
            ("etc/group", b"postgres:x:999:\n"),
            ("entrypoint", (Path(__file__).parent / "postgres-entrypoint.sh").read_bytes()),
        ):
            file = tarfile.TarInfo(name)
            file.size, file.mode = len(content), 0o755
            tar.addfile(file, io.BytesIO(content))
        for name in ("bin/bash", "bin/sh"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, str(shell)
            tar.addfile(link)
    path = ":".join(str(folder) for folder in folders)
    settings = (f"ENV PATH={path}", "ENV PGDATA=/var/lib/postgresql/data", "CMD /entrypoint")
    changes = [f"--change={setting}" for setting in settings]
    name = "localhost/postgres-of-the-package-set"
    subprocess.run(
        ["podman", "import", "--quiet", *changes, "-", name], input=buffer.getvalue(), check=True
    )
    return name


@pytest.fixture(scope="session")
def images(layout: Path, podman: None, postgres_image: str) -> None:
    """The four images, loaded under the names that the compose file has."""
    command = ["podman", "run", "--rm", "--volume=/nix/store:/nix/store:ro", postgres_image]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"podman cannot run a container here: {tried.stderr.strip()}")
    for role in ROLES:
        pulled = subprocess.run(
            ["podman", "pull", "--quiet", f"oci:{layout}:{role}"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        name = f"localhost/dagma/{role}:test"
        subprocess.run(["podman", "tag", pulled.stdout.strip(), name], check=True)


@pytest.fixture(scope="session")
def compose(images: None, postgres_image: str) -> Iterator[Compose]:
    """deploy/compose.yaml, up, without Qdrant, whose image is in a registry only."""
    with tempfile.TemporaryDirectory(prefix="dagma-compose-") as folder:
        live = Compose(ROOT / "deploy/compose.yaml", Path(folder), postgres_image)
        try:
            live.up()
            yield live
        finally:
            live.down()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the ends of the services' logs."""
    outcome = yield
    report = outcome.get_result()
    live = getattr(item, "funcargs", {}).get("compose")
    if report.failed and live is not None:
        report.sections.append(("ends of the services' logs", live.log_tails()))


def pytest_configure(config):
    # podman and what it starts outlive a test; no variable of the caller's stack is meant for them.
    for name in [*os.environ]:
        if name.startswith(("DAGSTER_", "MLFLOW_", "QDRANT_", "USER_CODE_", "PG", "POSTGRES_")):
            del os.environ[name]
