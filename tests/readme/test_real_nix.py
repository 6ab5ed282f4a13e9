"""nixw itself, with a real Nix: from another project's folder, and on a network without GitHub."""

import http.server
import os
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def nixw(new_user, tmp_path):
    """Call nixw from another project's folder; returns the finished process."""
    project = tmp_path / "my project"
    project.mkdir()

    def call(*arguments, **environment):
        return subprocess.run(
            [ROOT / "nixw", *arguments],
            cwd=project,
            env=new_user | environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    call.project = project
    return call


def test_another_project_s_settings_and_state_directory_count(nixw):
    (nixw.project / ".env").write_text("USER_CODE_PORT=24987\n")
    said = nixw("run", ".#dagma", "--", "env").stdout
    assert "export USER_CODE_PORT=24987" in said
    assert f"{nixw.project}/.dagma" in said


def test_a_mistake_in_another_project_s_settings_is_seen(nixw):
    (nixw.project / ".env").write_text("USER_CODE_PORT=none\n")
    done = nixw("run", ".#stack", "--", "-d")
    assert done.returncode == 1
    assert "USER_CODE_PORT" in done.stderr


def test_the_code_is_importable_in_a_shell_entered_from_elsewhere(nixw):
    done = nixw("develop", "-c", "python", "-c", "import dagma; print(dagma.__file__)")
    assert done.stdout.splitlines()[-1] == str(ROOT / "src/dagma/__init__.py")


def test_a_result_is_linked_where_nixw_was_called(nixw):
    assert nixw("build", ".#dagma").returncode == 0
    assert (nixw.project / "result").is_symlink()


@contextmanager
def a_binary_cache(folder):
    """A binary cache with nothing in it, on loopback; gives its address."""
    (folder / "nix-cache-info").write_text("StoreDir: /nix/store\n")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_github_refused_while_the_cache_answers(nixw, tmp_path):
    for name in ("cache", "data", "nix-cache"):
        (tmp_path / name).mkdir()
    with a_binary_cache(tmp_path / "cache") as address:
        network = {
            "DAGMA_PACKAGES": "auto",
            "XDG_DATA_HOME": str(tmp_path / "data"),
            "XDG_CACHE_HOME": str(tmp_path / "nix-cache"),
            "NIX_CONFIG": f"{os.environ.get('NIX_CONFIG', '')}\nsubstituters = {address}",
            # Nothing listens there: whatever is not on this machine is refused.
            "https_proxy": "http://127.0.0.1:9",
            "no_proxy": "127.0.0.1",
        }
        first, second = (nixw("eval", "--raw", ".#dagma.name", **network) for _ in range(2))
        by_name = nixw("eval", "--raw", ".#dagma.name", **network | {"DAGMA_PACKAGES": "nixpkgs"})
    assert first.stdout == second.stdout == "dagma"
    (line,) = [line for line in first.stderr.splitlines() if "packages from" in line]
    assert line.startswith("nixw: packages from registry, nixpkgs is not to be had")
    assert "packages from" not in second.stderr
    assert by_name.returncode != 0
    assert "unable to download" in by_name.stderr
