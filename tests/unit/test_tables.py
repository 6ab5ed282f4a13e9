import io

import click
from rich.console import Console

from dagma.cli import tables
from dagma.stack.automation import Automation
from dagma.stack.control import Status

POSTGRES = Status("postgres", "running", True, 12, 0, "postgresql://here")
DAEMON = Status("daemon", "failed", False, None, 50, "http://there", "it ended")


def drawn(rows, width):
    """The lines that a live display draws on a terminal of a width."""
    lines = Console(file=io.StringIO(), width=width).render_lines(rows, pad=False)
    return ["".join(segment.text for segment in line) for line in lines]


def plain(lines):
    return [click.unstyle(line) for line in lines]


def test_columns_are_as_wide_as_their_widest_cell_whatever_its_style():
    rows = [("a", click.style("red", fg="red"), "x"), ("long", "b", "")]
    assert plain(tables.columns(rows)) == ["a     red  x", "long  b"]
    assert plain(tables.columns([("a", "b")], least=(3,))) == ["a    b"]
    assert tables.columns([]) == []


def test_services_are_a_line_each_with_their_reason_or_address():
    assert plain(tables.services([POSTGRES, DAEMON])) == [
        "postgres    healthy     pid 12       restarts 0    postgresql://here",
        "daemon      failed      pid -        restarts 50   it ended",
    ]


def test_further_ticks_stand_below_the_first():
    found = [Automation("nightly", "RUNNING", "0 3 * * * UTC", ["one", "two"])]
    found.append(Automation("sensor", "STOPPED", "every 30 s", []))
    assert tables.automations(found) == [
        "nightly  RUNNING  0 3 * * * UTC  one",
        "                                 two",
        "sensor   STOPPED  every 30 s",
    ]


def test_what_is_waited_for_is_shown_below_what_is_healthy():
    rows = tables.Rows(["daemon", "postgres"])
    rows.add(POSTGRES, 1.25)
    first, second = drawn(rows, width=60)
    assert first == "postgres    healthy       1.2 s  postgresql://here"
    assert second.startswith("daemon      ")
    assert second.rstrip().endswith(" starting")


def test_a_live_table_is_never_wider_than_the_terminal():
    rows = tables.Rows([])
    rows.add(POSTGRES, 1.0)
    [line] = drawn(rows, width=40)
    assert len(line) == 40
    assert line.endswith("…")
