"""The writers of nix/image and the check of what they wrote, on a layout of some hundred bytes."""

import json
import os
from pathlib import Path

import pytest

import check
import layer
import layout

ENV = ["PATH=/app/bin", "SSL_CERT_FILE=/etc/certificates"]
CONFIG = {
    "User": "65532:65532",
    "StopSignal": "SIGTERM",
    "Env": ENV,
    "Cmd": ["serve"],
    "WorkingDir": "/app",
    "Volumes": {"/state": {}},
}
LABELS = {f"org.opencontainers.image.{name}": "x" for name in ("revision", "version")}


class Maker:
    """Makes layers, layouts and checks in a folder of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.store = folder / "nix/store"
        for name in ("a-tool", "b-library"):
            (self.store / name / "bin").mkdir(parents=True)
            (self.store / name / "bin/serve").write_text(name)

    def graph(self, name: str, paths: list[Path]) -> None:
        lines = [f"{path}\n\n0\n" for path in paths]
        (self.folder / name).write_text("".join(lines))

    def layer(self, name: str, paths: list[Path], extras: list[dict[str, object]]) -> Path:
        for old in self.folder.glob("inside-*"):
            old.unlink()
        self.graph("inside-0", paths)
        (self.folder / "files.json").write_text(json.dumps(extras))
        self.monkeypatch.chdir(self.folder)
        layer.main(self.folder / name, f"for {name}", self.folder / "files.json")
        return self.folder / name

    def system(self) -> Path:
        (self.folder / "passwd").write_text("dagma:x:65532:65532::/tmp:/bin/sh\n")
        source = str(self.folder / "passwd")
        files = ["/etc/passwd", "/etc/group", "/etc/certificates"]
        return self.layer(
            "system",
            [self.store / "a-tool"],
            [
                *({"path": path, "source": source} for path in files),
                {"path": "/tmp", "mode": "1777"},
                {"path": "/state", "owner": 65532},
                {"path": "/app/bin", "target": str(self.store / "a-tool/bin")},
            ],
        )

    def layout(self, layers: list[Path], wanted: list[str], **config: object) -> Path:
        self.graph("closure-web-0", [self.store / name for name in wanted])
        image = {"layers": list(map(str, layers)), "config": CONFIG | config, "title": "Web"}
        whole = {
            "created": 1,
            "architecture": "amd64",
            "labels": LABELS,
            "roles": {"web": image},
        }
        (self.folder / "specification.json").write_text(json.dumps(whole))
        layout.main(self.folder / "layout", self.folder / "specification.json")
        return self.folder / "layout"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    return Maker(tmp_path, monkeypatch)


def mistakes(path: Path, budget: int = 100_000) -> list[str]:
    found = check.Check(path, {"web": {"bytes": budget, "reason": "it is small"}})
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


def test_a_file_in_two_layers(make: Maker) -> None:
    other = make.layer("other", [], [{"path": "/etc/passwd", "target": "group"}])
    path = make.layout([make.system(), other], ["a-tool"])
    assert mistakes(path) == ["web: /etc/passwd is in two layers"]


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


def test_tests_of_dependencies_are_left_out(make: Maker) -> None:
    site = Path("/nix/store/a/lib/python3.13/site-packages/package")
    left_out = ["tests/test_a.py", "fast.pyx", "web/app.js.map"]
    assert all(layer.OMITTED.search(str(site / name)) for name in left_out)
    assert not any(layer.OMITTED.search(str(site / name)) for name in ["testing.py", "app.js"])
