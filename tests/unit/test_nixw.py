"""nixw with stand-ins for nix and python3: what it says and what it would run."""

import json
import os
import re
import shutil
import subprocess
import urllib.parse
from pathlib import Path

import pytest


def tar_reads_lists():
    """Whether there is a tar such as Debian's or macOS', which takes the names of files from a list."""
    try:
        command = ["tar", "-cf", "/dev/null", "-T", "/dev/null"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(
    not tar_reads_lists(), reason="no tar that reads a list of files; .ci/run names these tests"
)

# What nixw itself uses; anything else on PATH is a stand-in.
TOOLS = ["sh", "cat", "cksum", "dirname", "find", "grep", "head", "id", "ls"]
TOOLS += ["mkdir", "mv", "od", "readlink", "rm", "sed", "tar", "touch", "tr"]
NIX = """
[ "$1" = --version ] && { echo "nix (Nix) VERSION"; exit 0; }
pwd >"$0.folder"
case $* in
  "hash path "*/nix) echo sha256-AAAA ;;
  "hash to-base16"*) echo ab ;;
  "config show substituters") echo https://cache.example ;;
  "store ping"*) exit PING ;;
  "eval --impure --raw --expr builtins.currentSystem") echo x86_64-linux ;;
  "eval --json .#apps.x86_64-linux "*) [ ! -e "$0.evaluation" ] || { cat "$0.evaluation" >&2; exit 1; } ;;
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
        shell = ()
        environment = {  # noqa: RUF012
            "PATH": str(programs),
            "HOME": str(tmp_path),
            "XDG_DATA_HOME": str(data.parent),
            "DAGMA_PACKAGES": "registry",
            "NIX_REMOTE": "daemon",
        }

        def has(self, name, script):
            # Not through the link to a tool: root can write into the store.
            (self.programs / name).unlink(missing_ok=True)
            (self.programs / name).write_text(f"#!{shutil.which('sh')}\n{script}\n")
            (self.programs / name).chmod(0o755)
            # busybox, the sandbox's shell, takes its own tools before those on PATH; bash does not.
            if name in (*TOOLS, "uname"):
                self.shell = [shutil.which("bash") or "sh"]

        def has_nix(self, version="2.26.3", ping=1):
            self.has("nix", NIX.replace("VERSION", version).replace("PING", str(ping)))
            self.has("nix-store", "echo /nix/store/none")

        def nixpkgs_fails(self, error):
            """From now on nixpkgs does not evaluate; Nix says this."""
            (self.programs / "nix.evaluation").write_text(error)

        def has_python(self, version="3.11"):
            self.has("python3", f'case $1 in -c) echo {version} ;; *) echo "/bin/sh" ;; esac')

        def brings(self, script):
            """The machine's python3 answers `bring.py COMMAND` by this script, COMMAND as $2."""
            self.has("python3", f"[ $1 = -c ] && {{ echo 3.11; exit; }}\n{script}")

        def nixw(self, *arguments, program=None, cwd=None, **environment):
            return subprocess.run(
                [*self.shell, program or self.folder / "nixw", *arguments],
                env=self.environment | environment,
                cwd=cwd or self.folder,
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
    made.has("uname", "echo Linux")
    shutil.copytree(
        checkout / "nix", made.folder / "nix", ignore=shutil.ignore_patterns("__pycache__")
    )
    for file in ("nixw", "flake.nix", "flake.lock", "pyproject.toml"):
        shutil.copy(checkout / file, made.folder)
    (made.folder / ".git").mkdir()
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
    assert locked["dir"] == "registry"
    copied = Path(locked["path"])
    assert ready.data in copied.parents
    for file in ("contract.nix", "registry/flake.nix", "python/lock.json"):
        assert (copied / file).read_text() == (ready.folder / "nix" / file).read_text()


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


@pytest.mark.parametrize(
    "call",
    [
        "build .#image-aarch64",
        "build .#image-x86_64-sbom",
        "build .#legacyPackages.x86_64-linux.image-aarch64-files",
    ],
)
def test_artifacts_of_another_system_are_brought_for_its_images_alone(ready, call):
    ready.has("python3", 'case $1 in -c) echo 3.11 ;; *) echo "/bin/sh"; echo "$2" >&2 ;; esac')
    assert ready.nixw(*call.split()).stderr.splitlines()[-1] == "foreign"
    assert ready.nixw(*call.split()).stderr == ""
    assert "foreign" not in ready.nixw("build", ".#image").stderr


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ("run .#stack", "artifacts"),
        ("build .#checks.x86_64-linux.unit", "artifacts"),
        ("flake check", "twins"),
        ("build -L .#checks.x86_64-linux.twin-python", "twins"),
        ("build .#twin-process-compose", "every-twin"),
        ("build .#twin-python .#legacyPackages.x86_64-linux.twin-distribution", "every-twin"),
    ],
)
def test_twins_are_brought_for_their_checks_alone(ready, call, wanted):
    ready.has("python3", 'case $1 in -c) echo 3.11 ;; *) echo "/bin/sh"; echo "$2" >&2 ;; esac')
    assert ready.nixw(*call.split()).stderr == f"{wanted}\n"


