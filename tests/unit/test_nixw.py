"""nixw with stand-ins for nix and python3: what it says and what it would run."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

# What nixw itself uses; anything else on PATH is a stand-in.
TOOLS = ["sh", "cat", "cksum", "dirname", "find", "grep", "id", "ls"]
TOOLS += ["mkdir", "mv", "readlink", "rm", "sed", "timeout", "tr"]
NIX = """
[ "$1" = --version ] && { echo "nix (Nix) VERSION"; exit 0; }
case $* in
  "hash path nix") echo sha256-AAAA ;;
  "hash to-base16"*) echo ab ;;
  "config show substituters") echo https://cache.example ;;
  "store ping"*) exit PING ;;
  *) echo "nix $*"; echo "$NIX_CONFIG" >"$0.config" ;;
esac
"""


def where(tool):
    """The tool on PATH; the sandbox of the registry set has a few in its shell, busybox, only."""
    found = shutil.which(tool)
    if found:
        return found
    shell = subprocess.run(
        ["busybox", "--list"], executable="/bin/sh", capture_output=True, text=True, check=False
    )
    if tool not in shell.stdout.split():
        pytest.skip(f"{tool}, which nixw needs, is not on PATH")
    return "/bin/sh"


@pytest.fixture
def machine(tmp_path, checkout):
    """A machine with a checkout and a PATH of its own."""

    class Machine:
        folder = tmp_path / "a checkout"
        data = tmp_path / "data/dagma"
        programs = tmp_path / "bin"
        environment = {  # noqa: RUF012
            "PATH": str(programs),
            "HOME": str(tmp_path),
            "XDG_DATA_HOME": str(data.parent),
            "DAGMA_PACKAGES": "registry",
            "NIX_REMOTE": "daemon",
        }

        def has(self, name, script):
            (self.programs / name).write_text(f"#!{shutil.which('sh')}\n{script}\n")
            (self.programs / name).chmod(0o755)

        def has_nix(self, version="2.26.3", ping=1):
            self.has("nix", NIX.replace("VERSION", version).replace("PING", str(ping)))
            self.has("nix-store", "echo /nix/store/none")

        def has_python(self, version="3.11"):
            self.has("python3", f'case $1 in -c) echo {version} ;; *) echo "/bin/sh" ;; esac')

        def nixw(self, *arguments, program=None, cwd=None, **environment):
            return subprocess.run(
                [program or self.folder / "nixw", *arguments],
                env=self.environment | environment,
                cwd=cwd or tmp_path,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )

        def refuses(self, *arguments, **options):
            """Returns the one sentence of a call that ends with exit code 1."""
            done = self.nixw(*arguments, **options)
            assert done.returncode == 1, done
            assert done.stdout == ""
            (line,) = done.stderr.splitlines()
            return line

    made = Machine()
    made.programs.mkdir()
    for tool in TOOLS:
        (made.programs / tool).symlink_to(where(tool))
    shutil.copytree(
        checkout / "nix", made.folder / "nix", ignore=shutil.ignore_patterns("__pycache__")
    )
    for file in ("nixw", "flake.lock"):
        shutil.copy(checkout / file, made.folder)
    return made


@pytest.fixture
def ready(machine):
    machine.has_nix()
    machine.has_python()
    return machine


# --- refusals -------------------------------------------------------------------------------------


def test_no_python(machine):
    assert "python3 is not on PATH: it and pip bring the packages" in machine.refuses("build")


def test_a_python_that_is_too_old(machine):
    machine.has_python("3.8")
    assert "python3 is Python 3.8: 3.9 or newer is needed" in machine.refuses("build")


def test_a_python_that_does_not_start(machine):
    machine.has("python3", "exit 127")
    assert re.search(r"bin/python3 does not start: a Python of 3\.9", machine.refuses("build"))


def test_no_home(machine):
    assert "HOME is not set" in machine.refuses("build", HOME="", XDG_DATA_HOME="")


def test_a_relative_data_directory_is_passed_over(ready, tmp_path):
    ready.nixw("build", XDG_DATA_HOME="here")
    assert (tmp_path / ".local/share/dagma").is_dir()


def test_a_bad_package_set(machine):
    line = machine.refuses("build", DAGMA_PACKAGES="debian")
    assert line == "nixw: DAGMA_PACKAGES is 'debian': it may be nixpkgs, registry or auto"


def test_a_data_directory_that_cannot_be_made(machine, tmp_path):
    (tmp_path / "file").write_text("")
    machine.has_nix()
    machine.has_python()
    line = machine.refuses("build", XDG_DATA_HOME=str(tmp_path / "file"))
    assert "cannot be written (no right or no space): set XDG_DATA_HOME" in line


def test_a_data_directory_that_nix_cannot_express(machine, tmp_path):
    assert "may not have a colon" in machine.refuses("build", XDG_DATA_HOME=f"{tmp_path}/a:b")


def test_what_bring_says_is_what_nixw_says(machine):
    machine.has_nix()
    machine.has("python3", '[ "$1" = -c ] && { echo 3.11; exit; }; echo "nixw: no" >&2; exit 1')
    assert machine.refuses("build") == "nixw: no"


# --- Nix ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2.18.0", "2.26.3", "2.34.8pre1", "3.0"])
def test_a_nix_that_is_new_enough_is_used(machine, version):
    machine.has_nix(version)
    assert machine.nixw("store", "gc").stdout == "nix store gc\n"


@pytest.mark.parametrize("version", ["2.8.0", "2.17.1", "unknown"])
def test_another_nix_is_replaced(machine, version):
    machine.has_nix(version)
    assert "python3 is not on PATH" in machine.refuses("store", "gc")


def test_the_settings_of_our_own_nix_are_not_those_of_the_machine_s(machine):
    machine.has_nix()
    machine.nixw("store", "gc")
    assert "sandbox-paths" not in (machine.programs / "nix.config").read_text()


def test_our_own_nix_is_brought_once_and_gets_a_sandbox_shell(machine, tmp_path):
    own = tmp_path / "own"
    (own / "bin").mkdir(parents=True)
    machine.has_nix()
    for name in ("nix", "nix-store"):
        (machine.programs / name).rename(own / "bin" / name)
    machine.has("python3", f"case $1 in -c) echo 3.11 ;; *) echo {own} ;; esac")
    assert machine.nixw("store", "gc").stdout == "nix store gc\n"
    assert "sandbox-paths = /bin/sh=/nix/store/none" in (own / "bin/nix.config").read_text()
    (machine.programs / "python3").unlink()
    assert machine.nixw("store", "gc").stdout == "nix store gc\n"


# --- arguments ------------------------------------------------------------------------------------


def lock_file(done):
    """The content of the lock file that a call gave to Nix."""
    (file,) = re.findall(r"--reference-lock-file (\S+)", done.stdout)
    return json.loads(Path(file).read_text())["nodes"]["nixpkgs"]


def test_nix_s_option_stands_before_what_is_for_the_program(ready):
    done = ready.nixw("run", ".#stack", "--", "-d", "a b", "--", "x")
    assert re.fullmatch(
        r"nix run \.#stack --reference-lock-file \S+ --output-lock-file \S+ -- -d a b -- x\n",
        done.stdout,
    )


def test_nix_s_option_stands_before_a_command(ready):
    done = ready.nixw("develop", "-c", "pytest", "tests")
    assert re.fullmatch(
        r"nix develop --reference-lock-file \S+ --output-lock-file \S+ -c pytest tests\n",
        done.stdout,
    )


def test_the_registry_set_is_this_checkout_s(ready):
    locked = lock_file(ready.nixw("build"))["locked"]
    assert (locked["path"], locked["dir"]) == (str(ready.folder / "nix"), "registry")


def test_the_input_that_is_replaced_is_that_of_the_flake(ready):
    ours = lock_file(ready.nixw("build"))["original"]
    theirs = json.loads((ready.folder / "flake.lock").read_text())["nodes"]["nixpkgs"]["original"]
    assert ours == theirs


@pytest.mark.parametrize(
    "call", ["--version", "store gc", "hash path x", "flake update", "profile list", "config show"]
)
def test_a_command_that_reads_no_flake_is_left_alone(ready, call):
    (ready.programs / "python3").unlink()
    assert ready.nixw(*call.split()).returncode == 0


def test_lock_is_short_for_the_app(ready):
    assert ready.nixw("lock").stdout.startswith("nix run .#lock --reference-lock-file")


def test_the_artifacts_are_brought_once(ready):
    ready.nixw("build")
    (ready.programs / "python3").unlink()
    assert ready.nixw("build").returncode == 0


def test_an_artifact_that_is_gone_is_brought_again(ready):
    ready.nixw("build")
    (stamp,) = ready.data.glob("artifacts-*")
    stamp.write_text("/nowhere\n")
    (ready.programs / "python3").unlink()
    assert "python3 is not on PATH" in ready.refuses("build")


def test_from_any_directory_and_through_a_symbolic_link(ready, tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "inner").symlink_to("../a checkout/nixw")
    (elsewhere / "outer").symlink_to(elsewhere / "inner")
    done = ready.nixw("build", program="./outer", cwd=elsewhere)
    assert lock_file(done)["locked"]["path"] == str(ready.folder / "nix")


# --- the package set ------------------------------------------------------------------------------


def test_auto_takes_nixpkgs_when_the_cache_answers(machine):
    machine.has_nix(ping=0)
    done = machine.nixw("build", DAGMA_PACKAGES="auto")
    assert done.stdout == "nix build\n"
    assert "packages from nixpkgs, Nix's binary cache answered" in done.stderr


def test_auto_takes_the_registries_when_it_does_not(ready):
    done = ready.nixw("build", DAGMA_PACKAGES="auto")
    assert "--reference-lock-file" in done.stdout
    assert "packages from registry, Nix's binary cache did not answer" in done.stderr


def test_auto_takes_nixpkgs_when_its_source_is_in_the_store(machine, tmp_path):
    machine.has_nix()
    machine.has("nix-store", f"echo {tmp_path}")
    done = machine.nixw("build", DAGMA_PACKAGES="auto")
    assert done.stdout == "nix build\n"
    assert "its source is in the store" in done.stderr


def test_what_auto_found_holds_for_a_day_and_is_said_again(machine):
    machine.has_nix(ping=0)
    first = machine.nixw("build", DAGMA_PACKAGES="auto")
    machine.has_nix(ping=1)
    again = machine.nixw("build", DAGMA_PACKAGES="auto")
    assert again.stdout == first.stdout
    assert again.stderr == first.stderr
    (decision,) = machine.data.glob("packages-*")
    os.utime(decision, (0, 0))
    machine.has_python()
    assert "--reference-lock-file" in machine.nixw("build", DAGMA_PACKAGES="auto").stdout
