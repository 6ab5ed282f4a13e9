import ast
import json
import os
import re
import subprocess
import sys

import pytest

import bring
import debian
import lock_debian
import pins
from machine import BringError
from pins import Package

SYSTEM = "x86_64-linux"
PINNED = Package("1:1.0~rc1-2", "aa")
NEWER = Package("1:1.1-1", "bb")
IDLE = Package("3.13", "ff")
NEW_GO = Package("1.26-1~bpo13+1", "ee")
ROOT = os.geteuid() == 0


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """A lock of two packages and the seed, on x86_64 whatever runs the test."""
    content = {
        "suite": "trixie",
        "suites": {"twin-go": "trixie-backports"},
        "debian": {
            "seed": {"busybox-static": {SYSTEM: PINNED._asdict()}},
            "base": {"libc6": {SYSTEM: {"version": "2.41-1", "sha256": "cc"}}},
            "nix": {"libc6": {SYSTEM: {"version": "2.41-1", "sha256": "cc"}}},
            "twin-python": {"idle": {SYSTEM: IDLE._asdict()}},
            "twin-go": {"golang": {SYSTEM: NEW_GO._asdict()}},
        },
        "seed": {SYSTEM: "dd"},
        "go": {
            "process-compose": {"module": "m", "version": "1.0", "sha256": ""},
            "twin-process-compose": {"module": "m", "version": "2.0", "sha256": ""},
        },
    }
    (tmp_path / "lock.json").write_text(json.dumps(content))
    monkeypatch.setattr(pins, "HERE", tmp_path)
    monkeypatch.setattr(bring, "HERE", tmp_path)
    monkeypatch.setattr(pins, "SYSTEM", SYSTEM)
    return tmp_path


@pytest.fixture
def apt(tmp_path):
    apt = debian.Apt(tmp_path / "apt", "trixie", SYSTEM)
    apt.root.mkdir()
    apt.signed = True
    return apt


def show(*packages):
    """What apt-cache prints of some packages."""
    return "\n\n".join(
        f"Package: {name}\nVersion: {package.version}\nDescription: a\n b\nSHA256: {package.sha256}"
        for name, package in packages
    )


def test_the_scripts_are_python_3_9(checkout):
    for file in (checkout / "nix/registry").glob("*.py"):
        ast.parse(file.read_text(), str(file), feature_version=(3, 9))


def test_annotations_need_no_newer_python_than_3_9(checkout):
    # `X | None` parses on 3.9 and fails when the function is defined.
    for file in (checkout / "nix/registry").glob("*.py"):
        assert not re.search(r"(: |-> )[\w\[\], ]+ \| ", file.read_text()), file.name


def test_a_version_becomes_a_store_name():
    assert pins.deb_name("a", "1:2.0~rc1+b2-3", SYSTEM) == "a_2.0.rc1+b2-3_amd64.deb"


def test_a_system_without_packages_is_an_error(lock, monkeypatch):
    monkeypatch.setattr(pins, "SYSTEM", "riscv64-linux")
    with pytest.raises(BringError, match="not for riscv64-linux: install Nix"):
        pins.pins(pins.registry_lock(), ["base"])


def test_a_broken_lock_is_an_error(lock):
    (lock / "lock.json").write_text("{")
    with pytest.raises(BringError, match=r"lock\.json is not JSON"):
        pins.registry_lock()


# --- apt ------------------------------------------------------------------------------------------


def test_no_apt_is_an_error(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BringError, match="apt-get is not on PATH"):
        debian.mirrors()


def test_apt_without_sources_is_an_error(program):
    program("apt-get", "exit 0")
    with pytest.raises(BringError, match="apt has no package source"):
        debian.mirrors()


def test_plain_mirrors_are_asked_before_security_ones(program):
    program("apt-get", "printf '%s\\n' http://a/debian-security http://b/debian http://b/debian")
    assert debian.mirrors() == ["http://b/debian", "http://a/debian-security"]


def test_the_lists_come_from_the_first_mirror_that_has_the_suite(program, apt):
    program(
        "apt-get",
        'case $* in *indextargets*) printf "http://a\\nhttp://b\\n" ;; '
        f"*) grep -q http://b {apt.root}/sources.list ;; esac",
    )
    apt.update()
    assert " http://b trixie main" in (apt.root / "sources.list").read_text()


def test_a_mirror_that_does_not_answer_is_named(program, apt):
    program(
        "apt-get",
        'case $* in *indextargets*) echo http://a ;; *) echo "W: Failed to fetch http://a/x  '
        'Connection refused" >&2; echo "E: Some index files failed" >&2; exit 100 ;; esac',
    )
    with pytest.raises(BringError, match=r"Debian trixie \(Failed to fetch http://a/x  Connection"):
        apt.update()


