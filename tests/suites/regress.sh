# PostgreSQL's regression tests, in their own parallel order.
. "$SUITES/lib.sh"
. "$SUITES/postgres.sh"
source=$(dirname "$SOURCES")/postgres/source
case $1 in
get) postgres_source ;;
run)
	cd "$source/src/test/regress"
	work=$SOURCES/work
	rm -rf "$work"
	mkdir -p "$work/testtablespace" "$work/results"
	chmod 777 "$work" "$work/testtablespace" "$work/results"
	export PGTZ=PST8PDT LC_ALL=C
	./pg_regress --inputdir=. --outputdir="$work" --bindir="$programs" --dlpath=. --host="$PGHOST" --port="$PGPORT" \
		--user="$PGUSER" --dbname=regression --no-locale --max-concurrent-tests=20 --schedule=parallel_schedule \
		> "$OUT/log" 2>&1 || [ $? = 1 ]
	cp "$work/regression.diffs" "$OUT" 2> /dev/null || true
	sed -nE 's/^(test|    ) +([a-z0-9_.-]+) +\.\.\. ok.*/pass \2/p; s/^(test|    ) +([a-z0-9_.-]+) +\.\.\. FAILED.*/FAIL \2/p' \
		"$OUT/log" > "$OUT/outcomes.txt"
	;;
esac
