# pgx: the tests in its Go module.
. "$SUITES/lib.sh"
VERSION=v5.7.5
case $1 in
get)
	mkdir -p "$SOURCES/ask"
	cd "$SOURCES/ask"
	[ -e go.mod ] || go mod init ask 2> /dev/null
	folder=$(go mod download -json "github.com/jackc/pgx/v5@$VERSION" | sed -nE 's/^\t"Dir": "(.*)",?$/\1/p')
	cp -r "$folder" "$SOURCES/source"
	chmod -R u+w "$SOURCES/source"
	cd "$SOURCES/source"
	go mod download
	# Compiled before the time of the tests begins.
	go test -run '^$' ./... > build.log 2>&1 || { tail -20 build.log >&2; exit 1; }
	;;
run)
	fresh pgx_test
	for extension in hstore ltree; do
		prepare pgx_test "CREATE EXTENSION $extension"
	done
	prepare pgx_test 'CREATE DOMAIN uint64 AS numeric(20,0)'
	cd "$SOURCES/source"
	export PGX_TEST_DATABASE="host=$PGHOST port=$PGPORT user=$PGUSER password=$PGPASSWORD dbname=pgx_test sslmode=disable"
	export PGX_TEST_TCP_CONN_STRING="$PGX_TEST_DATABASE"
	go test -p 1 -timeout 20m -v ./... > "$OUT/log" 2>&1 || [ $? = 1 ]
	sed -nE 's/^ *--- PASS: ([^ ]+).*/pass \1/p; s/^ *--- FAIL: ([^ ]+).*/FAIL \1/p; s/^ *--- SKIP: ([^ ]+).*/skip \1/p' \
		"$OUT/log" > "$OUT/outcomes.txt"
	;;
esac