def test_nothing_of_apt_is_outside_its_private_root(program, apt, tmp_path):
    program("apt-cache", f'printf "%s\\n" "$@" >{tmp_path}/arguments')
    apt.available(["libc6"])
    arguments = (tmp_path / "arguments").read_text().split("\n")
    assert f"Dir::State={apt.root}/state" in arguments
    assert f"Dir::Cache={apt.root}/cache" in arguments
    assert "Dir::State::status=/dev/null" in arguments


def test_every_version_of_the_suite_is_found(program, apt):
    text = show(("libc6", NEWER), ("libc6", PINNED), ("bash", PINNED))
    program("apt-cache", f"cat <<'END'\n{text}\nEND")
    assert apt.available(["libc6", "bash"]) == {"libc6": [NEWER, PINNED], "bash": [PINNED]}


def test_a_downloaded_package_is_compared_with_its_pin(program, apt, tmp_path):
    program("apt-get", "echo bits >a_1_amd64.deb")
    target = tmp_path / "debs"
    target.mkdir()
    with pytest.raises(BringError, match=r"a_1_amd64\.deb has sha256 .* the lock says aa"):
        apt.download({"a": PINNED}, target)


# --- aged pins ------------------------------------------------------------------------------------


def suite_has(program, package):
    text = show(("busybox-static", package))
    program("apt-cache", f"cat <<'END'\n{text}\nEND")


def test_a_pin_that_the_suite_has_is_kept(program, apt, lock):
    suite_has(program, PINNED)
    assert debian.current(apt, {"busybox-static": PINNED}) == {"busybox-static": PINNED}


def test_an_aged_pin_is_replaced_and_said(program, apt, lock, capsys):
    suite_has(program, NEWER)
    assert debian.current(apt, {"busybox-static": PINNED}) == {"busybox-static": NEWER}
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "nixw: aged pin: the mirror no longer has busybox-static 1:1.0~rc1-2; "
        "this machine takes 1:1.1-1"
    ]


@pytest.mark.parametrize("value", ["1", "true", "Yes"])
def test_an_aged_pin_is_an_error_when_locked(program, apt, lock, monkeypatch, value):
    suite_has(program, NEWER)
    monkeypatch.setenv("DAGMA_LOCKED", value)
    with pytest.raises(BringError, match="DAGMA_LOCKED takes pinned versions only"):
        debian.current(apt, {"busybox-static": PINNED})


def test_other_bits_under_the_pinned_version_are_refused(program, apt, lock):
    suite_has(program, PINNED._replace(sha256="ee"))
    with pytest.raises(BringError, match="has sha256 ee, the lock says aa"):
        debian.current(apt, {"busybox-static": PINNED})


def test_no_unsigned_list_replaces_a_pin(program, apt, lock):
    suite_has(program, NEWER)
    apt.signed = False
    with pytest.raises(BringError, match="install the package debian-archive-keyring"):
        debian.current(apt, {"busybox-static": PINNED})


def test_a_package_that_is_gone_is_named(program, apt, lock):
    program("apt-cache", "exit 0")
    with pytest.raises(BringError, match="no package busybox-static in Debian trixie"):
        debian.current(apt, {"busybox-static": PINNED})


@pytest.mark.skipif(ROOT, reason="root writes into folders that are read-only")
def test_an_aged_pin_needs_a_writable_checkout(program, apt, lock):
    suite_has(program, NEWER)
    lock.chmod(0o555)
    with pytest.raises(BringError, match="not writable"):
        debian.current(apt, {"busybox-static": PINNED})


def test_what_was_taken_instead_is_what_the_lock_reads_then(lock):
    pins.remember({"busybox-static": NEWER}, "ff")
    pins.remember({"libc6": Package("2.41-2", "gg")})
    read = pins.registry_lock()
    assert pins.pins(read, ["base", "seed"]) == {
        "libc6": Package("2.41-2", "gg"),
        "busybox-static": NEWER,
    }
    assert read["debian"]["nix"]["libc6"][SYSTEM]["version"] == "2.41-2"
    assert read["seed"][SYSTEM] == "ff"


def test_nothing_is_recorded_when_every_pin_was_there(lock):
    pins.remember({"busybox-static": PINNED}, "dd")
    assert not (lock / "lock.local.json").exists()


def test_an_overlay_of_an_earlier_lock_is_removed(lock):
    pins.remember({"busybox-static": NEWER}, "ff")
    pins.forget_old_overlay()
    assert (lock / "lock.local.json").exists()
    (lock / "lock.json").write_text((lock / "lock.json").read_text() + "\n")
    pins.forget_old_overlay()
    assert not (lock / "lock.local.json").exists()


