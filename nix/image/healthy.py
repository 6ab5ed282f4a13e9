"""Say by the exit status whether the service of this container answers: `healthy [SECONDS]`.

DAGMA_HEALTH says how to ask: `grpc:PORT`, `http:PORT/PATH`, `heartbeat:SECONDS`, which is how old the
daemon's last entry in the database of DAGMA_POSTGRES_URL may be, or `database:URL`, for who waits for one.
With SECONDS it asks again and again until there is an answer, for so long at most. Imports nothing of
Dagster: this runs every few seconds.
"""

import os
import socket
import sys
import time

PATIENCE = 5.0
#: Seconds between two questions, where one asks again.
PAUSE = 0.5
#: A frame of HTTP/2: length (3 bytes), type, flags, stream (4 bytes); RFC 9113, sections 4.1 and 6.5.
SETTINGS = b"\x04"
EMPTY_SETTINGS = bytes(3) + SETTINGS + bytes(5)


def grpc(port: str) -> None:
    """Greet a gRPC server of this container: HTTP/2's first words (RFC 9113, section 3.4).

    A port alone would not do: the kernel answers for a server that has stopped.

    Raises:
        OSError: It does not answer with its settings, as HTTP/2 requires.
    """
    with socket.create_connection(("127.0.0.1", int(port)), PATIENCE) as link:
        link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + EMPTY_SETTINGS)
        if link.makefile("rb").read(9)[3:4] != SETTINGS:
            raise OSError(f"port {port} does not speak HTTP/2")


def http(place: str) -> None:
    """Ask for a page of this container.

    Raises:
        OSError: Its status is not 200.
    """
    port, _, path = place.partition("/")
    with socket.create_connection(("127.0.0.1", int(port)), PATIENCE) as link:
        link.sendall(f"GET /{path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        status = link.makefile("rb").readline().split()
    if status[1:2] != [b"200"]:
        raise OSError(f"/{path} answers {b' '.join(status).decode(errors='replace')}")


def libpq(address: str) -> str:
    """Return SQLAlchemy's URL of a database as libpq reads it."""
    return address.replace("+psycopg2", "", 1)


def database(address: str) -> None:
    """Ask whether a database answers.

    Raises:
        psycopg2.OperationalError: It does not, or its name is not known.
    """
    import psycopg2  # only here: it takes longer than all else

    psycopg2.connect(libpq(address), connect_timeout=int(PATIENCE)).close()


def started() -> float:
    """Return when process 1 of this container began, in seconds since 1970 (proc_pid_stat(5), field 22)."""
    with open("/proc/1/stat") as file:  # noqa: PTH123 - pathlib takes longer than the rest
        ticks = int(file.read().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def heartbeat(seconds: str) -> None:
    """Look for a recent entry of the daemon of this container; they are made every 30 seconds, in UTC.

    One that was killed leaves an entry, which says nothing about the next.

    Raises:
        OSError: There is none.
    """
    import psycopg2  # as above

    address = libpq(os.environ["DAGMA_POSTGRES_URL"])
    with psycopg2.connect(address, connect_timeout=int(PATIENCE)) as link, link.cursor() as cursor:
        cursor.execute(
            "SELECT max(timestamp) > greatest(now() - %s * interval '1 second', to_timestamp(%s))"
            " AT TIME ZONE 'utc' FROM daemon_heartbeats",
            (int(seconds), started()),
        )
        if cursor.fetchone() != (True,):
            raise OSError(
                f"the daemon has not been heard of for {seconds} seconds, or since its start"
            )


def ask() -> None:
    """Ask once; any error is why the service is not well."""
    how, _, what = os.environ["DAGMA_HEALTH"].partition(":")
    {"grpc": grpc, "http": http, "heartbeat": heartbeat, "database": database}[how](what)


def main(patience: float) -> None:
    """Ask until there is an answer, or the time is over (seconds)."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return ask()
        except Exception as error:
            if time.monotonic() >= deadline:
                after = f" (asked for {patience:.0f} s)" if patience else ""
                sys.exit(f"unhealthy: {str(error).strip()}{after}")
        time.sleep(PAUSE)


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 0.0)
