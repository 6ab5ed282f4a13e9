"""Say by the exit status whether the service of this container answers.

DAGMA_HEALTH says how to ask: `tcp:PORT`, `http:PORT/PATH`, or `heartbeat:SECONDS`, which is how old the
daemon's last entry in the database of DAGMA_POSTGRES_URL may be. Imports nothing of Dagster: this runs
every few seconds.
"""

import os
import socket
import sys

PATIENCE = 5.0


def tcp(port: str) -> None:
    """Connect to a port of this container."""
    socket.create_connection(("127.0.0.1", int(port)), PATIENCE).close()


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
        {"tcp": tcp, "http": http, "heartbeat": heartbeat}[how](what)
    except Exception as error:
        sys.exit(f"unhealthy: {str(error).strip()}")


if __name__ == "__main__":
    main()
