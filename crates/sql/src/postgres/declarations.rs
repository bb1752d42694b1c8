//! The `DECLARE` sections of PL/pgSQL code, by its own tokens.
//!
//! They are found where the language's grammar looks for them: at the beginning of a statement, and nowhere within one.
//! There `declare` is a name like any other.

use std::ops::Range;

use pg_query::protobuf::{ScanToken, Token};

use super::parse;

/// One variable.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declaration {
    /// Its name, folded.
    pub name: String,
    /// Whether it is another name for a variable that is there.
    pub alias: bool,
    /// Its type; `None` for cursors and aliases.
    pub of: Option<DeclaredType>,
    /// The expression that it begins with.
    pub default: Option<Range<usize>>,
}

/// A type as it is written there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DeclaredType {
    /// The words of its name, folded.
    pub names: Vec<String>,
    /// What stands behind these.
    pub kind: Written,
    /// Where it is, up to its end.
    pub place: Range<usize>,
    /// Where the last word of the name begins; of `table.column%TYPE` the word before it.
    pub bare: usize,
}

/// How a type is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// `name`
    Plain,
    /// `table.column%TYPE`
    OfColumn,
    /// `table%ROWTYPE`
    OfRow,
    /// An array of any of these.
    Array {
        /// Whether of a column's or a row's type.
        of_place: bool,
    },
}

/// All variables of all sections; `None` where the code is not of the form that the grammar has.
pub(super) fn declarations(source: &str) -> Option<Vec<Declaration>> {
    let tokens = parse::tokens(source).ok()?;
    let comment = |token: &ScanToken| matches!(token.token(), Token::SqlComment | Token::CComment);
    let tokens = tokens.into_iter().filter(|token| !comment(token));
    let words = tokens
        .map(|token| {
            let place = usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?;
            Some((source.get(place.clone())?, place))
        })
        .collect::<Option<Vec<_>>>()?;
    let mut reader = Reader { words, at: 0, found: Vec::new() };
    reader.code()?;
    Some(reader.found)
}

/// A name as the server folds it.
pub(super) fn unquoted(word: &str) -> String {
    match word.strip_prefix('"').and_then(|w| w.strip_suffix('"')) {
        Some(inside) => inside.replace("\"\"", "\""),
        None => word.to_ascii_lowercase(),
    }
}

struct Reader<'t> {
    words: Vec<(&'t str, Range<usize>)>,
    at: usize,
    found: Vec<Declaration>,
}

impl<'t> Reader<'t> {
    fn code(&mut self) -> Option<()> {
        // #variable_conflict use_column
        while self.is(0, "#") {
            self.at += 3;
        }
        while let Some((word, _)) = self.words.get(self.at) {
            // Words that the grammar does not reserve are variables where a value is put into them.
            let assigned = [":=", "=", "[", "."].iter().any(|sign| self.is(1, sign));
            match word.to_ascii_lowercase().as_str() {
                "declare" => {
                    self.at += 1;
                    self.section()?;
                }
                "<<" => self.at += 3,
                "begin" | "else" | "loop" => self.at += 1,
                "exception" if !assigned => self.at += 1,
                "if" | "when" => self.beyond("then")?,
                "elsif" | "elseif" if !assigned => self.beyond("then")?,
                "while" | "for" | "foreach" => self.beyond("loop")?,
                "case" => {
                    self.at += 1;
                    self.up_to(&["when"])?;
                }
                _ => self.statement()?,
            }
        }
        Some(())
    }

    /// To the end of any other statement. Those that make functions may have statements within.
    fn statement(&mut self) -> Option<()> {
        let makes = |at: usize| self.is(at, "function") || self.is(at, "procedure");
        let routine =
            self.is(0, "create") && (makes(1) || self.is(1, "or") && self.is(2, "replace") && makes(3));
        let (mut brackets, mut blocks) = (0_usize, 0_usize);
        while let Some((word, _)) = self.words.get(self.at) {
            self.at += 1;
            match word.to_ascii_lowercase().as_str() {
                "(" => brackets += 1,
                ")" => brackets = brackets.saturating_sub(1),
                "begin" | "case" if routine && brackets == 0 => blocks += 1,
                "end" if routine && brackets == 0 => blocks = blocks.saturating_sub(1),
                ";" if brackets == 0 && blocks == 0 => return Some(()),
                _ => (),
            }
        }
        // The last END needs none.
        Some(())
    }

