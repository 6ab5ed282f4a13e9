"""Layers and layouts of some hundred bytes, made by nix/image's own writers."""

import json
from pathlib import Path

import pytest

import layer
import layout

ENV = ["PATH=/app/bin", "SSL_CERT_FILE=/etc/certificates"]
CONFIG = {
    "User": "65532:65532",
    "StopSignal": "SIGTERM",
    "Env": ENV,
    "Entrypoint": ["/bin/tini", "--"],
    "Cmd": ["serve"],
    "WorkingDir": "/app",
    "Volumes": {"/state": {}},
    "Healthcheck": {"Test": ["CMD", "tini"]},
}
LABELS = {"org.opencontainers.image.version": "x"}


class Maker:
    """Makes layers, layouts and checks in a folder of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.store = folder / "nix/store"
        self.revision = "abc"
        self.architecture = "amd64"
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

    def system(self, *more: dict[str, object]) -> Path:
        (self.folder / "passwd").write_text("dagma:x:65532:65532::/tmp:/bin/sh\n")
        source = str(self.folder / "passwd")
        files = ["/etc/passwd", "/etc/group", "/etc/certificates"]
        return self.layer(
            "system",
            [self.store / "a-tool"],
            [
                *({"path": path, "source": source} for path in files),
                {"path": "/tmp", "mode": "1777"},
                {"path": "/state", "owner": 65532, "mode": "0775"},
                {"path": "/bin/tini", "target": str(self.store / "a-tool/bin/serve")},
                {"path": "/app/bin", "target": str(self.store / "a-tool/bin")},
                *more,
            ],
        )

    def layout(self, layers: list[Path], wanted: list[str], **config: object) -> Path:
        self.graph("closure-web-0", [self.store / name for name in wanted])
        image = {
            "layers": list(map(str, layers)),
            "config": CONFIG | config,
            "title": "Web",
            "description": "A page",
        }
        whole = {
            "commit": {"revision": self.revision, "created": 5},
            "architecture": self.architecture,
            "labels": LABELS,
            "roles": {"web": image},
        }
        (self.folder / "specification.json").write_text(json.dumps(whole))
        layout.main(self.folder / "layout", self.folder / "specification.json")
        return self.folder / "layout"
