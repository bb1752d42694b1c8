//! A client of PostgreSQL's protocol inside this process: one statement at a time, its values and its answer as text.

use std::net::IpAddr;
use std::sync::Arc;

use gateway::errand::Errand;
use gateway::gateway::Gateway;
use gateway::inside::{Arriving, Ear, Waiting};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use wire::postgres::backend::{Authentication, Backend, backend};
use wire::postgres::{build, error, row, split};

use crate::values::{Given, need_types, texts};

/// A row that is longer is read past, and counts as one that is not kept. In bytes.
const LONGEST: usize = 4 << 20;
/// So much is read at a time, in bytes.
const GULP: usize = 32 * 1024;

/// What a statement came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Its columns; none where it answers with no rows.
    pub(crate) columns: Vec<Column>,
    /// Those of them that are masked, from 0.
    pub(crate) masked: Vec<usize>,
    /// Its rows, as far as they are kept.
    pub(crate) rows: Vec<Vec<Option<String>>>,
    /// Whether there were more rows than are kept.
    pub(crate) more: bool,
    /// `UPDATE 3`, …
    pub(crate) tag: Option<String>,
    /// Why it failed.
    pub(crate) error: Option<Said>,
    /// Whether it would read from its client, or write to it beside rows, which this client takes no part in.
    pub(crate) copies: bool,
    /// Whether that is the gateway's own word, and none of the target's.
    pub(crate) own: bool,
    /// The policies whose word it is.
    pub(crate) policies: Vec<String>,
    /// How often policy has refused the same by now.
    pub(crate) times: u32,
    /// Why the session ended behind it, in the gateway's words; in none where its target ended it.
    pub(crate) ended: Option<Option<Said>>,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
}

/// An error or a notice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) position: Option<u32>,
}

impl Said {
    fn of(body: &[u8]) -> Self {
        let field = |kind| error::field(body, kind);
        Self {
            code: field(b'C').unwrap_or_default(),
            message: field(b'M').unwrap_or_default(),
            detail: field(b'D'),
            hint: field(b'H'),
            position: field(b'P').and_then(|at| at.parse().ok()),
        }
    }
}

/// What is kept of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Rows.
    pub(crate) rows: u32,
    /// Bytes of values.
    pub(crate) bytes: usize,
}

/// Why a session cannot be used.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The gateway did not open it, and this is its word: by these policies, where some decided.
    Shut(Box<Said>, Vec<String>),
    /// The gateway ended it, and this is its word. What became of what was under way is not known.
    Ended(Said),
    /// It was refused by its target, or ended by it, and this was said.
    Said(Said),
    /// It ended without a word.
    Silent,
}

impl Lost {
    /// Of a session that was not open yet: nothing was sent in it, and what ended without a word did so here.
    pub(crate) fn before_it_began(self) -> Self {
        match self {
            Self::Silent => {
                let (code, message) =
                    ("08006".to_owned(), "no session was opened; nothing was sent".to_owned());
                let hint = Some("Try again later.".to_owned());
                Self::Shut(Box::new(Said { code, message, hint, ..Said::default() }), Vec::new())
            }
            said @ (Self::Shut(..) | Self::Ended(_) | Self::Said(_)) => said,
        }
    }
}

impl From<std::io::Error> for Lost {
    fn from(_: std::io::Error) -> Self {
        Self::Silent
    }
}

impl From<wire::Malformed> for Lost {
    fn from(_: wire::Malformed) -> Self {
        Self::Silent
    }
}

/// What a session is cancelled by.
struct Key {
    process: u32,
    secret: Vec<u8>,
}

/// An open session.
pub(crate) struct Client {
    gateway: Arc<Gateway>,
    stream: DuplexStream,
    ear: Arc<Ear>,
    input: Vec<u8>,
    peer: IpAddr,
    key: Option<Key>,
    /// Whether a statement was sent whose end was not read: then it is cancelled when this is dropped.
    busy: bool,
}

