//! `COPY`: which way, of what, and how its data is laid out.

use model::{Action, Resource};
use pg_query::protobuf::CopyStmt;

use super::Control;
use super::bodies::own_entry;
use super::catalog::Event;
use super::copy::CopyFormat;
use super::query::Rows;
use super::scope::{Scope, Visible};
use super::tree::{constant, inner, is_on, options};
use super::value::Flow;
use super::walk::Walk;

impl<'a> Walk<'a> {
    pub(super) fn copy(&mut self, copy: &CopyStmt, scope: &Scope<'_, 'a>) -> Rows {
        let file = !copy.filename.is_empty();
        if copy.is_program {
            self.does(Action::Program, Resource::Target);
        } else if file {
            self.does(Action::ServerFile, Resource::Target);
        }
        if copy.is_from {
            self.copy_in(copy);
            if !file {
                self.found.control.push(Control::CopyIn);
            }
            return Rows::known(Vec::new());
        }
        let rows = match (&copy.relation, &copy.query) {
            (Some(range), _) => self.copied(range, &copy.attlist),
            (None, Some(_)) => Some(self.query(inner(&copy.query), scope)),
            (None, None) => None,
        };
        let rows = rows.unwrap_or_else(|| Rows {
            columns: None,
            flow: Flow::Unknown("the columns of a COPY that are not known".to_owned()),
        });
        if file {
            self.consume_flow(&rows.all());
            return Rows::known(Vec::new());
        }
        match self.layout(copy) {
            Some(layout) => self.found.control.push(Control::CopyOut(layout)),
            None => self.unknown("a layout of COPY that is not understood"),
        }
        rows
    }

    fn copy_in(&mut self, copy: &CopyStmt) {
        let Some(relation) = copy.relation.as_ref().and_then(|range| self.relation(range)) else { return };
        self.found.tables.insert(relation.table_name());
        let effect = self.on(Action::CopyIn, relation);
        self.effect(effect);
        self.found.touches_tagged |= self.is_tagged(relation);
        self.machinery(relation, Event::Insert);
        if let Some(node) = copy.where_clause.as_deref() {
            let mut scope = Scope::default();
            scope.entries.push(own_entry(self, relation));
            scope.visible.push(Visible::Entry(0));
            self.uses(node, &scope);
        }
    }

    /// How the data is laid out, as the options say. `None` where one of them is not understood.
    fn layout(&mut self, copy: &CopyStmt) -> Option<CopyFormat> {
        let (mut format, mut delimiter, mut null) = ("text".to_owned(), None, None);
        let (mut quote, mut escape, mut header) = (None, None, false);
        for option in options(&copy.options) {
            let value = || inner(&option.arg).and_then(constant);
            match option.defname.as_str() {
                "format" => format = value()?.to_ascii_lowercase(),
                "delimiter" => delimiter = Some(value()?),
                "null" => null = Some(value()?),
                "quote" => quote = Some(value()?),
                "escape" => escape = Some(value()?),
                "header" => header = is_on(option),
                // These change which rows go and how they are quoted, not how a row is taken apart.
                "force_quote" | "force_not_null" | "force_null" | "freeze" | "on_error" | "log_verbosity"
                | "reject_limit" | "default" => (),
                "encoding" => {
                    let name: String = value()?
                        .chars()
                        .filter(char::is_ascii_alphanumeric)
                        .collect::<String>()
                        .to_ascii_lowercase();
                    if name != "utf8" && name != "unicode" {
                        return None;
                    }
                }
                _ => return None,
            }
        }
        let byte = |text: Option<String>, default: u8| match text {
            None => Some(default),
            Some(text) => match text.as_bytes() {
                [byte] => Some(*byte),
                _ => None,
            },
        };
        match format.as_str() {
            "text" => Some(CopyFormat::Text {
                delimiter: byte(delimiter, b'\t')?,
                null: null.map_or_else(|| b"\\N".to_vec(), String::into_bytes),
                header,
            }),
            "csv" => {
                let quote = byte(quote, b'"')?;
                Some(CopyFormat::Csv {
                    delimiter: byte(delimiter, b',')?,
                    quote,
                    escape: byte(escape, quote)?,
                    null: null.unwrap_or_default().into_bytes(),
                    header,
                })
            }
            "binary" => Some(CopyFormat::Binary),
            _ => None,
        }
    }
}
