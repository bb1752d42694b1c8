//! Which objects a resolved statement uses: relations and how, columns whose values come out or decide, functions.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::tree::{Node, Part};

/// What a resolved statement uses, by OID.
#[derive(Debug, Default, Clone)]
pub(super) struct Objects {
    /// Relations with the rights that are needed on them (`ACL_INSERT` 1, `ACL_SELECT` 2, `ACL_UPDATE` 4, `ACL_DELETE` 8).
    pub(super) relations: BTreeMap<u32, i64>,
    pub(super) functions: BTreeSet<u32>,
    pub(super) operators: BTreeSet<u32>,
    /// Domains that values must pass, types that values are read from texts as.
    pub(super) types: BTreeSet<u32>,
    /// Objects that constants name (`'t'::regclass`): they are spoken of, not used.
    pub(super) spoken_of: BTreeSet<u32>,
}

/// `regproc`, `regprocedure`, `regoper`, `regoperator`, `regclass`, `regtype`
const NAMING: [i64; 6] = [24, 2202, 2203, 2204, 2205, 2206];

impl Objects {
    /// Everything that is anywhere in a tree.
    pub(super) fn gather(&mut self, part: &Part) {
        part.nodes(&mut |node| self.node(node));
    }

    fn node(&mut self, node: &Node) {
        let oid = |name| u32::try_from(node.number(name)).ok().filter(|oid| *oid != 0);
        match node.kind.as_str() {
            // Before 14 the kind was called RTE, too.
            "RTE" | "RANGETBLENTRY" if node.number("rtekind") == 0 => {
                if let Some(relation) = oid("relid") {
                    *self.relations.entry(relation).or_default() |= node.number("requiredPerms");
                }
            }
            "RTEPERMISSIONINFO" => {
                if let Some(relation) = oid("relid") {
                    *self.relations.entry(relation).or_default() |= node.number("requiredPerms");
                }
            }
            "CONST" if NAMING.contains(&node.number("consttype")) => {
                let bytes = node.values("constvalue").get(1).map(Part::numbers).unwrap_or_default();
                let bytes = bytes.iter().take(4).filter_map(|byte| u8::try_from(byte.rem_euclid(256)).ok());
                let bytes: Vec<u8> = bytes.collect();
                self.spoken_of.extend(<[u8; 4]>::try_from(bytes).map(u32::from_ne_bytes).ok());
            }
            "COERCETODOMAIN" | "COERCEVIAIO" => self.types.extend(oid("resulttype")),
            // A field is of its type already: nothing is checked where it is picked.
            "FIELDSELECT" => self.spoken_of.extend(oid("resulttype")),
            _ => (),
        }
        for name in ["funcid", "opfuncid", "aggfnoid", "winfnoid"] {
            self.functions.extend(oid(name));
        }
        for name in ["opno", "eqop", "sortop"] {
            self.operators.extend(oid(name));
        }
        let several = node.field("opnos").map(Part::numbers).unwrap_or_default();
        self.operators.extend(several.into_iter().filter_map(|oid| u32::try_from(oid).ok()));
        for (_, parts) in node.fields() {
            parts.iter().for_each(|part| self.gather(part));
        }
    }
}

/// The queries of views, by relation.
pub(super) type Views = BTreeMap<u32, Part>;

/// A query's level and those above it.
type Levels<'t> = Vec<&'t Node>;

/// Columns (relation, number) whose values come out or decide something.
pub(super) struct Columns<'t> {
    pub(super) found: BTreeSet<(u32, i16)>,
    /// Columns of which is asked whether there is a value, and no more.
    pub(super) present: BTreeSet<(u32, i16)>,
    /// Something that was followed is more than a column.
    computed: bool,
    views: &'t Views,
    seen: HashSet<(usize, i64, bool)>,
    depth: usize,
}

/// All columns of a query's result.
const ALL: i64 = -1;
/// `SETOP_UNION`
const UNION: i64 = 1;
/// `count("any")`
const COUNT: i64 = 2147;
/// None of them: only what decides which rows there are.
const NONE: i64 = 0;

impl<'t> Columns<'t> {
    pub(super) fn of(part: &'t Part, views: &'t Views, rows: bool) -> Self {
        let wanted = if rows { ALL } else { NONE };
        let mut this = Self::none(views);
        part.nodes(&mut |query| this.query(&vec![query], wanted, false));
        this
    }

    fn none(views: &'t Views) -> Self {
        let (found, present) = (BTreeSet::new(), BTreeSet::new());
        Self { found, present, computed: false, views, seen: HashSet::new(), depth: 0 }
    }

