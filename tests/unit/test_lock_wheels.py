import json
import zipfile

import lock_wheels
import pytest

LINUX, ARM, MAC = "x86_64-linux", "aarch64-linux", "aarch64-darwin"
ABI3 = "p-1.0-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
NEW_GLIBC = "p-1.0-cp313-cp313-manylinux_2_42_x86_64.whl"
OLD_GLIBC = "p-1.0-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
GLIBC_28 = "p-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"
PURE = "p-1.0-py3-none-any.whl"


def test_a_wheel_of_this_python_goes_before_a_stable_abi_and_a_pure_one():
    assert lock_wheels.best_wheel([PURE, ABI3, OLD_GLIBC], LINUX) == OLD_GLIBC
    assert lock_wheels.best_wheel([PURE, ABI3], LINUX) == ABI3
    assert lock_wheels.best_wheel([PURE], LINUX) == PURE


def test_the_newest_c_library_that_the_sets_have_goes_first():
    assert lock_wheels.best_wheel([OLD_GLIBC, GLIBC_28, NEW_GLIBC], LINUX) == GLIBC_28
    assert lock_wheels.best_wheel([NEW_GLIBC], LINUX) is None


@pytest.mark.parametrize(
    ("file", "system"),
    [
        ("p-1.0-cp313-cp313-manylinux_2_17_aarch64.whl", ARM),
        ("p-1.0-cp313-cp313-macosx_11_0_arm64.whl", MAC),
        ("p-1.0-cp313-cp313-macosx_10_13_universal2.whl", MAC),
        ("p-1.0-cp36-abi3-manylinux1_x86_64.whl", LINUX),
    ],
)
def test_each_system_has_its_own_wheels(file, system):
    taken = {s: lock_wheels.best_wheel([file], s) for s in lock_wheels.SYSTEMS}
    assert taken == {s: file if s == system else None for s in lock_wheels.SYSTEMS}


def test_wheels_of_another_python_or_c_library_are_left_out():
    others = [
        "p-1.0-cp312-cp312-manylinux_2_17_x86_64.whl",
        "p-1.0-cp313-cp313t-manylinux_2_17_x86_64.whl",
        "p-1.0-cp313-cp313-musllinux_1_2_x86_64.whl",
        "p-1.0-cp313-cp313-win_amd64.whl",
        "p-1.0-py2-none-any.whl",
    ]
    assert lock_wheels.best_wheel(others, LINUX) is None


def package(name, *dependencies, **more):
    file = f"{name}-1.0-py3-none-any.whl"
    return {
        "name": name,
        "version": "1.0",
        "dependencies": [d if isinstance(d, dict) else {"name": d} for d in dependencies],
        "wheels": [{"url": f"https://index.example/{file}", "hash": "sha256:ab"}],
    } | more


def reached(system, *packages, start=None):
    by_name = {p["name"]: p for p in packages}
    return lock_wheels.closure(by_name, start or [{"name": "a"}], system)


def test_what_is_reached_is_followed_once_though_it_is_circular():
    assert reached(LINUX, package("a", "b"), package("b", "a")) == {"a": {"b"}, "b": {"a"}}


def test_a_marker_holds_for_its_system_only():
    edge = {"name": "b", "marker": "sys_platform == 'linux'"}
    packages = package("a", edge), package("b")
    assert reached(LINUX, *packages) == {"a": {"b"}, "b": set()}
    assert reached(MAC, *packages) == {"a": set()}


def test_a_marker_sees_the_processor_and_python():
    edge = {"name": "b", "marker": "platform_machine == 'aarch64' and python_version >= '3.13'"}
    packages = package("a", edge), package("b")
    assert "b" in reached(ARM, *packages)
    assert "b" not in reached(LINUX, *packages)


def test_an_extra_adds_what_it_names_and_nothing_else_does():
    a = package("a", **{"optional-dependencies": {"x": [{"name": "b"}], "y": [{"name": "c"}]}})
    packages = a, package("b"), package("c")
    assert set(reached(LINUX, *packages)) == {"a"}
    assert set(reached(LINUX, *packages, start=[{"name": "a", "extra": ["x"]}])) == {"a", "b"}


def root(*dependencies, **groups):
    development = {name: [{"name": d} for d in names] for name, names in groups.items()}
    return package("dagma", *dependencies, **{"dev-dependencies": development})


def test_the_lock_has_roles_packages_and_no_address():
    lock = {"package": [root("a", dev=["b"]), package("a", "c"), package("b"), package("c")]}
    read = lock_wheels.read_uv_lock(lock)
    assert read["roles"] == {
        "dagma": {"requires": ["a"], "packages": ["a", "c"]},
        "dev": {"requires": ["b"], "packages": ["b"]},
    }
    assert read["packages"]["a"]["dependencies"] == ["c"]
    assert read["packages"]["c"]["wheels"][ARM] == {
        "file": "c-1.0-py3-none-any.whl",
        "sha256": "ab",
    }
    assert "index.example" not in str(read)


def test_an_extra_of_ours_is_a_role_of_its_own():
    start = root("a", dev=["c"]) | {"optional-dependencies": {"x": [{"name": "b"}]}}
    lock = {"package": [start, package("a"), package("b"), package("c")]}
    roles = lock_wheels.read_uv_lock(lock)["roles"]
    assert {name: role["packages"] for name, role in roles.items()} == {
        "dagma": ["a"],
        "x": ["b"],
        "dev": ["c"],
    }


