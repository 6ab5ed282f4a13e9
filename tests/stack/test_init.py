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


def test_another_version_is_migrated_again(stack):
    with stack.database("postgres", "postgres") as cursor:
        cursor.execute("UPDATE dagma.prepared SET version = 'old' WHERE application = 'dagster'")
        cursor.connection.commit()
    done = run_init(stack, "")
    # The migration command belongs to a service's environment: without one, init says that it failed.
    assert done.returncode == 1
    assert "The schema of dagster could not be prepared" in done.stderr
    repaired = stack.dagma("restart", "init")
    assert repaired == ""