    /// A query of which one column is wanted, or all, or none. Within a view's definition only where values come from
    /// counts: what decides there is the view's owner's doing.
    fn query(&mut self, levels: &Levels<'t>, wanted: i64, values_only: bool) {
        let Some(query) = levels.last().copied() else { return };
        if self.depth > 200 || !self.seen.insert((std::ptr::from_ref(query).addr(), wanted, values_only)) {
            return;
        }
        self.depth += 1;
        if !values_only && self.seen.insert((std::ptr::from_ref(query).addr(), NONE - 1_000, false)) {
            self.base(levels, query);
        }
        let select = query.number("commandType") == 1;
        for entry in query.list("targetList") {
            let Part::Node(entry) = entry else { continue };
            let number = entry.number("resno");
            let deciding = !values_only && (entry.number("ressortgroupref") != 0 || !select);
            let shown = wanted == ALL && entry.text("resjunk") != "true";
            if deciding || shown || number == wanted {
                self.field(levels, entry, "expr", values_only);
            }
        }
        for entry in query.list("returningList") {
            let Part::Node(entry) = entry else { continue };
            if wanted == ALL || entry.number("resno") == wanted {
                self.field(levels, entry, "expr", values_only);
            }
        }
        if let Some(operation) = query.node("setOperations") {
            let all = operation.text("all") == "true" && operation.number("op") == UNION;
            let wanted = if all || values_only { wanted } else { ALL };
            self.leaves(levels, query, operation, wanted, values_only);
        }
        self.depth -= 1;
    }

    /// What decides which rows a query has.
    fn base(&mut self, levels: &Levels<'t>, query: &'t Node) {
        for name in [
            "jointree",
            "havingQual",
            "limitOffset",
            "limitCount",
            "onConflict",
            "mergeActionList",
            "mergeJoinCondition",
        ] {
            self.field(levels, query, name, false);
        }
        for window in query.list("windowClause") {
            if let Part::Node(window) = window {
                self.field(levels, window, "startOffset", false);
                self.field(levels, window, "endOffset", false);
            }
        }
        for table in query.list("rtable") {
            let Part::Node(table) = table else { continue };
            for name in ["functions", "tablefunc", "values_lists", "tablesample"] {
                self.field(levels, table, name, false);
            }
            if let Some(sub) = table.node("subquery")
                && table.number("relid") == 0
            {
                self.query(&below(levels, sub), NONE, false);
            }
            if table.number("rtekind") == 6 {
                self.expression(levels, table, NONE);
            }
        }
        for cte in query.list("cteList") {
            // What writes is carried out even if nobody reads it.
            if let Part::Node(cte) = cte
                && let Some(sub) = cte.node("ctequery")
                && sub.number("commandType") != 1
            {
                self.query(&below(levels, sub), NONE, false);
            }
        }
    }

    fn leaves(
        &mut self,
        levels: &Levels<'t>,
        query: &'t Node,
        side: &'t Node,
        wanted: i64,
        values_only: bool,
    ) {
        if side.kind == "RANGETBLREF" {
            let index = side.number("rtindex");
            if let Some(sub) = table(query, index).and_then(|t| t.node("subquery")) {
                self.query(&below(levels, sub), wanted, values_only);
            }
            return;
        }
        let all = side.text("all") == "true" && side.number("op") == UNION;
        let wanted = if all || values_only { wanted } else { ALL };
        for name in ["larg", "rarg"] {
            if let Some(side) = side.node(name) {
                self.leaves(levels, query, side, wanted, values_only);
            }
        }
    }

    fn field(&mut self, levels: &Levels<'t>, node: &'t Node, name: &str, values_only: bool) {
        if let Some(part) = node.field(name) {
            part.nodes(&mut |node| self.value(levels, node, values_only));
        }
    }

