# asyncpg, in the mode in which its tests take a server that is there.
. "$SUITES/lib.sh"
VERSION=0.32.0
case $1 in
get)
	python_with "asyncpg==$VERSION" distro uvloop
	python_source "asyncpg==$VERSION" "$SOURCES/source"
	mv "$SOURCES/source/tests" "$SOURCES/tests"
	;;
run)
	cd "$SOURCES"
	# Some of its tests name this database, and expect to meet the others there.
	export PGDATABASE=postgres
	pytest --timeout 90 tests
	;;
esac
