"""Waiting for something that nobody tells us about."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], patience: float, pause: float = 0.1) -> bool:
    """Wait until a condition holds; whether it does.

    Args:
        condition: Asked at once, and then again and again.
        patience: Seconds after which it is not asked any more.
        pause: Seconds between two looks.
    """
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
