//! The settings that a client asks for in its start-up packet: which of them reach the target.

use policy::{Denied, PROTECTED};
use sql::postgres::settings::{Setting, classify};

/// What is asked for at the start, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Settings that may go to the target, in their order.
    pub settings: Vec<(String, Vec<u8>)>,
    /// The first that may not.
    pub refused: Option<Denied>,
}

/// Takes start-up parameters apart. `options` is taken apart as the server would; of who may do everything, nothing needs to
/// be read with certainty, so all goes to the server as it is.
pub(super) fn wanted(parameters: &[(String, Vec<u8>)], everything: bool) -> Wanted {
    let mut wanted = Wanted::default();
    for (name, bytes) in parameters {
        let Ok(value) = std::str::from_utf8(bytes) else {
            wanted.unreadable(name, bytes, everything);
            continue;
        };
        match name.as_str() {
            // The gateway's own to say, or dealt with before the login.
            "user" | "database" | "replication" => (),
            option if option.starts_with("_pq_.") => (),
            "options" if everything => wanted.settings.push((name.clone(), bytes.clone())),
            "options" => match switches(value) {
                Ok(settings) => {
                    settings.into_iter().for_each(|(name, value)| wanted.take(name, value, everything))
                }
                Err(switch) => wanted.refuse(format!("the command-line option {switch} may not be set here")),
            },
            _ => wanted.take(name.clone(), value.to_owned(), everything),
        }
    }
    wanted
}

impl Wanted {
    fn take(&mut self, name: String, value: String, everything: bool) {
        let lower = name.to_ascii_lowercase();
        let harmless = classify(&lower, Some(&value)) == Setting::Harmless;
        match lower.as_str() {
            own if own.starts_with(PROTECTED) => {
                self.refuse(format!("{lower} says who acts here, and is the gateway's to set"));
            }
            _ if everything => self.settings.push((name, value.into_bytes())),
            // As they are by the gateway's own login.
            "client_encoding" | "standard_conforming_strings" | "backslash_quote" if harmless => (),
            "client_encoding" => self.refuse(format!(
                "client_encoding {value} is not supported: only UTF8 is, since statements must be read with certainty"
            )),
            "standard_conforming_strings" | "backslash_quote" => {
                self.refuse(format!("{lower} = {value} is not supported, since statements must be read with certainty"));
            }
            _ if harmless => self.settings.push((name, value.into_bytes())),
            _ => self.refuse(format!("the setting {lower} may not be set at the start of a session")),
        }
    }

    /// A value that is not UTF-8.
    fn unreadable(&mut self, name: &str, value: &[u8], everything: bool) {
        match name {
            "user" => (),
            option if option.starts_with("_pq_.") => (),
            // A name of ours is never such; where everything is allowed, others are the server's to know.
            "database" if everything => (),
            _ if everything && !name.to_ascii_lowercase().starts_with(PROTECTED) => {
                self.settings.push((name.to_owned(), value.to_vec()));
            }
            _ => self.refuse(format!("the value of {name} is not valid UTF-8")),
        }
    }

    fn refuse(&mut self, reason: String) {
        if self.refused.is_some() {
            return;
        }
        self.refused = Some(Denied {
            code: "42501",
            reason,
            hint: Some("Connect without it.".to_owned()),
            policies: Vec::new(),
            version: "".into(),
        });
    }
}

/// `options` as the server splits it: at white space, a backslash takes the next character as it is; `-c name=value` and
/// `--name=value` (dashes in the name are underscores). Any other switch is handed back.
fn switches(options: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(options);
    let mut words = words.iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting =
            match word.strip_prefix("--").or_else(|| word.strip_prefix("-c").filter(|s| !s.is_empty())) {
                Some(setting) => setting,
                None if word == "-c" => words.next().ok_or("-c")?,
                None => return Err(word.clone()),
            };
        let (name, value) = setting.split_once('=').ok_or_else(|| word.clone())?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut characters = options.chars();
    while let Some(c) = characters.next() {
        if matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c') {
            words.extend(word.take());
            continue;
        }
        let c = if c == '\\' { characters.next().unwrap_or(c) } else { c };
        word.get_or_insert_default().push(c);
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parameters: &[(&str, &str)], everything: bool, passed: &[(&str, &str)], refused: bool) {
        let owned: Vec<_> = parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).into())).collect();
        let got = wanted(&owned, everything);
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        let settings: Vec<_> = got.settings.iter().map(|(n, v)| (n.clone(), text(v))).collect();
        let settings: Vec<_> = settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!((settings.as_slice(), got.refused.is_some()), (passed, refused), "{parameters:?}");
    }

    #[test]
    fn harmless_settings_pass_and_names_of_the_login_do_not() {
        check(&[("user", "a"), ("database", "b"), ("TimeZone", "UTC")], false, &[("TimeZone", "UTC")], false);
        check(&[("client_encoding", "'utf-8'"), ("standard_conforming_strings", "on")], false, &[], false);
    }

    #[test]
    fn what_changes_how_texts_are_read_is_refused_to_whoever_is_understood() {
        for (name, value) in [
            ("client_encoding", "LATIN1"),
            ("options", "-c standard_conforming_strings=off"),
            ("options", "-c client_encoding=SJIS"),
        ] {
            check(&[(name, value)], false, &[], true);
            check(&[(name, value)], true, &[(name, value)], false);
        }
    }

    #[test]
    fn options_are_taken_apart_as_the_server_does() {
        check(&[("options", "-c search_path=shop")], false, &[("search_path", "shop")], false);
        check(
            &[("options", "-csearch_path=a\\ b --work-mem=4MB")],
            false,
            &[("search_path", "a b"), ("work_mem", "4MB")],
            false,
        );
        check(&[("options", "-c session_replication_role=replica")], false, &[], true);
        check(
            &[("options", "-c session_replication_role=replica")],
            true,
            &[("options", "-c session_replication_role=replica")],
            false,
        );
        check(&[("options", "-O -c jit=off")], false, &[], true);
        check(&[("options", "-O")], true, &[("options", "-O")], false);
        check(&[("options", "-c")], false, &[], true);
        check(&[("row_security", "off")], false, &[], true);
    }

    #[test]
    fn who_acts_is_nobodys_to_say_but_the_gateways() {
        for name in ["durward.principal", "DURWARD.Principal", "durward.chain", "durward.anything"] {
            for everything in [false, true] {
                check(&[(name, "agent:evil")], everything, &[], true);
            }
        }
        check(&[("options", "-c durward.principal=agent:evil")], false, &[], true);
    }

    #[test]
    fn a_session_may_ask_to_be_read_only_but_not_to_write() {
        let setting = "default_transaction_read_only";
        check(&[(setting, "on")], false, &[(setting, "on")], false);
        check(&[(setting, "off")], false, &[], true);
        check(&[("options", "-c default_transaction_read_only=off")], false, &[], true);
        check(&[(setting, "off")], true, &[(setting, "off")], false);
    }

    #[test]
    fn a_value_that_is_not_utf8_reaches_the_server_only_where_everything_is_allowed() {
        let parameters = [("application_name".to_owned(), vec![0xe9]), ("user".to_owned(), vec![0xe9])];
        assert_eq!(wanted(&parameters, true).settings, parameters[..1]);
        let narrow = wanted(&parameters, false);
        assert!(narrow.settings.is_empty() && narrow.refused.is_some());
    }
}
