# What the scripts of the suites share. Each of them is run by `cargo xtask conformance` as
#
#     sh -eu NAME.sh get      # fetches and builds in $SOURCES, once
#     sh -eu NAME.sh run      # runs against $PGHOST:$PGPORT and leaves outcomes in $OUT
#
# Outcomes are JUnit's *.xml, or *.txt with lines `pass NAME`, `FAIL NAME` and `skip NAME`. PGUSER and PGPASSWORD are good for
# $PGPORT; at $SERVER_PORT is the server itself, with no password, to prepare it. $GATEWAY_BIN is set on the way through the
# gateway, $PYTHON is a Python of our own.

# SQL for the server itself: database, statements…
prepare() {
	database=$1
	shift
	for statement in "$@"; do
		PGOPTIONS='-c client_min_messages=warning' psql -XqAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$SERVER_PORT" -U postgres \
			-d "$database" -c "$statement" >&2
	done
}

# An empty database.
fresh() {
	prepare postgres "DROP DATABASE IF EXISTS \"$1\" WITH (FORCE)" "CREATE DATABASE \"$1\""
}

# Debian's source of a package, unpacked in a folder. Machines seldom list sources, so the lists are our own. Mirrors do not
# have every source: where the folder $DURWARD_SUITE_SOURCES has one of the package's name, that is taken.
debian_source() {
	if [ -d "${DURWARD_SUITE_SOURCES:-/none}/${1%%=*}" ]; then
		mkdir -p "$2"
		cp -a "$DURWARD_SUITE_SOURCES/${1%%=*}/." "$2"
		return
	fi
	lists=$SOURCES/apt
	mkdir -p "$lists/state/lists/partial" "$lists/cache/archives/partial"
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list.d/ubuntu.sources; do
		[ -s "$file" ] || continue
		sed -E 's/^Types:.*/Types: deb-src/; s/^deb /deb-src /' "$file" > "$lists/$(basename "$file")"
	done
	# A file of one kind and a folder of the other, so that both kinds are read.
	set -- "$1" "$2" -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$lists" \
		-o "Dir::State::lists=$lists/state/lists" -o "Dir::Cache=$lists/cache" -o APT::Sandbox::User=root
	[ ! -e "$lists/sources.list" ] || mv "$lists/sources.list" "$lists/own.list"
	package=$1 folder=$2
	shift 2
	apt-get -qq "$@" update
	(cd "$lists" && apt-get -qq "$@" source --download-only "$package" && dpkg-source --no-check -x ./*.dsc "$folder" > /dev/null)
	rm -rf "$lists"
}

# The source distribution of one of Python's packages, unpacked in $SOURCES/$2. What it is built with comes compiled: building
# that, too, would take a quarter of an hour.
python_source() {
	mkdir -p "$2" "$SOURCES/sdist"
	"$PYTHON" -m pip download -q --no-deps --no-binary "${1%%=*}" -d "$SOURCES/sdist" "$1"
	tar xf "$SOURCES"/sdist/*.tar.gz --strip-components 1 -C "$2"
	rm -rf "$SOURCES/sdist"
}

# A Python with packages for one suite: $SOURCES/venv.
python_with() {
	python3 -m venv "$SOURCES/venv"
	"$SOURCES/venv/bin/python" -m pip install -q pytest pytest-timeout "$@"
}

# pytest of that Python, its outcomes in $OUT. Tests that fail are no failure of the script.
pytest() {
	"$SOURCES/venv/bin/python" -B -m pytest -q --junitxml="$OUT/outcomes.xml" "$@" || [ $? = 1 ]
}

# Lines of TAP as outcomes, each with the name of its file in front: tap NAME < TAP > OUTCOMES
tap() {
	# Seeds and processes are other ones each time.
	sed -E 's/(seeded with|seed to) [0-9]+/\1 N/g; s/(pgbench_log_[0-9]+)\.[0-9]+/\1/g; s/(transaction count for .*) \([0-9]+\)/\1/' |
	sed -nE "s/^ok [0-9]+ - (.*) # SKIP.*/skip $1: \1/p; t; s/^ok [0-9]+ *-? (.*)/pass $1: \1/p; s/^not ok [0-9]+ *-? (.*)/FAIL $1: \1/p"
}
