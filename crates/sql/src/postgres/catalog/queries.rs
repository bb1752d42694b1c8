//! What a server is asked about its catalogue. Every name is qualified and every operator written with its schema: a
//! user's own could be found in their place. No statement needs special rights, takes a parameter or writes.

/// The first OID of objects that were not made by `initdb` (`FirstNormalObjectId`).
pub(super) const FIRST_USER_OID: u32 = 16384;

/// One thing that is asked; the order of [`Question::ALL`] is the order of the statements and of their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// version, database, encoding, the version in words
    Server,
    /// name
    Schemas,
    /// oid, schema, name, kind, temporary, row security, the table of an index
    Relations,
    /// relation, `number type modifier g|i|-` of all columns, their names as JSON
    Columns,
    /// relation, column, expression
    Defaults,
    /// relation, query
    Views,
    /// relation, name, event, instead, definition
    Rules,
    /// relation, name, type bits, function, has a condition, definition
    Triggers,
    /// relation, domain, expression
    Checks,
    /// referring table, referred table, on delete, on update
    ForeignKeys,
    /// table, expressions, predicate
    Indexes,
    /// partitioned table, expressions of its key
    PartitionKeys,
    /// relation, USING, has one, WITH CHECK, has one
    Policies,
    /// child, parent
    Inheritance,
    /// oid, schema, name, kind, element, is an array, array type, base, relation, functions, default
    Types,
    /// oid, schema, name, kind, arguments, all arguments, modes, names, defaults, their text, variadic, returns, set,
    /// language, source, settings, security definer
    Functions,
    /// oid, body
    Bodies,
    /// oid, functions
    Aggregates,
    /// schema, name, left, right, result, function, other functions that the planner may take for it
    Operators,
    /// source, target, function, context
    Casts,
    /// name, event, function
    EventTriggers,
    /// name, schema
    Extensions,
    /// `f` or `t`, oid, extension
    Members,
}

impl Question {
    /// All of them, in order.
    pub(super) const ALL: [Self; 23] = [
        Self::Server,
        Self::Schemas,
        Self::Relations,
        Self::Columns,
        Self::Defaults,
        Self::Views,
        Self::Rules,
        Self::Triggers,
        Self::Checks,
        Self::ForeignKeys,
        Self::Indexes,
        Self::PartitionKeys,
        Self::Policies,
        Self::Inheritance,
        Self::Types,
        Self::Functions,
        Self::Bodies,
        Self::Aggregates,
        Self::Operators,
        Self::Casts,
        Self::EventTriggers,
        Self::Extensions,
        Self::Members,
    ];

    /// The statement that asks it.
    pub(super) fn sql(self, version: u32) -> String {
        let text = match self {
            Self::Server => SERVER.to_owned(),
            Self::Schemas => SCHEMAS.to_owned(),
            Self::Relations => RELATIONS.to_owned(),
            Self::Columns => COLUMNS.to_owned(),
            Self::Defaults => careful(DEFAULTS),
            Self::Views => careful(VIEWS),
            Self::Rules => careful(RULES),
            Self::Triggers => careful(TRIGGERS).replace("{not_internal}", not_internal(version)),
            Self::Checks => careful(CHECKS),
            Self::ForeignKeys => FOREIGN_KEYS.to_owned(),
            Self::Indexes => careful(INDEXES),
            Self::PartitionKeys => careful(PARTITION_KEYS),
            Self::Policies => careful(POLICIES),
            Self::Inheritance => INHERITANCE.to_owned(),
            Self::Types => TYPES.replace("{array}", is_array(version)),
            Self::Functions => FUNCTIONS.to_owned(),
            Self::Bodies if version >= 140_000 => careful(BODIES),
            Self::Bodies => NO_BODIES.to_owned(),
            Self::Aggregates => AGGREGATES.to_owned(),
            Self::Operators => OPERATORS.to_owned(),
            Self::Casts => CASTS.to_owned(),
            Self::EventTriggers => EVENT_TRIGGERS.to_owned(),
            Self::Extensions => EXTENSIONS.to_owned(),
            Self::Members => MEMBERS.to_owned(),
        };
        short(&text)
    }
}

