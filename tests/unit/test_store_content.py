"""What Nix copies of a checkout into its store, which every user of the machine can read.

Needs Nix itself, so the build sandbox skips these; .ci/run names them.
"""

import os
import shutil
import socket
import subprocess
import uuid
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git on PATH")

STORE = Path("/nix/store")
#: Where secrets and copies of them lie, or come to lie.
LIKELY = (
    *(".env", ".env.local", ".env.bak", ".envrc", "env.txt", "secrets.json", "id_ed25519"),
    *(".dagma/secrets/postgres", ".dagma/logs/webserver.log", ".dagma.before-restore-1/secrets/x"),
    *(".dagma-backups/dagma-1.tar", "dagma-1.tar", "backups/dagma-1.dump"),
    *("src/.env", "src/dagma/.env", "src/dagma/settings.py~", "src/dagma/.settings.py.swp"),
    *("src/dagma/#settings.py#", "src/dagma/settings.py.orig", "src/dagma/settings.py.bak"),
    *("src/dagma/__pycache__/settings.cpython-313.pyc", "src/dagma/__pycache__/settings.py"),
    *("src/dagma/defs/dbt/project/target/run.json", "src/dagma/defs/dbt/project/logs/dbt.sql"),
    *("nix/.env", "nix/default.nix~", "nix/registry/.lock.json.swp", "nix/image/push.key"),
    *("deploy/.env", "deploy/tls.pem", "deploy/compose.yaml.orig", "docs/notes.html", "tests/.env"),
    *(".hypothesis/examples/x", ".mypy_cache/x.json", ".venv/pyvenv.cfg", "result/x", "uv.lock"),
)


@pytest.fixture
def planted(checkout, tmp_path):
    """A folder with the project's files and a secret in each likely place, but no repository."""
    if not os.access(STORE, os.W_OK) or not shutil.which("python3"):
        pytest.skip("needs a Nix store of our own, which the build sandbox has not")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=checkout, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("needs a checkout with git")
    folder = tmp_path / "a é#b 100% checkout"
    for name in filter(None, listed.stdout.split("\0")):
        if (checkout / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, folder / name)
    secret = f"secret-{uuid.uuid4().hex}"
    for name in LIKELY:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"PASSWORD={secret}\n")
    return folder, secret


def git(folder, *arguments):
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def nixw(folder, *arguments):
    own = ("DAGMA_", "NIX_", "IN_NIX")  # of `nix develop`
    environ = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return subprocess.run(
        [folder / "nixw", *arguments],
        env=environ | {"DAGMA_PACKAGES": "registry"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def content():
    return set(STORE.iterdir())


def leaked(secret, before):
    """Files of the store, among what has come since, that hold the secret."""
    new = [path for path in content() - before if path.suffix != ".lock"]
    files = [file for path in new for file in ([path] if path.is_file() else path.rglob("*"))]
    found = []
    for file in files:
        if file.is_file() and not file.is_symlink() and secret.encode() in file.read_bytes():
            found.append(str(Path(*file.parts[4:])))
    return sorted(found)


def evaluate(folder, secret):
    """Where the secret is in the store after Nix has looked at every output of the flake."""
    sign = str(uuid.uuid4())
    (folder / "README.md").write_text(sign)
    before = content()
    done = nixw(folder, "flake", "check", "--no-build")
    assert done.returncode == 0, done.stderr[-2000:]
    assert leaked(sign, before), "what is in the store would be found"
    return leaked(secret, before)


def test_of_a_downloaded_archive_only_the_project_is_copied(planted, monkeypatch):
    folder, secret = planted
    with socket.socket(socket.AF_UNIX) as control:
        monkeypatch.chdir(folder / ".dagma")
        control.bind("process-compose.sock")  # the whole path would be too long
        monkeypatch.undo()
        assert evaluate(folder, secret) == []
        assert nixw(folder, "run", ".#dagma", "--", "--version").stdout.startswith("dagma, ")
    described = nixw(folder, "eval", "--raw", ".#packages.x86_64-linux.dagma.name")
    assert described.stdout == "dagma", described.stderr


def test_of_a_repository_nothing_untracked_is_copied_and_no_settings_that_are_tracked(planted):
    folder, secret = planted
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "rm", "-r", "--quiet", "--cached", "--ignore-unmatch", *LIKELY)
    assert evaluate(folder, secret) == []
    (folder / ".env").write_text(f"PASSWORD={secret}\n# tracked\n")
    git(folder, "add", "--force", ".env")
    assert evaluate(folder, secret) == []


def test_the_list_has_every_file_of_the_project(checkout):
    """A new kind of file, or a new folder, is added to nix/project.txt."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=checkout, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("needs a checkout with git")
    tracked = {name for name in listed.stdout.splitlines() if (checkout / name).exists()}
    script = (checkout / "nixw").read_text().partition("\nenter_checkout\n")[0]
    done = subprocess.run(
        ["sh", "-c", f"{script}\nproject_files"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    assert tracked - set(done.stdout.splitlines()) == set()
