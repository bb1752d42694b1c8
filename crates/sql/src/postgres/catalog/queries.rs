//! What a server is asked about its catalogue: lists, which cannot fail. Every name is qualified and every operator
//! written with its schema: a user's own could be found in their place. No statement needs special rights, takes a
//! parameter or writes.

/// The first OID of objects that were not made by `initdb` (`FirstNormalObjectId`).
pub(crate) const FIRST_USER_OID: u32 = 16384;

/// One list that is asked for; the order of [`List::ALL`] is the order of the statements and of their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// version, database, encoding, the version in words, the role that asks
    Server,
    /// name, whether the role that asks may look for names in it
    Schemas,
    /// oid, schema, name, kind, temporary, row security, the table of an index
    Relations,
    /// relation, `number type modifier g|i|d|-` of all columns (generated, identity, default; then `!` where none is NULL),
    /// their names as JSON
    Columns,
    /// oid, relation, name, event, instead
    Rules,
    /// oid, relation, name, type bits, function, has a condition
    Triggers,
    /// oid, relation, domain
    Checks,
    /// referring table, referred table, on delete, on update
    ForeignKeys,
    /// oid, table, has expressions, has a predicate
    Indexes,
    /// partitioned table
    PartitionKeys,
    /// oid, relation, has USING, has WITH CHECK
    Policies,
    /// child, parent
    Inheritance,
    /// oid, schema, name, kind, element, is an array, array type, base, relation, type of bounds, functions, has a default
    Types,
    /// oid, schema, name, kind, arguments, all arguments, modes, names, defaults, their texts matter, variadic, returns,
    /// set, language, source, has a body, settings, security definer
    Functions,
    /// oid, functions
    Aggregates,
    /// schema, name, left, right, result, function, other functions that the planner may take for it
    Operators,
    /// source, target, function, context
    Casts,
    /// name, event, function
    EventTriggers,
    /// types, functions
    Families,
    /// oid, relation, of statistics with expressions
    Statistics,
    /// name, schema
    Extensions,
    /// `f` or `t`, oid, extension
    Members,
    /// relation that users made, a digest of all that belongs to its definition
    Marks,
}

impl List {
    /// All of them, in order.
    pub(super) const ALL: [Self; 23] = [
        Self::Server,
        Self::Schemas,
        Self::Relations,
        Self::Columns,
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
        Self::Aggregates,
        Self::Operators,
        Self::Casts,
        Self::EventTriggers,
        Self::Families,
        Self::Statistics,
        Self::Extensions,
        Self::Members,
        Self::Marks,
    ];

    /// Those in which a session's temporary objects are; the others are of the whole database.
    pub(super) const OF_TEMPORARY: [Self; 18] = [
        Self::Server,
        Self::Schemas,
        Self::Relations,
        Self::Columns,
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
        Self::Aggregates,
        Self::Operators,
        Self::Statistics,
        Self::Marks,
    ];

    /// The statement that asks for it.
    pub(super) fn sql(self, version: u32) -> String {
        let text = match self {
            Self::Server => SERVER,
            Self::Schemas => SCHEMAS,
            Self::Relations => RELATIONS,
            Self::Columns => COLUMNS,
            Self::Rules => RULES,
            Self::Triggers => TRIGGERS,
            Self::Checks => CHECKS,
            Self::ForeignKeys => FOREIGN_KEYS,
            Self::Indexes => INDEXES,
            Self::PartitionKeys => PARTITION_KEYS,
            Self::Policies => POLICIES,
            Self::Inheritance => INHERITANCE,
            Self::Types => TYPES,
            Self::Functions => FUNCTIONS,
            Self::Aggregates => AGGREGATES,
            Self::Operators => OPERATORS,
            Self::Casts => CASTS,
            Self::EventTriggers => EVENT_TRIGGERS,
            Self::Families => FAMILIES,
            Self::Statistics => STATISTICS,
            Self::Extensions => EXTENSIONS,
            Self::Members => MEMBERS,
            Self::Marks => MARKS,
        };
        short(&for_version(text, version))
    }
}

