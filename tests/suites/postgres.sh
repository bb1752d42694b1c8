# PostgreSQL's source of the server's own major version, and the parts of it that the suites of its own need.
# The folder is shared by them: $SOURCES/../postgres/source.

postgres_source() {
	source=$(dirname "$SOURCES")/postgres/source
	[ ! -e "$source/built" ] || return 0
	rm -rf "$(dirname "$source")"
	mkdir -p "$(dirname "$source")"
	major=$(pg_config --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
	# The source of the very server that is installed: tests and answers belong together.
	debian_source "postgresql-$major=$(dpkg-query -W -f '${source:Version}' "postgresql-$major")" "$source"
	(
		cd "$source"
		./configure --quiet --without-icu --without-readline --without-zlib CFLAGS='-O1 -w'
		for part in src/backend/generated-headers src/port src/common src/interfaces/libpq src/test/regress src/test/isolation \
			src/test/modules/libpq_pipeline; do
			case $part in
			*/generated-headers) make -s -C src/backend generated-headers ;;
			*) make -s -j2 -C "$part" ;;
			esac
		done
	) > "$source/build.log" 2>&1 || { tail -20 "$source/build.log" >&2; return 1; }
	touch "$source/built"
}

# Debian's own programs of that version, pg_dump and others among them.
programs=$(pg_config --bindir)
# What runs the servers of tests: they refuse root.
as_other() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=durward-test --regid=durward-test --clear-groups "$@"
	else
		"$@"
	fi
}
