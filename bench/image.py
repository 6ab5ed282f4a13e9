"""Measure the images beside those of the usual Dockerfiles: size, an edit, a dependency's version.

`./nixw develop -c python bench/image.py [BASE]`, as root; README.md says what the figures mean. BASE
is a folder with the root file system that the peer starts from; without it debootstrap makes one.

The peer is built with buildah in a temporary folder. Exit code 1 means that a command failed.

Like with like: both sides have the same locked versions and the same source files. The peer keeps
what pip downloaded in a cache of the build, as Dockerfiles for this are written, so a new version costs it
one download too; a folder of wheels, since pip's own cache keeps nothing of an index that forbids it. That
version is one whose wheel this machine's Nix store has never had; either side downloads it anew. Ours
alone holds the corpus and the manifest of the example, 35 kB.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[1]
LOCK = "nix/python/lock.json"
#: A line is appended to this file.
EDITED = "src/dagma/defs/recipes/normalize.py"
#: A small dependency of the user code, of pure Python, with many versions that the others take.
BUMPED = "smart-open"
#: What our images leave out of the package: the code that runs a stack.
NOT_SERVED = ("cli", "stack", "__pycache__")
#: Image of the peer -> dependency groups and extras, as uv.lock and lock.json name them.
PEER_IMAGES = {
    "user-code": ["dagma", "mlflow", "parquet", "postgres", "qdrant", "example"],
    "dagster": ["webserver", "daemon"],
    "mlflow": ["mlflow-server"],
}
#: Our image -> the peer's that does its work.
COUNTERPARTS = {
    "user-code": "user-code",
    "webserver": "dagster",
    "daemon": "dagster",
    "mlflow": "mlflow",
}
#: What slim images leave out of a Debian system, in their base.
NOT_SLIM = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
)
REF_NAME = "org.opencontainers.image.ref.name"
DOCKERFILE = """\
FROM base
COPY requirements.txt /
RUN --mount=type=cache,target=/wheels \\
    pip download --dest /wheels -r /requirements.txt \\
 && pip install --no-cache-dir --break-system-packages --ignore-installed \\
    --no-index --find-links /wheels -r /requirements.txt
COPY src /opt/dagster/app
"""

PIP = ("python3", "-m", "pip")

type Blobs = dict[str, int]


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Run a command, with some variables set, and return its output; what it says goes to stderr.

    Raises:
        SystemExit: It failed.
    """
    # The machine's own programs: `nix develop` has a Python without pip before them.
    path = [folder for folder in os.environ["PATH"].split(":") if "/nix/store/" not in folder]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | {"PATH": ":".join(path)} | variables,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"bench: {command[0]} ended with {done.returncode}: {' '.join(map(str, command))}")
    return done.stdout.strip()


def read_layout(layout: Path) -> dict[str, Blobs]:
    """Return image -> digest -> bytes of all its blobs, manifest and configuration included."""
    found = {}
    for entry in json.loads((layout / "index.json").read_text())["manifests"]:
        if "annotations" not in entry:  # what had the name before
            continue
        manifest = json.loads((layout / "blobs" / entry["digest"].replace(":", "/")).read_text())
        blobs = [entry, manifest["config"], *manifest["layers"]]
        found[entry["annotations"][REF_NAME]] = {blob["digest"]: blob["size"] for blob in blobs}
    return found


def union(images: Iterable[Blobs]) -> int:
    """Return the bytes of some images in one place, each blob once."""
    together: Blobs = {}
    for image in images:
        together |= image
    return sum(together.values())


class Wheel(NamedTuple):
    """One version of a package, as lock.json has it."""

    version: str
    file: str
    sha256: str


def never_built() -> Wheel:
    """Return a version of the small dependency that the Nix store has nothing of.

    Raises:
        SystemExit: It has all of them.
    """
    locked = json.loads((CHECKOUT / LOCK).read_text())["packages"][BUMPED]["version"]
    # The line after the newest: "Available versions: 2.0, 1.9, ...".
    listed = run(*PIP, "index", "versions", BUMPED).splitlines()[1].partition(":")[2]
    for version in (word.strip() for word in listed.split(",")):
        wheel = look_up(version)
        if version != locked and not list(Path("/nix/store").glob(f"*-{wheel.file}")):
            return wheel
    sys.exit(
        f"bench: every version of {BUMPED} was built here before: `nix-collect-garbage` removes those "
        "that nothing needs, or name another package in BUMPED"
    )