    /// Name, type, and what it begins with, one after the other up to BEGIN.
    fn section(&mut self) -> Option<()> {
        loop {
            if self.is(0, "begin") {
                self.at += 1;
                return Some(());
            }
            if self.is(0, "declare") {
                self.at += 1;
                continue;
            }
            let name = unquoted(self.take()?);
            if self.is(0, "alias") {
                self.found.push(Declaration { name, alias: true, of: None, default: None });
                self.up_to(&[";"])?;
            } else if self.is(0, "cursor") || self.is(0, "scroll") || self.is(0, "no") {
                self.up_to(&["cursor"])?;
                self.at += 1;
                self.found.push(Declaration { name, alias: false, of: None, default: None });
                if self.is(0, "(") {
                    self.parameters()?;
                }
                self.up_to(&[";"])?;
            } else {
                self.at += usize::from(self.is(0, "constant"));
                let of = Some(self.of_type(&["collate", "not", "=", ":=", "default", ";"])?);
                self.up_to(&[":=", "=", "default", ";"])?;
                let mut default = None;
                if !self.is(0, ";") {
                    self.at += 1;
                    let start = self.place(self.at)?.start;
                    self.up_to(&[";"])?;
                    default = Some(start..self.place(self.at.checked_sub(1)?)?.end);
                }
                self.found.push(Declaration { name, alias: false, of, default });
            }
            self.at += 1;
        }
    }

    /// Those of a cursor.
    fn parameters(&mut self) -> Option<()> {
        loop {
            self.at += 1;
            let name = unquoted(self.take()?);
            let of = Some(self.of_type(&[",", ")"])?);
            self.found.push(Declaration { name, alias: false, of, default: None });
            if self.is(0, ")") {
                self.at += 1;
                return Some(());
            }
        }
    }

    fn of_type(&mut self, ends: &[&str]) -> Option<DeclaredType> {
        let first = self.at;
        let mut names = vec![unquoted(self.take()?)];
        let mut places = vec![first];
        while self.is(0, ".") {
            self.at += 1;
            places.push(self.at);
            names.push(unquoted(self.take()?));
        }
        let mut kind = match (self.is(0, "%"), self.is(1, "type"), self.is(1, "rowtype")) {
            (true, true, _) => Written::OfColumn,
            (true, _, true) => Written::OfRow,
            _ => Written::Plain,
        };
        let of_column = usize::from(kind == Written::OfColumn);
        let before = self.at;
        self.up_to(ends)?;
        if (before..self.at)
            .any(|at| self.words.get(at).is_some_and(|(w, _)| *w == "[" || w.eq_ignore_ascii_case("array")))
        {
            kind = Written::Array { of_place: kind != Written::Plain };
        }
        let bare = places.len().checked_sub(1 + of_column).and_then(|at| places.get(at)).unwrap_or(&first);
        Some(DeclaredType {
            names,
            kind,
            bare: self.place(*bare)?.start,
            place: self.place(first)?.start..self.place(self.at.checked_sub(1)?)?.end,
        })
    }

    /// Stops at any of these words outside of brackets.
    fn up_to(&mut self, ends: &[&str]) -> Option<()> {
        let mut brackets = 0_usize;
        loop {
            let (word, _) = self.words.get(self.at)?;
            if brackets == 0 && ends.iter().any(|end| word.eq_ignore_ascii_case(end)) {
                return Some(());
            }
            match *word {
                "(" | "[" => brackets += 1,
                ")" | "]" => brackets = brackets.checked_sub(1)?,
                ";" => return None,
                _ => (),
            }
            self.at += 1;
        }
    }

    fn beyond(&mut self, end: &str) -> Option<()> {
        self.up_to(&[end])?;
        self.at += 1;
        Some(())
    }

