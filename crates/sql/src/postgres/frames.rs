//! Under which names a body runs: its search path, how far that path is certain, and with whose rights.

use std::borrow::Cow;

use super::catalog::{Function, Oid, Relation, Type};
use super::walk::Walk;

/// How far the search path in force says which object a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Reach {
    /// Its schemas are there and may be used: the first that has the name.
    #[default]
    Certain,
    /// Whoever runs the body may not use some of its schemas, and the server passes over these: any that has the name.
    Listed,
    /// The server makes the path anew for another role, whose own schema is in it and who may use others: any schema of
    /// the database.
    Anywhere,
}

/// The names that are in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names<'a> {
    /// Schemas, in order.
    pub path: Cow<'a, [String]>,
    /// How far that is certain.
    pub reach: Reach,
    /// Somebody else's rights are in force than the session's role's.
    pub definer: bool,
}

/// Names under which bodies were read, by their place in [`Walk::frames`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Frame(usize);

impl<'a> Walk<'a> {
    /// The names under which a function that is called here runs, unless it sets a path of its own: what its body does
    /// is known by the function together with these.
    pub(super) fn frame(&mut self) -> Frame {
        let now = match &self.outside {
            Some(outside) => outside,
            None => &self.names,
        };
        let known = self.frames.iter().position(|frame| frame == now);
        let place = known.unwrap_or_else(|| {
            self.frames.push(now.clone());
            self.frames.len() - 1
        });
        Frame(place)
    }

    /// The names under which a function's body runs.
    pub(super) fn names_of(&self, function: &Function, outside: Option<&Names<'a>>) -> Names<'a> {
        let around = outside.unwrap_or(&self.names);
        let definer = around.definer || function.security_definer;
        let own = function.config.iter().find(|(setting, _)| setting == "search_path");
        let (path, reach) = match own {
            Some((_, value)) => self.path_of(value, definer),
            // The schemas that the session's role may use are not those of the function's owner.
            None if function.security_definer => (around.path.clone(), Reach::Anywhere),
            None => (around.path.clone(), around.reach),
        };
        Names { path, reach, definer }
    }

    /// A search path as a function's configuration has it: the server's implicit schemas and those that it names.
    fn path_of(&self, value: &str, definer: bool) -> (Cow<'a, [String]>, Reach) {
        let Some(named) = identifiers(value) else { return (Cow::Owned(Vec::new()), Reach::Anywhere) };
        let temporary = self.temporary().map(str::to_owned);
        let (mut path, mut reach) = (Vec::new(), Reach::Listed);
        if !named.iter().any(|n| n == "pg_temp") {
            path.extend(temporary.clone());
        }
        if !named.iter().any(|n| n == "pg_catalog") {
            path.push("pg_catalog".to_owned());
        }
        for name in named {
            match name.as_str() {
                "" => (),
                "pg_temp" => path.extend(temporary.clone()),
                "$user" if definer => reach = Reach::Anywhere,
                "$user" => path.push(self.session.role.to_owned()),
                _ => path.push(name),
            }
        }
        (Cow::Owned(path), reach)
    }

    /// The relation that a name without a schema means.
    pub(super) fn relation_seen(&mut self, name: &str) -> Option<&'a Relation> {
        let catalog = self.catalog;
        self.shown(&format!("relation \"{name}\""), |schema| catalog.relation(schema, name), |r| r.oid)
    }

