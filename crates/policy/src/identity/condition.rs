//! Conditions on claims: `repository == "acme/api" && environment in ["production", "staging"] && !has(actor)`.
//!
//! A claim that is not there makes every comparison false, `!=` too; `has(claim)` asks for it. `like` takes `*` for any text.
//! Of a claim that is a list, `contains` asks for one of its texts.

use super::claims::Claims;

/// So many signs a condition may have.
const LONGEST: usize = 4096;
/// Parentheses and `!` may lie this deep in each other.
const DEEPEST: usize = 32;

/// A condition that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition(Term);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    All(Vec<Term>),
    Any(Vec<Term>),
    Not(Box<Term>),
    Has(String),
    Equal(String, Literal),
    Unequal(String, Literal),
    OneOf(String, Vec<Literal>),
    Contains(String, String),
    Like(String, String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Literal {
    Text(String),
    Bool(bool),
    Number(i64),
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("a condition has at most {LONGEST} signs"));
        }
        let mut parser = Parser { rest: text, text, depth: 0 };
        let term = parser.any()?;
        parser.space();
        if parser.rest.is_empty() { Ok(Self(term)) } else { Err(parser.wrong("&& or ||")) }
    }

    /// Whether it fits.
    pub fn fits(&self, claims: &Claims) -> bool {
        self.0.fits(claims)
    }

    /// Whether each way in which it can be met compares some claim with a whole value. What only a pattern over `sub` lets in
    /// is whoever can choose a name that begins so.
    pub fn is_exact(&self) -> bool {
        self.tells_apart(&|_| true)
    }

    /// The same, of claims alone that tell one's own tokens from those of others.
    pub(super) fn tells_apart(&self, tells: &dyn Fn(&str) -> bool) -> bool {
        self.0.is_exact(tells)
    }

    /// Whether it looks at `sub` by a pattern, and some way of meeting it compares nothing with a whole value.
    pub fn leans_on_sub(&self) -> bool {
        self.0.is_like_sub() && !self.is_exact()
    }
}

impl Term {
    fn is_like_sub(&self) -> bool {
        match self {
            Self::All(terms) | Self::Any(terms) => terms.iter().any(Self::is_like_sub),
            Self::Not(term) => term.is_like_sub(),
            Self::Like(path, pattern) => path == "sub" && pattern.contains('*'),
            Self::Has(_) | Self::Equal(..) | Self::Unequal(..) | Self::OneOf(..) | Self::Contains(..) => {
                false
            }
        }
    }

    fn fits(&self, claims: &Claims) -> bool {
        match self {
            Self::All(terms) => terms.iter().all(|t| t.fits(claims)),
            Self::Any(terms) => terms.iter().any(|t| t.fits(claims)),
            Self::Not(term) => !term.fits(claims),
            Self::Has(path) => claims.has(path),
            Self::Equal(path, literal) => literal.is(claims, path),
            Self::Unequal(path, literal) => claims.has(path) && !literal.is(claims, path),
            Self::OneOf(path, literals) => literals.iter().any(|l| l.is(claims, path)),
            Self::Contains(path, text) => {
                let is_list = claims.at(path).is_some_and(serde_json::Value::is_array);
                is_list && claims.texts(path).is_some_and(|all| all.contains(&text.as_str()))
            }
            Self::Like(path, pattern) => claims.text(path).is_some_and(|text| is_like(text, pattern)),
        }
    }

    fn is_exact(&self, tells: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::All(terms) => terms.iter().any(|term| term.is_exact(tells)),
            Self::Any(terms) => terms.iter().all(|term| term.is_exact(tells)),
            Self::Equal(path, _) | Self::OneOf(path, _) | Self::Contains(path, _) => tells(path),
            Self::Like(path, pattern) => !pattern.contains('*') && tells(path),
            Self::Not(_) | Self::Has(_) | Self::Unequal(..) => false,
        }
    }
}

impl Literal {
    fn is(&self, claims: &Claims, path: &str) -> bool {
        let Some(value) = claims.at(path) else { return false };
        match self {
            Self::Text(text) => value.as_str() == Some(text),
            Self::Bool(flag) => value.as_bool() == Some(*flag),
            Self::Number(number) => value.as_i64() == Some(*number),
        }
    }
}