/// The same of the session's own temporary schema alone. Every statement leaves those of other sessions out, in the same
/// words.
pub(super) fn of_own_schema(sql: &str) -> String {
    sql.replace(
        "NOT pg_catalog.pg_is_other_temp_schema(",
        "pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.=) (",
    )
}

/// What was not the same in all versions.
fn for_version(text: &str, version: u32) -> String {
    // Before 15 the copies of a partitioned table's triggers in its partitions were marked as internal.
    let not_internal =
        if version >= 150_000 { "NOT t.tgisinternal" } else { "(NOT t.tgisinternal OR t.tgparentid <>. 0)" };
    // Before 14 there was one way to be subscripted by variable length, as an array, and no body but a text.
    // Nor were there multiranges, or statistics of expressions.
    let (array, body, range, statistics) = if version >= 140_000 {
        (
            "t.typsubscript::pg_catalog.oid =. \
             'pg_catalog.array_subscript_handler'::pg_catalog.regproc::pg_catalog.oid",
            "p.prosqlbody IS NOT NULL",
            "(r.rngtypid =. t.oid OR r.rngmultitypid =. t.oid)",
            "x.stxexprs IS NOT NULL",
        )
    } else {
        ("(t.typlen =. -1 AND t.typelem <>. 0)", "false", "r.rngtypid =. t.oid", "false")
    };
    let since = |first: u32, there: &'static str| if version >= first { there } else { "NULL" };
    [
        ("{detaches}", since(140_000, "h.inhdetachpending")),
        ("{nulls}", since(150_000, "i.indnullsnotdistinct")),
        ("{set_columns}", since(150_000, "k.confdelsetcols")),
        ("{enforced}", since(180_000, "k.conenforced")),
        ("{not_internal}", not_internal),
        ("{array}", array),
        ("{body}", body),
        ("{range}", range),
        ("{statistics}", statistics),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (mark, words)| text.replace(mark, words))
}

/// The statements say `=.` for `OPERATOR(pg_catalog.=)`, `<>.` and `>=.` likewise, and `{user}` for the first OID that is
/// not the system's.
pub(super) fn short(text: &str) -> String {
    let mut text = text.replace("{user}", &FIRST_USER_OID.to_string());
    for operator in ["<>", ">=", "="] {
        text = text.replace(&format!(" {operator}. "), &format!(" OPERATOR(pg_catalog.{operator}) "));
    }
    text
}

const SERVER: &str = "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_database(), \
    pg_catalog.current_setting('server_encoding'), pg_catalog.version(), CURRENT_USER";

const SCHEMAS: &str = "SELECT n.nspname, pg_catalog.has_schema_privilege(n.oid, 'USAGE') FROM pg_catalog.pg_namespace AS n \
    WHERE NOT pg_catalog.pg_is_other_temp_schema(n.oid)";

const RELATIONS: &str = "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence =. 't', c.relrowsecurity, \
    i.indrelid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid =. c.relnamespace \
    LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid =. c.oid \
    WHERE c.relkind =. ANY ('{r,p,v,m,f,S,c,i,I}'::pg_catalog.\"char\"[]) AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_toast') \
    AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)";

/// That a column is NOT NULL may not hold yet of rows that were there before (from 18 on).
const COLUMNS: &str = "SELECT a.attrelid, pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attnum, a.atttypid, \
    a.atttypmod, pg_catalog.concat(CASE WHEN a.attgenerated <>. '' THEN 'g' WHEN a.attidentity <>. '' THEN 'i' \
    WHEN a.atthasdef THEN 'd' ELSE '-' END, CASE WHEN a.attnotnull AND v.oid IS NULL THEN '!' END)), ' ' \
    ORDER BY a.attnum), pg_catalog.array_to_json(pg_catalog.array_agg(a.attname ORDER BY a.attnum)) \
    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid =. a.attrelid \
    LEFT JOIN pg_catalog.pg_constraint AS v ON v.conrelid =. a.attrelid AND v.contype =. 'n' \
    AND NOT v.convalidated AND a.attnum =. ANY (v.conkey) \
    WHERE a.attnum >=. 1 AND NOT a.attisdropped \
    AND c.relkind =. ANY ('{r,p,v,m,f,S,c}'::pg_catalog.\"char\"[]) \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace) GROUP BY a.attrelid";

