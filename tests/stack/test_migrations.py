"""Databases of other versions: real schemas and migrations, mostly with PostgreSQL alone."""

import resource
import shutil
import signal
import stat
import subprocess
import sys
import warnings
from contextlib import contextmanager
from importlib.metadata import version

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from live_stack import LONG, a_stack, wait_for

from dagma.stack import environment, prepare, settings, supervisor
from dagma.stack.applications import applications
from dagma.stack.service import database_url
from dagma.stack.upkeep import dumps as own_dumps

#: Revisions of about a year ago, to which Alembic can lead back.
OLD = {"dagster": "1aca709bba64", "mlflow": "75868b020152"}
#: A column that came later in each.
LATER = {"dagster": ("bulk_actions", "job_name"), "mlflow": ("jobs", "progress")}
NOW = {name: version(name) for name in OLD}


@pytest.fixture(scope="module")
def made():
    """Two states, in which nothing runs: `now`, as the installed versions make it, and `old`."""
    with a_stack() as stack:
        stack.loaded = settings.load(stack.environ(), stack.work)
        prepare.prepare(stack.loaded.settings)
        with serving(stack):
            code, said = init(stack)
            assert code == 0, said
            change(stack, "dagster", "INSERT INTO kvs VALUES (DEFAULT, 'kept', 'yes')")
        copied(stack.home, stack.base / "now")
        with serving(stack):
            for application in applications(stack.loaded.settings, ["mlflow"]):
                if application.name in OLD:
                    lead_back(stack, application)
        copied(stack.home, stack.base / "old")
        yield stack


def copied(source, target):
    subprocess.run(["cp", "-a", source, target], check=True)


@pytest.fixture
def now(made):
    """The schemas of the installed versions; nothing runs."""
    return renewed(made, "now")


@pytest.fixture
def live(made):
    """The schemas of version "0.1", and PostgreSQL running."""
    with serving(renewed(made, "old")):
        yield made


def renewed(stack, state):
    shutil.rmtree(stack.home)
    shutil.rmtree(stack.backups, ignore_errors=True)
    copied(stack.base / state, stack.home)
    return stack


def only(stack, name):
    """Leave one application to be migrated."""
    for other in OLD.keys() - {name}:
        called(stack, other, NOW[other])


@contextmanager
def serving(stack):
    environ = environment.of_services(stack.loaded, [], stack.environ())
    with (stack.home / "logs/postgres.log").open("ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "dagma.stack.services", "postgres"],
            env=environ,
            stdout=log,
            stderr=log,
        )
    with server:
        try:
            wait_for(lambda: answers(stack), LONG, "PostgreSQL")
            yield
        finally:
            server.send_signal(signal.SIGINT)


def answers(stack):
    try:
        return stack.rows("SELECT 1", database="postgres")
    except Exception:
        return []


def command_line(stack, **changes):
    return {
        "args": [sys.executable, "-P", "-m", "dagma.stack.init"],
        "env": environment.of_services(stack.loaded, ["mlflow"], stack.environ()) | changes,
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }


def init(stack, limit=None, **changes):
    """Exit code and output."""
    done = subprocess.run(**command_line(stack, **changes), timeout=LONG, preexec_fn=limit)
    return done.returncode, done.stdout


def execute(stack, statement):
    """Run a statement outside of a transaction."""
    with stack.database("postgres", "postgres") as cursor:
        cursor.connection.autocommit = True
        cursor.execute(statement)


def change(stack, database, *statements):
    with stack.database("postgres", database) as cursor:
        for statement in statements:
            cursor.execute(statement)
        cursor.connection.commit()


def lead_back(stack, application):
    """Bring a schema to an old revision, with Alembic, as if version 0.1 had prepared it."""
    chosen = stack.loaded.settings
    url = database_url(chosen, application.role, application.database)
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    config = Config()
    config.set_main_option("script_location", application.scripts)
    with warnings.catch_warnings(), engine.connect() as link:
        warnings.simplefilter("ignore")
        config.attributes["connection"] = link
        command.downgrade(config, OLD[application.name])
    engine.dispose()
    called(stack, application.name, "0.1")
    assert not has_later(stack, application.name)


