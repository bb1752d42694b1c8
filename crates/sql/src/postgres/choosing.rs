//! Which of several candidates the server takes by the types of what they are given: the rules of `func_select_candidate` that
//! need no category of a type beyond the server's own numbers, times and texts.

use pg_query::protobuf::Node;

use super::calls::is_in_its_place;
use super::catalog::{Function, Oid, Operator, TypeKind};
use super::value::{TEXT, UNKNOWN, Value};
use super::walk::Walk;

/// `anynonarray`
const NON_ARRAY: Oid = Oid(2776);
/// Types of one category, and which of them is preferred.
const CATEGORIES: [(&[Oid], Oid); 3] = [
    (&[Oid(21), Oid(23), Oid(20), Oid(700), Oid(701), Oid(1700)], Oid(701)),
    (&[Oid(1082), Oid(1083), Oid(1114), Oid(1184), Oid(1266)], Oid(1184)),
    (&[TEXT, Oid(1043), Oid(1042), Oid(19)], TEXT),
];

impl<'a> Walk<'a> {
    /// The places of those that are left, all of which can take what is given; `None` where a type is not certain.
    pub(super) fn most_alike(&self, given: &[Option<Oid>], candidates: &[Vec<Oid>]) -> Option<Vec<usize>> {
        let given: Vec<Oid> =
            given.iter().map(|given| self.settled_type((*given)?)).collect::<Option<_>>()?;
        let mut left: Vec<usize> = (0..candidates.len()).collect();
        let declared = |place: &usize| candidates.get(*place).map(Vec::as_slice).unwrap_or_default();
        let known = |is: &dyn Fn(Oid, Oid) -> bool, place: &usize| {
            let pairs = given.iter().zip(declared(place)).filter(|(given, _)| **given != UNKNOWN);
            pairs.filter(|(given, declared)| is(**given, **declared)).count()
        };
        let keep = |left: &mut Vec<usize>, is: &dyn Fn(Oid, Oid) -> bool| {
            let most = left.iter().map(|place| known(is, place)).max().unwrap_or_default();
            if most > 0 {
                left.retain(|place| known(is, place) == most);
            }
        };
        let same = |given: Oid, declared: Oid| given == declared;
        keep(&mut left, &same);
        let is_common = |given: &Oid| *given == UNKNOWN || category(*given).is_some();
        let all_known = given.iter().filter(|given| **given != UNKNOWN).count();
        let is_exact = |place: &usize| all_known > 0 && known(&same, place) == all_known;
        if left.len() > 1 && (given.iter().all(is_common) || left.iter().all(is_exact)) {
            keep(&mut left, &|given, declared| given == declared || category(given) == Some(declared));
            // A literal is a text for whoever takes one.
            let open: Vec<usize> = (0..given.len()).filter(|n| given.get(*n) == Some(&UNKNOWN)).collect();
            let takes_text = |place: &usize, n: &usize| declared(place).get(*n) == Some(&TEXT);
            let texts = |place: &usize| open.iter().all(|n| takes_text(place, n));
            if left.iter().any(texts) {
                left.retain(texts);
            }
        }
        // Whether what is polymorphic can take it may go by the others beside it.
        let is_certain = |oid: &Oid| {
            *oid == NON_ARRAY || self.catalog.type_by_oid(*oid).is_some_and(|t| t.kind != TypeKind::Pseudo)
        };
        let certain =
            left.len() == candidates.len() || left.iter().all(|place| declared(place).iter().all(is_certain));
        certain.then_some(left)
    }

    /// Those of the server's own that it takes by its rules.
    pub(super) fn narrowed(
        &self,
        fitting: Vec<&'a Function>,
        values: &[Value],
        nodes: &[Node],
    ) -> Vec<&'a Function> {
        let is_plain = |f: &&'a Function| f.is_builtin() && !f.variadic && f.arguments.len() == values.len();
        if fitting.len() < 2 || !fitting.iter().all(is_plain) || !nodes.iter().all(is_in_its_place) {
            return fitting;
        }
        let given: Vec<Option<Oid>> = values.iter().map(|value| value.type_oid).collect();
        let declared: Vec<Vec<Oid>> = fitting.iter().map(|f| f.arguments.clone()).collect();
        match self.most_alike(&given, &declared) {
            Some(places) => places.iter().filter_map(|place| fitting.get(*place).copied()).collect(),
            None => fitting,
        }
    }

    /// What operators give of which one is taken, where all that are not the server's own are of extensions that people read.
    pub(super) fn given_by(
        &self,
        all: &[&Operator],
        left: Option<Oid>,
        right: Option<Oid>,
        prefix: bool,
    ) -> Option<Oid> {
        let reviewed = |function: Oid| {
            let extension = self.catalog.function(function).and_then(|f| f.extension.as_deref());
            extension.is_some_and(super::functions::is_reviewed)
        };
        if !all.iter().all(|o| !o.is_own() || reviewed(o.function)) {
            return None;
        }
        let operands = |o: &Operator| if prefix { vec![o.right] } else { vec![o.left, o.right] };
        let given = if prefix { vec![right] } else { vec![left, right] };
        let declared: Vec<Vec<Oid>> = all.iter().map(|o| operands(o)).collect();
        let places = self.most_alike(&given, &declared);
        let taken: Vec<&Operator> = match places {
            Some(places) => places.iter().filter_map(|place| all.get(*place).copied()).collect(),
            None => all.to_vec(),
        };
        let mut results = taken.iter().map(|o| self.settled(o, left, right));
        let first = results.next()??;
        results.all(|result| result == Some(first)).then_some(first)
    }

    /// What is looked at of a type: what is under a domain. `None` where it stands for others, or is of rows.
    fn settled_type(&self, given: Oid) -> Option<Oid> {
        if given == UNKNOWN {
            return Some(given);
        }
        let base = self.base(given);
        let known = self.catalog.type_by_oid(base)?;
        matches!(known.kind, TypeKind::Base | TypeKind::Enum | TypeKind::Range | TypeKind::Multirange)
            .then_some(base)
    }
}

/// The preferred type of a type's category.
fn category(oid: Oid) -> Option<Oid> {
    CATEGORIES.iter().find(|(types, _)| types.contains(&oid)).map(|(_, preferred)| *preferred)
}
