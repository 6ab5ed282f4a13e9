"""The workflows of .github: pinned, with least rights, of commands that .ci/run or the docs have."""

import re

import pytest
import yaml

# What `apt-get install` of .ci/run names beside programs is its own.
APT = re.compile(r"apt-get (update -qq|install -y -qq --no-install-recommends( [a-z0-9-]+)+)")


@pytest.fixture
def text(checkout):
    return (checkout / ".github/workflows/checks.yml").read_text()


@pytest.fixture
def workflow(text):
    return yaml.safe_load(text)


@pytest.fixture
def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_every_workflow_is_looked_at(checkout):
    assert [path.name for path in (checkout / ".github/workflows").iterdir()] == ["checks.yml"]


def test_every_action_is_pinned_to_a_commit_and_its_version_is_told(text, steps):
    lines = re.findall(r"uses: (.+)", text)
    assert len(lines) == sum("uses" in step for step in steps)
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", x) for x in lines)


def test_its_token_may_read_only_and_is_not_left_behind(text, workflow, steps):
    assert workflow["permissions"] == {"contents": "read"}
    assert not [job for job in workflow["jobs"].values() if "permissions" in job]
    assert "secrets" not in text
    checkouts = [step["with"] for step in steps if "actions/checkout@" in step.get("uses", "")]
    assert len(checkouts) == len(workflow["jobs"])
    assert all(options["persist-credentials"] is False for options in checkouts)


def test_strangers_code_never_runs_with_the_rights_of_the_repository(workflow):
    # YAML 1.1 reads the key `on` as true.
    assert set(workflow[True]) == {"push", "pull_request", "workflow_dispatch"}


def test_a_newer_push_ends_the_older_one_s_run_and_nothing_hangs_for_ever(workflow):
    assert workflow["concurrency"]["cancel-in-progress"] is True
    assert all(job["timeout-minutes"] <= 360 for job in workflow["jobs"].values())


def test_every_command_is_the_gate_s_or_documented(checkout, steps):
    docs = "".join((checkout / name).read_text() for name in ("README.md", "docs/nixw.md"))
    blocks = re.findall(r"```sh\n(.*?)```", docs, re.DOTALL)
    gate = (checkout / ".ci/run").read_text()
    known = {line.strip() for text in (*blocks, gate) for line in text.splitlines()}
    commands = [line for step in steps for line in step.get("run", "").splitlines()]
    assert commands
    assert not [line for line in commands if line not in known and not APT.fullmatch(line)]


def test_the_systems_of_the_flake_are_checked(checkout, workflow):
    systems = re.search(r"systems = \[(.*?)\]", (checkout / "flake.nix").read_text(), re.DOTALL)
    checked = {
        row["system"] for row in workflow["jobs"]["nixpkgs"]["strategy"]["matrix"]["include"]
    }
    assert checked == set(re.findall(r'"(.+?)"', systems.group(1)))
    assert workflow["jobs"]["nixpkgs"]["env"] == {"DAGMA_PACKAGES": "nixpkgs"}