    fn take(&mut self) -> Option<&'t str> {
        let (word, _) = self.words.get(self.at)?;
        self.at += 1;
        Some(*word)
    }

    fn is(&self, ahead: usize, word: &str) -> bool {
        self.words.get(self.at + ahead).is_some_and(|(w, _)| w.eq_ignore_ascii_case(word))
    }

    fn place(&self, at: usize) -> Option<Range<usize>> {
        self.words.get(at).map(|(_, place)| place.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::declarations;

    #[track_caller]
    fn check(source: &str, expected: &[&str]) {
        let found = declarations(source).unwrap_or_else(|| panic!("{source} is not read"));
        let said: Vec<String> = found
            .iter()
            .map(|d| {
                let of = d.of.as_ref().map_or("", |of| &source[of.place.clone()]);
                let default = d.default.clone().map_or("", |default| &source[default]);
                format!("{}|{of}|{default}", d.name)
            })
            .collect();
        assert_eq!(said, expected, "{source}");
    }

    #[test]
    fn variables_are_found_where_the_grammar_looks_for_them() {
        check("BEGIN PERFORM 1; END", &[]);
        check("DECLARE a int; B text := 'x;y'; BEGIN END", &["a|int|", "b|text|'x;y'"]);
        check(
            "#variable_conflict use_column\n<<top>> DECLARE\n-- a row\nr CONSTANT shop.customers /* its */ NOT NULL DEFAULT (SELECT c FROM shop.customers c); BEGIN END",
            &["r|shop.customers|(SELECT c FROM shop.customers c)"],
        );
        check(
            "DECLARE n numeric(10, 2)[] COLLATE \"C\" = ARRAY[1, 2]; x shop.customers.email%TYPE; r shop.customers%ROWTYPE; BEGIN END",
            &["n|numeric(10, 2)[]|ARRAY[1, 2]", "x|shop.customers.email%TYPE|", "r|shop.customers%ROWTYPE|"],
        );
        check(
            "DECLARE a ALIAS FOR $1; c NO SCROLL CURSOR (k shop.own, m varchar(3)) FOR SELECT 1; d refcursor; BEGIN END",
            &["a||", "c||", "k|shop.own|", "m|varchar(3)|", "d|refcursor|"],
        );
        check(
            "BEGIN IF a THEN DECLARE i int; BEGIN END; ELSIF b THEN <<x>> DECLARE j int; BEGIN END; ELSE DECLARE k int; BEGIN END; END IF; LOOP DECLARE l int; BEGIN EXIT; END; END LOOP; EXCEPTION WHEN others THEN DECLARE m int; BEGIN END; END",
            &["i|int|", "j|int|", "k|int|", "l|int|", "m|int|"],
        );
        check("BEGIN CASE a WHEN 1 THEN DECLARE i int; BEGIN END; ELSE NULL; END CASE; END", &["i|int|"]);
        check("BEGIN exception := 1; elsif[1] := 2; DECLARE i int; BEGIN END; END", &["i|int|"]);
        check(
            "BEGIN CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; DECLARE i int; BEGIN END; END",
            &["i|int|"],
        );
    }

    #[test]
    fn a_name_within_a_statement_begins_no_section() {
        for source in [
            "BEGIN PERFORM 1 AS declare; PERFORM shop.upper('x'); END",
            "BEGIN PERFORM CASE WHEN true THEN declare END FROM t; CALL shop.p(1); END",
            "BEGIN CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; declare x shop.t); END",
            "BEGIN RETURN declare; END",
            "BEGIN x := \"declare\"; END",
            "BEGIN FOR declare IN 1..2 LOOP PERFORM shop.f(); END LOOP; END",
        ] {
            check(source, &[]);
        }
        for source in [
            "DECLARE a int",
            "DECLARE a int BEGIN END",
            "BEGIN IF a; END IF; END",
            "DECLARE a int := (1; BEGIN",
        ] {
            assert_eq!(declarations(source), None, "{source}");
        }
    }
}
