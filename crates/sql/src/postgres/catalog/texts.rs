//! Expressions, queries and bodies as the server prints them. Printing can fail for one of them (too deep for the server's
//! stack, dropped meanwhile), locks what a query reads until its transaction ends, and would wait behind whoever locks it
//! exclusively. So texts are asked for apart from the lists that say which there are: in pieces, each a statement of its
//! own, and a text that does not come is known to be missing.

use hashbrown::HashMap;

use super::cells::rows;
use super::load::Rows;
use super::queries::short;

/// What is printed. Each row of an answer is the kind's letter, an OID, a number that tells several of the same OID apart,
/// and the text; NULL where it would have had to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Text {
    /// The query of a view.
    View,
    /// The body of a function of the SQL standard's form.
    Body,
    /// The default or generation expression of a column, by relation and column.
    Default,
    /// A rule.
    Rule,
    /// A trigger.
    Trigger,
    /// The expression of a check.
    Check,
    /// 0 for the expressions of an index, 1 for its predicate.
    Index,
    /// The expressions of a partition key, by table.
    PartitionKey,
    /// 0 for a row security policy's USING, 1 for its WITH CHECK.
    Policy,
    /// The defaults of a function's arguments.
    Arguments,
    /// The default of a domain.
    Domain,
    /// The expressions of which statistics are kept.
    Statistics,
}

impl Text {
    const ALL: [Self; 12] = [
        Self::View,
        Self::Body,
        Self::Default,
        Self::Rule,
        Self::Trigger,
        Self::Check,
        Self::Index,
        Self::PartitionKey,
        Self::Policy,
        Self::Arguments,
        Self::Domain,
        Self::Statistics,
    ];

    fn letter(self) -> char {
        match self {
            Self::View => 'v',
            Self::Body => 'b',
            Self::Default => 'd',
            Self::Rule => 'r',
            Self::Trigger => 't',
            Self::Check => 'c',
            Self::Index => 'i',
            Self::PartitionKey => 'k',
            Self::Policy => 'p',
            Self::Arguments => 'a',
            Self::Domain => 'y',
            Self::Statistics => 's',
        }
    }

    /// In how many pieces it is asked for at first, a prime, for OIDs come in steps: the locks that a query's printing takes are kept until its statement
    /// ends, and the server's table of locks is small.
    fn pieces(self) -> u32 {
        match self {
            Self::View => 17,
            Self::Body => 5,
            Self::Default
            | Self::Rule
            | Self::Trigger
            | Self::Check
            | Self::Index
            | Self::PartitionKey
            | Self::Policy
            | Self::Arguments
            | Self::Domain
            | Self::Statistics => 1,
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::View => VIEWS,
            Self::Body => BODIES,
            Self::Default => DEFAULTS,
            Self::Rule => RULES,
            Self::Trigger => TRIGGERS,
            Self::Check => CHECKS,
            Self::Index => INDEXES,
            Self::PartitionKey => PARTITION_KEYS,
            Self::Policy => POLICIES,
            Self::Arguments => ARGUMENTS,
            Self::Domain => DOMAINS,
            Self::Statistics => STATISTICS,
        }
    }
}

/// Some texts of one kind: those whose OID leaves a remainder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    text: Text,
    modulus: u32,
    remainder: u32,
}

impl Piece {
    /// All that a server of this version is asked for, in order.
    pub(super) fn all(version: u32) -> impl Iterator<Item = Self> {
        Self::whole(version).flat_map(|Self { text, .. }| {
            let modulus = text.pieces();
            (0..modulus).map(move |remainder| Self { text, modulus, remainder })
        })
    }

    /// The same in one piece of each kind.
    pub(super) fn whole(version: u32) -> impl Iterator<Item = Self> {
        let newer = |text| matches!(text, Text::Body | Text::Statistics);
        let there = Text::ALL.into_iter().filter(move |text| !newer(*text) || version >= 140_000);
        there.map(|text| Self { text, modulus: 1, remainder: 0 })
    }

    /// The statement that asks for it.
    pub fn sql(&self) -> String {
        let Self { text, modulus, remainder } = self;
        let piece = |oid: &str| {
            if *modulus == 1 {
                return "true".to_owned();
            }
            format!("pg_catalog.mod({oid}::pg_catalog.int8, {modulus}::pg_catalog.int8) =. {remainder}")
        };
        let mut sql = format!("{BLOCKED} SELECT '{}', {}", text.letter(), text.sql());
        while let Some((head, tail)) = sql.split_once("{piece ") {
            let Some((oid, tail)) = tail.split_once('}') else { break };
            sql = format!("{head}{}{tail}", piece(oid));
        }
        short(&sql)
    }

