# psycopg 3: Debian's source has the tests, the packages of Python's registry have not.
. "$SUITES/lib.sh"
case $1 in
get)
	debian_source psycopg3 "$SOURCES/source"
	python_with anyio pproxy dnspython shapely typing_extensions
	;;
run)
	fresh psycopg3
	cd "$SOURCES/source"
	export PSYCOPG_IMPL=python PYTHONPATH="$SOURCES/source/psycopg:$SOURCES/source/psycopg_pool" PGTZ=UTC
	pytest --maxfail=1000 -m 'not slow and not timing and not proxy and not mypy' --timeout 60 tests \
		--test-dsn "host=$PGHOST port=$PGPORT user=$PGUSER password=$PGPASSWORD dbname=psycopg3 sslmode=disable"
	;;
esac
