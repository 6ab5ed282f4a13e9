import json

import pytest
from click.testing import CliRunner

from dagma import cli
from dagma.errors import PreflightError
from dagma.stack import disk, preflight, settings
from dagma.stack.services import postgres

#: More than any disk has.
TOO_MUCH = 2**62


def test_a_full_disk_is_one_sentence_with_the_place_that_exists(tmp_path, monkeypatch):
    assert disk.full(tmp_path / "not/there") is None
    monkeypatch.setattr(disk, "NEEDED", TOO_MUCH)
    said = disk.full(tmp_path / "not/there")
    assert said.startswith("The disk is full: ")
    assert f" MB are free at {tmp_path}, and PostgreSQL needs " in said


def test_a_full_disk_is_refused_before_anything_is_written(short_path, monkeypatch):
    monkeypatch.setattr(disk, "NEEDED", TOO_MUCH)
    chosen = settings.load({"DAGMA_HOME": str(short_path / "h")}).settings
    with pytest.raises(PreflightError, match="The disk is full: "):
        preflight.state_directory(chosen)
    assert list(short_path.iterdir()) == []


def test_postgres_waits_for_room_and_says_so_once(tmp_path, monkeypatch, capsys):
    naps = []

    def nap(_seconds):
        naps.append(None)
        if len(naps) == 3:  # somebody has freed some
            monkeypatch.setattr(disk, "NEEDED", 0)

    monkeypatch.setattr(disk, "NEEDED", TOO_MUCH)
    monkeypatch.setattr(postgres.time, "sleep", nap)
    postgres.wait_for_room(tmp_path)
    assert len(naps) == 3
    assert capsys.readouterr().out.count("The disk is full: ") == 1


def test_status_begins_with_the_full_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGMA_HOME", str(tmp_path))
    monkeypatch.setattr(disk, "NEEDED", TOO_MUCH)
    assert CliRunner().invoke(cli.main, ["status"]).output.startswith("The disk is full: ")
    said = json.loads(CliRunner().invoke(cli.main, ["status", "--json"]).output)
    assert said["disk_error"].startswith("The disk is full: ")
