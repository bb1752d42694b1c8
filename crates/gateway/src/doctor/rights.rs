//! What the credential's role may do on its server, against what policies could ever allow.

use std::collections::BTreeSet;

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

/// Where [`super::FACTS`] has the role's number, and that of the server's first one, which is a superuser for ever.
const OID: usize = 9;
const BOOTSTRAP: &str = "10";

const WRITES: &[Action] = &[Action::Insert, Action::Update, Action::Delete, Action::Truncate, Action::Merge];
const DEFINES: &[Action] = &[Action::Alter, Action::Drop, Action::Create, Action::Index, Action::Truncate];

/// PostgreSQL's own roles that this one is a member of, and which of its own memberships each comes by. A closed list, as all of
/// these are: it is run by `doctor` alone.
const ROLES: &str = "SELECT DISTINCT r.rolname, d.rolname FROM pg_catalog.pg_roles AS r, pg_catalog.pg_auth_members AS m \
    JOIN pg_catalog.pg_roles AS d ON d.oid OPERATOR(pg_catalog.=) m.roleid \
    JOIN pg_catalog.pg_roles AS me ON me.oid OPERATOR(pg_catalog.=) m.member \
    WHERE me.rolname OPERATOR(pg_catalog.=) current_user AND r.rolname OPERATOR(pg_catalog.~) '^pg_' \
    AND pg_catalog.pg_has_role(d.oid, r.oid, 'MEMBER') ORDER BY 1, 2";

/// By what the role may write tables of a schema: everybody's right, its own, or that of a role which it is a member of.
const WAYS: &str = "SELECT DISTINCT n.nspname, a.grantee OPERATOR(pg_catalog.=) 0, d.rolname \
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a \
    JOIN pg_catalog.pg_roles AS me ON me.rolname OPERATOR(pg_catalog.=) current_user \
    LEFT JOIN pg_catalog.pg_auth_members AS m ON m.member OPERATOR(pg_catalog.=) me.oid \
    AND a.grantee OPERATOR(pg_catalog.<>) 0 AND a.grantee OPERATOR(pg_catalog.<>) me.oid \
    AND pg_catalog.pg_has_role(m.roleid, CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0 THEN me.oid ELSE a.grantee END, 'USAGE') \
    LEFT JOIN pg_catalog.pg_roles AS d ON d.oid OPERATOR(pg_catalog.=) m.roleid \
    WHERE c.relkind IN ('r', 'p') AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE') \
    AND (a.grantee OPERATOR(pg_catalog.=) 0 OR a.grantee OPERATOR(pg_catalog.=) me.oid OR d.rolname IS NOT NULL) ORDER BY 1, 2, 3";

/// Those roles of two names that are there.
const NAMED: &str = "SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) 'durward' \
    OR r.rolname OPERATOR(pg_catalog.=) (current_user::pg_catalog.text OPERATOR(pg_catalog.||) '_owner')";

/// PostgreSQL's own roles that read and write everything, where there are such (from 14 on).
const WHOLE: &str = "SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) 'pg_read_all_data' \
    OR r.rolname OPERATOR(pg_catalog.=) 'pg_write_all_data'";

