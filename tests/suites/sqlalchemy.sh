# SQLAlchemy: its PostgreSQL dialect and the suite for every dialect, by psycopg 3.
. "$SUITES/lib.sh"
VERSION=2.1.9
case $1 in
get)
	python_with psycopg[binary]==3.3.9 greenlet typing_extensions
	python_source "SQLAlchemy==$VERSION" "$SOURCES/source"
	;;
run)
	fresh sqlalchemy
	prepare sqlalchemy 'CREATE EXTENSION hstore' 'CREATE EXTENSION citext' \
		'CREATE SCHEMA test_schema' 'CREATE SCHEMA test_schema_2' \
		"ALTER DATABASE sqlalchemy SET default_text_search_config TO 'pg_catalog.english'"
	cd "$SOURCES/source"
	export PYTHONPATH="$SOURCES/source/lib" DISABLE_SQLALCHEMY_CEXT_RUNTIME=1
	pytest -p no:logging --maxfail=5000 test/dialect/postgresql test/dialect/test_suite.py \
		--dburi "postgresql+psycopg://$PGUSER:$PGPASSWORD@$PGHOST:$PGPORT/sqlalchemy"
	;;
esac
