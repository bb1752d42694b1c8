//! The event trigger by which a target tells of altered definitions at once. Nobody but a superuser can make one, so it is offered
//! and not made.

use super::{Catalog, Function, Oid};

/// The channel on which it does.
pub const CHANNEL: &str = "durward_definitions";
/// All that its function does.
const BODY: &str = "BEGIN NOTIFY durward_definitions; END";

/// What makes it.
pub fn definition() -> String {
    format!(
        "CREATE FUNCTION public.durward_definitions() RETURNS event_trigger LANGUAGE plpgsql AS '{BODY}'; \
         CREATE EVENT TRIGGER durward_definitions ON ddl_command_end EXECUTE FUNCTION public.durward_definitions();"
    )
}

impl Catalog {
    /// Whether the target tells of altered definitions.
    pub fn tells_of_definitions(&self) -> bool {
        self.event_triggers().iter().any(|t| t.event == "ddl_command_end" && self.only_tells(t.function))
    }

    /// Whether a function does nothing but tell of them: whoever defines something does not notify of their own will.
    pub(crate) fn only_tells(&self, function: Oid) -> bool {
        self.function(function).is_some_and(|Function { language, source, config, .. }| {
            language == "plpgsql" && source.trim() == BODY && config.is_empty()
        })
    }
}
