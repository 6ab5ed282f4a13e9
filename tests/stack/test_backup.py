import hashlib
import io
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing

import pytest
from live_stack import LONG, a_stack, wait_for
from test_mlflow import api

#: Database -> tables whose rows are compared; the others hold what a new start changes.
TABLES = {
    "dagster": ("runs", "event_logs", "run_tags", "asset_keys"),
    "mlflow": ("experiments", "runs", "metrics", "params", "tags"),
    "analytics": ("measured",),
}

FILL_VECTORS = """
vectors = models.VectorParams(size=2, distance=models.Distance.DOT)
client.create_collection("c", vectors_config=vectors)
client.upsert("c", [models.PointStruct(id=1, vector=[0.5, 1.0], payload={"a": 1})])
client.close()
print("null")
"""
READ_VECTORS = """
[point] = client.retrieve("c", [1], with_vectors=True)
client.close()
print(json.dumps([point.vector, point.payload]))
"""


@pytest.fixture(scope="module")
def filled():
    """A stack with something of everything, among it a run that began before the backup."""
    with a_stack() as live:
        live.dagma("up", "-d", "data")
        live.wait_for_success(live.launch_numbers())
        run = api(live, "runs/create", {"experiment_id": "0", "run_name": "kept"})["run"]["info"]
        metric = {"run_id": run["run_id"], "key": "loss", "value": 0.25, "timestamp": 1, "step": 1}
        api(live, "runs/log-metric", metric)
        path = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
        path = f"/api/2.0/mlflow-artifacts/artifacts/{path}/note.txt"
        live.web("MLFLOW_PORT", path, b"an artifact", method="PUT")
        with live.database("analytics", "analytics") as cursor:
            cursor.execute("CREATE TABLE measured AS SELECT generate_series(1, 100000) AS value")
            cursor.connection.commit()
        qdrant(live, FILL_VECTORS)
        live.artifact = path
        yield live


def rows(live):
    """Database.table -> number of rows and hash of their content."""
    found = {}
    for database, tables in TABLES.items():
        for table in tables:
            query = f"SELECT t::text FROM {table} t ORDER BY 1"
            content = "\n".join(text for (text,) in live.rows(query, database=database))
            hashed = hashlib.sha256(content.encode()).hexdigest()
            found[f"{database}.{table}"] = (content.count("\n"), hashed)
    return found


def files(live):
    """Path -> hash, of all files that a backup has to bring back."""
    trees = ("dagster/storage", "mlflow/artifacts", "qdrant/embedded")
    paths = [path for tree in trees for path in (live.home / tree).rglob("*") if path.is_file()]
    return {str(path.relative_to(live.home)): digest(path) for path in paths}


def digest(path):
    """Hash of a file; of a SQLite database its content, since its backup counts as a change."""
    content = path.read_bytes()
    if path.suffix == ".sqlite":
        with closing(sqlite3.connect(path)) as link:
            content = "\n".join(link.iterdump()).encode()
    return hashlib.sha256(content).hexdigest()


def backups(live):
    return sorted(live.backups.glob("dagma-*.tar"))


def qdrant(live, program):
    """Use the embedded Qdrant in a process of its own, as assets do; what it prints, as JSON."""
    opening = "from qdrant_client import QdrantClient, models; import json, sys\n"
    opening += "client = QdrantClient(path=sys.argv[1])\n"
    command = [sys.executable, "-c", opening + program, str(live.home / "qdrant/embedded")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=True)
    return json.loads(done.stdout)