/// The statements below say `=.` for `OPERATOR(pg_catalog.=)`, `<>.` and `>=.` likewise, and `{user}` for the first OID
/// that is not the system's.
pub(super) fn short(text: &str) -> String {
    let mut text = text.replace("{user}", &FIRST_USER_OID.to_string());
    for operator in ["<>", ">=", "="] {
        text = text.replace(&format!(" {operator}. "), &format!(" OPERATOR(pg_catalog.{operator}) "));
    }
    text
}

/// Printing an expression or a query opens the relations that it names. It would wait behind whoever locks one of them
/// exclusively, or wants to, and the whole catalogue with it: those that are locked now are left out, and are read when
/// they are free. A prepared transaction has no process.
fn careful(question: &str) -> String {
    format!(
        "WITH locked AS MATERIALIZED (SELECT l.relation FROM pg_catalog.pg_locks AS l \
         WHERE l.locktype =. 'relation' AND l.mode =. 'AccessExclusiveLock' \
         AND (l.pid IS NULL OR l.pid <>. pg_catalog.pg_backend_pid()) \
         AND l.database =. (SELECT d.oid FROM pg_catalog.pg_database AS d \
         WHERE d.datname =. pg_catalog.current_database())), \
         blocked AS MATERIALIZED (SELECT DISTINCT d.classid, d.objid FROM pg_catalog.pg_depend AS d \
         WHERE d.refclassid =. 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid \
         AND d.refobjid =. ANY (ARRAY(SELECT locked.relation FROM locked))) {question}"
    )
}

const SERVER: &str = "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_database(), \
    pg_catalog.current_setting('server_encoding'), pg_catalog.version()";

const SCHEMAS: &str =
    "SELECT n.nspname FROM pg_catalog.pg_namespace AS n WHERE NOT pg_catalog.pg_is_other_temp_schema(n.oid)";

const RELATIONS: &str = "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence =. 't', c.relrowsecurity, \
    i.indrelid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid =. c.relnamespace \
    LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid =. c.oid \
    WHERE c.relkind =. ANY ('{r,p,v,m,f,S,c,i,I}'::pg_catalog.\"char\"[]) AND n.nspname <>. 'pg_toast' \
    AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)";

const COLUMNS: &str = "SELECT a.attrelid, pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attnum, a.atttypid, \
    a.atttypmod, CASE WHEN a.attgenerated <>. '' THEN 'g' WHEN a.attidentity <>. '' THEN 'i' ELSE '-' END), ' ' \
    ORDER BY a.attnum), pg_catalog.array_to_json(pg_catalog.array_agg(a.attname ORDER BY a.attnum)) \
    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid =. a.attrelid \
    WHERE a.attnum >=. 1 AND NOT a.attisdropped \
    AND c.relkind =. ANY ('{r,p,v,m,f,S,c}'::pg_catalog.\"char\"[]) \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace) GROUP BY a.attrelid";