def test_an_extra_and_a_group_of_one_name_are_refused():
    start = root("a", x=["c"]) | {"optional-dependencies": {"x": [{"name": "b"}]}}
    lock = {"package": [start, package("a"), package("b"), package("c")]}
    with pytest.raises(SystemExit, match="x is an extra and a dependency group"):
        lock_wheels.read_uv_lock(lock)


def test_an_extra_of_one_role_is_not_for_the_others():
    optional = {"optional-dependencies": {"x": [{"name": "b"}]}}
    start = root("a", dev=["a"])
    start["dev-dependencies"]["dev"] = [{"name": "a", "extra": ["x"]}]
    roles = lock_wheels.read_uv_lock({"package": [start, package("a", **optional), package("b")]})
    assert roles["roles"]["dagma"]["packages"] == ["a"]
    assert roles["roles"]["dev"]["packages"] == ["a", "b"]


def test_a_package_without_a_wheel_ends_with_what_to_do():
    lock = {"package": [root("a"), package("a", wheels=[])]}
    with pytest.raises(SystemExit, match=r"a 1\.0 has no wheel for x86_64-linux; exclude that"):
        lock_wheels.read_uv_lock(lock)


def test_what_moved_is_said():
    old = {"packages": {"a": {"version": "1"}, "b": {"version": "1"}, "c": {"version": "1"}}}
    new = {"packages": {"a": {"version": "2"}, "c": {"version": "1"}, "d": {"version": "1"}}}
    assert lock_wheels.moved(old, new) == ["a: 1 -> 2", "b: 1 -> absent", "d: absent -> 1"]


# --- uv takes what pip is configured with ---------------------------------------------------------


def test_pip_s_index_and_certificate_are_uv_s():
    listing = (
        "global.index-url='https://a/simple'\nglobal.cert='/ca.pem'\nglobal.timeout='3'\n"
        "global.extra-index-url='https://b https://c'\n:env:.index-url='https://d'\n"
    )
    assert lock_wheels.pip_settings(listing) == {
        "UV_DEFAULT_INDEX": "https://d",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_INDEX": "https://b https://c",
    }


def test_what_is_set_for_uv_itself_goes_before(program, monkeypatch):
    program("pip3", "echo \"global.index-url='https://a'\"")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    assert lock_wheels.uv_environment()["UV_DEFAULT_INDEX"] == "https://a"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://b")
    assert lock_wheels.uv_environment()["UV_DEFAULT_INDEX"] == "https://b"


def test_no_pip_is_no_error(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "PATH" in lock_wheels.uv_environment()


def test_a_lock_stays_as_it_was_when_uv_fails(program, tmp_path):
    program("uv", "exit 1")
    with pytest.raises(SystemExit, match="the lock stays as it was"):
        lock_wheels.main(tmp_path)
    assert list(tmp_path.glob("nix")) == []


# --- a lock changes what was asked for ------------------------------------------------------------

WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel(folder, name, version, *requires):
    """Write an empty package for uv to find."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {required}" for required in requires]
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{info}/WHEEL", WHEEL)
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def resolved(tmp_path, monkeypatch):
    """Resolve by the real uv, from two versions of each package; what it took."""
    folder, root = tmp_path / "wheels", tmp_path / "checkout"
    for path in (folder, root / "nix/python", root / "nix/registry"):
        path.mkdir(parents=True)
    for name in ("a", "b", "new"):
        for version in ("1.0", "2.0"):
            wheel(folder, name, version)
    wheel(folder, "needy", "1.0", "a>=2")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "OFFLINE": "1"}.items():
        monkeypatch.setenv(f"UV_{name}", value)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    old = {"packages": {name: {"version": "1.0"} for name in ("a", "b")}}
    (root / "nix/python/lock.json").write_text(json.dumps(old))
    (root / "nix/registry/lock.json").write_text('{"debian": {"base": {"bash": {}}}}')

    def resolve(dependencies, upgrade):
        (root / "pyproject.toml").write_text(
            f'[project]\nname = "dagma"\nversion = "1"\nrequires-python = "==3.13.*"\n'
            f"dependencies = {dependencies}\n"
        )
        if upgrade:
            upgrade = lock_wheels.known(root, upgrade)
        found = lock_wheels.resolve(root, old, upgrade)["package"]
        return {p["name"]: p["version"] for p in found if p["name"] != "dagma"}

    return resolve


def test_a_new_package_moves_no_other(resolved):
    assert resolved(["a", "b", "new"], None) == {"a": "1.0", "b": "1.0", "new": "2.0"}


def test_a_new_package_moves_what_it_needs_newer_and_no_other(resolved):
    assert resolved(["a", "b", "needy"], None) == {"a": "2.0", "b": "1.0", "needy": "1.0"}


def test_what_is_named_is_upgraded_and_without_a_name_all(resolved):
    assert resolved(["a", "b"], ["b", "bash"]) == {"a": "1.0", "b": "2.0"}
    assert resolved(["a", "b"], []) == {"a": "2.0", "b": "2.0"}


def test_a_name_in_no_lock_is_an_error(resolved):
    with pytest.raises(SystemExit, match="lock: c, d is in no lock"):
        resolved(["a"], ["d", "a", "c"])
