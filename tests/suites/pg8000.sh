# pg8000, without the tests of kinds of passwords, which need a server's files.
. "$SUITES/lib.sh"
VERSION=1.31.6
case $1 in
get)
	python_with "pg8000==$VERSION" pytest-benchmark pytest-mock pytz
	python_source "pg8000==$VERSION" "$SOURCES/source"
	mv "$SOURCES/source/test" "$SOURCES/test"
	cp "$SOURCES/source/README.md" "$SOURCES"
	;;
run)
	fresh pg8000
	prepare pg8000 'CREATE EXTENSION hstore'
	# Some of its tests name no database.
	prepare postgres 'CREATE EXTENSION IF NOT EXISTS hstore'
	cd "$SOURCES"
	export PGDATABASE=pg8000
	pytest --timeout 60 test --ignore-glob='*/auth/*' --ignore-glob='*benchm*'
	;;
esac
