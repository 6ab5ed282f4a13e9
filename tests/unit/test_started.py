import shutil
import subprocess

import pytest

from dagma.stack import changes, environment, fields, settings, source, started, topology

HOSTILE = {
    "A": 'it\'s "quoted" $HOME `id` \\ # no',
    "B": "two\nunset PATH\nexport C=1",
    "C": "",
    "D": "PATH=/x",
    "E": "ä=é",
}


@pytest.fixture
def home(tmp_path):
    started.begin(tmp_path, ["init", "daemon", "user_code"], {started.PROGRAMS: "/bin"})
    return tmp_path


def sourced(home, name, service="daemon"):
    """What a service's command has of a variable, if the supervisor has one of that name."""
    script = f'. "$0"; printf %s "${{{name}-unset}}"'
    environ = {name: "the supervisor's", "PATH": "/usr/bin"}
    command = ["/bin/sh", "-c", script, started.file(home, service)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return done.stdout


def test_any_value_reaches_the_command_and_is_read_back(home):
    values = HOSTILE | {started.PROGRAMS: "/of/a b"}
    started.write(home, "daemon", values)
    assert started.read(home, "daemon") == values
    assert {name: sourced(home, name) for name in values} == values
    assert sourced(home, "PATH") == "/of/a b:/usr/bin"


def test_a_variable_that_is_gone_is_taken_from_the_command_for_good(home):
    assert sourced(home, "A") == "the supervisor's"
    for values in ({"A": "1"}, {}, {"B": "2"}):
        started.write(home, "daemon", {started.PROGRAMS: "/bin", **values})
    assert sourced(home, "A") == "unset"
    started.write(home, "daemon", {started.PROGRAMS: "/bin", "A": "3"})
    assert sourced(home, "A") == "3"


def test_a_file_is_one_services_and_a_candidate_is_none(home):
    started.write(home, "daemon", {"A": "1"})
    started.candidate(home, "user_code", {"A": "2"})
    assert started.read(home, "daemon") == {"A": "1"}
    assert "A" not in started.read(home, "user_code")
    assert started.read(home, "init") == {started.PROGRAMS: "/bin"}
    assert started.read(home, "webserver") == {}


def test_a_stack_that_begins_knows_nothing_of_the_former(home):
    started.write(home, "daemon", {"A": "1"})
    started.write(home, "daemon", {})
    started.begin(home, ["daemon"], {started.PROGRAMS: "/bin"})
    assert sourced(home, "A") == "the supervisor's"


def test_the_interpreter_takes_what_its_file_says_now(home, program):
    python = program("python", 'echo "$A $*"')
    for word in ("one", "two"):
        started.write(home, "user_code", {started.PROGRAMS: str(python.parent), "A": word})
        done = subprocess.run(
            [started.interpreter(home), "-m", "x y"], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{word} -m x y\n"


def test_every_setting_says_who_takes_a_change(checkout):
    groups = {settings.taken_by(name) for name in settings.table()} - {fields.STACK}
    assert {process for group in groups for process in group} <= set(topology.SERVICES)


def test_what_stands_in_the_topology_is_for_the_whole_stack():
    text = topology.path().read_text()
    for name in settings.table():
        stands = f"${{{name}}}" in text and name != "DAGMA_HOME"
        assert not stands or settings.taken_by(name) == fields.STACK, name


@pytest.mark.parametrize(
    ("name", "services"),
    [
        ("MY_OWN", ("user_code",)),
        ("DAGSTER_WEBSERVER_DB_POOL_SIZE", ("user_code", "webserver", "daemon")),
        ("MLFLOW_S3_ENDPOINT_URL", ("user_code", "mlflow")),
        ("QDRANT__LOG_LEVEL", ("qdrant",)),
        ("DAGMA_SENSOR_INTERVAL", ("user_code",)),
        ("POSTGRES_PORT", fields.STACK),
        ("DAGMA_START_TIMEOUT", fields.AT_ONCE),
    ],
)
def test_whom_a_variable_concerns(name, services):
    assert changes.concerns(name) == services


def test_what_is_made_of_settings_is_not_named_beside_them(tmp_path):
    chosen = {"DAGMA_HOME": str(tmp_path), "DAGMA_TOKEN": "on", "DAGMA_HOST": "0.0.0.0"}
    loaded = settings.Loaded(settings.Settings.model_validate(chosen))
    named = changes._compared({}, environment.exports(loaded, topology.SERVICES, {}))
    products = {name for name in named if name.startswith("DAGSTER_DEFAULT_IO_MANAGER_")}
    assert set(named) - settings.table().keys() == products


def test_other_copies_of_dagma_are_taken_off_the_path_and_other_entries_stay(
    tmp_path, monkeypatch, checkout
):
    (tmp_path / "dagma").mkdir()
    (tmp_path / "dagma/__init__.py").touch()
    found = source.python_path({"PYTHONPATH": "/deps:"}, f"{tmp_path}:/former:/deps")
    entries = found.split(":")
    assert entries[-2:] == ["/deps", "/former"]
    assert str(tmp_path) not in entries


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A checkout of the example, of which this command has Nix's copy."""
    if shutil.which("git") is None:
        pytest.skip("no git on PATH")
    folder = tmp_path / "checkout"
    (folder / "src/dagma").mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    monkeypatch.setattr(source, "package", lambda: source.STORE / "copy/dagma")
    return folder


def test_files_that_git_does_not_track_are_named(repository):
    assert source.untracked(repository) is None
    for number in range(7):
        (repository / f"src/dagma/new {number}.py").touch()
    said = source.untracked(repository)
    assert said.startswith("Git does not track src/dagma/new 0.py, src/dagma/new 1.py")
    assert "and 2 more, so Nix left it out; `git add -N src` brings it in." in said
    subprocess.run(["git", "-C", repository, "add", "-N", "src"], check=True)
    assert source.untracked(repository) is None


def test_a_folder_without_git_or_without_our_code_has_nothing_untracked(repository, tmp_path):
    assert source.untracked(tmp_path) is None


def test_the_code_is_known_by_what_is_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "package", lambda: tmp_path)
    (tmp_path / "a.py").write_text("1")
    first = source.digest()
    (tmp_path / "data.csv").write_text("1")
    (tmp_path / "process-compose.yaml").write_text("1")
    assert source.digest() == first
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert source.digest() != first
