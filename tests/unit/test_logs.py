import threading
from pathlib import Path

import pytest
from platform_client import wait_for

from dagma.stack import logs


class Looked(type(Path())):
    """A log that knows how often `follow` looked for more than it holds."""

    looks = 0

    def open(self, *arguments, **options):
        self.looks += 1
        return super().open(*arguments, **options)

    def stat(self, **options):
        self.looks += 1
        return super().stat(**options)

    def wait(self):
        """Return when what was written before this call is read."""
        before = self.looks
        wait_for(lambda: self.looks > before + 1, 30, "two looks")


class Enough(Exception):
    """Ends `follow`, which has no end of its own."""


def collect(files, change, expected):
    """Lines that `follow` shows while `change` runs, until there are as many as expected."""
    shown = []

    def show(name, line):
        shown.append((name, line))
        if len(shown) == len(expected):
            raise Enough

    thread = threading.Thread(target=change)
    thread.start()
    with pytest.raises(Enough):
        logs.follow(files, 0, show)
    thread.join()
    assert shown == expected


def test_tail_shows_the_last_lines_of_each_log(tmp_path):
    (tmp_path / "a.log").write_text("1\n2\n3\n")
    shown = []
    files = {"a": tmp_path / "a.log", "b": tmp_path / "none.log"}
    logs.tail(files, 2, lambda *line: shown.append(line))
    assert shown == [("a", "2"), ("a", "3")]


def test_no_lines_are_no_lines(tmp_path):
    (tmp_path / "a.log").write_text("1\n")
    logs.tail({"a": tmp_path / "a.log"}, 0, lambda *_: pytest.fail("a line"))


def test_follow_shows_new_lines_whole_and_through_rotation(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("old\n")
    watched = Looked(log)

    def change():
        watched.wait()
        with log.open("a") as file:
            file.write("ne")
            file.flush()
            watched.wait()
            file.write("w\n")
        watched.wait()
        log.rename(tmp_path / "a.log.1")
        log.write_text("rotated\n")

    collect({"a": watched}, change, [("a", "new"), ("a", "rotated")])


def test_follow_waits_for_a_log_that_is_not_there_yet(tmp_path):
    log = tmp_path / "a.log"
    watched = Looked(log)

    def change():
        watched.wait()
        log.write_text("first\n")

    collect({"a": watched}, change, [("a", "first")])


def test_no_line_is_lost_between_the_last_ones_and_the_new(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("1\n2\n")
    shown = []

    def show(_, line):
        shown.append(line)
        if line == "new":
            raise Enough
        with log.open("a") as file:
            file.write("new\n")

    with pytest.raises(Enough):
        logs.follow({"a": log}, 1, show)
    assert shown == ["2", "new"]
