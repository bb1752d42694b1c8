//! Functions that a person has read, from what was typed to what it means.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use model::{Action, Effect, Resource};
use sql::postgres::catalog::Cleared;

use super::{FunctionConfig, column_name};
use crate::cases;

/// By their signatures.
pub(super) fn cleared(
    functions: &BTreeMap<String, FunctionConfig>,
) -> Result<HashMap<String, Cleared>, String> {
    functions.iter().map(|(signature, config)| Ok((signature.clone(), read(signature, config)?))).collect()
}

fn read(signature: &str, config: &FunctionConfig) -> Result<Cleared, String> {
    let FunctionConfig { digest, effects, holds } = config;
    let wrong = |what: String| format!("functions: \"{signature}\": {what}");
    check_digest(digest).map_err(wrong)?;
    let effects = effects.iter().map(|text| effect(text).map_err(wrong)).collect::<Result<_, _>>()?;
    let column = |name: &String| {
        column_name(name)
            .ok_or_else(|| wrong(format!("\"{name}\" is no column: it is written schema.table.column")))
    };
    let holds = holds.iter().map(column).collect::<Result<_, _>>()?;
    Ok(Cleared { digest: digest.clone(), effects, holds })
}

/// A digest of a function.
///
/// # Errors
/// How it is written.
pub fn check_digest(digest: &str) -> Result<(), String> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f')) {
        return Err("a digest is written sha256: and 64 digits; `durward doctor` says it".to_owned());
    }
    Ok(())
}

/// What code can do to a database. What it holds of columns is said by itself.
fn effect(text: &str) -> Result<Effect, String> {
    let effect = cases::effect(text)?;
    let asked_elsewhere =
        matches!(effect.action, Action::Connect | Action::Reveal | Action::Preview | Action::Approve);
    if asked_elsewhere {
        return Err(format!("\"{text}\": no function does {}", effect.action.as_str()));
    }
    if !effect.tags.is_empty() {
        return Err(format!("\"{text}\": tags are those of what it names"));
    }
    if matches!(effect.resource, Resource::Column(_)) {
        return Err(format!("\"{text}\": columns stand in `holds`"));
    }
    Ok(effect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clears_a_function_says_what_was_read_and_what_it_does() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        let read = |digest: &str, effects: &[&str], holds: &[&str]| {
            let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect();
            let config =
                FunctionConfig { digest: digest.to_owned(), effects: words(effects), holds: words(holds) };
            cleared(&[("shop.f()".to_owned(), config)].into())
        };
        let fine = read(&digest, &["update=shop.orders", "notify"], &["shop.people.email"]).expect("fine");
        let fine = fine.get("shop.f()").expect("it is there");
        assert_eq!((fine.effects.len(), fine.holds.len()), (2, 1));
        for (digest, effects, holds, why) in [
            ("sha256:a1", &[][..], &[][..], "64 digits"),
            (&digest[7..], &[], &[], "sha256:"),
            (&digest, &["updat=shop.orders"], &[], "there is no action updat"),
            (&digest, &["update=orders"], &[], "two parts"),
            (&digest, &["select=shop.people#pii"], &[], "tags are those"),
            (&digest, &["probe=shop.people.email"], &[], "`holds`"),
            (&digest, &["reveal=shop.people"], &[], "no function does reveal"),
            (&digest, &[], &["people.email"], "schema.table.column"),
        ] {
            let said = read(digest, effects, holds).expect_err(why);
            assert!(said.contains(why) && said.contains("shop.f()"), "{said}");
        }
    }
}