    /// The type that a name without a schema means.
    pub(super) fn type_seen(&mut self, name: &str) -> Option<&'a Type> {
        let catalog = self.catalog;
        self.shown(&format!("type \"{name}\""), |schema| catalog.type_named(schema, name), |t| t.oid)
    }

    /// The schemas that are searched for a name without one.
    pub(super) fn schemas_seen(&self) -> Vec<String> {
        match self.names.reach {
            Reach::Certain | Reach::Listed => self.names.path.to_vec(),
            Reach::Anywhere => self.catalog.schemas.keys().cloned().collect(),
        }
    }

    /// The first that the path shows. Where that is not certain and there are others of the name, nobody can say which.
    fn shown<T>(
        &mut self,
        what: &str,
        of: impl Fn(&str) -> Option<&'a T>,
        oid: impl Fn(&T) -> Oid,
    ) -> Option<&'a T> {
        let catalog = self.catalog;
        let first = self.names.path.iter().find_map(|schema| of(schema));
        // The session's own temporary objects and, behind them, the server's are before all that is not certain.
        let implicit = |schema: &&String| schema.starts_with("pg_temp_") || *schema == "pg_catalog";
        let foremost = self.names.path.iter().take_while(implicit).any(|schema| of(schema).is_some());
        let mut others: Vec<&'a T> = match self.names.reach {
            Reach::Certain => return first,
            Reach::Listed if foremost => return first,
            Reach::Listed => self.names.path.iter().filter_map(|schema| of(schema)).collect(),
            Reach::Anywhere => {
                let lasting = catalog.schemas.keys().filter(|schema| !schema.starts_with("pg_temp_"));
                lasting.filter_map(|schema| of(schema)).collect()
            }
        };
        let found = first.or_else(|| others.first().copied());
        others.retain(|other| found.is_none_or(|found| oid(found) != oid(other)));
        if !others.is_empty() {
            self.unknown(format!(
                "{what} is there in several schemas, and which of them the code means goes by the rights that it runs with"
            ));
        }
        found
    }

    /// The schema in which something is made that is named without one.
    pub(super) fn creation_schema(&mut self) -> String {
        if self.names.reach != Reach::Certain {
            self.unknown("the schema in which something is made goes by the rights that the code runs with");
        }
        let first = self.names.path.iter().find(|s| *s != "pg_catalog" && !s.starts_with("pg_temp"));
        first.cloned().unwrap_or_default()
    }

    /// The schema that `pg_temp` stands for.
    pub(super) fn temporary(&self) -> Option<&str> {
        self.names.path.iter().map(String::as_str).find(|schema| schema.starts_with("pg_temp_"))
    }

    /// Whether functions and operators of a schema are found without a qualifier. Temporary schemas never are.
    pub(super) fn sees(&self, schema: &str) -> bool {
        let shown =
            self.names.reach == Reach::Anywhere || self.names.path.iter().any(|listed| listed == schema);
        shown && !schema.starts_with("pg_temp")
    }

    /// Whether what stands in this schema certainly hides what stands behind it in the path.
    pub(super) fn hides(&self, schema: &str) -> bool {
        match self.names.reach {
            Reach::Certain => true,
            Reach::Listed => schema == "pg_catalog",
            Reach::Anywhere => false,
        }
    }

    /// Where a schema stands in the path.
    pub(super) fn rank(&self, schema: &str) -> usize {
        self.names.path.iter().position(|s| s == schema).unwrap_or(usize::MAX)
    }
}

/// A list of names with commas between, as the server splits it: what is not in quotes is folded. `None` where it is no
/// such list.
fn identifiers(list: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let name;
        (name, rest) = match rest.strip_prefix('"') {
            Some(inside) => quoted(inside)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (name, behind) = rest.split_at(end);
                (name.trim().to_ascii_lowercase(), behind)
            }
        };
        names.push(name);
        rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind.trim_start(),
            None if rest.is_empty() => (),
            None => return None,
        }
    }
    Some(names)
}

/// A name up to its closing quote, and what is behind it.
fn quoted(inside: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = inside;
    loop {
        let (before, behind) = rest.split_once('"')?;
        name.push_str(before);
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::identifiers;

    #[test]
    fn a_list_of_names_is_split_as_the_server_does() {
        for (list, names) in [
            ("shop, \"$user\"", &["shop", "$user"][..]),
            ("Shop,\"a, b\" ,\"c\"\"d\"", &["shop", "a, b", "c\"d"]),
            ("\"\"", &[""]),
            ("", &[]),
        ] {
            assert_eq!(identifiers(list).expect(list), names, "{list}");
        }
        for list in ["\"open", "\"a\" b"] {
            assert_eq!(identifiers(list), None, "{list}");
        }
    }
}