def test_an_artifact_that_is_gone_is_brought_again(ready):
    ready.nixw("build")
    (stamp,) = ready.data.glob("artifacts-*")
    stamp.write_text("/nowhere\n")
    (ready.programs / "python3").unlink()
    assert "python3 is not on PATH" in ready.refuses("build")


# --- where it runs --------------------------------------------------------------------------------


@pytest.fixture
def called(machine, tmp_path):
    """Calls nixw from another project's folder; returns what it would run there, and where."""
    machine.has_nix()
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()

    def call(*words, cwd=elsewhere, **options):
        done = machine.nixw(*words, cwd=cwd, DAGMA_PACKAGES="nixpkgs", **options)
        assert done.returncode == 0, done
        return done.stdout.strip(), Path((machine.programs / "nix.folder").read_text().strip())

    call.folder = elsewhere
    return call


@pytest.mark.parametrize(
    ("given", "run"),
    [
        ("run .#stack -- -d data", "run CHECKOUT#stack -- -d data"),
        ("run", "run CHECKOUT"),
        ("run -- -d .#stack .", "run CHECKOUT -- -d .#stack ."),
        ("run .#dagma restore . .#x", "run CHECKOUT#dagma restore . .#x"),
        ("develop -c pytest .", "develop CHECKOUT -c pytest ."),
        ("develop --command ls", "develop CHECKOUT --command ls"),
        ("build . .#image", "build CHECKOUT CHECKOUT#image"),
        ("build -o . --option cores 2", "build -o . --option cores 2 CHECKOUT"),
        ("flake check --print-build-logs", "flake check --print-build-logs CHECKOUT"),
        ("flake show ./mine", "flake show ./mine"),
        ("eval --json --expr 1", "eval --json --expr 1"),
        ("build ../mine#x", "build ../mine#x"),
        ("hash path .", "hash path ."),
    ],
)
def test_from_elsewhere_a_reference_is_the_checkout_s(called, machine, given, run):
    command, folder = called(*given.split())
    assert command == "nix " + run.replace("CHECKOUT", str(machine.folder))
    assert folder == called.folder


def test_from_the_checkout_nothing_is_changed(called, machine):
    assert called("run", ".#stack", cwd=machine.folder) == ("nix run .#stack", machine.folder)
    assert called("develop", cwd=machine.folder)[0] == "nix develop"


def test_from_a_folder_of_the_checkout(called, machine):
    folder = machine.folder / "nix"
    assert called("run", ".#stack", cwd=folder) == (f"nix run {machine.folder}#stack", folder)


def test_through_symbolic_links(called, machine):
    (called.folder / "inner").symlink_to("../a checkout/nixw")
    (called.folder / "outer").symlink_to(called.folder / "inner")
    command, folder = called("run", ".#stack", program="./outer")
    assert (command, folder) == (f"nix run {machine.folder}#stack", called.folder)


@pytest.mark.parametrize("given", ["lock", "run .#lock", "flake update", "flake lock"])
def test_what_writes_the_checkout_s_files_runs_there(called, machine, given):
    assert called(*given.split())[1] == machine.folder


def test_a_checkout_that_a_reference_cannot_name_works_in_its_own_folder_only(called, machine):
    machine.folder = machine.folder.rename(machine.folder.with_name("a#checkout"))
    assert called("build", cwd=machine.folder)[0] == "nix build"
    machine.has_python()
    line = machine.refuses("build", cwd=called.folder, DAGMA_PACKAGES="nixpkgs")
    assert "which Nix would misread: call nixw from there" in line


def test_the_registry_set_is_the_checkout_s_from_elsewhere_too(ready, tmp_path):
    done = ready.nixw("run", "--", ".", cwd=tmp_path)
    assert (Path(lock_file(done)["locked"]["path"]) / "contract.nix").is_file()
    assert f"nix run {ready.folder} --reference-lock-file" in done.stdout
    assert done.stdout.endswith(" -- .\n")