/// Schemas with tables that the role may write or owns, how many, and which of its own memberships make it an owner.
const TABLES: &str = "SELECT n.nspname, \
    pg_catalog.count(*) FILTER (WHERE pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')), \
    pg_catalog.count(*) FILTER (WHERE pg_catalog.pg_has_role(current_user, c.relowner, 'USAGE')), \
    pg_catalog.string_agg(DISTINCT (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(d.rolname), ', ' ORDER BY d.rolname) \
    FROM pg_catalog.pg_auth_members AS m JOIN pg_catalog.pg_roles AS d ON d.oid OPERATOR(pg_catalog.=) m.roleid \
    JOIN pg_catalog.pg_roles AS me ON me.oid OPERATOR(pg_catalog.=) m.member \
    WHERE me.rolname OPERATOR(pg_catalog.=) current_user AND me.oid OPERATOR(pg_catalog.<>) c.relowner \
    AND pg_catalog.pg_has_role(d.oid, c.relowner, 'USAGE')), ', ') \
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
    let mut ask = async |sql: &str| control.query(sql).await.unwrap_or_default();
    if !words.is_empty() {
        let has: Vec<String> = words.iter().map(|word| word.trim_start_matches("NO").to_owned()).collect();
        let says = format!("the role has {}, which no policy needs", has.join(", "));
        found.push(if row.get(OID).and_then(Option::as_deref) == Some(BOOTSTRAP) {
            let there = ask(NAMED).await.into_iter().flatten().flatten().any(|name| name == "durward");
            let whole: BTreeSet<String> = ask(WHOLE).await.into_iter().flatten().flatten().collect();
            let schemas = ask(TABLES).await.into_iter().filter_map(|row| row.into_iter().next().flatten());
            let grants = using("durward", &whole, &schemas.collect::<Vec<_>>(), could(WRITES));
            let mend = format!("{}{grants}", if there { "" } else { "CREATE ROLE durward LOGIN; " });
            let advice = "the server's first role keeps its rights; let the gateway log in as another, with a password: user = \"durward\" \
                          in the target's file, with its password_file, then durward apply -f DIRECTORY; or durward up with that \
                          name in the address";
            mended("role", Grade::Warning, says, mend).advising(advice)
        } else {
            let check = mended("role", Grade::Warning, says, format!("ALTER ROLE {role} {}", words.join(" ")));
            let advice = "what it is to read has to be granted to it then: GRANT SELECT ON ALL TABLES IN SCHEMA NAME";
            if is(2) { check.advising(advice) } else { check }
        });
    }
    if is(2) {
        // A superuser is everything else as well.
        return found;
    }
    let pairs = |rows: Vec<Vec<Option<String>>>| {
        rows.into_iter().filter_map(|row| {
            let mut cells = row.into_iter();
            Some((cells.next()??, cells.next()??))
        })
    };
    let roles: Vec<(String, String)> = pairs(ask(ROLES).await).collect();
    for (name, actions) in MEMBERSHIPS {
        let ways: Vec<String> =
            roles.iter().filter(|(role, _)| role == name).map(|(_, way)| quoted(way)).collect();
        if !ways.is_empty() && !could(actions) {
            let says = format!("the role is a member of {name}, and no policy allows what that is for");
            let mend = format!("REVOKE {} FROM {role}", ways.join(", "));
            found.push(mended("role", Grade::Warning, says, mend));
        }
    }
    let number = |cell: Option<&Option<String>>| {
        cell.and_then(Option::as_deref).and_then(|n| n.parse::<u64>().ok()).unwrap_or_default()
    };
    let (mut owned, mut written) = (Vec::new(), Vec::new());
    for row in ask(TABLES).await {
        let schema = row.first().cloned().flatten().unwrap_or_default();
        let by = row.get(3).cloned().flatten().unwrap_or_default();
        if number(row.get(2)) > 0 && !could(DEFINES) && !by.is_empty() {
            let says = format!(
                "the role is a member of {by}, so it may drop and alter tables of {schema}, and no policy allows that"
            );
            let mut mend = format!("REVOKE {by} FROM {role}; ");
            mend.push_str(&using(&role, &BTreeSet::new(), std::slice::from_ref(&schema), could(WRITES)));
            found.push(mended("role", Grade::Warning, says, mend));
        } else if number(row.get(2)) > 0 && !could(DEFINES) {
            owned.push((schema, number(row.get(2))));
        } else if number(row.get(1)) > 0 && !could(WRITES) {
            written.push((schema, number(row.get(1))));
        }
    }
    if !owned.is_empty() {
        let there = ask(NAMED).await.into_iter().flatten().flatten().any(|name| name != "durward");
        found.push(of_owner(user, &owned, there, could(WRITES)));
    }
    let ways = if written.is_empty() { Vec::new() } else { ask(WAYS).await };
    for (schema, count) in written {
        let says = format!("the role may write {count} tables of {schema}, and no policy allows a write");
        let mend = Some(taking(&role, &schema, &ways)).filter(|mend| !mend.is_empty());
        // Where there is none it comes by a role of PostgreSQL's, which is told above.
        found.push(Check { mend, ..check("role", Grade::Warning, says) });
    }
    if found.is_empty() {
        found.push(check("role", Grade::Good, "the credential's role has no more than policies could allow"));
    }
    found
}

/// Whoever owns tables may do everything with them. `there` says whether there is a role already that could own them.
fn of_owner(user: &str, owned: &[(String, u64)], there: bool, writes: bool) -> Check {
    let counted: Vec<String> =
        owned.iter().map(|(schema, count)| format!("{count} tables of {schema}")).collect();
    let says = format!(
        "the role owns {}, so it may drop and alter them, and no policy allows that",
        counted.join(", ")
    );
    let (role, owner) = (quoted(user), quoted(&format!("{user}_owner")));
    let mut mend = if there { String::new() } else { format!("CREATE ROLE {owner} NOLOGIN; ") };
    let schemas: Vec<String> = owned.iter().map(|(schema, _)| schema.clone()).collect();
    mend.push_str(&format!(
        "REASSIGN OWNED BY {role} TO {owner}; {}",
        using(&role, &BTreeSet::new(), &schemas, writes)
    ));
    mended("role", Grade::Warning, says, mend).advising("in the target's database, as a superuser:")
}

/// Lets a role read, and write where policies could allow that: by roles of PostgreSQL's where they are among `whole`, else schema by
/// schema.
fn using(role: &str, whole: &BTreeSet<String>, schemas: &[String], writes: bool) -> String {
    let wanted: &[&str] =
        if writes { &["pg_read_all_data", "pg_write_all_data"] } else { &["pg_read_all_data"] };
    if wanted.iter().all(|name| whole.contains(*name)) {
        return format!("GRANT {} TO {role}", wanted.join(", "));
    }
    let rights = if writes { "SELECT, INSERT, UPDATE, DELETE" } else { "SELECT" };
    let mut statements = Vec::new();
    for schema in schemas.iter().map(|schema| quoted(schema)) {
        statements.push(format!("GRANT USAGE ON SCHEMA {schema} TO {role}"));
        statements.push(format!("GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {role}"));
        if writes {
            statements.push(format!("GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"));
        }
    }
    statements.join("; ")
}

/// Takes away that a role may write tables of a schema, by each way that it may.
fn taking(role: &str, schema: &str, ways: &[Vec<Option<String>>]) -> String {
    let (mut whose, mut members) = (Vec::new(), Vec::new());
    for way in ways.iter().filter(|way| way.first().and_then(Option::as_deref) == Some(schema)) {
        match (way.get(1).and_then(Option::as_deref), way.get(2).and_then(Option::as_deref)) {
            (Some("t"), _) => whose.push("PUBLIC".to_owned()),
            (_, Some(member)) => members.push(quoted(member)),
            (_, None) => whose.push(role.to_owned()),
        }
    }
    let mut statements = Vec::new();
    if !whose.is_empty() {
        statements.push(format!(
            "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA {} FROM {}",
            quoted(schema),
            whose.join(", ")
        ));
    }
    if !members.is_empty() {
        statements.push(format!("REVOKE {} FROM {role}", members.join(", ")));
    }
    statements.join("; ")
}

/// As SQL writes an identifier.
pub(super) fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}
