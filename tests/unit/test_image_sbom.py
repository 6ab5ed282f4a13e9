"""The lists of components, written for a layout of some hundred bytes, and their check."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from image_maker import Maker

import check_sbom
import sbom

type Json = dict[str, Any]

METADATA = {
    "fast": "License-Expression: MIT OR Apache-2.0\nLicense: ignored",
    "needed": "License: BSD-3-Clause",
    "old": "Classifier: License :: OSI Approved :: MIT License",
}
PIN = {"name": "libc6", "architecture": "amd64", "version": "1:2.41", "sha256": "a" * 64}


class Lists:
    """The lists of an image with three wheels, a Debian prefix and one file of code."""

    def __init__(self, make: Maker) -> None:
        self.folder = make.folder
        wheels = {name: make.store / f"{name}-1.0" for name in METADATA}
        for name, path in wheels.items():
            info = path / sbom.SITE / f"{name}-1.0.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.4\nName: {name}\n{METADATA[name]}\n"
            )
        (make.folder / "code.py").write_text("pass\n")
        code = {"path": "/app/code.py", "source": str(make.folder / "code.py")}
        system = make.system()
        above = make.layer("wheels", list(wheels.values()), [])
        application = make.layer("application", [], [code])
        names = ["a-tool", *(path.name for path in wheels.values())]
        self.layout = make.layout([system, above, application], names)
        lock = {
            "roles": {"web": {"requires": ["fast", "old"], "packages": ["fast", "old"]}},
            "packages": {name: self.locked(name) for name in (*METADATA, "elsewhere")},
        }
        (make.folder / "lock.json").write_text(json.dumps(lock))
        self.specification: Json = {
            "layout": str(self.layout),
            "lock": str(make.folder / "lock.json"),
            "system": "x86_64-linux",
            "created": 1,
            "project": {"name": "dagma", "version": "2.0", "license": "Apache-2.0"},
            "bottom": [str(system)],
            "prefixes": [{"path": str(make.store / "a-tool"), "debian": [PIN]}],
            "roles": {
                "web": {
                    "group": "web",
                    "layers": [str(system), str(above), str(application)],
                    "application": [str(application)],
                    "data": [],
                    "wheels": {name: str(path) for name, path in wheels.items()},
                }
            },
        }

    @staticmethod
    def locked(name: str) -> Json:
        wheel = {"file": f"{name}-1.0-py3-none-any.whl", "sha256": "b" * 64}
        needs = ["needed"] if name == "fast" else []
        return {"version": "1.0", "dependencies": needs, "wheels": {"x86_64-linux": wheel}}

    def write(self, name: str = "lists") -> Path:
        (self.folder / "sbom.json").write_text(json.dumps(self.specification))
        sbom.main(self.folder / name, self.folder / "sbom.json")
        return self.folder / name

    def document(self) -> Json:
        found: Json = json.loads((self.write() / "web.cdx.json").read_text())
        return found


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lists:
    return Lists(Maker(tmp_path, monkeypatch))


def mistakes(lists: Path, layout: Path) -> list[str]:
    found = check_sbom.Check(lists, layout)
    index = json.loads((layout / "index.json").read_text())
    return [mistake for entry in index["manifests"] for mistake in found.image(entry)]


def component(document: Json, name: str) -> Json:
    (found,) = (item for item in document["components"] if item["name"] == name)
    return dict(found)


def test_a_list_passes(lists: Lists) -> None:
    assert mistakes(lists.write(), lists.layout) == []


def test_the_same_image_gives_the_same_list(lists: Lists) -> None:
    first, second = lists.write("first"), lists.write("second")
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes()


def test_only_what_is_in_the_image_is_listed(lists: Lists) -> None:
    names = [item["name"] for item in lists.document()["components"]]
    assert sorted(names) == ["dagma", "fast", "libc6", "needed", "old"]


def test_a_wheel(lists: Lists) -> None:
    found = component(lists.document(), "fast")
    assert found["purl"] == "pkg:pypi/fast@1.0?file_name=fast-1.0-py3-none-any.whl"
    assert found["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
    paths = [item["value"] for item in found["properties"] if item["name"] == "nix:store_path"]
    assert [Path(path).name for path in paths] == ["fast-1.0"]


def test_a_file_of_data(lists: Lists) -> None:
    role = lists.specification["roles"]["web"]
    role["data"] = [
        {
            "file": "/nix/store/abc-recipes.db",
            "version": "2.0.4",
            "sha256": "c" * 64,
            "license": "GPL-3.0-or-later",
            "source": "pkg:github/gnome/recipes",
            "layer": role["layers"][0],
        }
    ]
    found = component(lists.document(), "recipes.db")
    assert (found["type"], found["purl"]) == ("data", "pkg:github/gnome/recipes@2.0.4")
    assert found["licenses"] == [{"license": {"id": "GPL-3.0-or-later"}}]
    assert found["hashes"] == [{"alg": "SHA-256", "content": "c" * 64}]
    assert mistakes(lists.write("with data"), lists.layout) == []


def test_a_debian_package_keeps_its_epoch(lists: Lists) -> None:
    assert component(lists.document(), "libc6")["purl"] == "pkg:deb/debian/libc6@1:2.41?arch=amd64"


@pytest.mark.parametrize(
    ("name", "licences"),
    [
        ("fast", [{"expression": "MIT OR Apache-2.0"}]),
        ("needed", [{"license": {"id": "BSD-3-Clause"}}]),
        ("old", [{"license": {"name": "MIT License"}}]),
    ],
)
def test_licences(lists: Lists, name: str, licences: list[Json]) -> None:
    assert component(lists.document(), name)["licenses"] == licences


def test_dependencies(lists: Lists) -> None:
    graph = {
        item["ref"].split("@")[0]: [ref.split("@")[0] for ref in item.get("dependsOn", [])]
        for item in lists.document()["dependencies"]
    }
    assert graph["pkg:oci/web"] == [
        "dagma",
        "pkg:deb/debian/libc6",
        "pkg:pypi/fast",
        "pkg:pypi/old",
    ]
    assert graph["pkg:pypi/fast"] == ["pkg:pypi/needed"]


def test_the_provenance_of_a_layer(lists: Lists) -> None:
    layers = json.loads((lists.write() / "layers.json").read_text()).values()
    found = {item["reason"]: item for item in layers}
    assert [Path(path).name for path in found["for system"]["paths"]] == ["a-tool"]
    assert found["for application"]["files"] == {"/app/code.py": str(lists.folder / "code.py")}


@pytest.mark.parametrize(
    ("path", "name", "version"),
    [("glibc-2.40-66", "glibc", "2.40-66"), ("bash-interactive-5.2", "bash-interactive", "5.2")],
)
def test_the_name_of_a_store_path(path: str, name: str, version: str) -> None:
    url = sbom.store_url(f"/nix/store/abc-{path}")
    assert (url.name, url.version) == (name, version)


def no_type(document: Json) -> None:
    del document["components"][0]["type"]


def one_less(document: Json) -> None:
    document["components"] = [item for item in document["components"] if item["name"] != "old"]
    document["dependencies"] = []


def one_more(document: Json) -> None:
    document["components"].append(component(document, "old") | {"name": "more", "bom-ref": "more"})


def of_another_image(document: Json) -> None:
    document["metadata"]["component"]["purl"] = "pkg:oci/web@sha256:0"


def in_another_layer(document: Json) -> None:
    component(document, "old")["properties"][1]["value"] = "sha256:0"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (no_type, "not CycloneDX 1.6"),
        (one_less, "old==1.0 is there and not listed"),
        (one_more, "more==1.0 is listed and not there"),
        (of_another_image, "the list is one of another image"),
        (in_another_layer, "has no layer sha256:0"),
    ],
)
def test_a_wrong_list(lists: Lists, change: Callable[[Json], None], sentence: str) -> None:
    document = lists.document()
    change(document)
    (lists.folder / "lists/web.cdx.json").write_text(json.dumps(document))
    (mistake,) = mistakes(lists.folder / "lists", lists.layout)
    assert sentence in mistake


def test_a_layer_without_provenance(lists: Lists) -> None:
    written = lists.write()
    (written / "layers.json").write_text("{}")
    assert len(mistakes(written, lists.layout)) == 3