const DEFAULTS: &str = "SELECT d.adrelid, d.adnum, \
    CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END \
    FROM pg_catalog.pg_attrdef AS d JOIN pg_catalog.pg_class AS c ON c.oid =. d.adrelid \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. d.oid WHERE NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const VIEWS: &str = "SELECT c.oid, CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_viewdef(c.oid) END \
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_rewrite AS r ON r.ev_class =. c.oid \
    AND r.rulename =. '_RETURN' \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. r.oid WHERE c.relkind =. ANY ('{v,m}'::pg_catalog.\"char\"[]) AND c.oid >=. {user} \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const RULES: &str = "SELECT r.ev_class, r.rulename, r.ev_type, r.is_instead, \
    CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_ruledef(r.oid) END \
    FROM pg_catalog.pg_rewrite AS r JOIN pg_catalog.pg_class AS c ON c.oid =. r.ev_class \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. r.oid WHERE r.rulename <>. '_RETURN' \
    AND r.ev_enabled =. ANY ('{O,A}'::pg_catalog.\"char\"[]) \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const TRIGGERS: &str = "SELECT t.tgrelid, t.tgname, t.tgtype, t.tgfoid::pg_catalog.oid, t.tgqual IS NOT NULL, \
    CASE WHEN t.tgqual IS NOT NULL AND b.objid IS NULL THEN pg_catalog.pg_get_triggerdef(t.oid) END \
    FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid =. t.tgrelid \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_trigger'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. t.oid WHERE {not_internal} AND t.tgenabled =. ANY ('{O,A}'::pg_catalog.\"char\"[]) \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

/// Before 15 the copies of a partitioned table's triggers in its partitions were marked as internal.
fn not_internal(version: u32) -> &'static str {
    if version >= 150_000 { "NOT t.tgisinternal" } else { "(NOT t.tgisinternal OR t.tgparentid <>. 0)" }
}

const CHECKS: &str = "SELECT k.conrelid, k.contypid, \
    CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_expr(k.conbin, k.conrelid) END \
    FROM pg_catalog.pg_constraint AS k \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. k.oid WHERE k.contype =. 'c' AND NOT pg_catalog.pg_is_other_temp_schema(k.connamespace)";

const FOREIGN_KEYS: &str = "SELECT k.conrelid, k.confrelid, k.confdeltype, k.confupdtype \
    FROM pg_catalog.pg_constraint AS k WHERE k.contype =. 'f' \
    AND NOT pg_catalog.pg_is_other_temp_schema(k.connamespace)";

/// An index depends on its table's columns, or on the table where its expressions name none.
const INDEXES: &str = "SELECT i.indrelid, i.indexprs IS NOT NULL, \
    CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_expr(i.indexprs, i.indrelid) END, i.indpred IS NOT NULL, \
    CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_expr(i.indpred, i.indrelid) END \
    FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid =. i.indrelid \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. i.indexrelid WHERE (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const PARTITION_KEYS: &str = "SELECT p.partrelid, \
    CASE WHEN NOT EXISTS (SELECT FROM locked AS l WHERE l.relation =. p.partrelid) \
    THEN pg_catalog.pg_get_expr(p.partexprs, p.partrelid) END \
    FROM pg_catalog.pg_partitioned_table AS p JOIN pg_catalog.pg_class AS c ON c.oid =. p.partrelid \
    WHERE p.partexprs IS NOT NULL AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const POLICIES: &str = "SELECT p.polrelid, p.polqual IS NOT NULL, \
    CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_expr(p.polqual, p.polrelid) END, p.polwithcheck IS NOT NULL, \
    CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) END \
    FROM pg_catalog.pg_policy AS p JOIN pg_catalog.pg_class AS c ON c.oid =. p.polrelid \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_policy'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. p.oid WHERE NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const INHERITANCE: &str = "SELECT h.inhrelid, h.inhparent FROM pg_catalog.pg_inherits AS h";

const TYPES: &str = "SELECT t.oid, n.nspname, t.typname, t.typtype, t.typelem, {array}, t.typarray, t.typbasetype, \
    t.typrelid, pg_catalog.array_to_string(ARRAY[t.typinput::pg_catalog.oid, t.typoutput::pg_catalog.oid, \
    t.typreceive::pg_catalog.oid, t.typsend::pg_catalog.oid, t.typmodin::pg_catalog.oid, t.typmodout::pg_catalog.oid, \
    r.rngcanonical::pg_catalog.oid, r.rngsubdiff::pg_catalog.oid], ' '), \
    CASE WHEN t.typtype =. 'd' THEN pg_catalog.pg_get_expr(t.typdefaultbin, 0) END \
    FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid =. t.typnamespace \
    LEFT JOIN pg_catalog.pg_range AS r ON r.rngtypid =. t.oid \
    WHERE n.nspname <>. 'pg_toast' AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)";

/// Before 14 there is one way to be subscripted by variable length: as an array.
fn is_array(version: u32) -> &'static str {
    if version >= 140_000 {
        "t.typsubscript::pg_catalog.oid =. 'pg_catalog.array_subscript_handler'::pg_catalog.regproc::pg_catalog.oid"
    } else {
        "(t.typlen =. -1 AND t.typelem <>. 0)"
    }
}

