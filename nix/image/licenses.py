"""Say licences as SPDX does: those of Debian's copyright files, of wheels' metadata and of nixpkgs."""

import re
from collections.abc import Iterable
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.spdx import fixup_id, is_expression

from debian_records import fields

type MetaLicense = str | dict[str, Any] | list["MetaLicense"]

#: A `License` field longer than this is the licence's text, not its name.
LONGEST_NAME = 80
#: What has no name in SPDX's list, by the name that Debian's file gives it.
PREFIX = "LicenseRef-Debian-"

#: Short names of Debian's copyright format 1.0, section 7.1, that are not SPDX's in another case.
SHORT_NAMES = {
    "Artistic": "Artistic-1.0-Perl",
    "BSD-3-clause-Berkeley": "BSD-3-Clause",
    "Expat": "MIT",
    "GPL-2 with Linux-syscall-note exception": "GPL-2.0-only WITH Linux-syscall-note",
    "GPL-3+ with Bison exception": "GPL-3.0-or-later WITH Bison-exception-2.2",
    "GPL-3.0-or-later-WITH-Autoconf-exception-macro": (
        "GPL-3.0-or-later WITH Autoconf-exception-macro"
    ),
    "MIT/X11": "X11",
}
#: GPL-2+, LGPL-2.1, GFDL-NIV-1.3; a plus sign means "or any later version", no number any version.
GNU = re.compile(r"(L?GPL|GFDL-NIV)(?:-(\d)(\.\d)?)?(\+)?")
OLDEST = {"GPL": "1", "LGPL": "2", "GFDL-NIV": "1"}
#: Source packages whose copyright file is prose.
BY_SOURCE = {
    "base-files": "GPL-2.0-or-later",
    "gcc-14": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "python3.13": "PSF-2.0",
}

#: How wheels' `License` fields and classifiers name what has one meaning.
NAMES = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License Version 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
#: Wheels that say it in neither way; read in their licence files, or in the project's sources.
BY_WHEEL = {
    "antlr4-python3-runtime": "BSD-3-Clause",
    "huey": "MIT",
    "psycopg2-binary": "LGPL-3.0-or-later",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "skops": "MIT",
    "text-unidecode": "Artistic-1.0 OR GPL-1.0-or-later",
}


def term(name: str) -> str:
    """Return the SPDX name of one licence that a Debian copyright file names."""
    if name in SHORT_NAMES:
        return SHORT_NAMES[name]
    if match := GNU.fullmatch(name):
        family, number, minor, plus = match.groups()
        later = "or-later" if plus or not number else "only"
        spelled = f"{number or OLDEST[family]}{minor or '.0'}"
        if family == "GFDL-NIV":
            return f"GFDL-{spelled}-no-invariants-{later}"
        return f"{family}-{spelled}-{later}"
    return fixup_id(name) or spdx_like(PREFIX, name)


def spdx_like(prefix: str, name: str) -> str:
    """Return a name that SPDX has not in the form that its expressions take."""
    return prefix + re.sub(r"[^A-Za-z0-9.]+", "-", name)


def conjuncts(names: str) -> set[str]:
    """Return what `A or B, and C` of a copyright file demands, each part as SPDX."""
    found = set()
    for part in re.split(r",? and ", names):
        choice = [term(name.strip()) for name in re.split(r",? or ", part)]
        found.add(choice[0] if len(choice) == 1 else f"({' OR '.join(choice)})")
    return found


def of_debian(text: str, source: str) -> str:
    """Return the licences of a Debian package as one SPDX expression.

    They are those of all files of its source package, which are more than what the package holds.

    Args:
        text: Its copyright file, in Debian's format 1.0 or not.
        source: Its source package.
    """
    if source in BY_SOURCE:
        return BY_SOURCE[source]
    found: set[str] = set()
    for paragraph in re.split(r"\n\s*\n", text):
        given = fields(paragraph)
        if "Files" in given and given.get("License"):
            found |= conjuncts(given["License"].strip().splitlines()[0].strip())
    return " AND ".join(sorted(found))


def clauses(texts: Iterable[str]) -> str | None:
    """Return which BSD licence some texts are, by the third clause; None when they are none."""
    text = " ".join(" ".join(texts).split())
    if "Redistributions in binary form" not in text:
        return None
    return (
        "BSD-3-Clause" if re.search("endorse or promote", text, re.IGNORECASE) else "BSD-2-Clause"
    )


def declared(info: Path) -> list[str]:
    """Return the names that a wheel's metadata gives its licence, the most exact first.

    `License-Expression` (PEP 639) goes first, then a short `License`, then the classifiers.
    """
    metadata = PathDistribution(info).metadata
    found = [(metadata.get(key) or "").strip() for key in ("License-Expression", "License")]
    short = [name for name in found if name and "\n" not in name and len(name) <= LONGEST_NAME]
    classified = metadata.get_all("Classifier") or []
    names = [
        line for line in (*short, *classified) if line in short or line.startswith("License ::")
    ]
    return [name.split(" :: ")[-1] for name in names]


def of_wheel(name: str, info: Path) -> str | None:
    """Return the licence of an installed wheel as SPDX; None when nothing says it.

    Args:
        name: The package's normalized name.
        info: Its folder `.dist-info`.
    """
    if name in BY_WHEEL:
        return BY_WHEEL[name]
    names = declared(info)
    for given in names:
        if spelled := NAMES.get(given) or fixup_id(given):
            return spelled
        if is_expression(given):
            return given
    if any(given.startswith("BSD") for given in names):
        files = sorted(path for path in info.rglob("*") if re.match("(?i)licen[cs]e", path.name))
        return clauses(path.read_text(errors="replace") for path in files if path.is_file())
    return None


def of_nixpkgs(given: MetaLicense) -> str:
    """Return the `meta.license` of a package of nixpkgs as one SPDX expression.

    Args:
        given: A name, an attribute set of lib.licenses (lib/licenses/operators.nix joins others in one), or
            a list of these, of which all hold.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, list):
        return " AND ".join(map(in_brackets, given))
    match given.get("licenseType"):
        case "compound":
            return f" {given['operator']} ".join(map(in_brackets, given["licenses"]))
        case "exception":
            return f"{of_nixpkgs(given['license'])} WITH {of_nixpkgs(given['exception'])}"
        case "plus":
            return f"{of_nixpkgs(given['license'])}+"
    if "spdxId" in given:
        return str(given["spdxId"])
    return spdx_like("LicenseRef-nixpkgs-", given.get("shortName") or given["fullName"])


def in_brackets(given: MetaLicense) -> str:
    """Return a part of a longer expression of nixpkgs'."""
    text = of_nixpkgs(given)
    return f"({text})" if " AND " in text or " OR " in text else text


def spelled(text: str) -> License:
    """Return a licence as CycloneDX keeps it: an SPDX name or expression, else the text as it is."""
    if known := fixup_id(text):
        return DisjunctiveLicense(id=known)
    return DisjunctiveLicense(name=text) if unknown(text) else LicenseExpression(text)


def unknown(text: str) -> list[str]:
    """Return the words of an expression that are neither SPDX's nor begin with `LicenseRef-`."""
    words = re.split(r"[\s()]+|\bAND\b|\bOR\b|\bWITH\s+\S+", text)
    return [
        word for word in words if word and not word.startswith("LicenseRef-") and not fixup_id(word)
    ]
