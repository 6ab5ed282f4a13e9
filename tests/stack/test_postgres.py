import json
import stat

import psutil
import psycopg2
import pytest

from dagma import databases
from dagma.errors import DatabaseError
from dagma.stack import supervisor


def test_each_application_has_a_role_that_cannot_enter_the_other_database(stack):
    owners = stack.rows(
        "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname = ANY(%s)",
        ["dagster", "mlflow", "analytics"],
    )
    assert dict(owners) == {name: name for name in ("dagster", "mlflow", "analytics")}
    for role in ("mlflow", "analytics"):
        with (
            pytest.raises(psycopg2.OperationalError, match="permission denied"),
            stack.database(role, "dagster"),
        ):
            pass


def test_a_wrong_password_is_refused(stack):
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        psycopg2.connect(
            host="127.0.0.1",
            port=stack.ports["POSTGRES_PORT"],
            user="dagster",
            password="wrong",
            dbname="dagster",
        )


def test_a_service_waits_for_the_database_but_not_where_it_is_refused(stack):
    address = f"127.0.0.1:{stack.ports['POSTGRES_PORT']}/dagster"
    with pytest.raises(DatabaseError, match="authentication failed"):
        databases.wait_for(f"postgresql+psycopg2://dagster:wrong@{address}")


def test_it_listens_on_loopback_only(stack):
    # The server's own: those of the whole machine are root's to see on macOS.
    server = psutil.Process(stack.status()["postgres"]["pid"])
    found = [c.laddr for c in server.net_connections("tcp") if c.status == "LISTEN"]
    assert found == [("127.0.0.1", stack.ports["POSTGRES_PORT"])]


def test_passwords_are_private_files(stack):
    secrets = stack.home / "secrets"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()}
    roles = ("postgres", "dagster", "mlflow", "analytics")
    assert modes == dict.fromkeys((*roles, "pgpass", "webhook_url", "token", "qdrant.yaml"), 0o600)
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700


def test_no_password_is_in_an_environment_a_command_line_or_a_log(stack):
    secrets = [
        (stack.home / "secrets" / name).read_text()
        for name in ("postgres", "dagster", "mlflow", "analytics", "token")
    ]
    texts = [path.read_text(errors="replace") for path in (stack.home / "logs").iterdir()]
    processes = supervisor.members(stack.home)
    assert len(processes) > 6
    for process in processes:
        try:
            texts += [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
    assert not [text for text in texts for secret in secrets if secret in text]


def test_strings_sort_the_same_on_every_machine(stack):
    rows = stack.rows("SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'dagster'")
    assert rows == [("b", "C.UTF-8")]


def test_status_shows_the_sizes_of_the_databases(stack):
    _, output = stack.run("status", "--json")
    parts = json.loads(output)["sizes"]["parts"]
    found = dict(stack.rows("SELECT datname, pg_database_size(datname) FROM pg_database"))
    assert parts["database_analytics"] == found["analytics"]  # nobody writes to it
    assert parts["database_dagster"] > 1_000_000
    assert parts["wal"] >= 16 * 2**20
    assert "cluster" not in parts