/// Whether a text is like a pattern in which `*` is any text. Takes the product of their lengths at most.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Term, String> {
        let mut terms = vec![self.all()?];
        while self.sign("||") {
            terms.push(self.all()?);
        }
        Ok(if terms.len() == 1 { terms.remove(0) } else { Term::Any(terms) })
    }

    fn all(&mut self) -> Result<Term, String> {
        let mut terms = vec![self.one()?];
        while self.sign("&&") {
            terms.push(self.one()?);
        }
        Ok(if terms.len() == 1 { terms.remove(0) } else { Term::All(terms) })
    }

    fn one(&mut self) -> Result<Term, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("a condition is at most {DEEPEST} deep"));
        }
        let term = if self.sign("(") {
            let inner = self.any()?;
            self.expect(")")?;
            inner
        } else if self.sign("!") {
            Term::Not(Box::new(self.one()?))
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(term)
    }

    fn comparison(&mut self) -> Result<Term, String> {
        let path = self.path()?;
        if path == "has" && self.sign("(") {
            let path = self.path()?;
            self.expect(")")?;
            return Ok(Term::Has(path));
        }
        if self.sign("==") {
            return Ok(Term::Equal(path, self.literal()?));
        }
        if self.sign("!=") {
            return Ok(Term::Unequal(path, self.literal()?));
        }
        if self.word("like") {
            return Ok(Term::Like(path, self.quoted()?));
        }
        if self.word("contains") {
            return Ok(Term::Contains(path, self.quoted()?));
        }
        if self.word("in") {
            self.expect("[")?;
            let mut literals = vec![self.literal()?];
            while self.sign(",") {
                literals.push(self.literal()?);
            }
            self.expect("]")?;
            return Ok(Term::OneOf(path, literals));
        }
        Err(self.wrong("==, !=, in, like or contains"))
    }

    /// A claim: letters, digits and `_ - . / : @`; other names stand in single quotes.
    fn path(&mut self) -> Result<String, String> {
        self.space();
        if let Some(quoted) = self.rest.strip_prefix('\'') {
            let Some((path, rest)) = quoted.split_once('\'') else { return Err(self.wrong("a closing '")) };
            self.rest = rest;
            return Ok(path.to_owned());
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || "_-./:@".contains(c);
        let end = self.rest.find(|c| !fine(c)).unwrap_or(self.rest.len());
        let (path, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        if path.is_empty() {
            return Err(self.wrong("a claim's name"));
        }
        self.rest = rest;
        Ok(path.to_owned())
    }

    fn literal(&mut self) -> Result<Literal, String> {
        self.space();
        if self.rest.starts_with('"') {
            return self.quoted().map(Literal::Text);
        }
        for (word, flag) in [("true", true), ("false", false)] {
            if self.word(word) {
                return Ok(Literal::Bool(flag));
            }
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        let number =
            digits.parse().map_err(|_| self.wrong("a text in double quotes, true, false or a number"))?;
        self.rest = rest;
        Ok(Literal::Number(number))
    }

    fn quoted(&mut self) -> Result<String, String> {
        self.space();
        let Some(mut rest) = self.rest.strip_prefix('"') else {
            return Err(self.wrong("a text in double quotes"));
        };
        let mut text = String::new();
        loop {
            let mut signs = rest.chars();
            match signs.next() {
                Some('"') => break,
                Some('\\') => match signs.next() {
                    Some(c @ ('"' | '\\')) => text.push(c),
                    Some(_) | None => return Err(self.wrong("\\\" or \\\\ behind a backslash")),
                },
                Some(c) => text.push(c),
                None => return Err(self.wrong("a closing \"")),
            }
            rest = signs.as_str();
        }
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(text)
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn sign(&mut self, sign: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(sign) {
            // `!=` is no `!`.
            Some(rest) if sign != "!" || !rest.starts_with('=') => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    fn word(&mut self, word: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(word) {
            Some(rest) if !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(self.wrong(sign)) }
    }

    fn wrong(&self, expected: &str) -> String {
        let at = self.text.len() - self.rest.len() + 1;
        let found: String = self.rest.chars().take(20).collect();
        if found.is_empty() {
            return format!("the condition ends where {expected} should be");
        }
        format!("at sign {at} of the condition there should be {expected}, and not `{found}`")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims() -> Claims {
        Claims::of(&json!({
            "sub": "repo:acme/api:environment:production", "repository": "acme/api", "environment": "production",
            "run": 7, "email_verified": true, "groups": ["dba", "dev"], "realm_access": {"roles": ["x"]},
            "https://acme.example/org": "acme", "odd name": "y",
        }))
        .expect("claims")
    }

    #[test]
    fn conditions_fit_what_they_say() {
        for (text, fits) in [
            (r#"repository == "acme/api" && environment == "production""#, true),
            (r#"repository == "acme/api" && environment == "staging""#, false),
            (r#"repository == "acme/ap""#, false),
            (r#"repository == "ACME/api""#, false),
            (r#"environment in ["staging", "production"]"#, true),
            (r#"environment in ["staging"] || run == 7"#, true),
            (r#"(environment in ["staging"] || run == 7) && repository == "x""#, false),
            (r#"!(environment == "staging")"#, true),
            (r#"missing != "x""#, false),
            (r#"!(missing == "x")"#, true),
            (r#"environment != "staging""#, true),
            ("has(environment)", true),
            ("!has(missing)", true),
            ("email_verified == true", true),
            (r#"email_verified == "true""#, false),
            (r#"groups contains "dba""#, true),
            (r#"groups contains "db""#, false),
            (r#"repository contains "acme/api""#, false),
            (r#"groups == "dba""#, false),
            (r#"realm_access.roles contains "x""#, true),
            (r#"https://acme.example/org == "acme""#, true),
            (r#"'odd name' == "y""#, true),
            (r#"sub like "repo:acme/api:*""#, true),
            (r#"sub like "*:production""#, true),
            (r#"sub like "repo:*:environment:*""#, true),
            (r#"sub like "repo:acme/ap""#, false),
            (r#"sub like "repo:*:staging""#, false),
            (r#"run like "7""#, false),
        ] {
            let condition = Condition::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(condition.fits(&claims()), fits, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_its_place() {
        for (text, expected) in [
            ("", "ends where a claim's name"),
            ("repository", "ends where ==, !=, in, like or contains"),
            ("repository = \"x\"", "at sign 12"),
            ("repository == acme", "a text in double quotes"),
            ("repository == \"acme", "a closing \""),
            ("a == \"x\" and b == \"y\"", "&& or ||"),
            ("a == \"x\" &&", "ends where a claim's name"),
            ("(a == \"x\"", "ends where )"),
            ("a in []", "a text in double quotes"),
            ("a in [\"x\"", "ends where ]"),
            ("a == \"\\n\"", "behind a backslash"),
            ("a like b", "a text in double quotes"),
            (&"!".repeat(40), "at most 32 deep"),
            (&"(".repeat(40), "at most 32 deep"),
            (&"a".repeat(5000), "at most 4096 signs"),
        ] {
            let error = Condition::parse(text).expect_err("an error");
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn each_way_in_is_by_a_whole_value() {
        for (text, exact) in [
            (r#"repository == "acme/api""#, true),
            (r#"sub == "repo:acme/api:ref:refs/heads/main""#, true),
            (r#"sub like "repo:acme/*""#, false),
            (r#"sub like "repo:acme/*" && has(environment)"#, false),
            (r#"sub like "repo:acme/*" && environment != "x""#, false),
            (r#"sub like "repo:acme/*" && environment == "production""#, true),
            (r#"sub like "repo:acme/*" || environment == "production""#, false),
            (r#"repository like "acme*""#, false),
            (r#"!(repository == "acme/api")"#, false),
            (r#"groups contains "dba""#, true),
            (r#"a == "x" || b in ["y"]"#, true),
            ("has(sub)", false),
        ] {
            assert_eq!(Condition::parse(text).expect("a condition").is_exact(), exact, "{text}");
        }
    }
}
