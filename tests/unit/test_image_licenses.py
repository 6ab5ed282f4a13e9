"""Licences as SPDX writes them."""

from pathlib import Path

import pytest
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression

import licenses

BSD = "Redistributions in binary form must ...\n"
THIRD = "may not be used to endorse or\npromote products"


@pytest.mark.parametrize(
    ("debian", "spdx"),
    [
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-3+", "GPL-3.0-or-later"),
        ("GPL", "GPL-1.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("GPL-3+ with Bison exception", "GPL-3.0-or-later WITH Bison-exception-2.2"),
        ("Expat", "MIT"),
        ("zlib", "Zlib"),
        ("public-domain", "LicenseRef-Debian-public-domain"),
    ],
)
def test_a_short_name_of_debian(debian: str, spdx: str) -> None:
    assert licenses.term(debian) == spdx
    assert licenses.unknown(spdx) == []


def test_the_licences_of_all_files_count() -> None:
    text = (
        "Format: 1.0\nLicense: of the whole\n\n"
        "Files: *\nLicense: GPL-2+ or Expat\n\nFiles: a\nLicense: Zlib and Expat\n\n"
        "License: BSL-1.0\n the text\n"
    )
    assert licenses.of_debian(text, "x") == "(GPL-2.0-or-later OR MIT) AND MIT AND Zlib"


MIT, ZLIB = ({"licenseType": "simple", "spdxId": name} for name in ("MIT", "Zlib"))


@pytest.mark.parametrize(
    ("nixpkgs", "spdx"),
    [
        ({"spdxId": "MIT"}, "MIT"),
        ("MIT", "MIT"),
        ([MIT], "MIT"),
        ([MIT, {"shortName": "publicDomain"}], "MIT AND LicenseRef-nixpkgs-publicDomain"),
        ({"fullName": "Our own, 2.0"}, "LicenseRef-nixpkgs-Our-own-2.0"),
        ({"licenseType": "compound", "operator": "OR", "licenses": [MIT, ZLIB]}, "MIT OR Zlib"),
        (
            [ZLIB, {"licenseType": "compound", "operator": "OR", "licenses": [MIT, ZLIB]}],
            "Zlib AND (MIT OR Zlib)",
        ),
        (
            {
                "licenseType": "exception",
                "operator": "WITH",
                "license": {"spdxId": "GPL-3.0-or-later"},
                "exception": {"spdxId": "GCC-exception-3.1"},
            },
            "GPL-3.0-or-later WITH GCC-exception-3.1",
        ),
        ({"licenseType": "plus", "operator": "+", "license": {"spdxId": "EUPL-1.1"}}, "EUPL-1.1+"),
    ],
)
def test_a_licence_of_nixpkgs(nixpkgs: licenses.MetaLicense, spdx: str) -> None:
    assert licenses.of_nixpkgs(nixpkgs) == spdx
    licenses.spelled(spdx)


def wheel(folder: Path, metadata: str, text: str = "") -> Path:
    (folder / "licenses").mkdir()
    (folder / "licenses/LICENSE.txt").write_text(text)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: x\n{metadata}\n")
    return folder


@pytest.mark.parametrize(
    ("metadata", "text", "spdx"),
    [
        ("License-Expression: MIT AND Zlib\nLicense: other", "", "MIT AND Zlib"),
        ("License: Apache License, Version 2.0", "", "Apache-2.0"),
        ("License: apache-2.0", "", "Apache-2.0"),
        ("Classifier: License :: OSI Approved :: MIT License", "", "MIT"),
        ("License: BSD", BSD + THIRD, "BSD-3-Clause"),
        ("Classifier: License :: OSI Approved :: BSD License", BSD, "BSD-2-Clause"),
        ("License: BSD", "", None),
        ("License: my own", "", None),
    ],
)
def test_the_licence_of_a_wheel(tmp_path: Path, metadata: str, text: str, spdx: str | None) -> None:
    assert licenses.of_wheel("x", wheel(tmp_path, metadata, text)) == spdx


def test_a_wheel_that_does_not_say_it_is_in_the_table(tmp_path: Path) -> None:
    assert licenses.of_wheel("skops", wheel(tmp_path, "")) == "MIT"


def test_every_name_in_the_tables_is_one_of_spdx() -> None:
    tables = (licenses.SHORT_NAMES, licenses.BY_SOURCE, licenses.NAMES, licenses.BY_WHEEL)
    names = [name for table in tables for name in table.values()]
    assert [name for name in names if licenses.unknown(name)] == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("mit", DisjunctiveLicense(id="MIT")),
        ("MIT OR LicenseRef-x", LicenseExpression("MIT OR LicenseRef-x")),
        ("MIT/Apache-2.0", DisjunctiveLicense(name="MIT/Apache-2.0")),
    ],
)
def test_how_cyclonedx_keeps_it(text: str, kept: DisjunctiveLicense | LicenseExpression) -> None:
    assert licenses.spelled(text) == kept
