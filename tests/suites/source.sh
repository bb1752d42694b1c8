# PostgreSQL's source of the server's own version, unpacked and not built: $SOURCES/source.
. "$SUITES/lib.sh"
major=$(ls /usr/lib/postgresql | sort -n | tail -n 1)
debian_source "postgresql-$major=$(dpkg-query -W -f '${source:Version}' "postgresql-$major")" "$SOURCES/source"