impl Drop for Client {
    fn drop(&mut self) {
        let Some(Key { process, secret }) = self.key.take().filter(|_| self.busy) else { return };
        let (gateway, peer) = (Arc::clone(&self.gateway), self.peer);
        // Its end stays open until then: a session that is gone cannot be cancelled.
        let stream = std::mem::replace(&mut self.stream, tokio::io::duplex(1).0);
        tokio::spawn(async move {
            gateway.cancel_inside(process, &secret, peer).await;
            drop(stream);
        });
    }
}

impl Client {
    /// Opens a session with a token.
    pub(crate) async fn open(gateway: &Arc<Gateway>, arriving: Arriving, token: &str) -> Result<Self, Lost> {
        let peer = arriving.peer.ip();
        let (stream, ear) = gateway.come_inside(arriving);
        let gateway = Arc::clone(gateway);
        let mut client = Self { gateway, stream, ear, input: Vec::new(), peer, key: None, busy: false };
        loop {
            let (kind, body) = client.message().await?;
            match backend(&frame(kind, &body))? {
                Backend::Authentication(Authentication::Cleartext) => {
                    let mut out = Vec::new();
                    build::password(&mut out, token.as_bytes())?;
                    client.stream.write_all(&out).await?;
                }
                Backend::BackendKeyData { process, secret } => {
                    client.key = Some(Key { process, secret: secret.to_vec() });
                }
                // Before the login has ended the target says nothing here but why it does not open.
                Backend::ErrorResponse(body) => {
                    let said = Said::of(body);
                    return Err(match client.ear.refused() {
                        Some(policies) => Lost::Shut(Box::new(said), policies),
                        None => Lost::Said(said),
                    });
                }
                Backend::ReadyForQuery(_) => return Ok(client),
                Backend::Authentication(Authentication::Ok)
                | Backend::ParameterStatus { .. }
                | Backend::NoticeResponse(_)
                | Backend::NegotiateProtocolVersion { .. } => {}
                // What the gateway asks for here is a token, and nothing else.
                Backend::Authentication(_)
                | Backend::RowDescription(_)
                | Backend::DataRow(_)
                | Backend::CommandComplete(_)
                | Backend::EmptyQuery
                | Backend::ParseComplete
                | Backend::BindComplete
                | Backend::CloseComplete
                | Backend::NoData
                | Backend::ParameterDescription(_)
                | Backend::PortalSuspended
                | Backend::NotificationResponse { .. }
                | Backend::CopyIn(_)
                | Backend::CopyOut(_)
                | Backend::CopyBoth(_)
                | Backend::CopyData(_)
                | Backend::CopyDone
                | Backend::FunctionCallResponse(_) => return Err(Lost::Silent),
            }
        }
    }

    /// Whether the session has not ended and nothing waits to be read: what is told beside is behind whoever was told.
    pub(crate) fn is_there(&mut self) -> bool {
        let mut byte = [0; 1];
        let mut buffer = tokio::io::ReadBuf::new(&mut byte);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let read = std::pin::Pin::new(&mut self.stream);
        !self.busy && tokio::io::AsyncRead::poll_read(read, &mut context, &mut buffer).is_pending()
    }

    /// The next statement is sent for this.
    pub(crate) fn sends_for(&self, errand: Errand) {
        self.ear.sends_for(Some(errand));
    }

    /// Runs one statement in a transaction of its own. `noticed` hears of a request that waits, and what is said of it.
    pub(crate) async fn run(
        &mut self,
        sql: &str,
        values: &[Given],
        bounds: Bounds,
        noticed: impl FnMut(&Waiting, &Said),
    ) -> Result<Outcome, Lost> {
        // Whatever was read last: where the gateway has ended it, that is why.
        self.ran(sql, values, bounds, noticed).await.map_err(|lost| self.end().map_or(lost, Lost::Ended))
    }

    /// The gateway's last word, where it has ended the session.
    fn end(&self) -> Option<Said> {
        self.ear.ended().map(|last| Said::of(&last))
    }

