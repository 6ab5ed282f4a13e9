from dataclasses import replace

from dagma.errors import StackError
from dagma.stack import logs, settings
from dagma.stack.control import Stack
from dagma.stack.supervisor import Process
from dagma.stack.upkeep import dumps, migrations

TRACEBACK = """INFO first
Traceback (most recent call last):
  File "/a/b.py", line 1, in <module>
    run()
    ~~~^^
  File "/a/c.py", line 2, in run
    raise Wrong(
        "text")
lib.Wrong: it is wrong

DETAIL:  very
"""


def test_of_a_traceback_the_error_is_shown_and_of_other_output_the_end():
    assert migrations._end_of(TRACEBACK) == "\n  | lib.Wrong: it is wrong\n  | DETAIL:  very"
    numbers = "\n".join(str(number) for number in range(30))
    shown = migrations._end_of(numbers)
    assert shown.splitlines()[1:] == [f"  | {30 - n}" for n in range(migrations.TAIL, 0, -1)]
    assert migrations._end_of(" \n") == " nothing."


def test_dumps_of_one_application_and_installation_go_by_their_age(tmp_path):
    def dump(day, installation=5, application="dagster", version="1.13.20"):
        path = tmp_path / f"dagma-2026010{day}T000000Z-{installation}-{application}-{version}.dump"
        path.touch()
        return path

    old = [dump(1), dump(2, version="1.13.9%2Blocal"), dump(3, version="unknown"), dump(4)]
    for _ in (dump(1, installation=6), dump(1, application="mlflow")):
        (tmp_path / "dagma-20260101T000000Z-5.tar").touch()
    assert sorted(dumps.beyond(tmp_path, dumps.NAME, old[3], 2)) == old[:2]
    assert sorted(dumps.beyond(tmp_path, dumps.NAME, old[0], 2)) == old[1:3]


def test_what_is_added_to_a_log_is_read_in_whole_lines_also_when_it_is_made_anew(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("old\n")
    growth = logs.Growth(path)
    assert growth.lines() == []
    with path.open("a") as file:
        file.write("new\nhal")
    assert growth.lines() == ["new"]
    path.write_text("b\n")
    assert growth.lines() == ["b"]
    path.unlink()
    assert growth.lines() == []


class Scripted(Stack):
    """A stack whose process `init` runs for a while, and whose database never becomes healthy."""

    def __init__(self, home, upgrading, looks):
        loaded = settings.load({"DAGMA_HOME": str(home)}, home)
        few = loaded.settings.model_copy(update={"start_timeout": 0.3})
        (home / "logs").mkdir(parents=True)
        super().__init__(replace(loaded, settings=few))
        self.looks, self.seen = looks, 0
        self.layout.log("init").write_text("Upgrade: dumping.\n" if upgrading else "Created.\n")

    def _look(self):
        self.seen += 1
        state = "running" if self.seen < self.looks else "completed"
        return {
            "init": Process("init", state, False, None, 0, 0),
            "postgres": Process("postgres", "running", False, 1, 0, 0),
        }


def looks_until_it_gives_up(home, upgrading):
    stack, told = Scripted(home, upgrading, looks=10), []
    try:
        stack.wait(["postgres"], lambda *_: None, told.append)
    except StackError as error:
        assert "is not healthy after 0.3 s (DAGMA_START_TIMEOUT)" in str(error)
    return stack.seen, told


def test_the_time_of_an_upgrade_does_not_count_for_the_timeout(tmp_path):
    seen, told = looks_until_it_gives_up(tmp_path / "upgrading", True)
    assert seen > 10
    assert told == ["Upgrade: dumping."]
    seen, told = looks_until_it_gives_up(tmp_path / "not", False)
    assert seen < 10
    assert told == []
