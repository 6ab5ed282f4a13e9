import json
import re
from pathlib import Path

from dagma.cli import main
from dagma.definitions import defs
from dagma.defs.ingestion.inbox import UNFINISHED
from dagma.kit.notifications.message import Message

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / f"docs/{name}.md").read_text() for name in ("ingestion", "schedules")}


def test_every_schedule_and_sensor_is_on_a_page():
    repository = defs().get_repository_def()
    names = [one.name for one in (*repository.schedule_defs, *repository.sensor_defs)]
    assert len(names) >= 6
    text = "".join(PAGES.values())
    assert [name for name in names if name not in text] == []


def test_the_example_message_has_the_fields_of_a_message():
    (example,) = re.findall(r"```json\n(.*?)```", PAGES["schedules"], re.DOTALL)
    assert list(json.loads(example)) == list(Message("", "", "", "", None, "", "").json())


def test_the_endings_that_are_named_are_left_alone():
    named = re.findall(r"`([.~][a-z]*)`", PAGES["ingestion"].split("ends in")[1].split("|")[0])
    assert set(named) <= set(UNFINISHED)


def test_the_command_is_there():
    assert "`dagma schedules`" in PAGES["schedules"]
    assert "schedules" in main.commands
