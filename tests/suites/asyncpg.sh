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
	fresh asyncpg
	cd "$SOURCES"
	export PGDATABASE=asyncpg
	pytest --timeout 90 tests
	;;
esac