    /// Its two halves, to be asked for where the whole was refused. `None` where it is as good as one text: then that is
    /// the one that cannot be printed.
    pub fn halves(&self) -> Option<[Self; 2]> {
        let Self { text, modulus, remainder } = *self;
        let twice = modulus.checked_mul(2).filter(|twice| *twice <= 1 << 20)?;
        Some([
            Self { text, modulus: twice, remainder },
            Self { text, modulus: twice, remainder: remainder + modulus },
        ])
    }
}

/// The texts that came.
pub(super) struct Texts<'a> {
    texts: HashMap<(char, u32, i32), Option<&'a str>>,
}

/// Whether a text came.
pub(super) enum Printed<'a> {
    /// Here it is.
    Whole(&'a str),
    /// Somebody locks what it names.
    Locked,
    /// The server could not.
    Missing,
}

impl<'a> Texts<'a> {
    pub(super) fn new(answers: &'a [Rows]) -> Result<Self, String> {
        let mut texts = HashMap::new();
        for mut row in answers.iter().flat_map(rows) {
            let key = (row.letter()?, row.number()?, row.number()?);
            texts.insert(key, row.maybe()?);
        }
        Ok(Self { texts })
    }

    pub(super) fn of(&self, text: Text, oid: super::Oid, number: i32) -> Printed<'a> {
        match self.texts.get(&(text.letter(), oid.0, number)) {
            Some(Some(text)) => Printed::Whole(text),
            Some(None) => Printed::Locked,
            None => Printed::Missing,
        }
    }
}

/// `blocked` holds what depends on a relation that another session or prepared transaction (which has no process) locks
/// exclusively, or waits to. Whatever belongs to a table, an index or a policy depends on it, too.
const BLOCKED: &str = "WITH locked AS MATERIALIZED (SELECT l.relation FROM pg_catalog.pg_locks AS l \
    WHERE l.locktype =. 'relation' AND l.mode =. 'AccessExclusiveLock' \
    AND (l.pid IS NULL OR l.pid <>. pg_catalog.pg_backend_pid()) \
    AND l.database =. (SELECT d.oid FROM pg_catalog.pg_database AS d \
    WHERE d.datname =. pg_catalog.current_database())), \
    blocked AS MATERIALIZED (SELECT DISTINCT d.classid, d.objid FROM pg_catalog.pg_depend AS d \
    WHERE d.refclassid =. 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid \
    AND d.refobjid =. ANY (ARRAY(SELECT locked.relation FROM locked)))";

const VIEWS: &str = "c.oid, 0, CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_viewdef(c.oid) END \
    FROM pg_catalog.pg_rewrite AS r JOIN pg_catalog.pg_class AS c ON c.oid =. r.ev_class \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. r.oid WHERE r.rulename =. '_RETURN' AND r.ev_class >=. {user} \
    AND c.relkind =. ANY ('{v,m}'::pg_catalog.\"char\"[]) \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace) AND {piece r.ev_class}";

const BODIES: &str = "p.oid, 0, CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_function_sqlbody(p.oid) END \
    FROM pg_catalog.pg_proc AS p \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. p.oid WHERE p.prosqlbody IS NOT NULL AND p.oid >=. {user} \
    AND NOT pg_catalog.pg_is_other_temp_schema(p.pronamespace) AND {piece p.oid}";

/// Only a generated column's expression names columns; printing another opens no relation.
const DEFAULTS: &str = "d.adrelid, d.adnum, \
    CASE WHEN pg_catalog.strpos(d.adbin::pg_catalog.text, '{VAR ') =. 0 THEN pg_catalog.pg_get_expr(d.adbin, 0) \
    WHEN b.objid IS NULL THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END \
    FROM pg_catalog.pg_attrdef AS d JOIN pg_catalog.pg_class AS c ON c.oid =. d.adrelid \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. d.oid WHERE NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace) AND {piece d.oid}";

const RULES: &str = "r.oid, 0, CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_ruledef(r.oid) END \
    FROM pg_catalog.pg_rewrite AS r JOIN pg_catalog.pg_class AS c ON c.oid =. r.ev_class \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. r.oid WHERE r.rulename <>. '_RETURN' \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace) AND {piece r.oid}";

