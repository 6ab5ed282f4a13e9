"""What a program of Dagster's says when it is stopped while it starts: 143, as one without a handler.

Dagster makes of SIGTERM what SIGINT does, and Click makes of an interrupt that nobody waits for the
status 1, which supervisors take for a failure.
"""

import signal
import sys
from collections.abc import Callable
from types import FrameType


def run(program: Callable[[], None]) -> None:
    """Run a program of Click's; in the main thread, as all that handles signals.

    Raises:
        SystemExit: It has ended; by 143, as shells count SIGTERM, where it failed at an interrupt.
    """
    interrupts = []

    def interrupt(number: int, _: FrameType | None) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        program()
    except SystemExit as end:
        if end.code and interrupts:
            sys.exit(128 + interrupts[0])
        raise
