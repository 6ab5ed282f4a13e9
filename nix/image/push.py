"""Push images to a registry: `nix run .#image-push -- REGISTRY/PREFIX[:TAG] [ROLE...]`.

skopeo does the work: it asks the registry for each blob first, mounts what another repository of the
same registry has, and finds logins where `skopeo login`, `podman login` and `docker login` leave them.
Digests in the registry are those of the layout, and an image for several architectures goes whole.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import signing
from attach import add_sbom, attach
from labelled import chosen
from registry import Registry, explained, messages
from stored import ImageError, Stored, add_layout, committed, run

#: The grammar of names in the reference package of the registries' common code (distribution).
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
DESTINATION = re.compile(
    rf"(?P<registry>[\w.-]+:\d+|localhost|[\w-]+(?:\.[\w-]+)+|\[[0-9a-fA-F:]+\](?::\d+)?)"
    rf"(?P<prefix>(?:/{COMPONENT})*)(?::(?P<tag>{TAG}))?"
)
#: Options of skopeo whose value every user of the machine could read in the list of processes.
CREDENTIALS = ("creds", "password", "registry-token")
UPLOADED = re.compile(r"Upload of layer (sha256:[0-9a-f]{64}) complete")


class Destination(NamedTuple):
    """Where images go: `registry/prefix/ROLE:tag`, without a tag that of the images' version."""

    registry: str
    prefix: str
    tag: str | None

    def repository(self, role: str) -> str:
        """Return the repository of a role there."""
        return f"{self.registry}{self.prefix}/{role}"

    def name(self, role: str, version: str) -> str:
        """Return the name of a role there."""
        return f"{self.repository(role)}:{self.tag or version}"


def destination(text: str) -> Destination:
    """Parse REGISTRY/PREFIX[:TAG].

    Raises:
        ImageError: It is not of that form.
    """
    match = DESTINATION.fullmatch(text)
    if not match:
        raise ImageError(
            f"'{text}' is not REGISTRY/PREFIX[:TAG], such as registry.example/team/dagma:1.0: "
            "the registry has a dot or a port, the prefix is in lower case"
        )
    return Destination(match["registry"], match["prefix"], match["tag"])


def check_options(options: list[str]) -> None:
    """Refuse what may not, or cannot, go on to skopeo.

    Raises:
        ImageError: An option shows a credential, or a word is no option.
    """
    for option in options:
        if not option.startswith("--"):
            raise ImageError(
                f"'{option}' is not understood: roles stand right behind the destination, and "
                "options for skopeo are written --name=value"
            )
        if option.split("=")[0].removeprefix("--").removeprefix("dest-") in CREDENTIALS:
            raise ImageError(
                f"{option.split('=')[0]} would show a credential to every user of this machine: "
                "use `skopeo login`, or name a file of logins in REGISTRY_AUTH_FILE"
            )


def check_commit(layout: Stored, roles: list[str]) -> None:
    """Refuse what nobody could build again.

    Raises:
        ImageError: A role is not of a commit.
    """
    for role in roles:
        if not committed(layout.revision(role)):
            raise ImageError(
                f"{role} is of {layout.revision(role)}, which is no commit: commit and build again, "
                "or push it as it is with --allow-dirty"
            )


def push(layout: Stored, role: str, where: Destination, options: list[str]) -> None:
    """Push one role, and print what was sent.

    Raises:
        ImageError: skopeo failed.
    """
    name = where.name(role, layout.version(role))
    print(f"{role} -> {name}", flush=True)
    sizes = {
        blob["digest"]: blob["size"]
        for manifest in layout.manifests(role)
        for blob in layout.blobs(manifest)
    }
    # A policy says which images of others may come in; these are our own and go out.
    command = ["skopeo", "--debug", "--insecure-policy", "copy", "--multi-arch=all"]
    command += ["--preserve-digests", *options, f"oci:{layout.folder}:{role}", f"docker://{name}"]
    # On a terminal skopeo shows bars; elsewhere it says the same of each blob, sent or not.
    terminal = sys.stdout.isatty()
    sent: set[str] = set()
    last = "no message"
    with subprocess.Popen(
        command,
        stdout=None if terminal else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as skopeo:
        assert skopeo.stderr
        for level, text in messages(iter(skopeo.stderr)):
            if match := UPLOADED.search(text):
                sent.add(match[1])
                if not terminal:
                    print(f"  sent {megabytes(sizes.get(match[1], 0))} {match[1]}", flush=True)
            elif level in ("warning", "error"):
                print(f"image-push: {text}", file=sys.stderr)
            elif level == "fatal":
                last = text
    if skopeo.returncode:
        raise explained(where.registry, last)
    total = megabytes(sum(sizes[digest] for digest in sent & sizes.keys()))
    print(
        f"  blobs sent: {len(sent)} ({total}), there already: {len(sizes.keys() - sent)}",
        flush=True,
    )


def megabytes(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def add_destination(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where in a registry which images are."""
    parser.add_argument(
        "destination",
        metavar="REGISTRY/PREFIX[:TAG]",
        help="TAG is the project's version if left out",
    )
    parser.add_argument("roles", metavar="ROLE", nargs="*", help="which images; all when left out")


def main() -> None:
    """Parse the arguments and push."""
    parser = argparse.ArgumentParser(
        prog="image-push",
        description="Push images to a registry as REGISTRY/PREFIX/ROLE:TAG.",
        epilog="Other options, written --name=value, are those of `skopeo copy`.",
        allow_abbrev=False,
    )
    add_layout(parser)
    add_destination(parser)
    parser.add_argument(
        "--allow-dirty",
        action="store_true",
        help="push what was made from a tree with edits that are not committed",
    )
    add_sbom(parser)
    parser.add_argument(
        "--key",
        metavar="FILE",
        type=Path,
        help="sign with this private key (PEM, P-256), so that `cosign verify --key` accepts it; "
        "its password is in COSIGN_PASSWORD",
    )
    arguments, options = parser.parse_known_args()
    check_options(options)
    where = destination(arguments.destination)
    key = signing.private_key(arguments.key) if arguments.key else None
    registry = Registry(where.registry, options)
    with chosen(arguments) as layout:
        roles = layout.choose(arguments.roles)
        if not arguments.allow_dirty:
            check_commit(layout, roles)
        for role in roles:
            push(layout, role, where, options)
            attach(registry, where.repository(role), layout, role, arguments.sbom, key)


if __name__ == "__main__":
    run("image-push", main)
