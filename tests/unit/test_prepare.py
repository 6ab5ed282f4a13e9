import json
import stat

import pytest

from dagma import private
from dagma.errors import PreflightError
from dagma.stack import settings
from dagma.stack.layout import Layout
from dagma.stack.prepare import prepare


def chosen(tmp_path, **environ):
    return settings.load({"DAGMA_HOME": str(tmp_path / "h"), **environ}).settings


def snapshot(directory):
    return {path: path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_doing_it_twice_changes_nothing(tmp_path):
    assert prepare(chosen(tmp_path)) == []
    before = snapshot(tmp_path)
    assert prepare(chosen(tmp_path)) == []
    assert snapshot(tmp_path) == before


def test_passwords_are_long_and_differ(tmp_path):
    prepare(chosen(tmp_path))
    found = {
        (tmp_path / "h/secrets" / name).read_text()
        for name in ("postgres", "dagster", "mlflow", "analytics")
    }
    assert len(found) == 4
    assert {len(password) for password in found} == {32}


def test_a_given_password_replaces_the_kept_one_and_is_escaped_for_libpq(tmp_path):
    prepare(chosen(tmp_path))
    prepare(chosen(tmp_path, POSTGRES_PASSWORD="a:b\\c"))
    secrets = Layout(tmp_path / "h").secrets
    assert (secrets / "dagster").read_text() == "a:b\\c"
    assert "*:5432:*:dagster:a\\:b\\\\c\n" in (secrets / "pgpass").read_text()
    prepare(chosen(tmp_path))
    assert (secrets / "dagster").read_text() == "a:b\\c"


def test_what_qdrant_is_told_in_private_is_the_token_and_that_no_other_site_may_read(tmp_path):
    file = tmp_path / "h/secrets/qdrant.yaml"
    prepare(chosen(tmp_path, DAGMA_TOKEN="on"))
    token = Layout(tmp_path / "h").token.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["service"] == {"enable_cors": False, "api_key": token}
    prepare(chosen(tmp_path, DAGMA_TOKEN="off"))
    assert json.loads(file.read_text())["service"] == {"enable_cors": False}


def test_the_webhook_is_kept_in_a_private_file_and_goes_with_its_setting(tmp_path):
    file = tmp_path / "h/secrets/webhook_url"
    prepare(chosen(tmp_path, DAGMA_WEBHOOK_URL="http://x/y"))
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("http://x/y", 0o600)
    prepare(chosen(tmp_path))
    assert not file.exists()


def test_the_inbox_is_made_for_its_owner_and_an_existing_one_stays_as_it_is(tmp_path):
    prepare(chosen(tmp_path))
    assert stat.S_IMODE((tmp_path / "h/inbox").stat().st_mode) == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    prepare(chosen(tmp_path, DAGMA_INBOX=str(shared)))
    assert stat.S_IMODE(shared.stat().st_mode) == 0o770


def test_secrets_are_private_whatever_the_umask(tmp_path):
    prepare(chosen(tmp_path))
    secrets = tmp_path / "h/secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o600}


def test_an_edited_dagster_yaml_is_kept_and_mentioned(tmp_path):
    prepare(chosen(tmp_path))
    edited = tmp_path / "h/dagster/dagster.yaml"
    edited.write_text(edited.read_text() + "\n# mine\n")
    [note] = prepare(chosen(tmp_path))
    assert "has been edited and is used as it is" in note
    assert edited.read_text().endswith("# mine\n")


def test_an_edited_workspace_that_wants_a_port_is_refused_without_one(tmp_path):
    prepare(chosen(tmp_path, USER_CODE_PORT="4000"))
    edited = tmp_path / "h/dagster/workspace.yaml"
    edited.write_text(edited.read_text() + "\n# mine\n")
    with pytest.raises(PreflightError, match="names USER_CODE_PORT, which is not set: set it, or"):
        prepare(chosen(tmp_path))
    [note] = prepare(chosen(tmp_path, USER_CODE_PORT="4000"))
    assert "is used as it is" in note


def test_an_older_dagster_yaml_of_ours_is_renewed(tmp_path):
    from dagma.stack.services import dagster as module

    prepare(chosen(tmp_path))
    ours = tmp_path / "h/dagster/dagster.yaml"
    current = ours.read_text()
    old = "telemetry: {}\n"
    ours.write_text(f"{module._MARK}{module._digest(old)}\n{old}")
    assert prepare(chosen(tmp_path)) == []
    assert ours.read_text() == current


def test_generated_passwords_need_no_escaping():
    assert all(c.isalnum() or c in "_-" for _ in range(50) for c in private.generate())