def called(stack, name, release):
    """Say which version prepared a database."""
    change(
        stack,
        "postgres",
        f"UPDATE dagma.prepared SET version = '{release} {name}' WHERE application = '{name}'",
    )


def dagster_of(stack):
    [found] = [a for a in applications(stack.loaded.settings, []) if a.name == "dagster"]
    return found


def has_later(stack, name):
    query = "SELECT 1 FROM information_schema.columns WHERE (table_name, column_name) = (%s, %s)"
    return stack.rows(query, *LATER[name], database=name) == [(1,)]


def picture(stack, name):
    """The schema and a table's content."""
    return [
        stack.rows(query, database=name)
        for query in (
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'public' ORDER BY 1, 2",
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
            "SELECT * FROM alembic_version",
            "SELECT * FROM kvs" if name == "dagster" else "SELECT * FROM experiments",
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'",
        )
    ]


def remembered(stack):
    rows = stack.rows("SELECT application, version FROM dagma.prepared", database="postgres")
    return {name: prepared.split()[0] for name, prepared in rows}


def marks(stack):
    return stack.rows("SELECT application, dump FROM dagma.migrating", database="postgres")


def databases(stack):
    query = "SELECT datname FROM pg_database WHERE NOT datistemplate"
    return {name for (name,) in stack.rows(query, database="postgres")}


def dumps(stack, kind=""):
    return sorted(path for path in stack.backups.glob("dagma-*") if kind in path.name)


ALL = {"postgres", "dagster", "mlflow", "analytics"}


def test_older_schemas_are_dumped_and_migrated(live):
    [(identifier,)] = live.rows("SELECT system_identifier FROM pg_control_system()")
    backups = live.backups
    backups.mkdir(mode=0o700)
    (backups / f"dagma-20200101T000000Z-{identifier}-dagster-0.0.dump").touch()
    (backups / f".dagma-20200101T000000Z-{identifier}-mlflow-0.0.dump.0.tmp").touch()  # killed
    code, said = init(live, DAGMA_BACKUPS_KEPT="1")
    assert code == 0, said
    for name, installed in NOW.items():
        [dump] = dumps(live, f"{name}-0.1.dump")
        assert f"Upgrade: the database of {name} 0.1 is kept in {dump}.\n" in said
        assert f"Upgrade: migrated {name} from 0.1 to {installed}.\n" in said
        assert stat.S_IMODE(dump.stat().st_mode) == 0o600
        content = ["pg_restore", "--file=-", "--schema-only", str(dump)]
        old = subprocess.run(content, capture_output=True, text=True, check=True).stdout
        table, column = LATER[name]
        text = old.partition(f"CREATE TABLE public.{table} (")[2].partition(";")[0]
        assert text
        assert f" {column} " not in text
        assert has_later(live, name)
    assert len(list(backups.iterdir())) == 2
    assert live.rows("SELECT value FROM kvs WHERE key = 'kept'") == [("yes",)]
    assert remembered(live) == {**NOW, "analytics": "-"}
    assert (marks(live), databases(live)) == ([], ALL)
    assert init(live) == (0, "Databases are up to date.\n")


