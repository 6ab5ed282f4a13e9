"""The writers of nix/image and the check of what they wrote, on a layout of some hundred bytes."""

import json
import os
from pathlib import Path

import pytest
from image_maker import LABELS, Maker

import check
import layer


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    return Maker(tmp_path, monkeypatch)


def mistakes(path: Path, budget: int = 100_000, **more: object) -> list[str]:
    found = check.Check(path, {"web": {"bytes": budget, "reason": "it is small", **more}})
    list(found.run())
    return found.mistakes


def test_a_whole_image_passes(make: Maker) -> None:
    assert mistakes(make.layout([make.system()], ["a-tool"])) == []


def test_the_same_content_gives_the_same_blob(make: Maker) -> None:
    first = (make.system() / "blob").read_bytes()
    for path in make.store.rglob("*"):
        os.utime(path, (5, 5))
    (make.folder / "system").rename(make.folder / "earlier")
    assert (make.system() / "blob").read_bytes() == first


def test_a_path_that_the_role_does_not_refer_to(make: Maker) -> None:
    with pytest.raises(SystemExit, match="a-tool is in the image web, which does not refer to it"):
        make.layout([make.system()], [])


def test_a_path_that_is_missing(make: Maker) -> None:
    with pytest.raises(SystemExit, match="b-library is in 0 layers of the image web"):
        make.layout([make.system()], ["a-tool", "b-library"])


def test_a_path_in_two_layers(make: Maker) -> None:
    other = make.layer("other", [make.store / "a-tool"], [])
    with pytest.raises(SystemExit, match="a-tool is in 2 layers"):
        make.layout([make.system(), other], ["a-tool"])


def test_a_layer_with_other_bytes(make: Maker) -> None:
    path = make.layout([make.system()], ["a-tool"])
    make.layer("other", [make.store / "a-tool"], [])
    blob = make.folder / "system/blob"
    blob.write_bytes((make.folder / "other/blob").read_bytes())
    found = " ".join(mistakes(path))
    assert "has another digest" in found
    assert "diff_ids are not those of the layers" in found


def test_a_package_that_an_image_is_to_be_without(make: Maker) -> None:
    site = make.store / "a-tool/lib/python3.13/site-packages"
    (site / "Big_Thing-1.0.dist-info").mkdir(parents=True)
    path = make.layout([make.system()], ["a-tool"])
    assert mistakes(path, without=["thing"]) == []
    assert mistakes(path, without=["big-thing"]) == ["web holds the packages big-thing"]


def test_a_file_in_two_layers(make: Maker) -> None:
    other = make.layer("other", [], [{"path": "/etc/passwd", "target": "group"}])
    path = make.layout([make.system(), other], ["a-tool"])
    assert mistakes(path) == ["web: /etc/passwd is in two layers"]


def test_a_commit_without_new_content_changes_the_index_alone(make: Maker) -> None:
    first = make.layout([make.system()], ["a-tool"]).rename(make.folder / "first")
    make.revision = "def"
    second = make.layout([make.folder / "system"], ["a-tool"])
    before, after = (json.loads((path / "index.json").read_text()) for path in (first, second))
    assert before != after
    assert after["manifests"][0]["digest"] == before["manifests"][0]["digest"]
    assert mistakes(second) == []


