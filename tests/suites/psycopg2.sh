# psycopg 2, compiled by its maker, with the tests of its source.
. "$SUITES/lib.sh"
VERSION=2.9.13
case $1 in
get)
	python_with "psycopg2-binary==$VERSION"
	python_source "psycopg2==$VERSION" "$SOURCES/source"
	# Beside the source the tests would find the source, which is not compiled.
	mv "$SOURCES/source/tests" "$SOURCES/tests"
	;;
run)
	fresh psycopg2
	prepare psycopg2 'CREATE EXTENSION hstore'
	cd "$SOURCES"
	export PSYCOPG2_TESTDB=psycopg2 PSYCOPG2_TESTDB_HOST="$PGHOST" PSYCOPG2_TESTDB_PORT="$PGPORT" PSYCOPG2_TEST_FAST=1
	export PSYCOPG2_TESTDB_USER="$PGUSER" PSYCOPG2_TESTDB_PASSWORD="$PGPASSWORD"
	pytest --timeout 60 tests
	;;
esac