    async fn ran(
        &mut self,
        sql: &str,
        values: &[Given],
        bounds: Bounds,
        mut noticed: impl FnMut(&Waiting, &Said),
    ) -> Result<Outcome, Lost> {
        // What was said of the last one is no word on this.
        self.ear.held();
        self.ear.refused();
        let mut out = Vec::new();
        build::parse(&mut out, "", sql, &[])?;
        self.busy = true;
        let mut types = Vec::new();
        let mut refused = None;
        if need_types(values) {
            build::describe(&mut out, b'S', "")?;
            build::flush(&mut out);
            self.stream.write_all(&std::mem::take(&mut out)).await?;
            match self.types(&mut noticed).await? {
                Ok(known) => types = known,
                Err(said) => refused = Some(said),
            }
        }
        let values = texts(values, &types);
        let values: Vec<Option<&[u8]>> = values.iter().map(|v| v.as_deref().map(str::as_bytes)).collect();
        // Behind an error none of this is looked at.
        build::bind(&mut out, "", "", &[], &values, &[])?;
        build::describe(&mut out, b'P', "")?;
        build::execute(&mut out, "", bounds.rows)?;
        build::sync(&mut out);
        self.stream.write_all(&out).await?;
        let mut outcome = self.outcome(bounds, &mut noticed).await?;
        self.busy = false;
        outcome.error = refused.or(outcome.error);
        self.ear.sends_for(None);
        let (masked, times, refused) = (self.ear.masked(), self.ear.times(), self.ear.refused());
        // What is said of what the gateway refused or ended is not the target's: where that fails as well, it is told this instead.
        let own = refused.is_some();
        Ok(Outcome { masked, times, own, policies: refused.unwrap_or_default(), ..outcome })
    }

    /// The types that a statement has for its values, or why it is none. `noticed` as below.
    async fn types(
        &mut self,
        noticed: &mut impl FnMut(&Waiting, &Said),
    ) -> Result<Result<Vec<u32>, Said>, Lost> {
        let mut types = Vec::new();
        loop {
            let (kind, body) = self.message().await?;
            match backend(&frame(kind, &body))? {
                Backend::ParameterDescription(known) => types = known,
                Backend::RowDescription(_) | Backend::NoData => return Ok(Ok(types)),
                Backend::ErrorResponse(body) => {
                    let said = Said::of(body);
                    let is_last = error::field(body, b'V').is_some_and(|severity| severity != "ERROR");
                    return if is_last { Err(Lost::Said(said)) } else { Ok(Err(said)) };
                }
                Backend::NoticeResponse(body) => {
                    if let Some(waiting) = self.ear.held() {
                        noticed(&waiting, &Said::of(body));
                    }
                }
                Backend::ParseComplete
                | Backend::ParameterStatus { .. }
                | Backend::NotificationResponse { .. } => {}
                Backend::Authentication(_)
                | Backend::BackendKeyData { .. }
                | Backend::NegotiateProtocolVersion { .. }
                | Backend::ReadyForQuery(_)
                | Backend::DataRow(_)
                | Backend::CommandComplete(_)
                | Backend::EmptyQuery
                | Backend::BindComplete
                | Backend::CloseComplete
                | Backend::PortalSuspended
                | Backend::CopyIn(_)
                | Backend::CopyOut(_)
                | Backend::CopyBoth(_)
                | Backend::CopyData(_)
                | Backend::CopyDone
                | Backend::FunctionCallResponse(_) => return Err(Lost::Silent),
            }
        }
    }

    /// Makes the session as good as new, so that nothing of one call is there for the next.
    pub(crate) async fn forget(&mut self) -> Result<(), Lost> {
        if !self.ear.lasts() {
            return Ok(());
        }
        let mut out = Vec::new();
        build::query(&mut out, "DISCARD ALL")?;
        self.stream.write_all(&out).await?;
        let outcome = self.outcome(Bounds { rows: 0, bytes: 0 }, &mut |_, _| ()).await?;
        // That it was made so is nothing that lasts.
        self.ear.lasts();
        outcome.error.map_or(Ok(()), |said| Err(Lost::Said(said)))
    }

