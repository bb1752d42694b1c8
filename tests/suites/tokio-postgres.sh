# tokio-postgres: the tests in its crate, which expect port 5433 and the roles made here.
. "$SUITES/lib.sh"
case $1 in
get)
	manifest=$(cargo metadata --format-version 1 | tr ',' '\n' | sed -nE 's/^"manifest_path":"(.*\/tokio-postgres-[0-9.]+\/Cargo.toml)"$/\1/p')
	[ -n "$manifest" ] || { echo 'tokio-postgres is not among the dependencies' >&2; exit 1; }
	cp -r "$(dirname "$manifest")" "$SOURCES/source"
	chmod -R u+w "$SOURCES/source"
	printf '\n[workspace]\n' >> "$SOURCES/source/Cargo.toml"
	;;
run)
	for extension in hstore citext ltree; do
		prepare postgres "CREATE EXTENSION IF NOT EXISTS $extension"
	done
	for role in pass_user md5_user scram_user; do
		kind=scram-sha-256
		[ $role != md5_user ] || kind=md5
		prepare postgres "DROP ROLE IF EXISTS $role" \
			"SET password_encryption = '$kind'; CREATE ROLE $role LOGIN PASSWORD '$PGPASSWORD'"
	done
	rm -rf "$SOURCES/run"
	mkdir -p "$SOURCES/run"
	cp -r "$SOURCES/source/." "$SOURCES/run"
	cd "$SOURCES/run"
	find tests -name '*.rs' -exec sed -i -E "s/5433/$PGPORT/g; s/password=password/password=$PGPASSWORD/g;
		s/user=postgres/user=postgres password=$PGPASSWORD/g" {} +
	features=array-impls,with-bit-vec-0_6,with-bit-vec-0_7,with-bit-vec-0_8,with-chrono-0_4,with-eui48-1,with-geo-types-0_6
	features=$features,with-geo-types-0_7,with-jiff-0_1,with-jiff-0_2,with-serde_json-1,with-smol_str-01,with-time-0_2
	features=$features,with-time-0_3,with-uuid-0_8,with-uuid-1
	export CARGO_TARGET_DIR="$SOURCES/target" CARGO_PROFILE_DEV_DEBUG=0
	cargo test -q -j2 --test test --features "$features" --no-run 2> "$OUT/build.log"
	cargo test -j2 --test test --features "$features" > "$OUT/log" 2>&1 || [ $? = 101 ]
	sed -nE 's/^test (.*) \.\.\. ok$/pass \1/p; s/^test (.*) \.\.\. FAILED$/FAIL \1/p; s/^test (.*) \.\.\. ignored.*/skip \1/p' \
		"$OUT/log" > "$OUT/outcomes.txt"
	;;
esac