def look_up(version: str) -> Wheel:
    """Download a version of the small dependency, past pip's cache, for its name and hash."""
    with tempfile.TemporaryDirectory() as folder:
        run(
            *(*PIP, "download", "--quiet", "--no-cache-dir", "--no-deps"),
            *("--only-binary=:all:", "--dest", folder, f"{BUMPED}=={version}"),
        )
        (wheel,) = Path(folder).iterdir()
        return Wheel(version, wheel.name, hashlib.sha256(wheel.read_bytes()).hexdigest())


class Ours:
    """A clone of the checkout's last commit, whose images are built by ./nixw."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        run("git", "clone", "-q", CHECKOUT, self.checkout)

    def build(self) -> tuple[float, dict[str, Blobs]]:
        """Build the images; return seconds and what came out."""
        start = time.monotonic()
        out = run("./nixw", "build", "--no-link", "--print-out-paths", ".#image", cwd=self.checkout)
        return time.monotonic() - start, read_layout(Path(out.splitlines()[-1]))

    def edit(self) -> None:
        """Append a line."""
        append_line(self.checkout / EDITED)

    def bump(self, wheel: Wheel) -> None:
        """Lock another version of the small dependency."""
        lock = self.checkout / LOCK
        content = json.loads(lock.read_text())
        package = content["packages"][BUMPED]
        package["version"] = wheel.version
        for system in package["wheels"]:
            package["wheels"][system] = {"file": wheel.file, "sha256": wheel.sha256}
        lock.write_text(json.dumps(content, indent=1) + "\n")


class Peer:
    """Three Dockerfiles on one base, built by buildah and written to an OCI layout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = folder / "layout"
        self.lock = json.loads((CHECKOUT / LOCK).read_text())

    def start(self, base: Path | None) -> None:
        """Make the base image, and write the contexts of the others."""
        if base is None:
            base = self.folder / "root"
            packages = "--include=python3,python3-pip"
            run("debootstrap", "--variant=minbase", packages, "trixie", base)
        context = self.folder / "base"
        context.mkdir()
        excluded = [f"--exclude=./{folder}/*" for folder in NOT_SLIM]
        run("tar", "-C", base, *excluded, "-cf", context / "root.tar", ".")
        (context / "Dockerfile").write_text("FROM scratch\nADD root.tar /\n")
        self.buildah("bud", "--layers", "--tag", "base", context)
        for image in PEER_IMAGES:
            self.prepare(image)

    def buildah(self, *arguments: str | Path) -> None:
        """Run buildah on images of our own; caches of builds are below TMPDIR, which is new too."""
        storage = ["--root", self.folder / "storage", "--runroot", self.folder / "state"]
        run("buildah", *storage, *arguments, TMPDIR=str(self.folder))

    def close(self) -> None:
        """Undo the mount that buildah leaves on its storage, which cannot be removed with it."""
        storage = self.folder / "storage/overlay"
        if storage.is_mount():
            run("umount", "--recursive", storage)

    def prepare(self, image: str) -> None:
        """Write the context of one image."""
        context = self.folder / image
        context.mkdir()
        (context / "Dockerfile").write_text(DOCKERFILE)
        names = sorted(
            {name for group in PEER_IMAGES[image] for name in self.lock["roles"][group]["packages"]}
        )
        pins = [f"{name}=={self.lock['packages'][name]['version']}\n" for name in names]
        (context / "requirements.txt").write_text("".join(pins))
        source = context / "src"
        source.mkdir()
        if image == "user-code":
            ignored = shutil.ignore_patterns(*NOT_SERVED)
            shutil.copytree(CHECKOUT / "src/dagma", source / "dagma", ignore=ignored)

    def build(self, images: Iterable[str] = ("user-code",)) -> tuple[float, dict[str, Blobs]]:
        """Build some images, by default the one that changes; return seconds and what there is."""
        start = time.monotonic()
        for image in images:
            self.build_one(image)
        return time.monotonic() - start, read_layout(self.layout)

    def build_one(self, image: str) -> None:
        """Build one image and write it to the layout, where blobs of before stay."""
        # The machine's own way to a Python index, if it has one.
        mine = [path for path in ("/etc/pip.conf", "/etc/ssl/certs") if Path(path).exists()]
        volumes = [f"--volume={path}:{path}:ro" for path in mine]
        options = ["--layers", "--isolation", "chroot", "--network", "host", *volumes]
        self.buildah("bud", *options, "--tag", image, self.folder / image)
        self.buildah("push", "--quiet", image, f"oci:{self.layout}:{image}")

    def edit(self) -> None:
        """Append the same line."""
        append_line(self.folder / "user-code" / EDITED)

    def bump(self, wheel: Wheel) -> None:
        """Require another version of the small dependency."""
        file = self.folder / "user-code/requirements.txt"
        pin = self.lock["packages"][BUMPED]["version"]
        file.write_text(
            file.read_text().replace(f"{BUMPED}=={pin}\n", f"{BUMPED}=={wheel.version}\n")
        )