def test_a_failed_migration_is_put_back_and_the_other_one_is_remembered(live):
    # The migration adds a column and a table, and then an index of this name.
    conflict = "CREATE TABLE idx_backfill_tags_backfill_id ()"
    change(live, "dagster", "SET ROLE dagster", conflict)
    before = picture(live, "dagster")
    code, said = init(live)
    assert code == 1
    sentence, _, rest = said[said.index("\ndagma: ") + 1 :].partition("\n")
    assert sentence == (
        f"dagma: The migration of dagster from 0.1 to {NOW['dagster']} failed; its database is as "
        "it was before. Install dagster 0.1 again, or remove the cause; the migration said last:"
    )
    error = 'DuplicateTable) relation "idx_backfill_tags_backfill_id" already exists'
    assert rest.startswith("  | ")
    assert rest.splitlines()[0].endswith(error)
    assert picture(live, "dagster") == before
    assert has_later(live, "mlflow")
    assert remembered(live) == {"dagster": "0.1", "mlflow": NOW["mlflow"], "analytics": "-"}
    assert (marks(live), databases(live)) == ([], ALL)
    assert stat.S_IMODE(live.backups.stat().st_mode) == 0o700

    change(live, "dagster", "DROP TABLE idx_backfill_tags_backfill_id")
    code, said = init(live)
    assert code == 0, said
    assert "mlflow" not in said
    assert has_later(live, "dagster")


def test_both_may_fail_and_each_says_why(live):
    conflicts = {"dagster": "idx_backfill_tags_backfill_id", "mlflow": "job_locks"}
    for name, table in conflicts.items():
        change(live, name, f"SET ROLE {name}", f"CREATE TABLE {table} ()")
    before = {name: picture(live, name) for name in OLD}
    code, said = init(live)
    assert code == 1
    sentences = [line for line in said.splitlines() if "its database is as it was before" in line]
    assert [line.startswith("dagma: ") for line in sentences] == [True, False]
    for name, sentence in zip(OLD, sentences, strict=True):
        assert f"The migration of {name} from 0.1 to {NOW[name]} failed" in sentence
        below = said.partition(f"{sentence}\n")[2].splitlines()[0]
        assert below.endswith(f'DuplicateTable) relation "{conflicts[name]}" already exists')
        assert picture(live, name) == before[name]
    assert remembered(live) == {"dagster": "0.1", "mlflow": "0.1", "analytics": "-"}


def test_a_killed_migration_is_put_back_and_done_again_by_the_next_start(live):
    only(live, "dagster")
    with live.database("postgres", "dagster") as cursor:
        # Stops the migration, after half of its steps, and not the dump.
        cursor.execute("LOCK TABLE concurrency_limits IN ROW EXCLUSIVE MODE")
        with subprocess.Popen(**command_line(live)) as process:
            blocked = "SELECT 1 FROM pg_locks WHERE NOT granted"
            wait_for(lambda: live.rows(blocked), LONG, "the migration to wait for the lock")
            process.kill()
            process.stdout.close()  # the migration has lost its parent, and still waits
        assert has_later(live, "dagster")
        change(live, "dagster", "CREATE TABLE half_done ()")
        [(_, dump)] = marks(live)
        code, said = init(live)  # it ends these sessions
    assert code == 0, said
    assert "Upgrade: a migration of dagster was ended in the middle.\n" in said
    assert f"Upgrade: the database dagster is as it was before, from {dump}.\n" in said
    assert f"Upgrade: migrated dagster from 0.1 to {NOW['dagster']}.\n" in said
    assert live.rows("SELECT to_regclass('half_done')") == [(None,)]
    assert live.rows("SELECT value FROM kvs WHERE key = 'kept'") == [("yes",)]
    assert has_later(live, "dagster")
    assert (marks(live), databases(live)) == ([], ALL)
    assert [str(path) for path in dumps(live)] == [dump]
    assert remembered(live)["dagster"] == NOW["dagster"]


def test_a_restoration_that_was_killed_too_is_done_again(live):
    dump = live.base / "old.dump"
    with dump.open("wb") as file:
        own_dumps.write(live.loaded.settings, dagster_of(live), file)
    before = picture(live, "dagster")
    for statement in (
        "CREATE DATABASE dagma_restoring_dagster TEMPLATE mlflow",
        "CREATE DATABASE dagma_failed_mlflow",
        "ALTER DATABASE dagster ALLOW_CONNECTIONS false",
        f"INSERT INTO dagma.migrating VALUES ('dagster', 'dagster', '{dump}')",
    ):
        execute(live, statement)
    for name, installed in NOW.items():  # the former version is back: there is nothing to migrate
        called(live, name, installed)
    code, said = init(live)
    assert code == 0, said
    assert said.splitlines()[-2:] == [
        f"Upgrade: the database dagster is as it was before, from {dump}.",
        "Databases are up to date.",
    ]
    assert (marks(live), databases(live)) == ([], ALL)
    assert picture(live, "dagster") == before


