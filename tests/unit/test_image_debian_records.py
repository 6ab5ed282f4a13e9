"""What is taken out of Debian packages, from some that are made here."""

import io
import tarfile
from pathlib import Path

import pytest

import debian_records

type Files = dict[str, str]


def tar(files: Files, links: Files) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return out.getvalue()


def member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
    return header.encode() + content + b"\n" * (len(content) % 2)


def package(file: Path, control: str, files: Files, links: Files | None = None) -> Path:
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": tar({"./control": control}, {}),
        "data.tar.xz": tar(files, links or {}),
    }
    file.write_bytes(b"!<arch>\n" + b"".join(member(*part) for part in parts.items()))
    return file


TINFO = "Package: libtinfo6\nSource: ncurses\nVersion: 6.5-2\nDescription: terminals\n more of it\n"
DOC = "./usr/share/doc"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    text = {f"{DOC}/libtinfo6/copyright": "of ncurses", f"{DOC}/libtinfo6/x/copyright": "other"}
    first = package(tmp_path / "1.deb", TINFO, text)
    wide = "Package: libncursesw6\nSource: ncurses\nVersion: 6.5-2\n"
    second = package(tmp_path / "2.deb", wide, {}, {f"{DOC}/libncursesw6": "libtinfo6"})
    gcc = "Package: libgcc-s1\nSource: gcc-14 (14.2)\nVersion: 14.2+b1\n"
    third = package(tmp_path / "3.deb", gcc, {}, {f"{DOC}/libgcc-s1": "gcc-14-base"})
    debian_records.main(tmp_path / "out", [second, first, third])
    return tmp_path / "out"


def test_the_record_is_dpkgs_of_an_installed_package(out: Path) -> None:
    assert (out / "status.d/libtinfo6").read_text() == (
        "Package: libtinfo6\nStatus: install ok installed\n"
        "Source: ncurses\nVersion: 6.5-2\nDescription: terminals\n more of it\n"
    )


@pytest.mark.parametrize("name", ["libtinfo6", "libncursesw6"])
def test_a_copyright_file_is_its_own_or_what_the_package_links_to(out: Path, name: str) -> None:
    assert (out / "copyright" / name).read_text() == "of ncurses"


def test_a_copyright_file_that_is_elsewhere_is_named(out: Path) -> None:
    assert "gcc-14-base, which is not in this image" in (out / "copyright/libgcc-s1").read_text()


@pytest.mark.parametrize(
    ("name", "source"), [("libtinfo6", ("ncurses", "6.5-2")), ("libgcc-s1", ("gcc-14", "14.2"))]
)
def test_the_source_package(out: Path, name: str, source: tuple[str, str]) -> None:
    record = debian_records.fields((out / "status.d" / name).read_text())
    assert debian_records.source(record) == source


def test_what_is_no_package_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_text("x")
    with pytest.raises(debian_records.DebianError, match="is no ar archive"):
        debian_records.main(tmp_path / "out", [tmp_path / "x.deb"])
