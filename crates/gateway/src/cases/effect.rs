//! Effects as people type them: `ACTION=[KIND:]NAME[#TAG…]`.

use model::{Action, ColumnName, Effect, FunctionName, Resource, TableName, Tag};

/// Whether a text is meant as an effect; else it is a statement.
pub fn looks_like_one(text: &str) -> bool {
    let text = text.trim();
    let is_action = |word: &str| Action::ALL.iter().any(|a| a.as_str() == word);
    is_action(text) || (text.contains('=') && !text.contains([' ', '\n', '\t', '(']))
}

/// `ACTION=[KIND:]NAME[#TAG…]`; without a kind, two parts are a table and three a column.
pub(crate) fn effect(text: &str) -> Result<Effect, String> {
    let bad = |why: &str| format!("\"{text}\": {why}; an effect is written ACTION=[KIND:]NAME[#TAG…]");
    let (word, rest) = text.split_once('=').unwrap_or((text, "target:"));
    let action = Action::ALL.iter().find(|a| a.as_str() == word).ok_or_else(|| {
        let words: Vec<&str> = Action::ALL.iter().map(|a| a.as_str()).collect();
        bad(&format!("there is no action {word}; there are {}", words.join(", ")))
    })?;
    let mut parts = rest.split('#');
    let named = parts.next().unwrap_or_default();
    let (kind, name) = named.split_once(':').unwrap_or(("", named));
    let names = model::parts(name).unwrap_or_default();
    let table = |schema: String, name: String| TableName { schema, name };
    let resource = match (kind, <[String; 3]>::try_from(names.clone()), <[String; 2]>::try_from(names)) {
        ("target", _, _) => Resource::Target,
        ("schema", _, _) => Resource::Schema(name.to_owned()),
        ("setting", _, _) => Resource::Setting(name.to_owned()),
        ("" | "column", Ok([schema, of, name]), _) => {
            Resource::Column(ColumnName { table: table(schema, of), name })
        }
        ("" | "table", _, Ok([schema, name])) => Resource::Table(table(schema, name)),
        ("function", _, Ok([schema, name])) => Resource::Function(FunctionName { schema, name }),
        ("" | "table" | "column" | "function", _, _) => {
            return Err(bad("tables and functions have two parts, columns three"));
        }
        _ => return Err(bad("the kinds are target, schema, table, column, function and setting")),
    };
    Ok(Effect { tags: parts.map(|tag| Tag(tag.to_owned())).collect(), ..Effect::new(*action, resource) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_an_action_on_a_named_thing() {
        for (text, shown) in [
            ("update=shop.orders", Some("update on shop.orders []")),
            ("select=table:shop.orders#pii#x", Some("select on shop.orders [pii, x]")),
            ("reveal=shop.people.email", Some("reveal on column shop.people.email []")),
            ("call=function:shop.f", Some("call on function shop.f []")),
            ("configure=setting:a.b", Some("configure on setting a.b []")),
            ("create=schema:shop", Some("create on schema shop []")),
            ("program", Some("program on the target []")),
            ("updat=shop.orders", None),
            ("update=orders", None),
            ("update=view:shop.orders", None),
        ] {
            let read = effect(text).ok().map(|e| {
                let tags: Vec<String> = e.tags.iter().map(ToString::to_string).collect();
                format!("{} on {} [{}]", e.action.as_str(), e.resource, tags.join(", "))
            });
            assert_eq!(read.as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_effect_is_a_statement() {
        for (text, effect) in [
            ("update=shop.orders", true),
            ("updat=shop.orders", true),
            ("program", true),
            ("delete from orders", false),
            ("commit", false),
            ("select a=b", false),
            ("update t set a=1", false),
            ("", false),
        ] {
            assert_eq!(looks_like_one(text), effect, "{text}");
        }
    }
}