const FUNCTIONS: &str = "SELECT p.oid, n.nspname, p.proname, p.prokind, p.proargtypes, \
    pg_catalog.array_to_string(p.proallargtypes, ' '), pg_catalog.array_to_string(p.proargmodes, ''), \
    pg_catalog.array_to_json(p.proargnames), p.pronargdefaults, \
    CASE WHEN p.oid >=. {user} THEN pg_catalog.pg_get_expr(p.proargdefaults, 0) END, p.provariadic <>. 0, \
    p.prorettype, p.proretset, l.lanname, CASE WHEN p.oid >=. {user} THEN p.prosrc END, \
    pg_catalog.array_to_json(p.proconfig), p.prosecdef \
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid =. p.pronamespace \
    JOIN pg_catalog.pg_language AS l ON l.oid =. p.prolang \
    WHERE NOT pg_catalog.pg_is_other_temp_schema(n.oid)";

const BODIES: &str = "SELECT p.oid, CASE WHEN b.objid IS NULL THEN pg_catalog.pg_get_function_sqlbody(p.oid) END \
    FROM pg_catalog.pg_proc AS p \
    LEFT JOIN blocked AS b ON b.classid =. 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid \
    AND b.objid =. p.oid WHERE p.prosqlbody IS NOT NULL AND p.oid >=. {user} \
    AND NOT pg_catalog.pg_is_other_temp_schema(p.pronamespace)";

const NO_BODIES: &str = "SELECT p.oid, NULL FROM pg_catalog.pg_proc AS p WHERE false";

const AGGREGATES: &str = "SELECT a.aggfnoid::pg_catalog.oid, pg_catalog.array_to_string(\
    ARRAY[a.aggtransfn::pg_catalog.oid, a.aggfinalfn::pg_catalog.oid, a.aggcombinefn::pg_catalog.oid, \
    a.aggserialfn::pg_catalog.oid, a.aggdeserialfn::pg_catalog.oid, a.aggmtransfn::pg_catalog.oid, \
    a.aggminvtransfn::pg_catalog.oid, a.aggmfinalfn::pg_catalog.oid, o.oprcode::pg_catalog.oid], ' ') \
    FROM pg_catalog.pg_aggregate AS a LEFT JOIN pg_catalog.pg_operator AS o ON o.oid =. a.aggsortop";

const OPERATORS: &str = "SELECT n.nspname, o.oprname, o.oprleft, o.oprright, o.oprresult, \
    o.oprcode::pg_catalog.oid, CASE WHEN o.oid >=. {user} THEN pg_catalog.array_to_string(\
    ARRAY[c.oprcode::pg_catalog.oid, g.oprcode::pg_catalog.oid], ' ') END \
    FROM pg_catalog.pg_operator AS o JOIN pg_catalog.pg_namespace AS n ON n.oid =. o.oprnamespace \
    LEFT JOIN pg_catalog.pg_operator AS c ON c.oid =. o.oprcom \
    LEFT JOIN pg_catalog.pg_operator AS g ON g.oid =. o.oprnegate \
    WHERE o.oprcode::pg_catalog.oid <>. 0 AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)";

const CASTS: &str =
    "SELECT c.castsource, c.casttarget, c.castfunc, c.castcontext FROM pg_catalog.pg_cast AS c";

const EVENT_TRIGGERS: &str = "SELECT e.evtname, e.evtevent, e.evtfoid FROM pg_catalog.pg_event_trigger AS e \
    WHERE e.evtenabled =. ANY ('{O,A}'::pg_catalog.\"char\"[])";

const EXTENSIONS: &str = "SELECT e.extname, n.nspname FROM pg_catalog.pg_extension AS e \
    JOIN pg_catalog.pg_namespace AS n ON n.oid =. e.extnamespace";

const MEMBERS: &str = "SELECT \
    CASE WHEN d.classid =. 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid THEN 'f' ELSE 't' END, \
    d.objid, e.extname FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid =. d.refobjid \
    WHERE d.refclassid =. 'pg_catalog.pg_extension'::pg_catalog.regclass::pg_catalog.oid AND d.deptype =. 'e' \
    AND (d.classid =. 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid \
    OR d.classid =. 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid)";
