"""Scanners that a user has, on the image of the daemon, with lists of vulnerabilities written here.

What is planted: every version of a Debian package, named by its source package as Debian's and OSV's
lists do, and of a wheel. A scanner that finds neither the distribution nor dpkg's records says nothing
of Debian at all, and ends with success.
"""

import json
import os
import shutil
import subprocess
import tarfile
import zipfile
import zlib

import pytest

from stored import Stored

RECORDS = "var/lib/dpkg/status.d/"
ROLE = "daemon"


def skip_without(program, reason):
    if shutil.which(program) is None:
        pytest.skip(f"no {program} on PATH: {reason}")


@pytest.fixture
def status(layout, tmp_path):
    """The records of all layers in one file, as dpkg keeps them on a machine."""
    stored, records = Stored(layout), []
    for descriptor in stored.blobs(stored.entries[ROLE]):
        if "tar" in descriptor["mediaType"]:
            with tarfile.open(stored.blob(descriptor)) as tar:
                files = [info for info in tar if info.name.startswith(RECORDS)]
                records += [tar.extractfile(info).read().decode() for info in files]
    (tmp_path / "status").write_text("\n".join(records))
    return tmp_path / "status"


def test_debsecan_finds_a_package_by_its_source(status, tmp_path):
    skip_without("debsecan", "it is a package of Debian")
    # Names; package, number of the name, flags (source, high, remote, fixed), fixed in, others.
    text = (
        "VERSION 1\nCVE-2026-0001,,planted\nCVE-2026-0002,,long ago\n\n"
        "gcc-14,0,SHRF,99,\nopenssl,1,SHRF,0.9,\n\n\n"
    )
    (tmp_path / "trixie").write_bytes(zlib.compress(text.encode()))
    found = subprocess.check_output(
        ["debsecan", "--suite=trixie", f"--source=file://{tmp_path}/", f"--status={status}"],
        text=True,
    )
    packages = {line.split()[1] for line in found.splitlines() if "CVE-2026-0001" in line}
    assert packages == {"gcc-14-base", "libgcc-s1", "libstdc++6"}
    assert "CVE-2026-0002" not in found


def advisory(name, ecosystem, package):
    """Return an entry of OSV's schema about all versions below 99."""
    events = [{"introduced": "0"}, {"fixed": "99"}]
    affected = {
        "package": {"ecosystem": ecosystem, "name": package},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
    }
    times = dict.fromkeys(("modified", "published"), "2026-01-01T00:00:00Z")
    return times | {"schema_version": "1.6.0", "id": name, "affected": [affected]}


def database(folder, advisories):
    """Write a database as osv-scanner keeps them, one archive per ecosystem."""
    for entry in advisories:
        ecosystem = entry["affected"][0]["package"]["ecosystem"].split(":")[0]
        (folder / "osv-scalibr" / ecosystem).mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / "osv-scalibr" / ecosystem / "all.zip", "a") as archive:
            archive.writestr(f"{entry['id']}.json", json.dumps(entry))


def findings(*arguments, cache):
    command = ["osv-scanner", "scan", *arguments, "--offline", "--format=json"]
    ran = subprocess.run(
        list(map(str, command)),
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr  # 1: something was found
    return {
        (vulnerability["id"], package["package"]["name"])
        for result in json.loads(ran.stdout)["results"]
        for package in result["packages"]
        for vulnerability in package["vulnerabilities"]
    }


def test_osv_scanner_finds_debian_packages_and_wheels_in_the_image(layout, tmp_path):
    skip_without("osv-scanner", "nixpkgs has it, and Go's modules")
    skip_without("skopeo", "`nix develop` has it")
    planted = [("A", "Debian:13", "openssl"), ("B", "PyPI", "jinja2"), ("C", "Debian:12", "bash")]
    database(tmp_path, [advisory(*entry) for entry in planted])
    copy = ["skopeo", "--insecure-policy", "copy", "-q", f"oci:{layout}:{ROLE}"]
    subprocess.run([*copy, f"docker-archive:{tmp_path}/image.tar:x:1"], check=True)
    found = findings("image", "--archive", tmp_path / "image.tar", cache=tmp_path)
    assert found == {("A", "openssl"), ("B", "jinja2")}
