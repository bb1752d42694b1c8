//! The server's own analysis of a statement: `pg_proc.prosqlbody` and `pg_rewrite.ev_action`, as `nodeToString` writes them.

/// A part of a tree.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// A number, a name, a text, `<>`.
    Atom(String),
    /// `(…)` and `[…]`
    List(Vec<Part>),
    /// `{KIND :field value …}`
    Node(Node),
}

/// One node with its fields.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: String,
    fields: Vec<(String, Vec<Part>)>,
}

impl Node {
    /// The first value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&Part> {
        self.fields.iter().find(|(n, _)| n == name).and_then(|(_, parts)| parts.first())
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        match self.field(name)? {
            Part::Node(node) => Some(node),
            Part::Atom(_) | Part::List(_) => None,
        }
    }

    /// A field's list, without its absent members.
    pub(super) fn list(&self, name: &str) -> &[Part] {
        match self.field(name) {
            Some(Part::List(items)) => items,
            Some(Part::Atom(_) | Part::Node(_)) | None => &[],
        }
    }

    pub(super) fn text(&self, name: &str) -> &str {
        match self.field(name) {
            Some(Part::Atom(atom)) => atom,
            Some(Part::List(_) | Part::Node(_)) | None => "",
        }
    }

    pub(super) fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or(0)
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &[Part])> {
        self.fields.iter().map(|(name, parts)| (name.as_str(), parts.as_slice()))
    }
}

impl Part {
    /// The nodes directly in it.
    pub(super) fn nodes<'p>(&'p self, see: &mut dyn FnMut(&'p Node)) {
        match self {
            Self::Atom(_) => (),
            Self::Node(node) => see(node),
            Self::List(items) => items.iter().for_each(|item| item.nodes(see)),
        }
    }

    /// The numbers of a list such as `(o 96 97)`.
    pub(super) fn numbers(&self) -> Vec<i64> {
        match self {
            Self::Atom(atom) => atom.parse().into_iter().collect(),
            Self::List(items) => items.iter().flat_map(Part::numbers).collect(),
            Self::Node(_) => Vec::new(),
        }
    }
}

/// Reads a tree; panics where it is none, for then the test knows nothing.
pub(super) fn parse(text: &str) -> Part {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
    reader.part().expect("a tree")
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn part(&mut self) -> Option<Part> {
        match self.peek()? {
            b'{' => {
                self.at += 1;
                Some(Part::Node(self.node()))
            }
            b'(' | b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while !matches!(self.peek()?, b')' | b']') {
                    items.push(self.part()?);
                }
                self.at += 1;
                Some(Part::List(items))
            }
            _ => Some(Part::Atom(self.atom())),
        }
    }

    fn node(&mut self) -> Node {
        let kind = self.atom();
        let mut fields: Vec<(String, Vec<Part>)> = Vec::new();
        while let Some(next) = self.peek() {
            match next {
                b'}' => {
                    self.at += 1;
                    break;
                }
                b':' => {
                    self.at += 1;
                    let name = self.atom();
                    fields.push((name, Vec::new()));
                }
                _ => {
                    let part = self.part().expect("a value");
                    if let Some((_, parts)) = fields.last_mut() {
                        parts.push(part);
                    }
                }
            }
        }
        Node { kind, fields }
    }

    fn atom(&mut self) -> String {
        let mut atom = Vec::new();
        if self.peek() == Some(b'"') {
            self.at += 1;
            while let Some(byte) = self.bytes.get(self.at).copied() {
                self.at += 1;
                match byte {
                    b'"' => break,
                    b'\\' => {
                        atom.extend(self.bytes.get(self.at));
                        self.at += 1;
                    }
                    _ => atom.push(byte),
                }
            }
            return String::from_utf8_lossy(&atom).into_owned();
        }
        while let Some(byte) = self.bytes.get(self.at).copied() {
            match byte {
                b'\\' => {
                    atom.extend(self.bytes.get(self.at + 1));
                    self.at += 2;
                }
                b'(' | b')' | b'{' | b'}' | b'[' | b']' => break,
                _ if byte.is_ascii_whitespace() => break,
                _ => {
                    atom.push(byte);
                    self.at += 1;
                }
            }
        }
        if atom.is_empty() {
            // What is none is passed over, so that reading ends.
            self.at += 1;
        }
        String::from_utf8_lossy(&atom).into_owned()
    }
}
