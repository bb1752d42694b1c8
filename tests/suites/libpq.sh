# What libpq's pipelines say on the wire, message by message, against the traces that PostgreSQL's source keeps.
. "$SUITES/lib.sh"
. "$SUITES/postgres.sh"
source=$(dirname "$SOURCES")/postgres/source
case $1 in
get) postgres_source ;;
run)
	# The traces have notices of tables that are not there yet.
	fresh libpq
	cd "$source/src/test/modules/libpq_pipeline"
	export LD_LIBRARY_PATH="$source/src/interfaces/libpq"
	for test in $(./libpq_pipeline tests); do
		trace=
		[ ! -e "traces/$test.trace" ] || trace="-t $OUT/$test.trace"
		if timeout 300 ./libpq_pipeline -r 700 $trace "$test" "user=$PGUSER dbname=libpq" > "$OUT/$test.log" 2>&1; then
			echo "pass $test"
		else
			echo "FAIL $test"
		fi
		[ -n "$trace" ] || continue
		if diff "traces/$test.trace" "$OUT/$test.trace" > "$OUT/$test.diff"; then
			echo "pass $test trace"
		else
			echo "FAIL $test trace"
		fi
	done > "$OUT/outcomes.txt"
	;;
esac
