"""The check of which architecture an image's files are for, on programs of some hundred bytes."""

import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from image_maker import Maker

import check_files

X86, ARM = 62, 183
LIBRARIES = "/nix/store/l-libraries"
LOADER = f"{LIBRARIES}/lib/ld-linux.so"
TOOL = "nix/store/t-tool/bin/tool"
NUMBER = int.from_bytes(importlib.util.MAGIC_NUMBER[:2], "little")
SAYS = "/nix/store/p-python/lib/python3.13/importlib/_bootstrap_external.py"
BYTECODE = "/nix/store/w-wheel/lib/__pycache__/w.pyc"


def elf(
    machine: int, interpreter: str = "", needed: tuple[str, ...] = (), folders: str = ""
) -> bytes:
    """A program: the file's header, three segments, then what they hold."""
    start, address = 64 + 3 * 56, 0x10000
    strings = b"\0"
    dynamic = []
    for tag, value in [(1, name) for name in needed] + ([(29, folders)] if folders else []):
        dynamic.append((tag, len(strings)))
        strings += value.encode() + b"\0"
    named = interpreter.encode() + b"\0"
    at = start + len(named)
    dynamic += [(5, address + at), (0, 0)]
    table = b"".join(struct.pack("<QQ", *pair) for pair in dynamic)
    body = named + strings + table

    def segment(kind: int, offset: int, size: int) -> bytes:
        return struct.pack("<IIQQQQQQ", kind, 4, offset, address + offset, 0, size, size, 8)

    segments = (
        segment(1, 0, start + len(body))
        + segment(3 if interpreter else 0, start, len(named))
        + segment(2 if needed or folders else 0, at + len(strings), len(table))
    )
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, machine, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0
    )
    return header + segments + body


class Image:
    """An image for arm64 that is right, until a test changes something."""

    def __init__(self, make: Maker) -> None:
        self.make = make
        self.others = ""
        self.architecture = "arm64"
        self.files = {
            f"/{TOOL}": elf(ARM, LOADER, ("libc.so.6", "libz.so"), f"{LIBRARIES}/lib"),
            LOADER: elf(ARM),
            f"{LIBRARIES}/lib/libz.so": elf(ARM, "", ("libc.so.6",)),
            SAYS: b"MAGIC_NUMBER = (%d).to_bytes(2, 'little') + b'\\r\\n'\n" % NUMBER,
            BYTECODE: importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + b"source's hash",
        }
        self.purls = [
            "pkg:oci/web@sha256:1?arch=arm64",
            "pkg:deb/debian/bash@5?arch=arm64&distro=x",
        ]

    def layout(self) -> Path:
        extras: list[dict[str, object]] = []
        for number, (path, content) in enumerate(self.files.items()):
            (self.make.folder / str(number)).write_bytes(content)
            extras.append({"path": path, "source": str(self.make.folder / str(number))})
        layers = [self.make.layer("files", [], extras)]
        layout = self.make.layout(layers, [])
        image, *rest = [{"purl": purl} for purl in self.purls]
        listed: dict[str, Any] = {"metadata": {"component": image}, "components": rest}
        (self.make.folder / "web.cdx.json").write_text(json.dumps(listed))
        return layout

    def check(self, capsys: pytest.CaptureFixture[str]) -> list[str]:
        """Run the check; returns its sentences."""
        layout = self.layout()
        (self.make.folder / "others").write_text(self.others)
        self.make.monkeypatch.setattr(check_files, "read_layer", check_files.read_layer.__wrapped__)
        with pytest.raises(SystemExit) as ended:
            check_files.main(
                layout, self.architecture, self.make.folder, self.make.folder / "others"
            )
        said = capsys.readouterr().err.splitlines()
        assert ended.value.code == (1 if said else 0)
        return [line.removeprefix("image: web: ") for line in said]


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    make = Maker(tmp_path, monkeypatch)
    make.architecture = "arm64"
    return Image(make)


def test_an_image_of_one_architecture_passes(image: Image, capsys: Any) -> None:
    assert image.check(capsys) == []


def test_a_program_for_the_machine_that_builds(image: Image, capsys: Any) -> None:
    image.files[f"/{TOOL}"] = elf(X86, LOADER, ("libz.so",), f"{LIBRARIES}/lib")
    assert image.check(capsys) == [f"/{TOOL} is for processor {X86}, not for arm64"]


def test_a_loader_that_is_not_there(image: Image, capsys: Any) -> None:
    image.files[f"/{TOOL}"] = elf(ARM, "/nix/store/x-other/lib/ld-linux.so")
    assert image.check(capsys) == [
        f"/{TOOL} is started by /nix/store/x-other/lib/ld-linux.so, which is not there"
    ]


def test_a_library_that_is_not_there(image: Image, capsys: Any) -> None:
    image.files[f"/{TOOL}"] = elf(ARM, LOADER, ("libm.so.6", "libz.so"), f"{LIBRARIES}/lib")
    assert image.check(capsys) == [f"/{TOOL} needs libm.so.6, which is in none of {LIBRARIES}/lib"]


def test_a_folder_of_libraries_of_a_path_that_is_not_there(image: Image, capsys: Any) -> None:
    folders = f"{LIBRARIES}/lib:/nix/store/x-other/lib"
    image.files[f"/{TOOL}"] = elf(ARM, LOADER, ("libz.so",), folders)
    assert image.check(capsys) == [
        f"/{TOOL} looks for libraries in /nix/store/x-other/lib, of which nothing is there"
    ]


@pytest.mark.parametrize("start", [b"\0\0\r\n\1\0\0\0", importlib.util.MAGIC_NUMBER + bytes(4)])
def test_bytecode_that_would_be_compiled_again_or_compared(
    image: Image, capsys: Any, start: bytes
) -> None:
    image.files[BYTECODE] = start + b"source's hash"
    assert image.check(capsys) == [
        f"{BYTECODE} is bytecode that the interpreter does not take as it is"
    ]


def test_an_interpreter_that_does_not_say_what_it_reads(image: Image, capsys: Any) -> None:
    image.files[SAYS] = b""
    assert image.check(capsys) == ["interpreters read bytecode of 0 kinds, not of one"]


def test_a_path_of_the_machine_that_builds(image: Image, capsys: Any) -> None:
    image.others = "/nix/store/w-wheel\n/nix/store/somewhere-else\n"
    assert image.check(capsys) == ["/nix/store/w-wheel is of the machine that built the image"]


def test_a_list_that_names_another_architecture(image: Image, capsys: Any) -> None:
    image.purls[1] = "pkg:deb/debian/bash@5?arch=amd64&distro=x"
    assert image.check(capsys) == [f"{image.purls[1]} says amd64"]


def test_an_index_and_a_configuration_that_name_another(image: Image, capsys: Any) -> None:
    image.make.architecture = "amd64"
    assert image.check(capsys) == ["the index says amd64", "the configuration says amd64"]