def test_without_the_dump_a_killed_migration_is_not_touched(live):
    gone = live.base / "gone.dump"
    mark = f"INSERT INTO dagma.migrating VALUES ('dagster', 'dagster', '{gone}')"
    execute(live, mark)
    before = picture(live, "dagster")
    assert init(live) == (
        1,
        f"dagma: A migration of dagster was ended in the middle, and {gone}, the dump of the "
        "database dagster of before, is not there: bring it back, or `dagma restore` a backup.\n",
    )
    assert (picture(live, "dagster"), len(marks(live)), dumps(live)) == (before, 1, [])


def no_space():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"PATH": "/nowhere"}, "Not on PATH: pg_dump; it comes with PostgreSQL."),
        ({"limit": no_space}, "pg_dump of dagster failed: "),
        ({"DAGMA_BACKUPS": "/dev/null/backups"}, "Not a directory: '/dev/null/backups'"),
    ],
)
def test_what_cannot_be_dumped_is_not_migrated(live, changes, why):
    only(live, "dagster")
    before = picture(live, "dagster")
    code, said = init(live, **changes)
    assert code == 1
    sentence = said.splitlines()[-1]
    assert sentence.startswith("dagma: Nothing was migrated, since dagster's database could not be")
    assert why in sentence
    assert (picture(live, "dagster"), marks(live)) == (before, [])
    assert not list(live.backups.glob("*"))


def test_a_schema_of_a_newer_version_is_refused_by_up_and_nothing_is_touched(now):
    with serving(now):
        change(now, "dagster", "UPDATE alembic_version SET version_num = 'ffffffffffff'")
        called(now, "dagster", "99.0")
        before = picture(now, "dagster")
    said = now.dagma("up", "-d", "minimal", fails=True)
    assert said.splitlines()[-1] == (
        f"dagma: dagster 99.0 prepared the database dagster, and dagster {NOW['dagster']}, which "
        "is installed, does not know its schema: install dagster 99.0 or a newer version, or "
        "`dagma restore` a backup of before the upgrade."
    )
    assert "healthy" not in said.replace("postgres    healthy", "")
    assert supervisor.members(now.home) == []
    with serving(now):
        assert (picture(now, "dagster"), dumps(now)) == (before, [])
        assert remembered(now)["dagster"] == "99.0"


def test_an_older_version_that_knows_the_schema_starts_and_up_says_what_it_did(now):
    with serving(now):
        called(now, "dagster", "99.0")
    said = now.dagma("up", "-d", "minimal")
    [dump] = dumps(now)
    upgrades = [line for line in said.splitlines() if line.startswith("Upgrade: ")]
    assert upgrades == [
        f"Upgrade: dagster {NOW['dagster']} is installed, its database is of 99.0: dumping it.",
        f"Upgrade: the database of dagster 99.0 is kept in {dump}.",
        f"Upgrade: migrated dagster from 99.0 to {NOW['dagster']}.",
    ]
    now.dagma("down", "--now")


def test_a_database_that_running_services_work_with_is_not_migrated_below_them(now):
    now.dagma("up", "-d", "minimal")
    called(now, "dagster", "99.0")
    running = {name: found["pid"] for name, found in now.status().items()}
    said = now.dagma("up", "-d", "data", fails=True)
    assert (
        f"The database of dagster has to be migrated for version {NOW['dagster']}, while user_code, "
        "webserver, daemon run: `dagma down`, then `dagma up`."
    ) in said
    assert {name: now.status()[name]["pid"] for name in running} == running
    assert dumps(now) == []
    now.dagma("down", "--now")