    /// `noticed` hears of a request that waits, and what is said of it.
    async fn outcome(
        &mut self,
        bounds: Bounds,
        noticed: &mut impl FnMut(&Waiting, &Said),
    ) -> Result<Outcome, Lost> {
        let mut outcome = Outcome::default();
        let mut kept = 0usize;
        loop {
            let (kind, body) = self.message().await?;
            match backend(&frame(kind, &body))? {
                Backend::RowDescription(fields) => {
                    outcome.columns = fields
                        .iter()
                        .map(|field| Column {
                            name: String::from_utf8_lossy(&field.name).into_owned(),
                            type_oid: field.type_oid,
                        })
                        .collect();
                }
                Backend::DataRow([]) => outcome.more = true,
                Backend::DataRow(body) => {
                    kept = kept.saturating_add(body.len());
                    if kept > bounds.bytes {
                        outcome.more = true;
                        continue;
                    }
                    let text = |v: &[u8]| String::from_utf8_lossy(v).into_owned();
                    outcome.rows.push(row::values(body)?.into_iter().map(|v| v.map(text)).collect());
                }
                Backend::PortalSuspended => outcome.more = true,
                Backend::CommandComplete(tag) => {
                    let tag = tag.strip_suffix(&[0]).unwrap_or(tag);
                    outcome.tag = Some(String::from_utf8_lossy(tag).into_owned());
                }
                Backend::NoticeResponse(body) => {
                    if let Some(waiting) = self.ear.held() {
                        noticed(&waiting, &Said::of(body));
                    }
                }
                Backend::ErrorResponse(body) => {
                    let is_last = error::field(body, b'V').is_some_and(|severity| severity != "ERROR");
                    if is_last && outcome.error.is_some() {
                        outcome.ended = Some(self.end());
                        return Ok(outcome);
                    }
                    if is_last {
                        return Err(Lost::Said(Said::of(body)));
                    }
                    outcome.error = Some(Said::of(body));
                }
                // A statement that would read from its client, or write to it beside rows: there is nobody for that here.
                Backend::CopyIn(_) => {
                    let mut out = Vec::new();
                    outcome.copies = true;
                    build::copy_fail(&mut out, "COPY is not possible here")?;
                    // The one that was sent is passed over while it copies.
                    build::sync(&mut out);
                    self.stream.write_all(&out).await?;
                }
                Backend::CopyOut(_) | Backend::CopyBoth(_) => outcome.copies = true,
                Backend::ReadyForQuery(_) => return Ok(outcome),
                Backend::ParameterStatus { .. }
                | Backend::EmptyQuery
                | Backend::ParseComplete
                | Backend::BindComplete
                | Backend::CloseComplete
                | Backend::NoData
                | Backend::ParameterDescription(_)
                | Backend::NotificationResponse { .. }
                | Backend::CopyData(_)
                | Backend::CopyDone => {}
                Backend::Authentication(_)
                | Backend::BackendKeyData { .. }
                | Backend::FunctionCallResponse(_)
                | Backend::NegotiateProtocolVersion { .. } => return Err(Lost::Silent),
            }
        }
    }

    /// Reads so many bytes and keeps none.
    async fn read_past(&mut self, length: usize) -> Result<(), Lost> {
        let mut left = length;
        loop {
            let here = left.min(self.input.len());
            self.input.drain(..here);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            self.input.reserve(GULP);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(Lost::Silent);
            }
        }
    }

    /// The next message: its kind and its body, which is empty where it is too long to be kept.
    async fn message(&mut self) -> Result<(u8, Vec<u8>), Lost> {
        loop {
            if let Some((kind, length)) = wire::postgres::header(&self.input)?
                && length > LONGEST
            {
                self.read_past(length).await?;
                return Ok((kind, Vec::new()));
            }
            if let Some(frame) = split(&self.input, usize::MAX)? {
                let (kind, body, length) = (frame.kind, frame.body.to_vec(), frame.whole.len());
                self.input.drain(..length);
                return Ok((kind, body));
            }
            self.input.reserve(GULP);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(Lost::Silent);
            }
        }
    }
}

fn frame(kind: u8, body: &[u8]) -> wire::postgres::Frame<'_> {
    wire::postgres::Frame { kind, whole: body, body }
}
