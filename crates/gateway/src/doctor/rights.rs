//! What the credential's role may do on its server, against what policies could ever allow.

use model::{Action, TargetName};
use policy::Policies;

use super::{Check, Grade, check, mended};
use crate::protocols::postgres::Control;

/// Attributes of the role, in the order of [`super::FACTS`]: the column, the word that takes it away, and what only such a
/// role can do.
const ATTRIBUTES: [(usize, &str, &[Action]); 5] = [
    (2, "NOSUPERUSER", &[]),
    (3, "NOCREATEROLE", &[Action::Grant]),
    (4, "NOREPLICATION", &[Action::Replicate]),
    (5, "NOBYPASSRLS", &[]),
    (8, "NOCREATEDB", &[Action::Create]),
];

/// PostgreSQL's own roles that reach beyond tables, and what members can do.
const MEMBERSHIPS: [(&str, &[Action]); 9] = [
    ("pg_read_server_files", &[Action::ServerFile]),
    ("pg_write_server_files", &[Action::ServerFile]),
    ("pg_execute_server_program", &[Action::Program]),
    ("pg_signal_backend", &[Action::OtherSession]),
    ("pg_write_all_data", WRITES),
    ("pg_maintain", &[Action::Maintain]),
    ("pg_checkpoint", &[Action::Maintain]),
    ("pg_create_subscription", &[Action::Egress, Action::Replicate]),
    ("pg_use_reserved_connections", &[]),
];

const WRITES: &[Action] = &[Action::Insert, Action::Update, Action::Delete, Action::Truncate, Action::Merge];
const DEFINES: &[Action] = &[Action::Alter, Action::Drop, Action::Create, Action::Index, Action::Truncate];

/// The roles that this one is a member of, directly or not. A closed list: it is run by `doctor` alone.
const ROLES: &str = "SELECT r.rolname FROM pg_catalog.pg_roles AS r \
    WHERE r.rolname OPERATOR(pg_catalog.~) '^pg_' AND pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')";

/// Schemas with tables that the role may write or owns, and how many.
const TABLES: &str = "SELECT n.nspname, \
    pg_catalog.count(*) FILTER (WHERE pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')), \
    pg_catalog.count(*) FILTER (WHERE pg_catalog.pg_has_role(current_user, c.relowner, 'USAGE')) \
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND n.nspname OPERATOR(pg_catalog.!~) '^pg_' \
    AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema' GROUP BY n.nspname ORDER BY n.nspname";

/// Looks at the role. `row` is the answer to [`super::FACTS`].
pub(super) async fn look(
    control: &mut Control,
    row: &[Option<String>],
    user: &str,
    target: &TargetName,
    policies: &Policies,
) -> Vec<Check> {
    let could = |actions: &[Action]| actions.iter().any(|action| policies.permits(*action, target));
    let is = |index: usize| row.get(index).and_then(Option::as_deref) == Some("t");
    let role = quoted(user);
    let mut found = Vec::new();
    let mut words = Vec::new();
    for (index, word, actions) in ATTRIBUTES {
        if is(index) && !could(actions) {
            words.push(word);
        }
    }
    if !words.is_empty() {
        let has: Vec<String> = words.iter().map(|word| word.trim_start_matches("NO").to_owned()).collect();
        let says = format!("the role has {}, which no policy needs", has.join(", "));
        // Whoever takes it from the one superuser that there is has none any more.
        let mend = match is(2) {
            true => "CREATE ROLE durward LOGIN PASSWORD '…', GRANT it what it is for, and give the gateway that role".to_owned(),
            false => format!("ALTER ROLE {role} {}", words.join(" ")),
        };
        found.push(mended("role", Grade::Warning, says, mend));
    }
    if is(2) {
        // A superuser is everything else as well.
        return found;
    }
    let mut ask = async |sql: &str| control.query(sql).await.unwrap_or_default();
    let roles: Vec<String> = ask(ROLES).await.into_iter().flatten().flatten().collect();
    for (name, actions) in MEMBERSHIPS {
        if roles.iter().any(|role| role == name) && !could(actions) {
            let says = format!("the role is a member of {name}, and no policy allows what that is for");
            found.push(mended("role", Grade::Warning, says, format!("REVOKE {name} FROM {role}")));
        }
    }
    let number = |cell: Option<&Option<String>>| {
        cell.and_then(Option::as_deref).and_then(|n| n.parse::<u64>().ok()).unwrap_or_default()
    };
    for row in ask(TABLES).await {
        let schema = row.first().cloned().flatten().unwrap_or_default();
        let (written, owned) = (number(row.get(1)), number(row.get(2)));
        if owned > 0 && !could(DEFINES) {
            let says = format!(
                "the role owns {owned} tables of {schema}, so it may drop and alter them, and no policy allows that"
            );
            let mend = format!("ALTER TABLE {}.… OWNER TO another_role", quoted(&schema));
            found.push(mended("role", Grade::Warning, says, mend));
        } else if written > 0 && !could(WRITES) {
            let says =
                format!("the role may write {written} tables of {schema}, and no policy allows a write");
            let mend = format!(
                "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA {} FROM {role}",
                quoted(&schema)
            );
            found.push(mended("role", Grade::Warning, says, mend));
        }
    }
    if found.is_empty() {
        found.push(check("role", Grade::Good, "the credential's role has no more than policies could allow"));
    }
    found
}

/// As SQL writes an identifier.
pub(super) fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}
