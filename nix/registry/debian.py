"""Debian packages by the machine's own apt, in a private root: nothing is installed, no root needed.

Mirror, proxy, credentials and certificates are those that the machine's apt is configured with.
Runs on the machine's Python, 3.9 or newer: it uses the standard library only.
"""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from store import sha256_of

ARCHITECTURES = {"x86_64-linux": "amd64", "aarch64-linux": "arm64"}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class BringError(Exception):
    """An artifact cannot be brought; the text is one sentence with what to do."""


class Package(NamedTuple):
    """One binary package of the suite: its version and the sha256 (hex) of its .deb."""

    version: str
    sha256: str


def last_line(text: str, prefix: str = "") -> str:
    """Return the last line of a program's output that starts with a prefix, or its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(prefix)]
    return (marked or lines or ["no message"])[-1]


def run(command: list[str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program in English with its output captured."""
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def mirrors() -> list[str]:
    """Return the addresses of the machine's own package mirrors, plain Debian ones first.

    Raises:
        BringError: There is no apt, or it has no package source.
    """
    try:
        found = run(["apt-get", "indextargets", "--format", "$(SITE)"], Path("/")).stdout.split()
    except FileNotFoundError as error:
        sentence = "apt-get is not on PATH: the registry set needs a Debian-family machine"
        raise BringError(sentence) from error
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
            done = run(["apt-get", *self.options(), "update", "--error-on=any"], self.root)
            if done.returncode == 0:
                return
            message = last_line(done.stderr, "E:")
        raise BringError(
            f"no package mirror of this machine has Debian {self.suite} ({message}): "
            "check that `apt-get update` works, or add a Debian mirror to apt's sources"
        )

    def available(self, names: list[str]) -> dict[str, Package]:
        """Return the suite's current version of each package; a missing one is left out."""
        command = ["apt-cache", *self.options(), "show", "--no-all-versions", *names]
        found = {}
        for paragraph in run(command, self.root).stdout.split("\n\n"):
            lines = (line.partition(": ") for line in paragraph.splitlines())
            fields = {key: value for key, _, value in lines}
            if "SHA256" in fields:
                found[fields["Package"]] = Package(fields["Version"], fields["SHA256"])
        return found

    def download(self, packages: dict[str, Package], target: Path) -> dict[str, Path]:
        """Download packages into a folder and return the file of each, its sha256 compared.

        Raises:
            BringError: apt failed, or a file is not the one that was asked for.
        """
        wanted = [f"{name}={package.version}" for name, package in sorted(packages.items())]
        done = run(["apt-get", *self.options(), "download", *wanted], target)
        if done.returncode:
            raise BringError(f"apt could not download packages: {last_line(done.stderr, 'E:')}")
        files = {file.name.split("_")[0]: file for file in target.glob("*.deb")}
        for name, package in packages.items():
            compare(files[name], package.sha256)
        return {name: files[name] for name in packages}


def compare(file: Path, sha256: str) -> None:
    """Raise BringError when a downloaded file does not have the sha256 (hex) of the lock."""
    actual = sha256_of(file)
    if actual != sha256:
        raise BringError(
            f"{file.name} has sha256 {actual}, the lock says {sha256}: the mirror serves other "
            "bits under this version; nothing was taken over"
        )


def deb_name(name: str, version: str, system: str) -> str:
    """Return the store path name of a package: no epoch, no character that Nix refuses."""
    return f"{name}_{version.split(':')[-1].replace('~', '.')}_{ARCHITECTURES[system]}.deb"
