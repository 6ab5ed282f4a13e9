"""Say by the exit status whether the service of this container answers.

DAGMA_HEALTH says how to ask: `grpc:PORT`, `http:PORT/PATH`, or `heartbeat:SECONDS`, which is how old the
daemon's last entry in the database of DAGMA_POSTGRES_URL may be. Imports nothing of Dagster: this runs
every few seconds.
"""

import os
import socket
import sys

PATIENCE = 5.0
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


def heartbeat(seconds: str) -> None:
    """Look for a recent entry of the daemon; they are made every 30 seconds, in UTC.

    Raises:
        OSError: There is none.
    """
    import psycopg2  # only here: it takes longer than all else

    address = os.environ["DAGMA_POSTGRES_URL"].replace("+psycopg2", "", 1)
    with psycopg2.connect(address, connect_timeout=int(PATIENCE)) as link, link.cursor() as cursor:
        cursor.execute(
            "SELECT max(timestamp) > now() AT TIME ZONE 'utc' - %s * interval '1 second'"
            " FROM daemon_heartbeats",
            (int(seconds),),
        )
        if cursor.fetchone() != (True,):
            raise OSError(f"the daemon has not been heard of for {seconds} seconds")


def main() -> None:
    """Ask once."""
    how, _, what = os.environ["DAGMA_HEALTH"].partition(":")
    try:
        {"grpc": grpc, "http": http, "heartbeat": heartbeat}[how](what)
    except Exception as error:
        sys.exit(f"unhealthy: {str(error).strip()}")


if __name__ == "__main__":
    main()
