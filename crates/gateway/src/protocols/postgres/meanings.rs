//! What texts mean, as it was understood before: by a session, and by all sessions of a target that resolve names alike.

use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

use super::operation::Operation;

/// So many texts, and so many templates of texts, are remembered with what they mean.
const MOST: usize = 512;
/// What takes more bytes is not remembered: a short text can stand for many columns.
const HEAVIEST: usize = 32 * 1024;
/// Sessions that resolve names in so many ways share what they understood.
const MOST_WAYS: usize = 32;

/// Texts and what they mean.
#[derive(Default)]
pub(super) struct Meanings {
    texts: HashMap<Box<[u8]>, Arc<Operation>>,
    /// What templates of texts mean, where their literals decide nothing.
    templates: HashMap<String, Arc<Operation>>,
}

impl Meanings {
    pub(super) fn text(&self, text: &[u8]) -> Option<&Arc<Operation>> {
        self.texts.get(text)
    }

    pub(super) fn template(&self, key: &str) -> Option<&Arc<Operation>> {
        self.templates.get(key)
    }

    pub(super) fn keep_text(&mut self, text: &[u8], operation: &Arc<Operation>) {
        if operation.weight() > HEAVIEST {
            return;
        }
        if self.texts.len() >= MOST {
            self.texts.clear();
        }
        self.texts.insert(text.into(), Arc::clone(operation));
    }

    pub(super) fn keep_template(&mut self, key: String, operation: &Arc<Operation>) {
        if operation.weight() > HEAVIEST {
            return;
        }
        if self.templates.len() >= MOST {
            self.templates.clear();
        }
        self.templates.insert(key, Arc::clone(operation));
    }

    pub(super) fn forget(&mut self) {
        self.texts.clear();
        self.templates.clear();
    }
}

/// Everything beside a text that its meaning depends on, in a session that sees what all see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Way<'a> {
    /// The shared catalogue's version.
    pub catalogue: u64,
    /// The effective schemas, in order.
    pub search_path: &'a [String],
    /// The current role.
    pub role: &'a str,
    /// Whether names need not be certain.
    pub indifferent: bool,
}

#[derive(PartialEq, Eq, Hash)]
struct Kept {
    catalogue: u64,
    search_path: Vec<String>,
    role: String,
    indifferent: bool,
}

impl hashbrown::Equivalent<Kept> for Way<'_> {
    fn equivalent(&self, kept: &Kept) -> bool {
        let Kept { catalogue, search_path, role, indifferent } = kept;
        *self == Way { catalogue: *catalogue, search_path, role, indifferent: *indifferent }
    }
}

/// What the sessions of a target understood: a session that begins need not do it again.
#[derive(Default)]
pub(crate) struct Shared(Mutex<HashMap<Kept, Meanings>>);

impl Shared {
    /// Looks something up among what was understood in the same way.
    pub(super) fn find(
        &self,
        way: Way<'_>,
        find: impl FnOnce(&Meanings) -> Option<&Arc<Operation>>,
    ) -> Option<Arc<Operation>> {
        let ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ways.get(&way).and_then(find).cloned()
    }

    /// Keeps something for others that understand in the same way.
    pub(super) fn keep(&self, way: Way<'_>, keep: impl FnOnce(&mut Meanings)) {
        let mut ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !ways.contains_key(&way) {
            // What was understood by an older catalogue serves nobody.
            ways.retain(|kept, _| kept.catalogue >= way.catalogue);
            if ways.len() >= MOST_WAYS {
                ways.clear();
            }
        }
        let Way { catalogue, search_path, role, indifferent } = way;
        let kept = Kept { catalogue, search_path: search_path.to_vec(), role: role.to_owned(), indifferent };
        keep(ways.entry(kept).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_resolves_names_otherwise_finds_nothing() {
        let shared = Shared::default();
        let path = ["public".to_owned()];
        let way = Way { catalogue: 7, search_path: &path, role: "agent", indifferent: false };
        let operation = Arc::new(Operation::nothing());
        shared.keep(way, |meanings| {
            meanings.keep_text(b"select 1", &operation);
            meanings.keep_template("select ?".to_owned(), &operation);
        });
        let text = |way| shared.find(way, |m| m.text(b"select 1")).is_some();
        assert!(text(way) && shared.find(way, |m| m.template("select ?")).is_some());
        assert!(shared.find(way, |m| m.text(b"select ?")).is_none(), "a text is no template");
        for other in [
            Way { catalogue: 8, ..way },
            Way { search_path: &[], ..way },
            Way { role: "owner", ..way },
            Way { indifferent: true, ..way },
        ] {
            assert!(!text(other), "{other:?}");
        }
        shared.keep(Way { catalogue: 8, ..way }, |_| ());
        assert!(!text(way), "an older catalogue serves nobody");
    }
}
