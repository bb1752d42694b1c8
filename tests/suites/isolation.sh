# PostgreSQL's tests of what sessions see of each other.
. "$SUITES/lib.sh"
. "$SUITES/postgres.sh"
source=$(dirname "$SOURCES")/postgres/source
case $1 in
get) postgres_source ;;
run)
	cd "$source/src/test/isolation"
	work=$SOURCES/work
	rm -rf "$work"
	mkdir -p "$work/results"
	export PGTZ=PST8PDT LC_ALL=C LD_LIBRARY_PATH="$source/src/interfaces/libpq"
	./pg_isolation_regress --inputdir=. --outputdir="$work" --bindir="$programs" --host="$PGHOST" --port="$PGPORT" \
		--user="$PGUSER" --dbname=isolation_regression --no-locale --schedule=isolation_schedule > "$OUT/log" 2>&1 || [ $? = 1 ]
	cp "$work/regression.diffs" "$OUT" 2> /dev/null || true
	sed -nE 's/^test +([a-z0-9_.-]+) +\.\.\. ok.*/pass \1/p; s/^test +([a-z0-9_.-]+) +\.\.\. FAILED.*/FAIL \1/p' \
		"$OUT/log" > "$OUT/outcomes.txt"
	;;
esac
