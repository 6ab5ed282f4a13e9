import time

import pytest

from dagma.stack.waiting import wait_until


def test_it_ends_as_soon_as_the_condition_holds():
    answers = iter([False, [], "yes"])
    assert wait_until(lambda: next(answers), patience=60.0, pause=0.0)
    assert next(answers, "asked no more") == "asked no more"


@pytest.mark.parametrize("patience", [0.0, 0.2])
def test_it_is_given_up(patience):
    looks = []
    began = time.monotonic()
    assert not wait_until(lambda: looks.append(None), patience, pause=0.01)
    assert time.monotonic() - began >= patience
    assert looks