/// Which of them fire depends on a setting that a role may begin with (`session_replication_role`): all that are not disabled
/// are counted. What is for replicas alone takes nothing's place.
const RULES: &str = "SELECT r.oid, r.ev_class, r.rulename, r.ev_type, r.is_instead AND r.ev_enabled <>. 'R' \
    FROM pg_catalog.pg_rewrite AS r JOIN pg_catalog.pg_class AS c ON c.oid =. r.ev_class \
    WHERE r.rulename <>. '_RETURN' AND r.ev_enabled <>. 'D' \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const TRIGGERS: &str = "SELECT t.oid, t.tgrelid, t.tgname, t.tgtype, t.tgfoid::pg_catalog.oid, t.tgqual IS NOT NULL, \
    t.tgdeferrable \
    FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid =. t.tgrelid \
    WHERE {not_internal} AND t.tgenabled <>. 'D' \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const CHECKS: &str = "SELECT k.oid, k.conrelid, k.contypid FROM pg_catalog.pg_constraint AS k \
    WHERE k.contype =. 'c' AND NOT pg_catalog.pg_is_other_temp_schema(k.connamespace)";

const FOREIGN_KEYS: &str = "SELECT k.conrelid, k.confrelid, k.confdeltype, k.confupdtype \
    FROM pg_catalog.pg_constraint AS k WHERE k.contype =. 'f' \
    AND NOT pg_catalog.pg_is_other_temp_schema(k.connamespace)";

const INDEXES: &str = "SELECT i.indexrelid, i.indrelid, i.indexprs IS NOT NULL, i.indpred IS NOT NULL \
    FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid =. i.indrelid \
    WHERE (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const PARTITION_KEYS: &str = "SELECT p.partrelid FROM pg_catalog.pg_partitioned_table AS p \
    JOIN pg_catalog.pg_class AS c ON c.oid =. p.partrelid \
    WHERE p.partexprs IS NOT NULL AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const POLICIES: &str = "SELECT p.oid, p.polrelid, p.polqual IS NOT NULL, p.polwithcheck IS NOT NULL \
    FROM pg_catalog.pg_policy AS p JOIN pg_catalog.pg_class AS c ON c.oid =. p.polrelid \
    WHERE NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const INHERITANCE: &str = "SELECT h.inhrelid, h.inhparent FROM pg_catalog.pg_inherits AS h \
    JOIN pg_catalog.pg_class AS c ON c.oid =. h.inhrelid \
    WHERE NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const TYPES: &str = "SELECT t.oid, n.nspname, t.typname, t.typtype, t.typelem, {array}, t.typarray, t.typbasetype, \
    t.typrelid, r.rngsubtype, pg_catalog.array_to_string(ARRAY[t.typinput::pg_catalog.oid, t.typoutput::pg_catalog.oid, \
    t.typreceive::pg_catalog.oid, t.typsend::pg_catalog.oid, t.typmodin::pg_catalog.oid, t.typmodout::pg_catalog.oid, \
    r.rngcanonical::pg_catalog.oid, r.rngsubdiff::pg_catalog.oid], ' '), \
    t.typtype =. 'd' AND t.typdefaultbin IS NOT NULL \
    FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid =. t.typnamespace \
    LEFT JOIN pg_catalog.pg_range AS r ON {range} \
    WHERE NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_toast') AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)";

const FUNCTIONS: &str = "SELECT p.oid, n.nspname, p.proname, p.prokind, p.proargtypes, \
    pg_catalog.array_to_string(p.proallargtypes, ' '), pg_catalog.array_to_string(p.proargmodes, ''), \
    pg_catalog.array_to_json(p.proargnames), p.pronargdefaults, \
    p.oid >=. {user} AND p.proargdefaults IS NOT NULL, p.provariadic <>. 0, \
    p.prorettype, p.proretset, l.lanname, CASE WHEN p.oid >=. {user} THEN p.prosrc END, \
    p.oid >=. {user} AND {body}, pg_catalog.array_to_json(p.proconfig), p.prosecdef \
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid =. p.pronamespace \
    JOIN pg_catalog.pg_language AS l ON l.oid =. p.prolang \
    WHERE NOT pg_catalog.pg_is_other_temp_schema(n.oid)";

