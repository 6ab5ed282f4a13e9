import subprocess
import sys
import time


def run_init(stack, services="mlflow"):
    environ = stack.environ() | {"DAGMA_SERVICES": services}
    return subprocess.run(
        [sys.executable, "-m", "dagma.stack.init"], env=environ, capture_output=True, text=True
    )


def test_it_remembers_what_it_has_prepared(stack):
    rows = stack.rows(
        "SELECT application, version FROM dagma.prepared ORDER BY 1", database="postgres"
    )
    assert [name for name, _ in rows] == ["analytics", "dagster", "mlflow"]


def test_a_second_run_changes_nothing_and_is_quick(stack):
    begun = time.monotonic()
    done = run_init(stack)
    assert (done.returncode, done.stdout) == (0, "Databases are up to date.\n"), done.stderr
    assert time.monotonic() - begun < 5


def test_another_version_is_not_migrated_while_servers_use_the_database(stack):
    [(prepared,)] = stack.rows(
        "SELECT version FROM dagma.prepared WHERE application = 'dagster'", database="postgres"
    )
    remember(stack, "0.1 dagster")
    done = run_init(stack, "")
    installed = prepared.split()[0]
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"dagma: The database of dagster has to be migrated for version {installed}, while "
        "user_code, webserver, daemon run: `dagma down`, then `dagma up`.\n"
    )
    remember(stack, prepared)


def remember(stack, prepared):
    with stack.database("postgres", "postgres") as cursor:
        cursor.execute(
            "UPDATE dagma.prepared SET version = %s WHERE application = 'dagster'", [prepared]
        )
        cursor.connection.commit()
