from dagma.stack import settings
from dagma.stack.control import Stack
from dagma.stack.supervisor import Process


class Restarting:
    """Stands for process-compose, which answers before it has started the process again."""

    def __init__(self):
        def looks(*last):
            return [Process("daemon", *look, 0, 0) for look in last]

        self.looks = looks(("running", True, 1), ("completed", False, None), ("running", False, 2))

    def processes(self):
        look = self.looks[0]
        self.looks = self.looks[1:] or [Process("daemon", "running", True, 2, 0, 0)]
        return {"daemon": look}

    def restart(self, name):
        assert name == "daemon"


def test_a_process_that_is_not_started_again_yet_has_not_failed(tmp_path):
    stack = Stack(settings.load({"DAGMA_HOME": str(tmp_path)}))
    stack.supervisor = Restarting()
    healthy = []
    stack.restart("daemon", lambda status, _: healthy.append(status.pid))
    assert healthy == [2]