const AGGREGATES: &str = "SELECT a.aggfnoid::pg_catalog.oid, pg_catalog.array_to_string(\
    ARRAY[a.aggtransfn::pg_catalog.oid, a.aggfinalfn::pg_catalog.oid, a.aggcombinefn::pg_catalog.oid, \
    a.aggserialfn::pg_catalog.oid, a.aggdeserialfn::pg_catalog.oid, a.aggmtransfn::pg_catalog.oid, \
    a.aggminvtransfn::pg_catalog.oid, a.aggmfinalfn::pg_catalog.oid, o.oprcode::pg_catalog.oid], ' ') \
    FROM pg_catalog.pg_aggregate AS a JOIN pg_catalog.pg_proc AS p ON p.oid =. a.aggfnoid::pg_catalog.oid \
    LEFT JOIN pg_catalog.pg_operator AS o ON o.oid =. a.aggsortop \
    WHERE NOT pg_catalog.pg_is_other_temp_schema(p.pronamespace)";

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
    WHERE e.evtenabled <>. 'D'";

/// What the server's own families have for the server's own types is not in it: nobody can put something else there.
const FAMILIES: &str = "WITH entries AS MATERIALIZED (SELECT p.amprocfamily AS family, p.amproclefttype AS l, \
    p.amprocrighttype AS r, p.amproc::pg_catalog.oid AS function FROM pg_catalog.pg_amproc AS p UNION ALL \
    SELECT a.amopfamily, a.amoplefttype, a.amoprighttype, o.oprcode::pg_catalog.oid FROM pg_catalog.pg_amop AS a \
    JOIN pg_catalog.pg_operator AS o ON o.oid =. a.amopopr) \
    SELECT pg_catalog.concat_ws(' ', pg_catalog.string_agg(pg_catalog.concat_ws(' ', e.l, e.r), ' '), \
    (SELECT pg_catalog.string_agg(c.opcintype::pg_catalog.text, ' ') FROM pg_catalog.pg_opclass AS c \
    WHERE c.opcfamily =. e.family AND c.oid >=. {user})), \
    pg_catalog.string_agg(e.function::pg_catalog.text, ' ') \
    FROM entries AS e WHERE e.function >=. {user} GROUP BY e.family";

const STATISTICS: &str = "SELECT x.oid, x.stxrelid FROM pg_catalog.pg_statistic_ext AS x \
    JOIN pg_catalog.pg_class AS c ON c.oid =. x.stxrelid \
    WHERE {statistics} AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)";

const EXTENSIONS: &str = "SELECT e.extname, n.nspname FROM pg_catalog.pg_extension AS e \
    JOIN pg_catalog.pg_namespace AS n ON n.oid =. e.extnamespace";

const MEMBERS: &str = "SELECT \
    CASE WHEN d.classid =. 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid THEN 'f' ELSE 't' END, \
    d.objid, e.extname FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid =. d.refobjid \
    WHERE d.refclassid =. 'pg_catalog.pg_extension'::pg_catalog.regclass::pg_catalog.oid AND d.deptype =. 'e' \
    AND (d.classid =. 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid \
    OR d.classid =. 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid)";

