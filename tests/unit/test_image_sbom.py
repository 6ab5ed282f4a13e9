"""The lists of components, written for a layout of some hundred bytes, and their check."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from image_maker import Maker

import bundled
import check_sbom
import sbom

type Json = dict[str, Any]

METADATA = {
    "fast": "License-Expression: MIT OR Apache-2.0\nLicense: ignored",
    "needed": "License: BSD-3-Clause",
    "old": "Classifier: License :: OSI Approved :: MIT License",
}
PINS = [
    {"name": "libc6", "architecture": "amd64", "version": "1:2.41", "sha256": "a" * 64},
    {"name": "libgcc-s1", "architecture": "amd64", "version": "14.2-1+b1", "sha256": "d" * 64},
]
RECORDS = {
    "libc6": "Package: libc6\nSource: glibc\nVersion: 1:2.41\nDepends: libgcc-s1 (>= 3) | other\n",
    "libgcc-s1": "Package: libgcc-s1\nSource: gcc-14 (14.2-1)\nVersion: 14.2-1+b1\n",
}
COPYRIGHT = "Format: 1.0\nLicense: none of files\n\nFiles: *\nLicense: LGPL-2.1+ and Expat\n"
CRYPTO = b"\x7fELF OpenSSL 3.5.8 25 Aug 2026\0"
#: What a wheel says itself that it holds: a crate, a tool that built it, and the wheel.
OWN_LIST = {
    "components": [
        {
            "type": "library",
            "name": "libc",
            "version": "0.2",
            "purl": "pkg:cargo/libc@0.2?download_url=file://.",
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
        },
        {"type": "library", "name": "cc", "version": "1", "scope": "excluded"},
        {"type": "library", "name": "Fast", "version": "1.0", "purl": "pkg:pypi/Fast@1.0#part"},
        {"type": "file", "name": "a/file.py"},
    ]
}


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
        self.fast = wheels["fast"] / sbom.SITE
        (self.fast / "fast.libs").mkdir()
        (self.fast / "fast.libs/libcrypto-1a2b.so.3").write_bytes(CRYPTO)
        (self.fast / "fast-1.0.dist-info/sboms").mkdir()
        (self.fast / "fast-1.0.dist-info/sboms/fast.cdx.json").write_text(json.dumps(OWN_LIST))
        (make.folder / "code.py").write_text("pass\n")
        code = {"path": "/app/code.py", "source": str(make.folder / "code.py")}
        system = make.system(*self.debian(make.folder / "records"))
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
            "project": {"name": "dagma", "version": "2.0", "license": "Apache-2.0"},
            "bottom": [str(system)],
            "prefixes": [{"path": str(make.store / "a-tool"), "debian": PINS}],
            "records": str(make.folder / "records"),
            "packages": [],
            "build": {
                "revision": "abc-dirty-0123",
                "source": None,
                "command": "./nixw build .#image-aarch64",
                "attribute": "packages.x86_64-linux.image-aarch64",
                "set": "registry",
                "locks": {"flake.lock": "f" * 64},
            },
            "roles": {
                "web": {
                    "groups": ["web"],
                    "layers": [str(system), str(above), str(application)],
                    "application": [str(application)],
                    "data": [],
                    "wheels": {name: str(path) for name, path in wheels.items()},
                }
            },
        }

    @staticmethod
    def debian(folder: Path) -> list[dict[str, object]]:
        """Write what is known of the Debian packages; return the entries of their layer."""
        for part in ("status.d", "copyright"):
            (folder / part).mkdir(parents=True)
        (folder / "os-release").write_text('ID=debian\nVERSION_ID="13"\n')
        entries: list[dict[str, object]] = [
            {"path": "/etc/os-release", "source": str(folder / "os-release")}
        ]
        for name, record in RECORDS.items():
            (folder / "status.d" / name).write_text(record)
            (folder / "copyright" / name).write_text(COPYRIGHT)
            of = {
                f"/var/lib/dpkg/status.d/{name}": folder / "status.d" / name,
                f"/usr/share/doc/{name}/copyright": folder / "copyright" / name,
            }
            entries += [{"path": path, "source": str(file)} for path, file in of.items()]
        return entries

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


VEX = Path(__file__).parents[2] / "nix/image/vex.openvex.json"
#: The justifications of OpenVEX 0.2, "Status Justifications".
JUSTIFICATIONS = {
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
}


def mistakes(lists: Path, layout: Path, vex: Path = VEX) -> list[str]:
    found = check_sbom.Check(lists, layout, vex)
    index = json.loads((layout / "index.json").read_text())
    return [mistake for entry in index["manifests"] for mistake in found.image(entry)]


def component(document: Json, name: str) -> Json:
    found: Json
    (found,) = (item for item in document["components"] if item["name"] == name)
    return found


def change(document: Json, name: str, fields: Json) -> None:
    component(document, name).update(fields)


def test_a_list_passes(lists: Lists) -> None:
    assert mistakes(lists.write(), lists.layout) == []


def test_the_same_image_gives_the_same_list(lists: Lists) -> None:
    first, second = lists.write("first"), lists.write("second")
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes()


def test_only_what_is_in_the_image_is_listed(lists: Lists) -> None:
    names = [item["name"] for item in lists.document()["components"]]
    libraries = ["libc", "openssl"]
    debian = ["debian", "libc6", "libgcc-s1"]
    assert sorted(names) == sorted(["dagma", "fast", "needed", "old", *libraries, *debian])


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


@pytest.mark.parametrize(
    ("name", "purl"),
    [
        ("libc6", "pkg:deb/debian/libc6@1:2.41?arch=amd64&distro=debian-13&upstream=glibc"),
        (
            "libgcc-s1",
            "pkg:deb/debian/libgcc-s1@14.2-1%2Bb1"
            "?arch=amd64&distro=debian-13&upstream=gcc-14%4014.2-1",
        ),
    ],
)
def test_a_debian_package_names_its_release_and_its_source(
    lists: Lists, name: str, purl: str
) -> None:
    assert component(lists.document(), name)["purl"] == purl


def test_libpq_tells_its_major_version_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "libpq-a17e3caa.so.5.17").write_bytes(b"")
    found = bundled.recognized(tmp_path / "libpq-a17e3caa.so.5.17")
    assert found and found.key == "pkg:generic/libpq@17"


def test_the_operating_system(lists: Lists) -> None:
    found = component(lists.document(), "debian")
    assert (found["type"], found["version"]) == ("operating-system", "13")


def test_packages_of_nixpkgs_are_of_no_operating_system(lists: Lists) -> None:
    lists.specification |= {"prefixes": [], "records": None}
    document = lists.document()
    assert any(item.get("purl", "").endswith("tool") for item in document["components"])
    assert all(item["type"] != "operating-system" for item in document["components"])


def test_a_package_of_nixpkgs_has_what_nixpkgs_says_of_it(lists: Lists) -> None:
    (debian,) = lists.specification["prefixes"]
    said = {
        "path": debian["path"],
        "name": "a",
        "version": "1.2",
        "license": {"spdxId": "Zlib"},
        "cpe": "cpe:2.3:a:b:a:1.2:*:*:*:*:*:*:*",
    }
    lists.specification |= {"prefixes": [], "records": None, "packages": [said]}
    found = component(lists.document(), "a")
    assert (found["purl"], found["cpe"]) == ("pkg:generic/a@1.2", said["cpe"])
    assert found["licenses"] == [{"license": {"id": "Zlib"}}]
    text = (lists.folder / "lists/web.cdx.json").read_text()
    assert check_sbom.JsonStrictValidator(check_sbom.SchemaVersion.V1_6).validate_str(text) is None


def test_what_a_wheel_brings_along(lists: Lists) -> None:
    document = lists.document()
    crate, crypto = component(document, "libc"), component(document, "openssl")
    assert crate["purl"] == "pkg:cargo/libc@0.2"
    assert crate["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert (crypto["version"], crypto["purl"]) == ("3.5.8", "pkg:generic/openssl@3.5.8")
    assert crypto["cpe"] == "cpe:2.3:a:openssl:openssl:3.5.8:*:*:*:*:*:*:*"
    (file,) = component(document, "fast")["components"]
    assert (file["type"], file["name"]) == ("file", "libcrypto-1a2b.so.3")
    assert file["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(CRYPTO).hexdigest()}]


@pytest.mark.parametrize(
    ("name", "licences"),
    [
        ("fast", [{"expression": "MIT OR Apache-2.0"}]),
        ("needed", [{"license": {"id": "BSD-3-Clause"}}]),
        ("old", [{"license": {"id": "MIT"}}]),
        ("libc6", [{"expression": "LGPL-2.1-or-later AND MIT"}]),
        ("libgcc-s1", [{"expression": "GPL-3.0-or-later WITH GCC-exception-3.1"}]),
    ],
)
def test_licences(lists: Lists, name: str, licences: list[Json]) -> None:
    assert component(lists.document(), name)["licenses"] == licences


def test_dependencies(lists: Lists) -> None:
    def short(ref: str) -> str:
        return ref.split("#")[-1].split("@")[0]

    graph = {
        short(item["ref"]): list(map(short, item.get("dependsOn", [])))
        for item in lists.document()["dependencies"]
    }
    debian = ["pkg:deb/debian/libc6", "pkg:deb/debian/libgcc-s1"]
    python = ["pkg:pypi/fast", "pkg:pypi/old"]
    assert graph["pkg:oci/web"] == ["dagma", "os:debian-13", *debian, *python]
    assert graph["os:debian-13"] == debian
    assert graph[debian[0]] == debian[1:]
    brought = ["pkg:cargo/libc", "pkg:generic/openssl"]
    assert graph["pkg:pypi/fast"] == [*brought, "pkg:pypi/needed"]


def test_the_provenance_of_a_layer(lists: Lists) -> None:
    layers = json.loads((lists.write() / "layers.json").read_text()).values()
    found = {item["reason"]: item for item in layers}
    assert [Path(path).name for path in found["for system"]["paths"]] == ["a-tool"]
    assert found["for application"]["files"] == {"/app/code.py": str(lists.folder / "code.py")}


def test_the_provenance_of_an_image(lists: Lists) -> None:
    built = json.loads((lists.write() / "web.provenance.json").read_text())
    index = json.loads((lists.layout / "index.json").read_text())
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    assert built["subject"] == [{"name": "web", "digest": {"sha256": digest}}]
    commit, lock, *layers = built["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert (commit["digest"], commit["annotations"]) == (
        {"gitCommit": "abc"},
        {"edited": "abc-dirty-0123"},
    )
    assert lock == {"name": "flake.lock", "digest": {"sha256": "f" * 64}}
    assert built["predicate"]["buildDefinition"]["externalParameters"] == {
        "command": "./nixw build .#image-aarch64",
        "attribute": "packages.x86_64-linux.image-aarch64",
        "packages": "registry",
    }
    assert [item["name"] for item in layers] == ["for system", "for wheels", "for application"]
    assert any(path.endswith("/fast-1.0") for path in layers[1]["annotations"]["storePaths"])


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


def without_libraries(document: Json) -> None:
    del component(document, "fast")["components"]


def without_a_system(document: Json) -> None:
    change(document, "debian", {"type": "library"})


def of_no_release(document: Json) -> None:
    change(document, "libc6", {"purl": "pkg:deb/debian/libc6@1:2.41?arch=amd64"})


def another_package(document: Json) -> None:
    document["components"].append(component(document, "libc6") | {"name": "x", "bom-ref": "x"})


def a_free_licence(document: Json) -> None:
    change(document, "old", {"licenses": [{"license": {"name": "MIT License"}}]})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without_libraries, "the library libcrypto-1a2b.so.3 is there and not listed"),
        (without_a_system, "lists Debian packages and no operating system"),
        (of_no_release, "Debian's libc6 is of no release"),
        (another_package, "Debian's x is listed and not there"),
        (a_free_licence, "old has no licence as SPDX has it"),
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


def test_debian_packages_of_an_image_that_does_not_say_so(lists: Lists) -> None:
    there = check_sbom.Held(debian={"libc6"})
    item = component(lists.document(), "libc6")
    system = {"type": "operating-system"}
    assert list(check_sbom.of_debian([item, system], there)) == [
        "Debian's libc6 has no copyright file",
        "has Debian packages and no /etc/os-release",
    ]


def statement(package: str, reason: str = "vulnerable_code_not_present") -> Json:
    product = {"@id": "pkg:oci/web", "subcomponents": [{"@id": package}]}
    flaw = {"name": "CVE-2022-0563"}
    return {"vulnerability": flaw, "products": [product], "justification": reason}


def stated(document: Json, given: Json, there: check_sbom.Held) -> list[str]:
    components = document["components"]
    return list(check_sbom.unfounded({"statements": [given]}, "web", components, there))


def test_a_statement_about_a_package_that_is_there_holds(lists: Lists) -> None:
    assert stated(lists.document(), statement("pkg:deb/debian/libc6"), check_sbom.Held()) == []


def test_a_statement_about_a_package_that_is_gone_does_not_hold(lists: Lists) -> None:
    given = statement("pkg:deb/debian/libuuid1")
    (line,) = stated(lists.document(), given, check_sbom.Held())
    assert line == "CVE-2022-0563 is said of pkg:deb/debian/libuuid1, which is not listed"


def test_a_statement_that_code_is_absent_does_not_hold_where_it_is(lists: Lists) -> None:
    there, document = check_sbom.Held(flaws={"CVE-2022-0563"}), lists.document()
    (line,) = stated(document, statement("pkg:deb/debian/libc6"), there)
    assert line.endswith("code that is not there, and it is")
    assert stated(document, statement("pkg:deb/debian/libc6", "component_not_present"), there) == []


def test_code_with_a_flaw_is_found_in_a_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Maker(tmp_path, monkeypatch)
    (make.store / "a-tool/bin/chsh").write_text("")
    made = make.layer("tools", [make.store / "a-tool"], [])
    assert check_sbom.held(made / "blob").flaws == {"CVE-2022-0563"}


def test_every_statement_has_its_reason() -> None:
    vex = json.loads(VEX.read_text())
    assert vex["@context"] == "https://openvex.dev/ns/v0.2.0"
    names = [item["vulnerability"]["name"] for item in vex["statements"]]
    assert names == sorted(set(names))
    roles = set(re.findall(r'name = "([a-z-]+)";', (VEX.parent / "roles.nix").read_text()))
    for item in vex["statements"]:
        assert {f"pkg:oci/{role}" for role in roles} == {part["@id"] for part in item["products"]}
        assert (item["status"], item["justification"] in JUSTIFICATIONS) == ("not_affected", True)
        assert item["impact_statement"].endswith(".")


def test_a_layer_without_provenance(lists: Lists) -> None:
    written = lists.write()
    (written / "layers.json").write_text("{}")
    assert len(mistakes(written, lists.layout)) == 3
