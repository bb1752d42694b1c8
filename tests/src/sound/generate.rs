//! Random statements over random schemas, the same for the same seed. Most are statements that the server takes; those that
//! it does not take tell nothing and do no harm.

use std::fmt::Write as _;

use super::sample::{LAST, OBJECTS, PATHS, STATISTICS, TYPES, speaking};
use super::shadows::shadowed;

/// Numbers that look random (xorshift).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % count.max(1)
    }

    /// Whether something happens that does so `chances` times of ten.
    fn lucky(&mut self, chances: usize) -> bool {
        self.below(10) < chances
    }

    pub(super) fn of<'t, T: ?Sized>(&mut self, items: &[&'t T]) -> &'t T {
        items[self.below(items.len())]
    }
}

struct Table {
    schema: &'static str,
    name: String,
    columns: Vec<(String, &'static str)>,
    is_view: bool,
}

impl Table {
    fn written(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// An item of `FROM` in sight.
#[derive(Clone)]
struct Item {
    alias: String,
    columns: Vec<(String, &'static str)>,
}

/// Random statements over one random schema.
pub(super) struct Generator {
    dice: Dice,
    tables: Vec<Table>,
    names: usize,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        let mut this = Self { dice: Dice::new(seed), tables: Vec::new(), names: 0 };
        this.dice.below(10);
        this
    }

    /// Statements that make the schema, one after the other.
    pub(super) fn schema(&mut self) -> Vec<String> {
        let mut all: Vec<String> = vec![speaking(OBJECTS), STATISTICS.to_owned()];
        for index in 0..5 {
            let schema = match index {
                0 => "g0",
                4 => self.dice.of(&["g1", "g2"]),
                _ => self.dice.of(&["g0", "g1", "g2"]),
            };
            let columns: Vec<(String, &'static str)> = (0..3 + self.dice.below(4))
                .map(|column| {
                    (
                        format!("c{}", if column == 0 { 0 } else { column + self.dice.below(2) * 10 }),
                        if column == 0 { "int" } else { TYPES[self.dice.below(TYPES.len())].0 },
                    )
                })
                .collect();
            // Two tables may have one name, so that the path decides.
            let name = if index == 4 { "t0".to_owned() } else { format!("t{index}") };
            let listed: Vec<String> = columns.iter().map(|(n, t)| format!("{n} {t}")).collect();
            let key = if self.dice.lucky(6) { ", PRIMARY KEY (c0)" } else { "" };
            all.push(format!("CREATE TABLE {schema}.{name} ({}{key})", listed.join(", ")));
            if self.dice.lucky(3) {
                let event = self.dice.of(&["INSERT", "UPDATE", "DELETE"]);
                all.push(format!(
                    "CREATE TRIGGER noted BEFORE {event} ON {schema}.{name} FOR EACH ROW EXECUTE FUNCTION g0.note()"
                ));
            }
            if self.dice.lucky(2) {
                all.push(format!(
                    "CREATE TABLE {schema}.{name}_child (extra int) INHERITS ({schema}.{name})"
                ));
            }
            let written = format!("{schema}.{name}");
            self.tables.push(Table { schema, name, columns, is_view: false });
            all.extend(self.machinery(&written, index, !key.is_empty()));
        }
        all.push("SET search_path = pg_catalog, g1, g2, g0".to_owned());
        for index in 0..5 {
            let (query, columns) = self.view();
            let schema = self.dice.of(&["g0", "g1", "g2"]);
            all.push(format!("CREATE VIEW {schema}.v{index} AS {query}"));
            self.tables.push(Table { schema, name: format!("v{index}"), columns, is_view: true });
        }
        all.push(LAST.to_owned());
        all
    }

    /// What the server does by itself with a table's rows, and some rows.
    fn machinery(&mut self, table: &str, index: usize, keyed: bool) -> Vec<String> {
        let event = self.dice.of(&["INSERT", "UPDATE", "DELETE"]);
        let row = if event == "DELETE" { "old" } else { "new" };
        let mut possible = vec![
            format!("ALTER TABLE {table} ADD COLUMN given int DEFAULT g0.given()"),
            format!("ALTER TABLE {table} ADD COLUMN twice int GENERATED ALWAYS AS (g0.twice(c0)) STORED"),
            format!("ALTER TABLE {table} ADD CHECK (g0.is_positive(c0))"),
            format!("CREATE INDEX ON {table} (g0.twice(c0)) WHERE g0.fine(c0)"),
            format!("CREATE RULE also AS ON {event} TO {table} DO ALSO INSERT INTO g0.log VALUES (g1.f({row}.c0))"),
            format!(
                "CREATE CONSTRAINT TRIGGER late AFTER {event} ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
                 WHEN (g0.fine({row}.c0)) EXECUTE FUNCTION g0.logs()"
            ),
            format!(
                "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
                 CREATE POLICY some ON {table} USING (g0.fine(c0)) WITH CHECK (g0.is_positive(c0))"
            ),
        ];
        if keyed {
            possible.push(format!(
                "CREATE TABLE g0.follows{index} (r int REFERENCES {table} ON DELETE CASCADE ON UPDATE SET NULL);
                 CREATE TRIGGER noted AFTER UPDATE OR DELETE ON g0.follows{index} FOR EACH ROW EXECUTE FUNCTION g0.note()"
            ));
        }
        let mut all: Vec<String> = possible.into_iter().filter(|_| self.dice.lucky(3)).collect();
        let columns = self.tables.last().map(|t| t.columns.clone()).unwrap_or_default();
        for row in 1..=2 {
            let values =
                columns.iter().map(|(name, of)| match (name.as_str(), TYPES.iter().find(|(t, _)| t == of)) {
                    ("c0", _) => row.to_string(),
                    (_, Some((_, value))) => (*value).to_owned(),
                    (_, None) => "NULL".to_owned(),
                });
            let values = values.collect::<Vec<_>>().join(", ");
            let names = columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            all.push(format!("INSERT INTO {table} ({names}) VALUES ({values})"));
        }
        if all.iter().any(|made| made.contains("follows")) {
            all.push(format!("INSERT INTO g0.follows{index} VALUES (1), (2)"));
        }
        all
    }

    /// What a statement of the schema should have made is not there.
    pub(super) fn is_missing(&mut self, statement: &str) {
        self.tables.retain(|table| {
            !["TABLE", "VIEW"]
                .iter()
                .any(|kind| statement.starts_with(&format!("CREATE {kind} {} ", table.written())))
        });
    }

    /// A search path for the next statements.
    pub(super) fn path(&mut self) -> String {
        let path = self.dice.of(PATHS);
        format!("SET search_path = {}", if path.is_empty() { "''" } else { path })
    }

    fn view(&mut self) -> (String, Vec<(String, &'static str)>) {
        let mut from = Vec::new();
        let items = self.items(&mut from, 1);
        let mut columns = Vec::new();
        let mut list = Vec::new();
        for index in 0..2 + self.dice.below(3) {
            let of = TYPES[self.dice.below(4)].0;
            list.push(format!("{} AS w{index}", self.expression(of, &items, 2)));
            columns.push((format!("w{index}"), of));
        }
        let condition = self.expression("boolean", &items, 2);
        (format!("SELECT {} FROM {} WHERE {condition}", list.join(", "), from.join(", ")), columns)
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// One statement.
    pub(super) fn statement(&mut self) -> String {
        self.names = 0;
        match self.dice.below(18) {
            15..=17 => self.shadowed(),
            12 => self.utility(),
            13 => self.merge(),
            0 => self.insert(),
            1 => self.update(),
            2 => self.delete(),
            3 => self.with(),
            4 => self.set_operation(),
            _ => self.select(&[], 3).0,
        }
    }

    /// Names and stars that are easily mistaken.
    fn shadowed(&mut self) -> String {
        let index = self.dice.below(5).min(self.tables.len() - 1);
        let views: Vec<String> = self.tables.iter().filter(|t| t.is_view).map(Table::written).collect();
        let table = &self.tables[index];
        let view =
            if views.is_empty() { table.written() } else { views[self.dice.below(views.len())].clone() };
        let columns: Vec<String> = table.columns.iter().map(|(name, _)| name.clone()).collect();
        shadowed(&mut self.dice, &table.written(), &columns, &view)
    }

    /// Statements that no function holds.
    fn utility(&mut self) -> String {
        let table = self.written_table();
        let (query, _) = self.select(&[], 2);
        let other = self.update();
        let choices = [
            format!("EXPLAIN ANALYZE {query}"),
            format!("EXPLAIN {other}"),
            format!("EXPLAIN ANALYZE {other}"),
            format!("CREATE TEMP TABLE copied AS {query}"),
            format!("CREATE TABLE g1.copied AS {query}"),
            format!("CREATE VIEW g2.seen AS {query}"),
            format!("DECLARE some CURSOR WITH HOLD FOR {query}"),
            format!("DO 'BEGIN PERFORM g0.counted(); UPDATE {table} SET c0 = c0; END'"),
            format!("ANALYZE {table}"),
            format!("TRUNCATE {table} CASCADE"),
            format!("LOCK TABLE {table} IN SHARE MODE"),
            format!("CREATE INDEX ON {table} (g0.twice(c0))"),
            format!("ALTER TABLE {table} ADD COLUMN more int DEFAULT g0.given()"),
            format!("ALTER TABLE {table} ALTER COLUMN c0 TYPE bigint USING g0.twice(c0)"),
            format!("ALTER TABLE {table} ADD CHECK (g0.fine(c0))"),
            format!("COMMENT ON TABLE {table} IS 'x'"),
            format!("DROP TABLE {table} CASCADE"),
            "CALL g0.does(3)".to_owned(),
            "ANALYZE g0.parts".to_owned(),
            "REFRESH MATERIALIZED VIEW g1.stored".to_owned(),
            "UPDATE g0.parts SET k = 3 - k".to_owned(),
            "DELETE FROM g0.parts".to_owned(),
            "CREATE INDEX ON g0.parts (g0.twice(k))".to_owned(),
            "COPY g0.parts TO STDOUT".to_owned(),
            "SELECT g0.counted(), pg_advisory_xact_lock(1)".to_owned(),
        ];
        choices[self.dice.below(choices.len())].clone()
    }

    fn merge(&mut self) -> String {
        let (into, from) = (self.written_table(), self.written_table());
        let action = self.dice.of(&["UPDATE SET c0 = q.c0", "DELETE", "DO NOTHING"]);
        let value = self.expression("int", &[], 2);
        format!(
            "MERGE INTO {into} AS m USING {from} AS q ON m.c0 = q.c0 WHEN MATCHED THEN {action}
             WHEN NOT MATCHED THEN INSERT (c0) VALUES ({value})"
        )
    }

    fn with(&mut self) -> String {
        match self.dice.below(4) {
            0 => {
                let (query, columns) = self.select(&[], 2);
                let (first, _) = &columns[0];
                format!("WITH x AS ({query}) SELECT x.{first}, y.* FROM x, x AS y WHERE x IS NOT NULL")
            }
            1 => {
                let table = self.written_table();
                format!(
                    "WITH RECURSIVE r(n, m) AS (SELECT c0, 0 FROM {table} UNION ALL SELECT n, m + 1 FROM r WHERE m < 3) SELECT * FROM r"
                )
            }
            2 => {
                let write = self.delete_from("*");
                format!("WITH gone AS ({write}) SELECT count(*) FROM gone")
            }
            _ => {
                let (query, _) = self.select(&[], 2);
                let table = self.written_table();
                format!(
                    "WITH x AS MATERIALIZED ({query}) UPDATE {table} SET c0 = 1 WHERE EXISTS (SELECT FROM x)"
                )
            }
        }
    }

    fn set_operation(&mut self) -> String {
        let of: Vec<&'static str> =
            (0..1 + self.dice.below(3)).map(|_| TYPES[self.dice.below(4)].0).collect();
        let mut side = || {
            let mut from = Vec::new();
            let items = self.items(&mut from, 1);
            let list: Vec<String> = of.iter().map(|of| self.expression(of, &items, 2)).collect();
            format!("SELECT {} FROM {}", list.join(", "), from.join(", "))
        };
        let (a, b, c) = (side(), side(), side());
        let op = self.dice.of(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL"]);
        let second = self.dice.of(&["UNION", "UNION ALL"]);
        let order = self.dice.of(&["", " ORDER BY 1", " LIMIT 2"]);
        format!("{a} {op} {b} {second} {c}{order}")
    }

    fn insert(&mut self) -> String {
        let table = self.dice.below(5);
        let (written, columns) = (self.tables[table].written(), self.tables[table].columns.clone());
        let some: Vec<_> = columns.iter().take(1 + self.dice.below(columns.len())).cloned().collect();
        let names: Vec<&str> = some.iter().map(|(name, _)| name.as_str()).collect();
        let mut from = Vec::new();
        let items = self.items(&mut from, 1);
        let values: Vec<String> = some.iter().map(|(_, of)| self.expression(of, &items, 2)).collect();
        let mut text = if self.dice.lucky(5) {
            format!(
                "INSERT INTO {written} AS q ({}) SELECT {} FROM {}",
                names.join(", "),
                values.join(", "),
                from.join(", ")
            )
        } else {
            let values: Vec<String> = some.iter().map(|(_, of)| self.expression(of, &[], 2)).collect();
            format!("INSERT INTO {written} AS q ({}) VALUES ({})", names.join(", "), values.join(", "))
        };
        let own = [Item { alias: "q".to_owned(), columns }];
        if self.dice.lucky(2) {
            let value = self.expression("int", &own, 1);
            let _ = write!(text, " ON CONFLICT (c0) DO UPDATE SET c0 = excluded.c0 + {value} WHERE q.c0 > 1");
        }
        text + &self.returning(&own)
    }

    fn update(&mut self) -> String {
        let table = self.dice.below(5);
        let (written, columns) = (self.tables[table].written(), self.tables[table].columns.clone());
        let mut items = vec![Item { alias: "q".to_owned(), columns: columns.clone() }];
        let own = items.clone();
        let mut text = format!("UPDATE {written} AS q SET ");
        let mut from = Vec::new();
        if self.dice.lucky(4) {
            items.extend(self.items(&mut from, 1));
        }
        let (name, of) = columns[self.dice.below(columns.len())].clone();
        let _ = write!(text, "{name} = {}", self.expression(of, &items, 2));
        if !from.is_empty() {
            let _ = write!(text, " FROM {}", from.join(", "));
        }
        if self.dice.lucky(8) {
            let _ = write!(text, " WHERE {}", self.expression("boolean", &items, 2));
        }
        text + &self.returning(&own)
    }

    fn delete(&mut self) -> String {
        let returned = self.dice.of(&["", "*", "q.c0 AS gone", "q"]);
        self.delete_from(returned)
    }

    fn delete_from(&mut self, returned: &str) -> String {
        let table = self.dice.below(5);
        let (written, columns) = (self.tables[table].written(), self.tables[table].columns.clone());
        let items = vec![Item { alias: "q".to_owned(), columns }];
        let condition = self.expression("boolean", &items, 2);
        let returning = if returned.is_empty() { String::new() } else { format!(" RETURNING {returned}") };
        format!("DELETE FROM {written} AS q WHERE {condition}{returning}")
    }

    fn returning(&mut self, items: &[Item]) -> String {
        match self.dice.below(4) {
            0 => " RETURNING *".to_owned(),
            1 => format!(" RETURNING {}", self.expression("text", items, 2)),
            2 => " RETURNING q, q.c0".to_owned(),
            _ => String::new(),
        }
    }

    fn written_table(&mut self) -> String {
        let index = self.dice.below(5);
        self.tables[index].written()
    }

    /// A query and its columns.
    fn select(&mut self, outer: &[Item], depth: usize) -> (String, Vec<(String, &'static str)>) {
        let mut from = Vec::new();
        let own = self.items(&mut from, depth);
        let items: Vec<Item> = own.iter().chain(outer).cloned().collect();
        let grouped = self.dice.lucky(2);
        let key = self.expression("int", &items, 1);
        let mut list = Vec::new();
        let mut columns = Vec::new();
        for _ in 0..1 + self.dice.below(3) {
            let of = TYPES[self.dice.below(TYPES.len())].0;
            let (value, of) = if grouped {
                (self.aggregate(&items, &key), "int")
            } else {
                (self.expression(of, &items, depth), of)
            };
            let name = self.name("n");
            list.push(format!("{value} AS {name}"));
            columns.push((name, of));
        }
        if !grouped && self.dice.lucky(3) && depth == 3 {
            let one = &own[self.dice.below(own.len())].alias;
            list.push(match self.dice.below(4) {
                0 => "*".to_owned(),
                1 => one.clone(),
                2 => format!("row_to_json({one})"),
                _ => format!("{one}.*"),
            });
        }
        let distinct = if !grouped && self.dice.lucky(1) { "DISTINCT " } else { "" };
        let mut text = format!("SELECT {distinct}{} FROM {}", list.join(", "), from.join(", "));
        if self.dice.lucky(6) {
            let _ = write!(text, " WHERE {}", self.expression("boolean", &items, depth));
        }
        if grouped {
            let _ = write!(text, " GROUP BY {key}");
            if self.dice.lucky(3) {
                let _ = write!(text, " HAVING {} > 0", self.aggregate(&items, &key));
            }
        }
        match self.dice.below(8) {
            0 => text.push_str(" ORDER BY 1"),
            1 if depth == 3 => {
                let _ = write!(text, " ORDER BY {} DESC", columns[0].0);
            }
            2 if !grouped && distinct.is_empty() => {
                let _ = write!(text, " ORDER BY {}", self.expression("int", &items, 1));
            }
            3 => text.push_str(" LIMIT 3 OFFSET 1"),
            4 if !grouped && distinct.is_empty() && depth == 3 => text.push_str(" FOR UPDATE"),
            _ => (),
        }
        (text, columns)
    }

    fn aggregate(&mut self, items: &[Item], key: &str) -> String {
        let value = self.expression("int", items, 1);
        match self.dice.below(6) {
            0 => "count(*)::int".to_owned(),
            1 => format!("max({value})"),
            2 => format!("g1.last_of({value} ORDER BY {value})"),
            3 => format!("(sum({value}) FILTER (WHERE {} ))::int", self.expression("boolean", items, 1)),
            4 => format!("(array_agg({value}))[1]"),
            _ => key.to_owned(),
        }
    }

    /// What stands in `FROM`.
    fn items(&mut self, from: &mut Vec<String>, depth: usize) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        for _ in 0..1 + self.dice.below(2) {
            let alias = self.name("a");
            match self.dice.below(10) {
                0 if depth > 1 => {
                    let (query, columns) = self.select(&[], depth - 1);
                    from.push(format!("({query}) AS {alias}"));
                    items.push(Item { alias, columns });
                }
                1 if depth > 1 && !items.is_empty() => {
                    let outer = items.clone();
                    let (query, columns) = self.select(&outer, depth - 1);
                    from.push(format!("LATERAL ({query}) AS {alias}"));
                    items.push(Item { alias, columns });
                }
                2 => {
                    from.push(format!("g2.pairs(2) WITH ORDINALITY AS {alias}(a, b, o)"));
                    let columns = vec![("a".to_owned(), "int"), ("b".to_owned(), "text")];
                    items.push(Item { alias, columns });
                }
                3 => {
                    from.push(format!("g2.outs(1) AS {alias}"));
                    items.push(Item {
                        alias,
                        columns: vec![("p".to_owned(), "int"), ("q".to_owned(), "text")],
                    });
                }
                4 => {
                    let (one, other) = (self.dice.below(self.tables.len()), self.dice.below(5));
                    let second = self.name("a");
                    let kind = self.dice.of(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
                    let left = Item { alias: alias.clone(), columns: self.tables[one].columns.clone() };
                    let right = Item { alias: second.clone(), columns: self.tables[other].columns.clone() };
                    let how = if !self.tables[one].is_view && self.dice.lucky(5) {
                        "USING (c0)".to_owned()
                    } else {
                        let key = |item: &Item| format!("{}.{}", item.alias, item.columns[0].0);
                        format!("ON {}::text = {}::text", key(&left), key(&right))
                    };
                    let (a, b) = (self.tables[one].written(), self.tables[other].written());
                    from.push(format!("{a} AS {alias} {kind} {b} AS {second} {how}"));
                    items.extend([left, right]);
                }
                5 => {
                    from.push(format!(
                        "(VALUES (1, 'x'), ({}, 'y')) AS {alias}(k, l)",
                        self.expression("int", &[], 1)
                    ));
                    items.push(Item {
                        alias,
                        columns: vec![("k".to_owned(), "int"), ("l".to_owned(), "text")],
                    });
                }
                _ => {
                    let index = self.dice.below(self.tables.len());
                    let table = &self.tables[index];
                    let written = table.written();
                    let columns = table.columns.clone();
                    // Without its schema, where the path shows it.
                    let written = if self.dice.lucky(1) { self.tables[index].name.clone() } else { written };
                    from.push(format!("{written} AS {alias}"));
                    items.push(Item { alias, columns });
                }
            }
        }
        items
    }

    /// An expression of a type.
    fn expression(&mut self, of: &'static str, items: &[Item], depth: usize) -> String {
        let columns: Vec<String> = items
            .iter()
            .flat_map(|item| {
                item.columns.iter().filter(|(_, t)| *t == of).map(|(n, _)| format!("{}.{n}", item.alias))
            })
            .collect();
        if depth == 0 || self.dice.lucky(4) {
            if !columns.is_empty() && self.dice.lucky(8) {
                return columns[self.dice.below(columns.len())].clone();
            }
            let value = TYPES.iter().find(|(name, _)| *name == of).map_or("NULL", |(_, value)| value);
            return value.to_owned();
        }
        let deeper = depth - 1;
        let mut next = |of: &'static str| self.expression(of, items, deeper);
        let choices: Vec<String> = match of {
            "int" => vec![
                format!("{} + {}", next("int"), next("int")),
                format!("f({})", next("int")),
                format!("g1.f({})", next("text")),
                format!("length({})", next("text")),
                format!("({}).a", next("g0.pair")),
                format!("{}::int", next("g0.mood")),
                format!("coalesce({}, {})", next("int"), next("g0.positive")),
                format!("g2.many({}, 2)", next("int")),
                format!("CASE WHEN {} THEN {} ELSE {} END", next("boolean"), next("int"), next("int")),
                format!("({})[1]", next("int[]")),
                format!("(row_number() OVER (PARTITION BY {} ORDER BY {}))::int", next("text"), next("date")),
                format!("f({}, {})", next("int"), next("g0.pair")),
            ],
            "text" => vec![
                format!("upper({})", next("text")),
                format!("{} || {}", next("text"), next("text")),
                format!("({})::text", next("int")),
                format!("{} OPERATOR(g2.+) {}", next("text"), next("int")),
                format!("{}->>'k'", next("jsonb")),
                format!("CAST({} AS text)", next("g0.pair")),
                format!("nullif({}, {})", next("text"), next("text")),
                format!("to_char({}, 'YYYY')", next("date")),
                format!("current_user::text || {}", next("text")),
            ],
            "boolean" => vec![
                format!("{} = {}", next("int"), next("int")),
                format!("{} <-> {}", next("int"), next("int")),
                format!("{} OPERATOR(g1.<->) {}", next("int"), next("int")),
                format!("{} LIKE {}", next("text"), next("text")),
                format!("{} AND {}", next("boolean"), next("boolean")),
                format!("NOT ({})", next("boolean")),
                format!("{} IS NULL", next("date")),
                format!("{} IN ({}, 5)", next("int"), next("int")),
                format!("{} = ANY ({})", next("int"), next("int[]")),
                format!("{} BETWEEN {} AND {}", next("date"), next("date"), next("date")),
                format!("{} @> {}", next("jsonb"), next("jsonb")),
                format!("({}, {}) < ({}, {})", next("int"), next("text"), next("int"), next("text")),
                format!("{} IS DISTINCT FROM {}", next("g0.pair"), next("g0.pair")),
                "EXISTS (sub)".to_owned(),
                "int IN (sub)".to_owned(),
            ],
            "numeric" => vec![
                format!("{} * {}", next("numeric"), next("int")),
                format!("round({}, 1)", next("numeric")),
                format!("greatest({}, {})", next("numeric"), next("numeric")),
            ],
            "date" => {
                vec![format!("{} + {}", next("date"), next("int")), format!("({})::date", next("text"))]
            }
            "jsonb" => vec![
                format!("to_jsonb({})", next("g0.pair")),
                format!("{} || {}", next("jsonb"), next("jsonb")),
                format!("jsonb_build_object('k', {})", next("int")),
            ],
            "int[]" => vec![
                format!("ARRAY[{}, {}]", next("int"), next("int")),
                format!("{} || {}", next("int[]"), next("int")),
            ],
            "g0.positive" => vec![format!("({})::g0.positive", next("int"))],
            "g0.pair" => vec![format!("ROW({}, {})::g0.pair", next("int"), next("text"))],
            _ => vec![format!("({})::{of}", next("text"))],
        };
        let choice = choices[self.dice.below(choices.len())].clone();
        match choice.as_str() {
            "EXISTS (sub)" => format!("EXISTS ({})", self.select(items, deeper.min(2)).0),
            "int IN (sub)" => {
                let mut from = Vec::new();
                let own = self.items(&mut from, 1);
                let all: Vec<Item> = own.iter().chain(items).cloned().collect();
                let (one, other) = (self.expression("int", items, 1), self.expression("int", &all, 1));
                format!("{one} IN (SELECT {other} FROM {})", from.join(", "))
            }
            _ => choice,
        }
    }
}