const TRIGGERS: &str = "t.oid, 0, CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_triggerdef(t.oid) END \
    FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid =. t.tgrelid \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_trigger'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. t.oid WHERE t.tgqual IS NOT NULL \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace) AND {piece t.oid}";

const CHECKS: &str = "k.oid, 0, CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_expr(k.conbin, k.conrelid) END \
    FROM pg_catalog.pg_constraint AS k \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. k.oid WHERE k.contype =. 'c' \
    AND NOT pg_catalog.pg_is_other_temp_schema(k.connamespace) AND {piece k.oid}";

const INDEXES: &str = "i.indexrelid, e.number, CASE WHEN b.objid IS NULL \
    THEN pg_catalog.pg_get_expr(CASE WHEN e.number =. 0 THEN i.indexprs ELSE i.indpred END, i.indrelid) END \
    FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid =. i.indrelid \
    CROSS JOIN (VALUES (0), (1)) AS e (number) \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. i.indexrelid WHERE (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace) AND {piece i.indexrelid}";

/// No dependency of its own says that a key belongs to its table.
const PARTITION_KEYS: &str = "p.partrelid, 0, \
    CASE WHEN NOT EXISTS (SELECT FROM locked AS l WHERE l.relation =. p.partrelid) \
    THEN pg_catalog.pg_get_expr(p.partexprs, p.partrelid) END \
    FROM pg_catalog.pg_partitioned_table AS p JOIN pg_catalog.pg_class AS c ON c.oid =. p.partrelid \
    WHERE p.partexprs IS NOT NULL \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace) AND {piece p.partrelid}";

const POLICIES: &str = "p.oid, e.number, CASE WHEN b.objid IS NULL \
    THEN pg_catalog.pg_get_expr(CASE WHEN e.number =. 0 THEN p.polqual ELSE p.polwithcheck END, p.polrelid) END \
    FROM pg_catalog.pg_policy AS p JOIN pg_catalog.pg_class AS c ON c.oid =. p.polrelid \
    CROSS JOIN (VALUES (0), (1)) AS e (number) \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_policy'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. p.oid WHERE NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace) AND {piece p.oid}";

/// An expression without a relation, so nothing is opened.
const ARGUMENTS: &str = "p.oid, 0, pg_catalog.pg_get_expr(p.proargdefaults, 0) FROM pg_catalog.pg_proc AS p \
    WHERE p.proargdefaults IS NOT NULL AND p.oid >=. {user} \
    AND NOT pg_catalog.pg_is_other_temp_schema(p.pronamespace) AND {piece p.oid}";

const DOMAINS: &str = "t.oid, 0, pg_catalog.pg_get_expr(t.typdefaultbin, 0) FROM pg_catalog.pg_type AS t \
    WHERE t.typdefaultbin IS NOT NULL AND t.typtype =. 'd' \
    AND NOT pg_catalog.pg_is_other_temp_schema(t.typnamespace) AND {piece t.oid}";

const STATISTICS: &str = "x.oid, 0, CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_expr(x.stxexprs, x.stxrelid) END \
    FROM pg_catalog.pg_statistic_ext AS x JOIN pg_catalog.pg_class AS c ON c.oid =. x.stxrelid \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. x.oid WHERE x.stxexprs IS NOT NULL \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace) AND {piece x.oid}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_hold_what_the_whole_held_and_come_to_an_end() {
        let mut left: Vec<Piece> = Piece::all(180_000).collect();
        let covers = |pieces: &[Piece], text, oid: u32| {
            pieces.iter().filter(|p| p.text == text && oid % p.modulus == p.remainder).count()
        };
        for _ in 0..4 {
            for oid in [16_384, 16_385, 99_991, u32::MAX] {
                assert!(Text::ALL.into_iter().all(|text| covers(&left, text, oid) == 1), "{oid}");
            }
            left = left.iter().flat_map(|piece| piece.halves().unwrap()).collect();
        }
        let mut piece = Piece { text: Text::View, modulus: 17, remainder: 16 };
        let halvings = std::iter::from_fn(|| piece.halves().map(|[_, second]| piece = second)).count();
        assert_eq!(halvings, 15);
    }

    #[test]
    fn bodies_of_the_newer_form_are_asked_for_where_there_are_any() {
        let asks = |version| Piece::whole(version).any(|piece| piece.text == Text::Body);
        assert_eq!((asks(130_023), asks(140_000)), (false, true));
    }
}