    fn value(&mut self, levels: &Levels<'t>, node: &'t Node, values_only: bool) {
        self.computed |= !matches!(node.kind.as_str(), "VAR" | "RELABELTYPE" | "TARGETENTRY");
        if self.asks_for_presence(levels, node) {
            return self.field(levels, node, "aggfilter", values_only);
        }
        match node.kind.as_str() {
            "VAR" => {
                let up = usize::try_from(node.number("varlevelsup")).unwrap_or(0);
                let kept = levels.len().saturating_sub(up);
                let levels: Levels<'t> = levels.get(..kept).unwrap_or_default().to_vec();
                let Some(query) = levels.last() else { return };
                if let Some(table) = table(query, node.number("varno")) {
                    self.column(&levels, table, node.number("varattno"), values_only);
                }
            }
            "SUBLINK" => {
                self.field(levels, node, "testexpr", values_only);
                if let Some(sub) = node.node("subselect") {
                    let exists = node.number("subLinkType") == 0;
                    self.query(&below(levels, sub), if exists { NONE } else { ALL }, values_only);
                }
            }
            // Which columns are grouped by is no value of theirs.
            "GROUPINGFUNC" | "RANGETBLREF" => (),
            "QUERY" => self.query(&below(levels, node), ALL, values_only),
            _ => {
                for (name, parts) in node.fields() {
                    if name != "subquery" {
                        for part in parts {
                            part.nodes(&mut |node| self.value(levels, node, values_only));
                        }
                    }
                }
            }
        }
    }

    /// `column IS NULL`, `count(column)`, where it is a column of a table in the end.
    fn asks_for_presence(&mut self, levels: &Levels<'t>, node: &'t Node) -> bool {
        let name = match node.kind.as_str() {
            "NULLTEST" => "arg",
            "AGGREF" if node.number("aggfnoid") == COUNT && node.list("aggdistinct").is_empty() => "args",
            "WINDOWFUNC" if node.number("winfnoid") == COUNT => "args",
            _ => return false,
        };
        let mut inside = Self::none(self.views);
        inside.field(levels, node, name, true);
        if inside.computed {
            return false;
        }
        self.present.extend(inside.found);
        true
    }

    /// A column of an item of `FROM`; number 0 is the whole row.
    fn column(&mut self, levels: &Levels<'t>, table: &'t Node, number: i64, values_only: bool) {
        let wanted = if number == 0 { ALL } else { number };
        match table.number("rtekind") {
            0 => {
                let Ok(relation) = u32::try_from(table.number("relid")) else { return };
                if let Ok(number) = i16::try_from(number) {
                    self.found.insert((relation, number));
                }
                if let Some(view) = self.views.get(&relation)
                    && number >= 0
                {
                    view.nodes(&mut |query| self.query(&vec![query], wanted, true));
                }
            }
            1 => {
                if let Some(sub) = table.node("subquery") {
                    self.query(&below(levels, sub), wanted, values_only);
                }
            }
            2 => self.member(levels, table, "joinaliasvars", number, values_only),
            6 => self.expression_of(levels, table, wanted, values_only),
            9 => self.member(levels, table, "groupexprs", number, values_only),
            _ => (),
        }
    }

    /// A join's column, or a grouped expression.
    fn member(&mut self, levels: &Levels<'t>, table: &'t Node, name: &str, number: i64, values_only: bool) {
        let items = table.list(name);
        let index = usize::try_from(number).unwrap_or(0);
        let these: Vec<&'t Part> = match index.checked_sub(1) {
            Some(index) => items.get(index).into_iter().collect(),
            None => items.iter().collect(),
        };
        for part in these {
            part.nodes(&mut |node| self.value(levels, node, values_only));
        }
    }

    fn expression(&mut self, levels: &Levels<'t>, table: &'t Node, wanted: i64) {
        self.expression_of(levels, table, wanted, false);
    }

    /// A column of a common table expression.
    fn expression_of(&mut self, levels: &Levels<'t>, table: &'t Node, wanted: i64, values_only: bool) {
        let up = usize::try_from(table.number("ctelevelsup")).unwrap_or(0);
        let kept = levels.len().saturating_sub(up);
        let levels: Levels<'t> = levels.get(..kept).unwrap_or_default().to_vec();
        let Some(query) = levels.last() else { return };
        let name = table.text("ctename");
        let cte = query.list("cteList").iter().find_map(|part| match part {
            Part::Node(cte) if cte.text("ctename") == name => Some(cte),
            Part::Node(_) | Part::Atom(_) | Part::List(_) => None,
        });
        if let Some(sub) = cte.and_then(|cte| cte.node("ctequery")) {
            self.query(&below(&levels, sub), wanted, values_only);
        }
    }
}

fn below<'t>(levels: &Levels<'t>, sub: &'t Node) -> Levels<'t> {
    levels.iter().copied().chain([sub]).collect()
}

/// An item of a query's range table, from 1.
fn table(query: &Node, number: i64) -> Option<&Node> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    match query.list("rtable").get(index)? {
        Part::Node(table) => Some(table),
        Part::Atom(_) | Part::List(_) => None,
    }
}
