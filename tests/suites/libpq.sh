# What libpq's pipelines say on the wire, message by message, against the traces that PostgreSQL's source keeps.
. "$SUITES/lib.sh"
. "$SUITES/postgres.sh"
source=$(dirname "$SOURCES")/postgres/source
case $1 in
get) postgres_source ;;
run)
	cd "$source/src/test/modules/libpq_pipeline"
	export LD_LIBRARY_PATH="$source/src/interfaces/libpq" PGOPTIONS='-c client_min_messages=warning'
	for test in $(./libpq_pipeline tests); do
		if timeout 180 ./libpq_pipeline -r 700 -t "$OUT/$test.trace" "$test" "user=$PGUSER dbname=postgres" > "$OUT/$test.log" 2>&1; then
			echo "pass $test"
		else
			echo "FAIL $test"
		fi
		[ -e "traces/$test.trace" ] || continue
		if diff "traces/$test.trace" "$OUT/$test.trace" > "$OUT/$test.diff"; then
			echo "pass $test trace"
		else
			echo "FAIL $test trace"
		fi
	done > "$OUT/outcomes.txt"
	;;
esac