# --- the package set ------------------------------------------------------------------------------


def chosen(done):
    """The package set of a call: registry is the one that needs a lock file of its own."""
    assert done.returncode == 0, done
    return "registry" if "--reference-lock-file" in done.stdout else "nixpkgs"


@pytest.fixture
def auto(ready):
    """Calls nixw with DAGMA_PACKAGES=auto: the set it takes, and what it says."""

    def call(*words, ping=0):
        ready.has_nix(ping=ping)
        done = ready.nixw(*(words or ["build"]), DAGMA_PACKAGES="auto")
        return chosen(done), done.stderr

    return call


def test_auto_takes_nixpkgs_when_the_cache_answers(auto):
    packages, said = auto()
    assert packages == "nixpkgs"
    assert "packages from nixpkgs, Nix's binary cache answered" in said


def test_auto_takes_the_registries_when_it_does_not(auto):
    packages, said = auto(ping=1)
    assert packages == "registry"
    assert "packages from registry, Nix's binary cache did not answer" in said


def test_auto_takes_nixpkgs_when_its_source_is_in_the_store(ready, tmp_path):
    ready.has_nix()
    ready.has("nix-store", f"echo {tmp_path}")
    done = ready.nixw("build", DAGMA_PACKAGES="auto")
    assert chosen(done) == "nixpkgs"
    assert "its source is in the store" in done.stderr


def test_what_auto_found_holds_for_a_day_and_is_said_once(auto, ready):
    packages, said = auto()
    assert (packages, said.count("\n")) == ("nixpkgs", 1)
    assert auto(ping=1) == ("nixpkgs", "")
    (decision,) = ready.data.glob("packages-*")
    os.utime(decision, (0, 0))
    packages, said = auto(ping=1)
    assert (packages, said.count("\n")) == ("registry", 1)


UNREACHED = """error:
       … while fetching the input 'github:NixOS/nixpkgs'

       error: unable to download 'https://github.example/x.tar.gz': Could not connect (7)
"""


def test_auto_falls_back_with_one_line_when_nixpkgs_cannot_be_had(auto, ready):
    ready.nixpkgs_fails(UNREACHED)
    packages, said = auto()
    assert packages == "registry"
    assert said == (
        "nixw: packages from registry, nixpkgs is not to be had or does not evaluate: unable to "
        "download 'https://github.example/x.tar.gz': Could not connect (7) "
        "(holds for a day; DAGMA_PACKAGES overrides it)\n"
    )
    assert auto() == ("registry", "")


def test_a_fall_back_ends_with_the_state_of_the_flake_that_caused_it(auto, ready):
    ready.nixpkgs_fails("error: 'gnome-recipes' has been removed\n")
    assert auto()[0] == "registry"
    (ready.programs / "nix.evaluation").unlink()
    with (ready.folder / "nix/stack.nix").open("a") as file:
        file.write("# mended\n")
    assert auto()[0] == "nixpkgs"


def test_an_error_without_a_text_is_a_reason_too(auto, ready):
    ready.nixpkgs_fails("")
    assert "does not evaluate: Nix gave no reason (holds" in auto()[1]


def test_nixpkgs_by_name_never_falls_back(ready):
    ready.has_nix()
    ready.nixpkgs_fails("error: no\n")
    assert chosen(ready.nixw("build", DAGMA_PACKAGES="nixpkgs")) == "nixpkgs"


def test_another_system_than_linux_has_nixpkgs_only(auto, ready):
    ready.has("uname", "echo Darwin")
    assert auto(ping=1) == ("nixpkgs", "")


# --- nixpkgs' wheels ------------------------------------------------------------------------------


def test_the_wheels_of_nixpkgs_set_are_brought_by_pip_once(machine):
    machine.has_nix()
    machine.brings(f'echo "$2" >>{machine.programs}/asked; echo /bin/sh')
    for _ in range(2):
        done = machine.nixw("build", DAGMA_PACKAGES="nixpkgs")
        assert (done.stdout, done.stderr) == ("nix build\n", "")
    assert (machine.programs / "asked").read_text() == "wheels\n"


def test_a_wheel_that_is_gone_is_brought_again(machine):
    machine.has_nix()
    machine.brings(f"echo >>{machine.programs}/asked; echo /nowhere")
    for _ in range(2):
        machine.nixw("build", DAGMA_PACKAGES="nixpkgs")
    assert (machine.programs / "asked").read_text() == "\n\n"


