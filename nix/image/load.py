"""Load images into the machine's podman or docker: `nix run .#image-load -- podman|docker [ROLE...]`.

They are named localhost/dagma/ROLE, with the tags VERSION and `latest`. Podman and docker both read
`localhost/` as a registry, so that neither looks for such an image on a public one.

podman reads the layout itself and skips layers that it has (1 s where `podman load` takes 30).
docker gets one archive in the format of `docker save` (manifest.json) on its standard input. All
versions read that, each blob is in it once and stays compressed, as it is in the layout.
"""

import argparse
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from labelled import chosen
from layout import INDEX, encode
from stored import REF_NAME, ImageError, Stored, add_layout, run, this_machine

#: A question that only a working podman or docker daemon answers, and what to do when it does not.
WORKS = {
    "podman": (["podman", "info"], "see what `podman info` says"),
    "docker": (
        ["docker", "version"],
        "start its daemon (`systemctl start docker`), or set DOCKER_HOST, and see that you may use it",
    ),
}


def check_runtime(tool: str) -> None:
    """See that podman or docker is there and works.

    Raises:
        ImageError: It does not.
    """
    other = {"podman": "docker", "docker": "podman"}[tool]
    if not shutil.which(tool):
        raise ImageError(f"{tool} is not on PATH: install it, or load into {other}")
    question, advice = WORKS[tool]
    done = subprocess.run(question, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or "no message").splitlines()[-1]
        raise ImageError(f"{tool} does not work here ({reason}): {advice}")


def tags(layout: Stored, role: str) -> list[str]:
    """Return the names that a role gets."""
    return [f"localhost/dagma/{role}:{tag}" for tag in (layout.version(role), "latest")]


def into_podman(layout: Stored, role: str) -> None:
    """Pull a role from the layout into podman's storage.

    Raises:
        ImageError: podman failed; it has said why.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # The version of podman decides whether an image that is pulled from a layout is called after
        # the layout's relative path or after the name given behind it. Here both are the same.
        names = tags(layout, role)
        repository = f"dagma/{role}"
        folder = Path(scratch) / repository
        folder.mkdir(parents=True)
        shutil.copy(layout.folder / "oci-layout", folder)
        (folder / "blobs").symlink_to((layout.folder / "blobs").resolve())
        entry = layout.entries[role] | {"annotations": {REF_NAME: names[-1]}}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
        (folder / "index.json").write_bytes(encode(index))
        pull = ["podman", "pull", f"oci:{repository}:{names[-1]}"]
        pulled = subprocess.run(pull, cwd=scratch, stdout=subprocess.PIPE, text=True, check=False)
    image = pulled.stdout.strip()
    if (
        pulled.returncode
        or subprocess.run(["podman", "tag", image, *names], check=False).returncode
    ):
        raise ImageError(f"podman did not take {role}; its own message is above")


def write_archive(layout: Stored, roles: list[str], stream: IO[bytes]) -> None:
    """Write roles as one archive that `docker load` reads, without a copy on disk."""
    manifests = {role: this_machine(layout.manifests(role)) for role in roles}
    blobs = {role: list(layout.blobs(manifest)) for role, manifest in manifests.items()}

    def path(digest: str) -> str:
        return f"blobs/{digest.replace(':', '/')}"

    listing = [
        {
            "Config": path(config["digest"]),
            "RepoTags": tags(layout, role),
            "Layers": [path(layer["digest"]) for layer in layers],
        }
        for role, (config, *layers) in blobs.items()
    ]
    with tarfile.open(fileobj=stream, mode="w|", dereference=True) as archive:
        content = json.dumps(listing).encode()
        header = tarfile.TarInfo("manifest.json")
        header.size = len(content)
        archive.addfile(header, io.BytesIO(content))
        for digest, blob in {
            blob["digest"]: blob for all in blobs.values() for blob in all
        }.items():
            archive.add(layout.blob(blob), path(digest))


def into_docker(layout: Stored, roles: list[str]) -> None:
    """Send roles to the docker daemon.

    Raises:
        ImageError: docker failed; it has said why.
    """
    with subprocess.Popen(["docker", "load"], stdin=subprocess.PIPE) as docker:
        assert docker.stdin
        try:
            write_archive(layout, roles, docker.stdin)
            docker.stdin.close()
        except BrokenPipeError:
            pass
    if docker.returncode:
        raise ImageError("docker did not take the images; its own message is above")


def main() -> None:
    """Parse the arguments and load."""
    parser = argparse.ArgumentParser(
        prog="image-load", description="Load images into the machine's podman or docker."
    )
    add_layout(parser)
    parser.add_argument("runtime", choices=sorted(WORKS), help="where to")
    parser.add_argument("roles", metavar="ROLE", nargs="*", help="which images; all when left out")
    arguments = parser.parse_args()
    with chosen(arguments) as layout:
        roles = layout.choose(arguments.roles)
        check_runtime(arguments.runtime)
        if arguments.runtime == "docker":
            into_docker(layout, roles)
        else:
            for role in roles:
                into_podman(layout, role)
        for role in roles:
            print("loaded", " ".join(tags(layout, role)))


if __name__ == "__main__":
    run("image-load", main)