def append_line(file: Path) -> None:
    """Make the smallest edit, one that was not built before."""
    file.write_text(f"{file.read_text()}# Edited at {time.time_ns()}.\n")


def new(before: Blobs, after: Blobs) -> Blobs:
    """Return the blobs that a registry with the first image lacks for the second."""
    return {digest: size for digest, size in after.items() if digest not in before}


def sizes(ours: dict[str, Blobs], peer: dict[str, Blobs]) -> Iterator[str]:
    """Yield the lines about sizes, in MB as compressed."""
    for role, counterpart in COUNTERPARTS.items():
        yield line(f"{role}, MB", union([ours[role]]) / 1e6, union([peer[counterpart]]) / 1e6)
    alone = sum(union([image]) for image in ours.values())
    ours_without = union(image for role, image in ours.items() if role != "mlflow")
    peer_without = union(image for role, image in peer.items() if role != "mlflow")
    yield line("all, MB", union(ours.values()) / 1e6, union(peer.values()) / 1e6)
    yield line("all but MLflow's, MB", ours_without / 1e6, peer_without / 1e6)
    yield line("all; peer: our four archives, MB", union(ours.values()) / 1e6, alone / 1e6)


def change(
    side: Ours | Peer, wheel: Wheel | None, before: dict[str, Blobs]
) -> tuple[float, Blobs, int]:
    """Edit, or take a wheel, and build; return seconds, the user code's new blobs, and the most bytes."""
    if wheel is None:
        side.edit()
    else:
        side.bump(wheel)
    seconds, after = side.build()
    most = max(sum(new(before[role], image).values()) for role, image in after.items())
    return seconds, new(before["user-code"], after["user-code"]), most


def measure(ours: Ours, peer: Peer) -> Iterator[str]:
    """Build both sides, change both sides, and yield the lines of the table."""
    _, our_images = ours.build()
    first, peer_images = peer.build(PEER_IMAGES)
    yield from sizes(our_images, peer_images)
    yield f"first build of the peer, seconds: {first:.1f}"
    for what, wheel in (("edit", None), ("bump", never_built())):
        mine = change(ours, wheel, our_images)
        theirs = change(peer, wheel, peer_images)
        yield line(f"{what}, seconds", mine[0], theirs[0])
        yield line(f"{what}, new blobs of user-code", len(mine[1]), len(theirs[1]))
        new_bytes = [sum(blobs.values()) / 1e3 for blobs in (mine[1], theirs[1])]
        yield line(f"{what}, new kB of user-code", *new_bytes)
        yield line(f"{what}, new kB of any image, most", mine[2] / 1e3, theirs[2] / 1e3)


def line(figure: str, ours: float, peer: float) -> str:
    """Return one line of the table."""
    return f"{figure:<36}{ours:>14.2f}{peer:>14.2f}{ours / peer:>12.4f}"


def main() -> None:
    """Measure both sides and print the table."""
    base = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(prefix="dagma-image-") as name:
        folder = Path(name)
        ours, peer = Ours(folder), Peer(folder)
        try:
            peer.start(base)
            lines = list(measure(ours, peer))
        finally:
            peer.close()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}")
    print(f"{'figure':<36}{'ours':>14}{'peer':>14}{'ours/peer':>12}", *lines, sep="\n")


if __name__ == "__main__":
    main()
