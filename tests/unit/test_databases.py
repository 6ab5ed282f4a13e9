import stat
import subprocess
import sys

from dagma.databases import kept_passwords


def test_passwords_are_made_once_and_kept_privately(tmp_path):
    file = tmp_path / "pgpass"
    first = kept_passwords(file, ["dagster"])
    both = kept_passwords(file, ["dagster", "mlflow"])
    assert both["dagster"] == first["dagster"] != both["mlflow"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "".join(f"*:*:*:{role}:{word}\n" for role, word in both.items())


def test_a_missing_setting_is_one_sentence():
    command = [sys.executable, "-m", "dagma.databases", "dagster"]
    environ = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "dagma: PGPASSFILE is not set: docs/deploy.md says what it is.\n"