def test_a_commit_in_an_image(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = {f"org.opencontainers.image.{name}": "x" for name in ("revision", "created")}
    monkeypatch.setattr("image_maker.LABELS", LABELS | commit)
    path = make.layout([make.system()], ["a-tool"])
    assert mistakes(path) == ["web has the commit in its digest"]


def test_an_image_without_process_1(make: Maker) -> None:
    path = make.layout([make.system()], ["a-tool"], Entrypoint=[])
    assert mistakes(path) == ["web: process 1 is not tini"]


def test_root(make: Maker) -> None:
    path = make.layout([make.system()], ["a-tool"], User="0")
    assert mistakes(path) == ["web runs as user '0'"]


def test_a_command_that_is_not_there(make: Maker) -> None:
    path = make.layout([make.system()], ["a-tool"], Cmd=["server"])
    assert mistakes(path) == ["web: server is not on PATH"]


def test_a_link_that_leads_nowhere(make: Maker) -> None:
    other = make.layer("other", [], [{"path": "/etc/nothing", "target": "/nowhere"}])
    path = make.layout([make.system(), other], ["a-tool"])
    assert mistakes(path) == ["web: /etc/nothing leads nowhere"]


def test_state_that_only_one_user_may_write_to(make: Maker) -> None:
    other = make.layer("other", [], [{"path": "/other", "owner": 65532, "mode": "0755"}])
    path = make.layout([make.system(), other], ["a-tool"], Volumes={"/other": {}})
    assert mistakes(path) == ["web: /other is not writable for group 0"]


def test_a_probe_that_is_not_there(make: Maker) -> None:
    path = make.layout([make.system()], ["a-tool"], Healthcheck={"Test": ["CMD", "ask"]})
    assert mistakes(path) == ["web: the probe is not in the image"]


def test_a_compiler(make: Maker) -> None:
    other = make.layer("other", [], [{"path": "/usr/bin/gcc", "target": "/etc/passwd"}])
    path = make.layout([make.system(), other], ["a-tool"])
    assert mistakes(path) == ["web holds /usr/bin/gcc"]


def test_more_than_the_budget(make: Maker) -> None:
    path = make.layout([make.system()], ["a-tool"])
    assert mistakes(path, budget=10)[0].endswith("its budget is 10: it is small")


def test_more_layers_than_a_file_system_takes(make: Maker) -> None:
    with pytest.raises(SystemExit, match="web has 101 layers, 100 are allowed"):
        make.layout([make.system()] * 101, ["a-tool"])


@pytest.mark.parametrize(
    "path",
    [
        "bin/idle3.13",
        "bin/idle",
        "bin/pydoc3",
        "bin/python3-config",
        "bin/x86_64-linux-gnu-python3.13-config",
        "include/python3.13/Python.h",
        "lib/python3.13/__pycache__/abc.cpython-313.opt-1.pyc",
        "lib/python3.13/config-3.13-x86_64-linux-gnu/libpython3.13.a",
        "lib/python3.13/ensurepip/__init__.py",
        "lib/python3.13/idlelib/idle.py",
        "lib/python3.13/test/support/__init__.py",
        "share/man/man1/python3.1",
    ],
)
def test_what_a_whole_python_has_is_left_out(path: str) -> None:
    assert layer.OMITTED.search(f"/nix/store/a-python/{path}")


@pytest.mark.parametrize(
    "path",
    [
        "bin/python3.13",
        "bin/pydocstyle",
        "lib/python3.13/pydoc.py",
        "lib/python3.13/_sysconfigdata__linux_x86_64-linux-gnu.py",
        "lib/python3.13/unittest/case.py",
        "lib/python3.13/__pycache__/abc.cpython-313.pyc",
        "lib/python3.13/site-packages/package/test/include/idle.py",
        "share/zoneinfo/UTC",
    ],
)
def test_what_programs_read_is_in_a_layer(path: str) -> None:
    assert not layer.OMITTED.search(f"/nix/store/a-python/{path}")


@pytest.mark.parametrize(
    "path",
    [
        "/lib/python3.13/idlelib/idle.py",
        "/lib/python3.13/config-3.13-x86_64-linux-gnu/Makefile",
        "/lib/python3.13/abc.cpython-313.opt-2.pyc",
        "/bin/python3-config",
    ],
)
def test_a_whole_python(make: Maker, path: str) -> None:
    other = make.layer("other", [], [{"path": path, "target": "/etc/passwd"}])
    assert mistakes(make.layout([make.system(), other], ["a-tool"])) == [f"web holds {path}"]


def test_tests_of_dependencies_are_left_out(make: Maker) -> None:
    site = Path("/nix/store/a/lib/python3.13/site-packages/package")
    left_out = ["tests/test_a.py", "fast.pyx", "web/app.js.map"]
    assert all(layer.OMITTED.search(str(site / name)) for name in left_out)
    assert not any(layer.OMITTED.search(str(site / name)) for name in ["testing.py", "app.js"])
