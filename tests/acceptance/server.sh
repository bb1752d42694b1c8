#!/bin/bash
# The given suite's server, or one of another major version: server.sh init|start|stop. DURWARD_PG_BIN names the folder with
# that version's programs, as for the end-to-end tests.
set -eu
if [ -z "${DURWARD_PG_BIN:-}" ]; then
  GIVEN=${DURWARD_ACCEPTANCE:-$(cd "$(dirname "$0")" && cd ../../../shared/acceptance/pg && pwd)}
  exec bash "$GIVEN/server.sh" "$@"
fi

USER_NAME=acceptance_pg HOME_DIR=${TMPDIR:-/tmp}/acceptance_pg PORT=${PORT:-55533}
as() { su "$USER_NAME" -s /bin/bash -c "$1"; }
case ${1:-} in
  init)
    id "$USER_NAME" >/dev/null 2>&1 || useradd -r -M -d "$HOME_DIR" -s /bin/bash "$USER_NAME"
    mkdir -p "$HOME_DIR"; chown "$USER_NAME" "$HOME_DIR"; chmod 700 "$HOME_DIR"
    as "$DURWARD_PG_BIN/initdb -D $HOME_DIR/data -U postgres -A trust -E UTF8 --locale=C.UTF-8 >$HOME_DIR/initdb.log 2>&1"
    bash "$0" start
    psql -h 127.0.0.1 -p "$PORT" -U postgres -Xq -c 'CREATE DATABASE acceptance_shop' ;;
  start)
    as "$DURWARD_PG_BIN/pg_ctl -D $HOME_DIR/data -l $HOME_DIR/log -w -o '-p $PORT -h 127.0.0.1 -k $HOME_DIR -c shared_preload_libraries=pg_stat_statements -c autovacuum=off -c max_prepared_transactions=5 -c shared_buffers=64MB -c fsync=off' start" ;;
  stop)
    as "$DURWARD_PG_BIN/pg_ctl -D $HOME_DIR/data -m fast stop" ;;
  *)
    echo "usage: $0 init|start|stop"; exit 2 ;;
esac
