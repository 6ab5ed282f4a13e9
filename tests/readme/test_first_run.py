"""docs/first-run.md as a new user follows it: its commands in order, and what they are to print."""

import re
import shutil
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pytest
from platform_client import free_ports

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/first-run.md").read_text()
BLOCKS = re.findall(r"```(sh|text)\n(.*?)```", PAGE, re.DOTALL)
#: Command -> what the page says it prints; "" where it says nothing.
STEPS = [
    (text.strip(), after if kind == "text" else "")
    for (of, text), (kind, after) in pairwise([*BLOCKS, ("sh", "")])
    if of == "sh"
]
PORTS = ("POSTGRES_PORT", "DAGSTER_WEBSERVER_PORT", "MLFLOW_PORT")
#: Seconds for what the page says to come, and the commands that look whether it has.
SOON = 240
LOOKS = ("status", "cat", "ls")


@pytest.fixture(scope="module")
def clone(new_user):
    """A clone with what is not committed, and a state of its own within; its shell."""
    # Below a short path: the state has sockets.
    folder = Path(tempfile.mkdtemp(prefix="first", dir="/tmp"))
    folder.chmod(0o711)  # root's PostgreSQL runs as another user
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))

    def sh(line):
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=folder,
            env=new_user | ports | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
        )
        print(f"$ {line}\n{done.stdout}")
        return done

    try:
        yield sh
    finally:
        sh("./nixw run .#dagma -- down --now")
        shutil.rmtree(folder)


def lacking(expected, printed):
    """Lines of the page that no line of the output is like."""
    patterns = [".*".join(map(re.escape, line.split("..."))) for line in expected.splitlines()]
    lines = printed.splitlines()
    return [one for one in patterns if not any(re.fullmatch(one, line) for line in lines)]


def test_the_page_in_order(clone):
    for command, expected in STEPS:
        deadline = time.monotonic() + SOON
        done = clone(command)
        while lacking(expected, done.stdout) and any(f" {look}" in f" {command}" for look in LOOKS):
            assert time.monotonic() < deadline, (command, expected, done.stdout)
            time.sleep(5)
            done = clone(command)
        assert lacking(expected, done.stdout) == [], command
        assert done.returncode == 0, command


def test_each_command_of_the_page_is_a_line_and_followed_by_what_it_prints():
    assert len(STEPS) > 8
    assert [command for command, _ in STEPS if "\n" in command] == []
    silent = [command for command, expected in STEPS if not expected]
    assert [command for command in silent if not command.startswith("echo ")] == []
