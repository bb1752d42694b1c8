# Django: what its own suite asks of PostgreSQL and of any backend.
. "$SUITES/lib.sh"
VERSION=5.2.19
case $1 in
get)
	python_with psycopg[binary]==3.3.9 asgiref sqlparse tblib jinja2
	python_source "django==$VERSION" "$SOURCES/source"
	;;
run)
	prepare postgres 'DROP DATABASE IF EXISTS test_django WITH (FORCE)' 'DROP DATABASE IF EXISTS test_other WITH (FORCE)'
	fresh django
	fresh other
	cat > "$SOURCES/settings_of_ours.py" <<PY
def database(name):
    return {
        "ENGINE": "django.db.backends.postgresql", "NAME": name, "HOST": "$PGHOST", "PORT": "$PGPORT",
        "USER": "$PGUSER", "PASSWORD": "$PGPASSWORD",
    }
DATABASES = {"default": database("django"), "other": database("other")}
SECRET_KEY = "of tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
PY
	cd "$SOURCES/source/tests"
	export PYTHONPATH="$SOURCES/source:$SOURCES"
	"$SOURCES/venv/bin/python" -B runtests.py --settings=settings_of_ours --parallel=1 --noinput -v 2 \
		postgres_tests backends introspection inspectdb schema transactions transaction_hooks migrations constraints indexes \
		select_for_update queries lookup expressions expressions_window expressions_case aggregation annotations bulk_create \
		db_functions model_fields datatypes raw_query async composite_pk > "$OUT/log" 2>&1 || [ $? = 1 ]
	"$SOURCES/venv/bin/python" -B "$SUITES/unittest_outcomes.py" < "$OUT/log" > "$OUT/outcomes.txt"
	;;
esac
