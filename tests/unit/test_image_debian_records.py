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


COMMON = "./usr/share/common-licenses"


def base_files(folder: Path, text: str = "see /usr/share/common-licenses/GPL.") -> Path:
    """Write the package that has the texts of licences."""
    texts = {f"{DOC}/base-files/copyright": text, f"{COMMON}/GPL-3": "of the GPL"}
    control = "Package: base-files\nVersion: 13.8\n"
    release = {"./usr/lib/os-release": "ID=debian\n"}
    return package(folder / "0.deb", control, texts | release, {f"{COMMON}/GPL": "GPL-3"})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    text = {f"{DOC}/libtinfo6/copyright": "of ncurses", f"{DOC}/libtinfo6/x/copyright": "other"}
    first = package(tmp_path / "1.deb", TINFO, text)
    wide = "Package: libncursesw6\nSource: ncurses (6.5-1)\nVersion: 6.5-2\n"
    second = package(tmp_path / "2.deb", wide, {}, {f"{DOC}/libncursesw6": "libtinfo6"})
    tools = "Package: ncurses-dev\nSource: ncurses\nVersion: 6.5-2\n"
    third = package(tmp_path / "3.deb", tools, {}, {f"{DOC}/ncurses-dev": "libncursesw6"})
    packages = [third, second, first, base_files(tmp_path)]
    debian_records.main(tmp_path / "out", ["GPL", "GPL-3"], packages)
    return tmp_path / "out"


def test_the_record_is_dpkgs_of_an_installed_package(out: Path) -> None:
    assert (out / "status.d/libtinfo6").read_text() == (
        "Package: libtinfo6\nStatus: install ok installed\n"
        "Source: ncurses\nVersion: 6.5-2\nDescription: terminals\n more of it\n"
    )


@pytest.mark.parametrize("name", ["libtinfo6", "libncursesw6", "ncurses-dev"])
def test_a_copyright_file_is_its_own_or_what_the_package_links_to(out: Path, name: str) -> None:
    assert (out / "copyright" / name).read_text() == "of ncurses"


def test_a_copyright_file_that_is_nowhere_is_an_error(tmp_path: Path) -> None:
    gcc = "Package: libgcc-s1\nSource: gcc-14\nVersion: 14.2\n"
    made = package(tmp_path / "3.deb", gcc, {}, {f"{DOC}/libgcc-s1": "gcc-14-base"})
    with pytest.raises(debian_records.DebianError, match="gcc-14-base/copyright"):
        debian_records.main(tmp_path / "out", [], [made])


def test_documentation_that_leads_back_to_itself_is_an_error(tmp_path: Path) -> None:
    gcc = "Package: libgcc-s1\nSource: gcc-14\nVersion: 14.2\n"
    links = {f"{DOC}/libgcc-s1": "gcc-14-base", f"{DOC}/gcc-14-base": "libgcc-s1"}
    made = package(tmp_path / "3.deb", gcc, {}, links)
    with pytest.raises(debian_records.DebianError, match="none of the packages has"):
        debian_records.main(tmp_path / "out", [], [made])


def test_licences_that_are_referred_to_are_there(out: Path) -> None:
    texts = {file.name: file.read_text() for file in (out / "common-licenses").iterdir()}
    assert texts == {"GPL": "of the GPL", "GPL-3": "of the GPL"}
    assert (out / "os-release").read_text() == "ID=debian\n"


def test_a_licence_that_is_not_taken_along_is_an_error(tmp_path: Path) -> None:
    made = base_files(tmp_path, "see /usr/share/common-licenses/LGPL-2.1")
    with pytest.raises(debian_records.DebianError, match="base-files refers to LGPL-2"):
        debian_records.main(tmp_path / "out", ["GPL"], [made])


@pytest.mark.parametrize(
    ("name", "source"),
    [("libtinfo6", ("ncurses", "6.5-2")), ("libncursesw6", ("ncurses", "6.5-1"))],
)
def test_the_source_package(out: Path, name: str, source: tuple[str, str]) -> None:
    record = debian_records.fields((out / "status.d" / name).read_text())
    assert debian_records.source(record) == source


def test_what_is_no_package_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_text("x")
    with pytest.raises(debian_records.DebianError, match="is no ar archive"):
        debian_records.main(tmp_path / "out", [], [tmp_path / "x.deb"])
