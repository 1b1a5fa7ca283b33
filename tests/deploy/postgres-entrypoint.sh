#!/bin/sh
# Entry point of the stand-in for the postgres image: creates the database of POSTGRES_USER,
# POSTGRES_PASSWORD and POSTGRES_DB on an empty volume, as the image does, then runs the server.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    password=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$password"
    initdb --username="$POSTGRES_USER" --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8
    rm -f "$password"
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    # On a socket alone, as the image does: nobody may take this server for the final one.
    pg_ctl -w start -o "-c listen_addresses=''"
    createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl -w -m fast stop
fi
exec "$@"
