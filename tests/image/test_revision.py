"""Two commits of this checkout, built."""

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def git(checkout, *arguments):
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    return subprocess.check_output(
        ["git", "-C", checkout, *identity, *arguments], text=True
    ).strip()


def entries(checkout):
    """Build the images; role -> its entry in index.json."""
    command = ["./nixw", "build", ".#image", "--no-link", "--print-out-paths"]
    layout = subprocess.check_output(command, cwd=checkout, text=True).splitlines()[-1]
    found = json.loads((Path(layout) / "index.json").read_text())["manifests"]
    return {entry["annotations"]["org.opencontainers.image.ref.name"]: entry for entry in found}


def test_a_commit_that_changes_only_the_readme_keeps_every_digest(tmp_path):
    checkout = tmp_path / "checkout"
    git(ROOT, "clone", "--quiet", ROOT, checkout)
    before, first = entries(checkout), git(checkout, "rev-parse", "HEAD")
    with (checkout / "README.md").open("a") as readme:
        readme.write("\nA sentence more.\n")
    git(checkout, "commit", "--quiet", "--all", "--message=A sentence more")
    after, second = entries(checkout), git(checkout, "rev-parse", "HEAD")
    assert len(before) == 4
    assert {role: entry["digest"] for role, entry in after.items()} == {
        role: entry["digest"] for role, entry in before.items()
    }
    key = "org.opencontainers.image.revision"
    assert {entry["annotations"][key] for entry in before.values()} == {first}
    assert {entry["annotations"][key] for entry in after.values()} == {second}