# --- Go programs ----------------------------------------------------------------------------------


def test_an_empty_hash_of_a_program_is_filled_in(lock, capsys):
    pin = pins.registry_lock()["go"]["process-compose"]
    assert bring.accepted("process-compose", pin, "ab") == "ab"
    assert pins.registry_lock()["go"]["process-compose"]["sha256"] == "ab"
    assert "recorded ab" in capsys.readouterr().err


def test_an_empty_hash_is_an_error_when_locked(lock, monkeypatch):
    monkeypatch.setenv("DAGMA_LOCKED", "1")
    with pytest.raises(BringError, match="the lock says nothing"):
        bring.accepted("process-compose", pins.registry_lock()["go"]["process-compose"], "ab")


def test_another_hash_of_a_program_is_refused():
    with pytest.raises(BringError, match="has sha256 ab, the lock says cd: nothing was taken over"):
        bring.accepted("program", {"version": "1", "sha256": "cd"}, "ab")


# --- twins ----------------------------------------------------------------------------------------


@pytest.fixture
def brought(lock, monkeypatch):
    """What is brought, where the store has nothing: (suite, packages), and programs' trees."""
    calls = []

    def vendor(module, version, tree, newest):
        calls.append((tree.name, newest))
        tree.mkdir(parents=True)
        return tree

    monkeypatch.setenv("DAGMA_DATA", str(lock))
    monkeypatch.setattr(bring, "missing", set)
    monkeypatch.setattr(bring, "add", lambda files, recursive=False: None)
    monkeypatch.setattr(bring, "bring_wheels", list)
    monkeypatch.setattr(
        bring,
        "add_debs",
        lambda found, suite, system: calls.append((suite, set(found), *filter(None, [system]))),
    )
    monkeypatch.setattr(bring, "vendor", vendor)
    return calls


def test_what_only_the_checks_of_twins_use_is_brought_for_them_alone(brought):
    names = [artifact.name for artifact in bring.artifacts()]
    assert brought == [("trixie", {"busybox-static", "libc6"}), ("process-compose-1.0", False)]
    assert "process-compose-1.0" in names
    assert not any(name.startswith("golang") for name in names)


def test_go_programs_and_their_go_are_brought_for_the_twins_that_are_built_by_name(brought):
    names = [artifact.name for artifact in bring.artifacts(twins=True)]
    assert brought == [
        ("trixie", {"busybox-static", "libc6", "idle"}),
        ("process-compose-1.0", False),
    ]
    assert "idle_3.13_amd64.deb" in names
    assert not any(name.startswith(("golang", "process-compose-2")) for name in names)


def test_a_group_may_be_of_another_suite_by_name(brought):
    names = [artifact.name for artifact in bring.artifacts(twins=True, go=True)]
    assert ("trixie-backports", {"golang"}) in brought
    assert ("trixie", {"busybox-static", "libc6", "idle"}) in brought
    assert ("process-compose-2.0", True) in brought
    assert {"golang_1.26-1.bpo13+1_amd64.deb", "process-compose-2.0"} <= set(names)


# --- images for the other system ------------------------------------------------------------------


OTHER = "aarch64-linux"


@pytest.fixture
def both(lock):
    """The lock with packages of images, one for every system and one that only ours has."""
    content = json.loads((lock / "lock.json").read_text())
    other = {"version": "2.41-1", "sha256": "11"}
    content["debian"]["base"]["libc6"][OTHER] = other
    content["debian"]["nix"]["libc6"][OTHER] = other
    for group in ("locale", "notices", "python", "tini"):
        content["debian"][group] = {group: {SYSTEM: PINNED._asdict(), OTHER: NEWER._asdict()}}
    content["debian"]["python"]["libours"] = {SYSTEM: PINNED._asdict()}
    (lock / "lock.json").write_text(json.dumps(content))
    return lock


def test_for_images_of_the_other_system_only_what_they_are_made_of_is_brought(
    both, brought, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        bring, "bring_wheels", lambda *what, **more: asked.append((what, more)) or []
    )
    names = [artifact.name for artifact in bring.foreign()]
    assert brought == [("trixie", {"libc6", "locale", "notices", "python", "tini"}, OTHER)]
    assert "libc6_2.41-1_arm64.deb" in names
    assert "tini_1.1-1_arm64.deb" in names
    assert asked == [((OTHER,), {"tools": False})]


def test_a_pin_that_aged_for_one_system_stays_for_the_other(both):
    pins.remember({"libc6": Package("2.41-2", "gg")})
    pins.remember({"libc6": Package("2.41-3", "hh")}, "", OTHER)
    read = pins.registry_lock()
    assert pins.pins(read, ["base"]) == {"libc6": Package("2.41-2", "gg")}
    assert pins.pins(read, ["base"], OTHER) == {"libc6": Package("2.41-3", "hh")}


