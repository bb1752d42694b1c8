# node-postgres: Debian's source has the tests, npm's packages have not. Each file is a test.
. "$SUITES/lib.sh"
case $1 in
get)
	debian_source node-pg "$SOURCES/source"
	version=$(node -p "require('$SOURCES/source/packages/pg/package.json').version")
	mkdir -p "$SOURCES/npm"
	npm install --silent --no-audit --no-fund --prefix "$SOURCES/npm" "pg@$version" async@2.6.4 co@4.6.0 bluebird@3.7.2
	cp -r "$SOURCES/source/packages/pg/test" "$SOURCES/npm/node_modules/pg/test"
	;;
run)
	fresh node
	cd "$SOURCES/npm/node_modules/pg"
	export PGDATABASE=node PGTESTNOSSL=true
	find test/integration -name '*-tests.js' | sort | while read -r file; do
		if timeout 60 node "$file" > "$OUT/$(echo "$file" | tr / _).log" 2>&1; then
			echo "pass $file"
		else
			echo "FAIL $file"
		fi
	done > "$OUT/outcomes.txt"
	;;
esac