def test_without_python_nix_fetches_the_wheels(machine):
    machine.has_nix()
    done = machine.nixw("build", DAGMA_PACKAGES="nixpkgs")
    assert done.stdout == "nix build\n"
    (line,) = done.stderr.splitlines()
    assert "python3 is not on PATH" in line
    assert line.endswith("; the wheels are left to Nix")


def test_what_pip_cannot_bring_nix_fetches(machine):
    machine.has_nix()
    machine.brings('echo "nixw: no pip$DAGMA_OTHERWISE" >&2; exit 1')
    done = machine.nixw("build", DAGMA_PACKAGES="nixpkgs")
    assert done.stdout == "nix build\n"
    assert done.stderr == "nixw: no pip; the wheels are left to Nix\n"


def test_a_data_directory_that_cannot_be_made_does_not_stop_nixpkgs(machine, tmp_path):
    (tmp_path / "file").write_text("")
    machine.has_nix()
    machine.has_python()
    done = machine.nixw("build", DAGMA_PACKAGES="nixpkgs", XDG_DATA_HOME=str(tmp_path / "file"))
    assert done.stdout == "nix build\n"
    (line,) = done.stderr.splitlines()
    assert line.endswith("; the wheels are left to Nix")


# --- a checkout that is no repository -------------------------------------------------------------


@pytest.fixture
def archive(ready):
    """What is left of a downloaded archive, which has no .git."""
    (ready.folder / ".git").rmdir()
    (ready.folder / ".env").write_text("SECRET=1\n")
    return ready


def reference(done, ending=""):
    """The flake that a call handed to Nix."""
    [found] = re.findall(rf"path:(\S+?){ending}(?: |$)", done.stdout.strip())
    return Path(urllib.parse.unquote(found))


@pytest.mark.parametrize(
    ("call", "ending"),
    [
        ("run .#stack -- -d .", "#stack"),
        ("build ./#image", "#image"),
        ("build --no-link . --option x .", ""),
        ("flake check", ""),
        ("develop", ""),
        ("build -o ./out", ""),
        ("run", ""),
    ],
)
def test_nix_gets_a_copy_of_the_project_and_nothing_else(archive, call, ending):
    done = archive.nixw(*call.split())
    copied = reference(done, ending)
    assert archive.data in copied.parents
    files = {"nix", "nixw", "flake.nix", "flake.lock", "pyproject.toml"}
    assert {path.name for path in copied.iterdir()} == files
    assert (copied.stat().st_mode & 0o077, "SECRET" in done.stdout) == (0, False)


@pytest.mark.parametrize("call", ["run .#dagma backup .", "develop -c ls .", "run .#dagma -- ."])
def test_what_is_for_the_program_is_left_as_it_is(archive, call):
    assert archive.nixw(*call.split()).stdout.strip().split(" --ref")[0].count("path:") == 1
    assert " ." in archive.nixw(*call.split()).stdout


@pytest.mark.parametrize("call", ["build nixpkgs#hello", "eval --expr 1", "flake show path:/x"])
def test_another_flake_stays_that(archive, call):
    assert "project-" not in archive.nixw(*call.split()).stdout


@pytest.mark.parametrize("call", ["flake update", "flake lock --refresh"])
def test_what_would_copy_everything_is_refused(archive, call):
    assert "'git init && git add .' first" in archive.refuses(*call.split())


def test_whether_nixpkgs_is_to_be_had_is_asked_of_the_copy_too(archive):
    archive.has_nix(ping=0)
    asked = archive.programs / "asked"
    nix = archive.programs / "nix"
    nix.write_text(nix.read_text().replace("\ncase", f'\necho "$*" >>{asked}\ncase', 1))
    archive.nixw("build", DAGMA_PACKAGES="auto")
    assert re.search(r"eval --json path:\S+#apps", asked.read_text())
    assert " ." not in asked.read_text()


def test_the_copy_is_found_with_an_od_that_writes_more_spaces(archive):
    # As macOS' does: two between bytes, and every line as long as the longest.
    archive.has("od", f"{where('od')} \"$@\" | {archive.programs}/sed 's/ /  /g; s/$/        /'")
    assert reference(archive.nixw("build")).is_dir()


def test_a_changed_file_makes_another_copy_and_an_old_one_goes(archive):
    first = reference(archive.nixw("build"))
    assert reference(archive.nixw("build")) == first
    os.utime(first, (0, 0))
    (archive.folder / "nix/new.nix").write_text("{ }\n")
    assert (reference(archive.nixw("build")) / "nix/new.nix").is_file()
    assert not first.exists()
