#!/bin/bash
# The given suite's server: server.sh init|start|stop.
set -eu
GIVEN=${DURWARD_ACCEPTANCE:-$(cd "$(dirname "$0")" && cd ../../../shared/acceptance/pg && pwd)}
exec bash "$GIVEN/server.sh" "$@"