/// A digest of each relation's definition, beside its columns: whatever decides what a statement does with it, and nothing that
/// ANALYZE, VACUUM, TRUNCATE, REINDEX or a new plain index writes. Expressions are taken as the server keeps them: printing them
/// would have to wait for locks; rules, which are long, by who wrote them. Triggers of foreign keys follow from those, unless they
/// are disabled.
const MARKS: &str = "SELECT p.relation, pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.string_agg(\
    p.part, ';' ORDER BY p.part COLLATE pg_catalog.\"C\"), 'UTF8')), 'hex') FROM (\
    SELECT c.oid AS relation, ROW(1, n.nspname, c.relname, c.relkind, c.relowner, c.relpersistence, c.relrowsecurity, \
    c.relforcerowsecurity, c.reloftype, c.relpartbound, CASE c.relkind WHEN 'v' THEN c.reloptions END)\
    ::pg_catalog.text AS part FROM pg_catalog.pg_class AS c \
    JOIN pg_catalog.pg_namespace AS n ON n.oid =. c.relnamespace \
    WHERE c.relkind =. ANY ('{r,p,v,m,f,S,c}'::pg_catalog.\"char\"[]) UNION ALL \
    SELECT a.attrelid, ROW(2, a.attnum, a.attidentity, a.attcollation)::pg_catalog.text \
    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid =. a.atttypid WHERE a.attrelid >=. {user} \
    AND a.attnum >=. 1 AND (a.attidentity <>. '' OR a.attcollation <>. t.typcollation) UNION ALL \
    SELECT d.adrelid, ROW(3, d.adnum, d.adbin)::pg_catalog.text FROM pg_catalog.pg_attrdef AS d UNION ALL \
    SELECT k.conrelid, ROW(4, k.conname, k.contype, k.condeferrable, k.condeferred, k.convalidated, k.conkey, k.confrelid, \
    k.confkey, k.confupdtype, k.confdeltype, k.confmatchtype, k.conexclop, k.conbin, {set_columns}, {enforced})\
    ::pg_catalog.text FROM pg_catalog.pg_constraint AS k WHERE k.conrelid <>. 0 UNION ALL \
    SELECT k.confrelid, ROW(5, k.conrelid, k.conname, k.condeferrable, k.condeferred, k.confkey, k.confupdtype, k.confdeltype)::pg_catalog.text \
    FROM pg_catalog.pg_constraint AS k WHERE k.contype =. 'f' UNION ALL \
    SELECT t.tgrelid, ROW(6, t.tgname, t.tgfoid::pg_catalog.oid, t.tgtype, t.tgenabled, t.tgconstrrelid, t.tgdeferrable, \
    t.tginitdeferred, t.tgattr, pg_catalog.encode(t.tgargs, 'hex'), t.tgqual, t.tgoldtable, t.tgnewtable)\
    ::pg_catalog.text FROM pg_catalog.pg_trigger AS t WHERE NOT t.tgisinternal OR t.tgenabled <>. 'O' UNION ALL \
    SELECT r.ev_class, ROW(7, r.rulename, r.ev_type, r.ev_enabled, r.is_instead, r.xmin)::pg_catalog.text \
    FROM pg_catalog.pg_rewrite AS r UNION ALL \
    SELECT p.polrelid, ROW(8, p.polname, p.polcmd, p.polpermissive, p.polroles, p.polqual, p.polwithcheck)\
    ::pg_catalog.text FROM pg_catalog.pg_policy AS p UNION ALL \
    SELECT i.indrelid, ROW(9, i.indisunique, i.indisprimary, i.indimmediate, i.indisready, i.indkey, i.indcollation, \
    i.indclass, i.indexprs, i.indpred, {nulls})::pg_catalog.text FROM pg_catalog.pg_index AS i \
    WHERE i.indisunique OR i.indisexclusion UNION ALL \
    SELECT h.inhrelid, ROW(10, h.inhparent, h.inhseqno, {detaches})::pg_catalog.text \
    FROM pg_catalog.pg_inherits AS h UNION ALL \
    SELECT h.inhparent, ROW(11, h.inhrelid)::pg_catalog.text FROM pg_catalog.pg_inherits AS h UNION ALL \
    SELECT k.partrelid, ROW(12, k.partstrat, k.partattrs, k.partclass, k.partcollation, k.partexprs)::pg_catalog.text \
    FROM pg_catalog.pg_partitioned_table AS k UNION ALL \
    SELECT f.ftrelid, ROW(13, f.ftserver, f.ftoptions, s.srvoptions)::pg_catalog.text \
    FROM pg_catalog.pg_foreign_table AS f JOIN pg_catalog.pg_foreign_server AS s ON s.oid =. f.ftserver) AS p \
    JOIN pg_catalog.pg_class AS c ON c.oid =. p.relation \
    WHERE p.relation >=. {user} AND c.relkind =. ANY ('{r,p,v,m,f,S,c}'::pg_catalog.\"char\"[]) \
    AND NOT pg_catalog.starts_with(c.relnamespace::pg_catalog.regnamespace::pg_catalog.text, 'pg_toast') \
    AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace) GROUP BY p.relation";
