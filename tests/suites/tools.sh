# The tests of PostgreSQL's own programs: psql with its completion, pgbench, pg_dump, pg_restore, pg_dumpall, the scripts. They start
# servers of their own; on the way through, each gets a gateway of its own.
. "$SUITES/lib.sh"
. "$SUITES/postgres.sh"
source=$(dirname "$SOURCES")/postgres/source
case $1 in
get) postgres_source ;;
run)
	work=$SOURCES/work
	rm -rf "$work"
	mkdir -p "$work/modules" "$work/ports"
	# Whoever runs the servers must be able to reach all of this.
	cp -r "$source/src/test/perl/PostgreSQL" "$SUITES/perl/Gateway.pm" "$work/modules"
	cp "$source/src/test/regress/pg_regress" "$work"
	[ -z "${GATEWAY_BIN:-}" ] || { cp "$GATEWAY_BIN" "$work/durward"; export GATEWAY_BIN="$work/durward"; }
	chmod -R a+rX "$work"
	chmod 777 "$work/ports"
	unset PGPASSWORD PGUSER PGDATABASE PGHOST
	for suite in scripts psql pgbench pg_dump; do
		cp -r "$source/src/bin/$suite/t" "$work/$suite"
		for test in "$work/$suite"/*.pl; do
			name=$(basename "$test" .pl)
			mkdir -p "$work/run/$suite-$name"
			chmod 777 "$work/run/$suite-$name"
			(
				cd "$work/run/$suite-$name"
				as_other env HOME="$PWD" USER=durward-test TESTDIR="$PWD" PATH="$programs:$PATH" PGPORT=65432 LC_ALL=C \
					PG_TEST_PORT_DIR="$work/ports" PG_REGRESS="$work/pg_regress" top_builddir="$source" with_readline=yes \
					timeout 900 perl -I "$work/modules" -MGateway "$test" > tap 2> log || true
			)
			tap "$suite $name" < "$work/run/$suite-$name/tap"
		done
	done > "$OUT/outcomes.txt"
	;;
esac
