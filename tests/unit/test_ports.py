import subprocess
import sys
from pathlib import Path

import platform_client
import pytest
from platform_client import assignable_ports, free_ports

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
#: Another process of tests, which is given one of some ports.
OTHER = """
import sys
from platform_client import free_ports
print(*free_ports(1, among=[int(port) for port in sys.argv[1:]]))
"""


def other(*ports):
    """What another process of tests is given: a port, or nothing."""
    folder = str(Path(platform_client.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.append({folder!r}){OTHER}", *map(str, ports)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) != ("no free ports" in done.stderr), done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not OUTGOING.exists(), reason=f"there is no {OUTGOING}")
def test_ports_of_tests_are_none_that_outgoing_connections_get():
    first = int(OUTGOING.read_text().split()[0])
    assert len(assignable_ports()) > 1000
    assert max([*assignable_ports(), *free_ports(20)]) < first


def test_no_port_is_given_twice():
    ports = free_ports(20)
    assert len({*ports, *free_ports(20)}) == 40
    assert other(*ports) == ""


def test_the_ports_of_a_process_that_has_ended_are_free_again():
    given = other(*assignable_ports())
    assert given
    assert other(given) == given
