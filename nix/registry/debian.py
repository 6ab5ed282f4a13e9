"""Debian packages by the machine's own apt, in a private root: nothing is installed, no root needed.

Mirror, proxy, credentials and certificates are those that the machine's apt is configured with.
Runs on the machine's Python, 3.9 or newer: it uses the standard library only.
"""

import re
import shutil
from pathlib import Path
from typing import Optional

from machine import BringError, count, data_home, last_line, run, say, told
from pins import ARCHITECTURES, SYSTEM, Package, check_recordable, locked
from store import compare

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def mirrors() -> list[str]:
    """Return the addresses of the machine's own package mirrors, plain Debian ones first.

    Raises:
        BringError: There is no apt, or it has no package source.
    """
    found = run(["apt-get", "indextargets", "--format", "$(SITE)"], Path("/")).stdout.split()
    unique = sorted(set(found), key=lambda site: ("security" in site, site))
    if not unique:
        raise BringError(
            "apt has no package source: add a Debian mirror to /etc/apt/sources.list.d"
        )
    return unique


class Apt:
    """A private apt root for one suite and architecture."""

    def __init__(self, root: Path, suite: str, system: str) -> None:
        self.root = root
        self.suite = suite
        self.system = system
        self.signed = KEYRING.exists()

    def options(self) -> list[str]:
        """Return the options that move every file of apt into the private root."""
        root = self.root
        settings = {
            "APT::Architecture": ARCHITECTURES[self.system],
            "APT::Architectures": ARCHITECTURES[self.system],
            "APT::Sandbox::User": "",
            "Dir::State": root / "state",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": root / "cache",
            "Dir::Etc::sourcelist": root / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Acquire::Languages": "none",
        }
        return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]

    def update(self) -> None:
        """Read the suite's package lists from the first mirror that has it.

        Raises:
            BringError: No mirror of the machine answers with this suite.
        """
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        message = ""
        for mirror in mirrors():
            trust = f"signed-by={KEYRING}" if self.signed else "trusted=yes"
            sources = f"deb [{trust}] {mirror} {self.suite} main\n"
            (self.root / "sources.list").write_text(sources)
            with told(f"package lists of Debian {self.suite}"):
                done = run(["apt-get", *self.options(), "update", "--error-on=any"], self.root)
            if done.returncode == 0:
                return
            message = reason(done.stderr)
        raise BringError(
            f"no package mirror of this machine has Debian {self.suite} ({message}): "
            "check that `apt-get update` works, or add a Debian mirror to apt's sources"
        )

    def available(self, names: list[str]) -> dict[str, list[Package]]:
        """Return the versions that the suite has of each package, the newest first."""
        command = ["apt-cache", *self.options(), "show", *names]
        found: dict[str, list[Package]] = {}
        for paragraph in run(command, self.root).stdout.split("\n\n"):
            lines = (line.partition(": ") for line in paragraph.splitlines())
            fields = {key: value for key, _, value in lines}
            if "SHA256" in fields:
                package = Package(fields["Version"], fields["SHA256"])
                found.setdefault(fields["Package"], []).append(package)
        return found

    def download(self, packages: dict[str, Package], target: Path) -> dict[str, Path]:
        """Download packages into a folder and return the file of each, its sha256 compared.

        Raises:
            BringError: apt failed, or a file is not the one that was asked for.
        """
        wanted = [f"{name}={package.version}" for name, package in sorted(packages.items())]
        with told("Debian packages", count(target, ".deb", len(wanted))):
            done = run(["apt-get", *self.options(), "download", *wanted], target)
        if done.returncode:
            raise BringError(apt_sentence(done.stderr))
        files = {file.name.split("_")[0]: file for file in target.glob("*.deb")}
        for name, package in packages.items():
            compare(files[name], package.sha256)
        return {name: files[name] for name in packages}


def apt_sentence(output: str) -> str:
    """Return one sentence for what apt printed when a download failed."""
    if "Hash Sum mismatch" in output:
        return (
            "apt got a package whose bits are not those of its list: try again, or another mirror"
        )
    return (
        f"apt could not download packages ({reason(output)}): "
        "see mirror, proxy and certificates in `apt-config dump`"
    )


def reason(output: str) -> str:
    """Return why apt failed: which address did not answer rather than that some did not."""
    failed = re.search(r"^[EW]: (Failed to fetch .*)$", output, re.MULTILINE)
    return failed.group(1).strip() if failed else last_line(output, "E:").replace("E: ", "")


def open_suite(suite: str, system: Optional[str] = None) -> Apt:
    """Return this machine's private apt root for a system, with the suite's package lists renewed."""
    root = data_home() / (f"apt-{system}" if system else "apt")
    apt = Apt(root, suite, system or SYSTEM)
    say(f"reading the package lists of Debian {suite}")
    apt.update()
    return apt


def current(apt: Apt, packages: dict[str, Package]) -> dict[str, Package]:
    """Return the packages, each pin that the mirror dropped replaced by the suite's version.

    Every replacement is said in a line; with DAGMA_LOCKED=1 it is an error.

    Raises:
        BringError: A pin is gone and may not be replaced.
    """
    available = apt.available(sorted(packages))
    result = dict(packages)
    for name in sorted(packages):
        if packages[name] not in available.get(name, []):
            result[name] = replacement(apt, name, packages[name], available)
    return result


def replacement(apt: Apt, name: str, pin: Package, available: dict[str, list[Package]]) -> Package:
    """Return the suite's version of a package whose pin the mirror dropped.

    Raises:
        BringError: There is none, or it may not be taken.
    """
    if name not in available:
        raise BringError(f"this machine's mirror has no package {name} in Debian {apt.suite}")
    gone = f"the mirror no longer has {name} {pin.version}"
    now = available[name][0]
    if now.version == pin.version:
        raise BringError(
            f"the mirror's {name} {pin.version} has sha256 {now.sha256}, the lock says "
            f"{pin.sha256}: nothing was taken over"
        )
    if locked():
        raise BringError(f"{gone} but {now.version}, and DAGMA_LOCKED takes pinned versions only")
    if not apt.signed:
        raise BringError(f"{gone}; to trust another install the package debian-archive-keyring")
    check_recordable()
    say(f"aged pin: {gone}; this machine takes {now.version}")
    return now


def unpack(deb: Path, target: Path) -> None:
    """Unpack a Debian package's files below a folder."""
    done = run(["dpkg-deb", "--extract", str(deb), str(target)], target)
    if done.returncode:
        raise BringError(f"{deb.name} cannot be unpacked: {last_line(done.stderr)}")


def make_seed(deb: Path, folder: Path) -> Path:
    """Return the seed made from busybox-static: a folder with that one program, as Nix's builder."""
    unpack(deb, folder)
    seed = folder / "seed"
    seed.mkdir()
    shutil.copy(folder / "usr/bin/busybox", seed / "busybox")
    (seed / "busybox").chmod(0o755)
    return seed
