# pgjdbc: the source for packagers, which has the tests and builds by itself.
. "$SUITES/lib.sh"
VERSION=42.7.10
case $1 in
get)
	mkdir -p "$SOURCES/source"
	mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -DoutputDirectory="$SOURCES" \
		-Dartifact="org.postgresql:postgresql:$VERSION:tar.gz:jdbc-src"
	tar xf "$SOURCES/postgresql-$VERSION-jdbc-src.tar.gz" --strip-components 1 -C "$SOURCES/source"
	cd "$SOURCES/source"
	mvn -q -B test-compile
	;;
run)
	fresh test
	for extension in lo hstore citext '"uuid-ossp"'; do
		prepare test "CREATE EXTENSION IF NOT EXISTS $extension"
	done
	prepare postgres "DO 'BEGIN CREATE ROLE test LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN END'"
	cd "$SOURCES/source"
	cat > build.local.properties <<PROPERTIES
test.url.PGHOST=$PGHOST
test.url.PGPORT=$PGPORT
test.url.PGDBNAME=test
user=test
password=$PGPASSWORD
privilegedUser=$PGUSER
privilegedPassword=$PGPASSWORD
PROPERTIES
	rm -rf target/surefire-reports
	# Also where its time is over: it counts as far as it came.
	trap 'cp target/surefire-reports/TEST-*.xml "$OUT"' EXIT
	trap 'exit 143' TERM
	mvn -q -B surefire:test -Dmaven.test.failure.ignore=true > "$OUT/log" 2>&1
	;;
esac
