# PyGreSQL.
. "$SUITES/lib.sh"
VERSION=6.2.3
case $1 in
get)
	python_with "PyGreSQL==$VERSION"
	python_source "PyGreSQL==$VERSION" "$SOURCES/source"
	mv "$SOURCES/source/tests" "$SOURCES/tests"
	;;
run)
	fresh pygresql
	prepare pygresql 'CREATE EXTENSION hstore'
	cd "$SOURCES"
	export PYGRESQL_DB=pygresql PYGRESQL_HOST="$PGHOST" PYGRESQL_PORT="$PGPORT" PYGRESQL_USER="$PGUSER"
	export PYGRESQL_PASSWD="$PGPASSWORD" PGDATABASE=pygresql
	pytest --timeout 60 tests
	;;
esac
