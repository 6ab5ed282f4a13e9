import errno
import fcntl
import os
import threading

import pytest

from dagma.lock import FILE, alone, wait_for


@pytest.fixture(params=["local", "NFS"])
def directory(request, tmp_path, monkeypatch):
    """A directory; as NFS has it, an exclusive lock needs a file that is open for writing."""
    flock = fcntl.flock

    def on_nfs(descriptor, operation):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(descriptor, operation)

    if request.param == "NFS":
        monkeypatch.setattr(fcntl, "flock", on_nfs)
    return tmp_path


def test_a_second_one_is_kept_out_for_as_long_as_the_first_is_in(directory):
    for _ in range(2):
        with alone(directory, AssertionError("alone")):
            with pytest.raises(LookupError), alone(directory, LookupError("taken")):
                pass
            with pytest.raises(LookupError), alone(directory, LookupError("taken")):
                pass


def test_a_local_directory_stays_as_it_is(tmp_path):
    with alone(tmp_path, AssertionError()):
        assert list(tmp_path.iterdir()) == []


def test_what_is_no_directory_is_an_error(directory):
    with pytest.raises(OSError, match="gone"), alone(directory / "gone", AssertionError()):
        pass


def test_the_error_of_what_is_done_inside_is_not_taken_for_the_lock(directory):
    with pytest.raises(BlockingIOError), alone(directory, AssertionError()):
        raise BlockingIOError
    assert {path.name for path in directory.iterdir()} <= {FILE}


def test_one_who_waits_is_told_and_comes_in_when_the_first_is_out(tmp_path):
    told, waits = [], threading.Event()
    with (tmp_path / "lock").open("w") as first, (tmp_path / "lock").open("w") as second:
        wait_for(first, lambda: told.append("first"))
        waiting = threading.Thread(target=wait_for, args=(second, waits.set))
        waiting.start()
        assert waits.wait(10)
        assert waiting.is_alive()
        first.close()
        waiting.join(10)
        assert not waiting.is_alive()
    assert told == []