def test_apt_has_a_root_of_its_own_for_the_other_system(program, monkeypatch, tmp_path):
    monkeypatch.setenv("DAGMA_DATA", str(tmp_path))
    program(
        "apt-get", 'case $* in *indextargets*) echo http://a ;; *) echo "$@" >>arguments ;; esac'
    )
    assert debian.open_suite("trixie").root == tmp_path / "apt"
    other = debian.open_suite("trixie", OTHER)
    assert other.root == tmp_path / f"apt-{OTHER}"
    assert "APT::Architectures=arm64" in (other.root / "arguments").read_text()


def test_each_group_is_renewed_from_its_own_suite(lock, monkeypatch):
    class Mirror(debian.Apt):
        signed = True

        def __init__(self, root, suite, system):
            self.suite, self.system = suite, system

        def update(self):
            pass

        def available(self, names):
            return {name: [Package(f"2 of {self.suite}", "ff")] for name in names}

    monkeypatch.setattr(lock_debian, "Apt", Mirror)
    monkeypatch.setattr(lock_debian, "seed_hash", lambda apt, package: apt.suite)
    new = pins.registry_lock()
    lock_debian.renew(new, SYSTEM, lock, lock_debian.asked(new, []))
    assert new["debian"]["twin-go"]["golang"][SYSTEM]["version"] == "2 of trixie-backports"
    assert new["debian"]["base"]["libc6"][SYSTEM]["version"] == "2 of trixie"
    assert new["seed"][SYSTEM] == "trixie"


# --- renewing the lock ----------------------------------------------------------------------------


def test_what_moved_is_one_line_per_package_and_system():
    old = {"base": {"a": {SYSTEM: {"version": "1", "sha256": "x"}}, "b": {}}, "nix": {}}
    new = {
        "base": {
            "a": {SYSTEM: {"version": "2", "sha256": "y"}},
            "b": {SYSTEM: {"version": "1", "sha256": "z"}},
        },
        "nix": {},
    }
    assert lock_debian.moved(old, new) == [
        f"a ({SYSTEM}): 1 -> 2",
        f"b ({SYSTEM}): absent -> 1",
    ]


def test_only_what_is_new_or_asked_for_is_renewed(program, tmp_path, capsys):
    lock = {"debian": {"base": {"a": {SYSTEM: {}}, "new": {}}, "nix": {"b": {SYSTEM: {}}}}}
    assert lock_debian.asked(lock, None) == {"new"}
    assert lock_debian.asked(lock, ["b", "a wheel"]) == {"new", "b"}
    assert lock_debian.asked(lock, []) == {"a", "b", "new"}
    program("apt-get", "exit 100")  # is not needed
    (tmp_path / "nix/registry").mkdir(parents=True)
    target = tmp_path / "nix/registry/lock.json"
    del lock["debian"]["base"]["new"]
    target.write_text(json.dumps(lock))
    lock_debian.main(tmp_path)
    assert capsys.readouterr().out == "Debian packages: nothing moved\n"
    assert json.loads(target.read_text()) == lock


def test_a_lock_stays_as_it_was_when_apt_fails(program, tmp_path, monkeypatch, lock):
    (tmp_path / "nix/registry").mkdir(parents=True)
    target = tmp_path / "nix/registry/lock.json"
    target.write_text((lock / "lock.json").read_text())
    program("apt-get", "exit 100")
    monkeypatch.setattr(debian, "KEYRING", lock / "lock.json")
    with pytest.raises(SystemExit, match=r"lock\.json stays as it was"):
        lock_debian.main(tmp_path, [])
    assert target.read_text() == (lock / "lock.json").read_text()


# --- the data directory ---------------------------------------------------------------------------


def test_what_a_killed_caller_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGMA_DATA", str(tmp_path / "data"))
    (tmp_path / "data/part-x/inner").mkdir(parents=True)
    with bring.alone():
        assert not (tmp_path / "data/part-x").exists()


def test_a_second_caller_waits_for_the_first(tmp_path, checkout, monkeypatch):
    monkeypatch.setenv("DAGMA_DATA", str(tmp_path))
    script = "import bring\nwith bring.alone(): print('in')"
    command = [sys.executable, "-c", script]
    with bring.alone():
        second = subprocess.Popen(
            command, cwd=checkout / "nix/registry", stdout=-1, stderr=-1, text=True
        )
        assert second.stderr and "waiting for it" in second.stderr.readline()
        assert second.poll() is None
    assert second.communicate(timeout=30)[0] == "in\n"