def test_what_was_backed_up_during_a_run_is_there_after_a_loss_and_a_restore(filled):
    during = filled.launch_numbers()
    said = filled.dagma("backup")
    [archive] = backups(filled)
    assert f"Backup: {archive}" in said
    assert (archive.stat().st_mode & 0o777, archive.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    for secret in (filled.home / "secrets").iterdir():
        assert secret.read_bytes() not in archive.read_bytes()

    filled.wait_for_success(during)
    archive.unlink()
    filled.dagma("backup")
    [archive] = backups(filled)
    before, copies, password = (
        rows(filled),
        files(filled),
        (filled.home / "secrets/mlflow").read_text(),
    )
    assert before["analytics.measured"][0] == 99_999
    assert before["dagster.runs"][0] == 1
    filled.dagma("down")
    shutil.rmtree(filled.home)

    said = filled.dagma("restore", str(archive))
    assert "Restored the database mlflow." in said
    assert {path.name for path in filled.base.iterdir()} == {
        filled.home.name,
        "w",
        filled.backups.name,
    }
    assert files(filled) == copies
    filled.dagma("up", "-d", "data")
    assert rows(filled) == before
    assert filled.run_status(during) == "SUCCESS"
    assert filled.web("MLFLOW_PORT", filled.artifact) == b"an artifact"
    assert qdrant(filled, READ_VECTORS) == [[0.5, 1.0], {"a": 1}]
    assert (filled.home / "secrets/mlflow").read_text() != password
    filled.wait_for_success(filled.launch_numbers())


def test_a_backup_killed_in_the_middle_leaves_the_previous_ones_and_no_half_one(filled):
    before = {path: path.read_bytes() for path in backups(filled)}
    with filled.database("postgres", "analytics") as cursor:
        # pg_dump waits for this lock: a middle that lasts as long as we like.
        cursor.execute("LOCK TABLE measured IN ACCESS EXCLUSIVE MODE")
        process = filled.start("backup")
        with process:
            for line in process.stdout:
                if "Dumped the database dagster" in line:
                    break
            partial = wait_for(lambda: list(filled.backups.glob(".*")), LONG, "a file")
            process.send_signal(signal.SIGKILL)
    assert {path: path.read_bytes() for path in backups(filled)} == before
    assert partial[0].exists()
    filled.dagma("backup", str(filled.backups))
    assert len(backups(filled)) == len(before) + 1
    assert list(filled.backups.glob(".*")) == []


def test_more_than_the_wanted_number_are_removed_and_others_are_not(filled):
    folder = filled.backups
    former, newest = backups(filled)  # before and after the restore: two installations
    foreign = folder / "dagma-20200101T000000Z-1.tar"
    foreign.write_text("of another installation")
    filled.settings["DAGMA_BACKUPS_KEPT"] = "1"
    said = filled.dagma("backup")
    assert f"Removed {newest.name}: 1 are kept." in said
    found = backups(filled)
    assert found[:2] == [foreign, former]
    assert len(found) == 3
    foreign.unlink()


def test_a_directory_in_the_state_is_no_place_for_backups(filled):
    said = filled.dagma("backup", str(filled.home / "b"), fails=True)
    assert "is inside" in said
    assert not (filled.home / "b").exists()


def test_a_running_stack_and_a_present_state_are_not_replaced_unasked(filled):
    archive = str(backups(filled)[-1])
    assert "stop it with `dagma down`" in filled.dagma("restore", archive, "--yes", fails=True)
    filled.dagma("down")
    before = files(filled)
    assert "add --yes" in filled.dagma("restore", archive, fails=True)
    assert files(filled) == before

    damaged = filled.work / "damaged.tar"
    content = bytearray((filled.base / archive).read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    said = filled.dagma("restore", str(damaged), "--yes", fails=True)
    assert said.count("\n") == 1
    assert files(filled) == before

    (filled.home / "marker").write_text("of the former state")
    said = filled.dagma("restore", archive, "--yes")
    [former] = filled.base.glob(f"{filled.home.name}.before-restore-*")
    assert f"The former state is kept in {former}" in said
    assert (former / "marker").exists()
    assert not (filled.home / "marker").exists()
    assert files(filled) == before


def test_a_dump_that_postgresql_refuses_leaves_the_state_as_it_was(filled):
    archive = backups(filled)[-1]
    broken = filled.work / "broken.tar"
    content = b"PGDMP no dump"
    with tarfile.open(archive) as old, tarfile.open(broken, "w") as new:
        for member in old:
            text = old.extractfile(member).read()
            if member.name == "databases/mlflow.dump":
                text = content
            if member.name == "manifest.json":
                manifest = json.loads(text)
                entry = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                manifest["files"]["databases/mlflow.dump"] = entry
                text = json.dumps(manifest).encode()
            member.size = len(text)
            new.addfile(member, io.BytesIO(text))
    before = sorted(filled.base.iterdir()), files(filled)
    said = filled.dagma("restore", str(broken), "--yes", fails=True)
    assert "The database mlflow cannot be restored, the state is as it was" in said
    assert (sorted(filled.base.iterdir()), files(filled)) == before


def test_a_stopped_stack_is_not_backed_up(filled):
    said = filled.dagma("backup", fails=True)
    assert "No stack is running here" in said
