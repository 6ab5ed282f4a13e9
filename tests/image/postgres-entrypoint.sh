#!/bin/bash
# What the upstream image of PostgreSQL does at its start, as far as deploy/compose.yaml uses it.
set -euo pipefail
if ! [ -s "$PGDATA/PG_VERSION" ]; then
  # Several options in one variable, as upstream has it.
  # shellcheck disable=SC2086
  initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
