//! Conversations as scripts: what goes to the server and to the client for each message, in many orders.
//!
//! A step's messages are written as their type bytes, so that `PBES` is Parse, Bind, Execute, Sync. `DELETE` is refused,
//! everything else is allowed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use masking::{HashKey, Strategy};
use model::Tag;
use sql::postgres::catalog::Catalog;
use wire::postgres::backend::{Field, TransactionStatus};
use wire::postgres::build;
use wire::postgres::error::ErrorFields;

use super::answers::{Answers, Heard};
use super::control::Rows;
use super::conversation::{Conversation, Refusing, Running, Said};
use super::guard::{Block, Guard};
use super::masks::Masks;
use super::meanings::Shared;
use super::own;
use super::request::RequestKind;
use super::understanding::{Source, Understanding};
use crate::audit::DecisionId;

/// Nothing, and which version of it.
struct Empty(Arc<Catalog>, Shared, AtomicU64);

impl Source for Empty {
    fn meanings(&self) -> &Shared {
        &self.1
    }

    fn current(&self) -> (Arc<Catalog>, u64) {
        (Arc::clone(&self.0), self.version())
    }

    fn version(&self) -> u64 {
        self.2.load(Ordering::Relaxed)
    }

    fn questions(&self) -> Vec<String> {
        Vec::new()
    }

    fn build(&self, _: Vec<Rows>) -> Result<Catalog, String> {
        Ok(Catalog::default())
    }

    fn temporary_questions(&self) -> Vec<String> {
        Vec::new()
    }

    fn with_temporary(&self, _: &Catalog, _: &[Rows]) -> Result<Catalog, String> {
        Ok(Catalog::default())
    }

    fn strategy(&self, _: &BTreeSet<Tag>) -> Option<Strategy> {
        None
    }
}

/// One side of a conversation speaks.
enum Step {
    /// The client sends these; the kinds that the server gets, and those that the client gets, at once.
    Client(Vec<u8>, &'static str, &'static str),
    /// The server sends these; the kinds that the client gets.
    Server(Vec<u8>, &'static str),
    /// The client's next message must wait.
    Waits(Vec<u8>),
}
use Step::{Client, Server, Waits};

struct Talk {
    conversation: Conversation,
    answers: Answers,
}

impl Talk {
    fn new() -> Self {
        Self::of(false)
    }

    /// Of somebody who may do everything.
    fn unbounded() -> Self {
        Self::of(true)
    }

    /// Of somebody who may write, at a server that writes by itself.
    fn guarded() -> Self {
        let mut talk = Self::of(false);
        talk.conversation.guard = Guard::Lifted;
        talk
    }

    fn of(indifferent: bool) -> Self {
        let source = Arc::new(Empty(Arc::new(Catalog::default()), Shared::default(), AtomicU64::new(1)));
        let mut conversation = Conversation::new(Understanding::new(source, indifferent));
        // How names are resolved was asked already.
        conversation.stale = false;
        Self {
            conversation,
            answers: Answers::new(Masks { key: Arc::new(HashKey::new([0; 32])), stores: false }),
        }
    }

    /// What goes up, what goes back at once, and whether all was taken.
    fn client(&mut self, mut bytes: &[u8]) -> (Vec<u8>, Vec<u8>, bool) {
        let (mut up, mut back) = (Vec::new(), Vec::new());
        while let Some(frame) = wire::postgres::split(bytes, usize::MAX).expect("a frame") {
            let turn = self.conversation.turn;
            let c = &mut self.conversation;
            let rest = &bytes[frame.whole.len()..];
            match c.client(&frame, rest).expect("a message") {
                Said::Relay => up.extend_from_slice(frame.whole),
                Said::RelayBehind(first) => up.extend(first.into_iter().chain(frame.whole.iter().copied())),
                Said::Replace(instead) => up.extend(instead),
                Said::Drop | Said::Quit => (),
                Said::Wait => {
                    if c.needs_flush() {
                        build::flush(&mut up);
                    }
                    return (up, back, false);
                }
                Said::Ask(_) => panic!("names are certain"),
                Said::Think(thought) => {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                    let mut thinking = thought.begin();
                    let thought = runtime.expect("a runtime").block_on(thinking.result());
                    c.understanding.thought(thought);
                    continue;
                }
                Said::Answer(bytes) => back.extend(bytes),
                Said::Request(request) if refused(&request.frame, &request.kind) => {
                    let (simple, unnamed) = (request.is_simple(), request.is_unnamed_parse());
                    refuse(c, simple, unnamed, &mut up, &mut back);
                }
                Said::Request(request) => {
                    up.extend(c.guarded(&request.kind, &request.operation, rest));
                    up.extend_from_slice(&request.frame);
                    let (reveal, decision) = (Arc::default(), DecisionId::default());
                    let running = Running { reveal, decision, turn, limit: None, most: None, text: None };
                    up.extend(c.forward(request.kind, request.operation, running));
                }
                Said::Garbled(garbled) => refuse(c, garbled.simple, garbled.unnamed, &mut up, &mut back),
                Said::GarbledBefore(garbled) => {
                    refuse(c, garbled.simple, garbled.unnamed, &mut up, &mut back);
                    continue;
                }
            }
            bytes = &bytes[frame.whole.len()..];
        }
        (up, back, true)
    }

    fn server(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(frame) = wire::postgres::split(bytes, usize::MAX).expect("a frame") {
            match self.answers.server(&mut self.conversation, &frame).expect("an expected answer") {
                Heard::Pass | Heard::Row => out.extend_from_slice(frame.whole),
                Heard::Swallow => (),
                Heard::Instead(bytes) => out.extend(bytes),
                Heard::Cut(why) => panic!("cut: {why}"),
                Heard::TooMuch => panic!("it is too much"),
            }
            bytes = &bytes[frame.whole.len()..];
        }
        out
    }
}

fn refused(frame: &[u8], kind: &RequestKind) -> bool {
    let missing = matches!(kind, RequestKind::Bind { prepared, .. } if prepared.text.is_none() && prepared.by_sql.is_none());
    missing || frame.windows(6).any(|w| w == b"DELETE")
}

fn refuse(c: &mut Conversation, simple: bool, unnamed: bool, up: &mut Vec<u8>, back: &mut Vec<u8>) {
    match c.refuse(failed("42501"), simple, unnamed) {
        Refusing::ByOurselves(answer) => back.extend(answer),
        Refusing::ByTheServer(stand_in) => up.extend(stand_in),
    }
}

fn kinds(mut bytes: &[u8]) -> String {
    let mut kinds = String::new();
    while let Some(frame) = wire::postgres::split(bytes, usize::MAX).expect("a frame") {
        kinds.push(char::from(frame.kind));
        bytes = &bytes[frame.whole.len()..];
    }
    kinds
}

#[track_caller]
fn check(steps: &[Step]) -> Talk {
    checked(Talk::new(), steps)
}

#[track_caller]
fn checked(mut talk: Talk, steps: &[Step]) -> Talk {
    for (n, step) in steps.iter().enumerate() {
        match step {
            Client(bytes, up, back) => {
                let (sent, answered, all) = talk.client(bytes);
                assert_eq!(
                    (kinds(&sent).as_str(), kinds(&answered).as_str(), all),
                    (*up, *back, true),
                    "step {n}"
                );
            }
            Waits(bytes) => assert!(!talk.client(bytes).2, "step {n} must wait"),
            Server(bytes, client) => assert_eq!(kinds(&talk.server(bytes)), *client, "step {n}"),
        }
    }
    talk
}

// ---------------------------------------------------------------------- messages

fn of(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

fn made<R>(make: impl FnOnce(&mut Vec<u8>) -> R) -> Vec<u8> {
    let mut out = Vec::new();
    drop(make(&mut out));
    out
}

fn q(sql: &str) -> Vec<u8> {
    made(|out| build::query(out, sql))
}

fn p(name: &str, sql: &str) -> Vec<u8> {
    made(|out| build::parse(out, name, sql, &[]))
}

fn b(portal: &str, name: &str) -> Vec<u8> {
    made(|out| build::bind(out, portal, name, &[], &[], &[]))
}

fn e(portal: &str) -> Vec<u8> {
    made(|out| build::execute(out, portal, 0))
}

fn sync() -> Vec<u8> {
    made(build::sync)
}

/// Parse, Bind, Execute, Sync of the unnamed ones.
fn extended(sql: &str) -> Vec<u8> {
    of(&[p("", sql), b("", ""), e(""), sync()])
}

fn copy_data() -> Vec<u8> {
    made(|out| build::message(out, b'd', |out| out.extend_from_slice(b"1\n")))
}

fn copy_done() -> Vec<u8> {
    made(|out| build::message(out, b'c', |_| ()))
}

fn bare(kinds: &str) -> Vec<u8> {
    kinds.bytes().flat_map(|kind| made(|out| build::message(out, kind, |_| ()))).collect()
}

fn tag(tag: &str) -> Vec<u8> {
    made(|out| build::command_complete(out, tag))
}

fn ready(status: TransactionStatus) -> Vec<u8> {
    made(|out| build::ready(out, status))
}

fn idle() -> Vec<u8> {
    ready(TransactionStatus::Idle)
}

fn in_block() -> Vec<u8> {
    ready(TransactionStatus::InBlock)
}

fn in_failed() -> Vec<u8> {
    ready(TransactionStatus::Failed)
}

fn failed(code: &str) -> Vec<u8> {
    made(|out| build::error(out, &ErrorFields::new(code, "no")))
}

fn row() -> Vec<u8> {
    let field = Field {
        name: b"a".to_vec(),
        table: 0,
        attribute: 0,
        type_oid: 23,
        type_size: 4,
        type_modifier: -1,
        format: 0,
    };
    made(|out| {
        build::row_description(out, &[field]);
        build::data_row(out, &[Some(b"1")]);
    })
}

/// The row of an Execute, which is not described.
fn bare_row() -> Vec<u8> {
    made(|out| build::data_row(out, &[Some(b"1")]))
}

fn copy_in() -> Vec<u8> {
    made(|out| build::message(out, b'G', |out| out.extend_from_slice(&[0, 0, 1, 0, 0])))
}

// ---------------------------------------------------------------------- who may do everything

#[test]
fn what_cannot_be_read_is_the_servers_to_answer_where_everything_is_allowed() {
    let unread = "COPY t FROM STDIN WITH SOMETHING NEW";
    let talk = checked(
        Talk::unbounded(),
        &[
            Client(q("SELEC 1"), "Q", ""),
            Server(of(&[failed("42601"), idle()]), "EZ"),
            Client(extended("SELEC 1"), "PBES", ""),
            Server(of(&[failed("42601"), idle()]), "EZ"),
            // A COPY that nobody here could read, with its data behind the answer, and before it.
            Client(q(unread), "Q", ""),
            Server(copy_in(), "G"),
            Client(of(&[copy_data(), copy_done()]), "dc", ""),
            Server(of(&[tag("COPY 1"), idle()]), "CZ"),
            Client(of(&[q(unread), copy_data(), copy_done()]), "Qdc", ""),
            Server(of(&[copy_in(), tag("COPY 1"), idle()]), "GCZ"),
            Client(extended("SELECT 1"), "PBES", ""),
            Server(of(&[bare("12"), bare_row(), tag("SELECT 1"), idle()]), "12DCZ"),
        ],
    );
    assert!(talk.conversation.is_idle());
}

#[test]
fn what_cannot_be_read_is_refused_to_everybody_else() {
    check(&[Client(q("SELEC 1"), "", "EZ"), Client(extended("SELEC 1"), "", "EZ")]);
}

// ---------------------------------------------------------------------- refusals and their place

#[test]
fn outside_a_block_we_answer_by_ourselves() {
    check(&[
        Client(q("DELETE FROM t"), "", "EZ"),
        Client(extended("DELETE FROM t"), "", "EZ"),
        Client(q("SELECT 1"), "Q", ""),
        Server(of(&[row(), tag("SELECT 1"), idle()]), "TDCZ"),
    ]);
}

#[test]
fn in_a_block_the_server_fails_too() {
    let talk = check(&[
        Client(q("BEGIN"), "Q", ""),
        Server(of(&[tag("BEGIN"), in_block()]), "CZ"),
        Client(q("DELETE FROM t"), "Q", ""),
        Server(of(&[failed("42601"), in_failed()]), "EZ"),
        Client(extended("DELETE FROM t"), "PS", ""),
        Server(of(&[failed("42601"), in_failed()]), "EZ"),
        Client(q("ROLLBACK"), "Q", ""),
        Server(of(&[tag("ROLLBACK"), idle()]), "CZ"),
    ]);
    assert!(talk.conversation.is_idle());
}

#[test]
fn the_servers_error_is_replaced_by_ours() {
    let mut talk = Talk::new();
    talk.client(&q("BEGIN"));
    talk.server(&of(&[tag("BEGIN"), in_block()]));
    let (sent, ..) = talk.client(&q("DELETE FROM t"));
    assert!(!sent.windows(6).any(|w| w == b"DELETE"), "the refused text never reaches the server");
    let told = talk.server(&failed("42601"));
    assert!(told.windows(5).any(|w| w == b"42501") && !told.windows(5).any(|w| w == b"42601"));
}

#[test]
fn behind_unanswered_messages_a_refusal_keeps_its_place() {
    check(&[
        Client(of(&[q("SELECT 1"), q("DELETE FROM t"), q("SELECT 2")]), "QQQ", ""),
        Server(of(&[row(), tag("SELECT 1"), idle()]), "TDCZ"),
        Server(of(&[failed("42601"), idle()]), "EZ"),
        Server(of(&[row(), tag("SELECT 1"), idle()]), "TDCZ"),
    ]);
}

#[test]
fn in_a_pipeline_what_follows_a_refusal_is_skipped_up_to_its_sync() {
    let pipeline = of(&[
        p("", "SELECT 1"),
        b("", ""),
        e(""),
        p("", "DELETE FROM t"),
        b("", ""),
        e(""),
        p("", "SELECT 2"),
        b("", ""),
        e(""),
        sync(),
        extended("SELECT 3"),
    ]);
    check(&[
        // What follows the stand-in that fails is not sent: the server would skip it.
        Client(pipeline, "PBEPSPBES", ""),
        Server(of(&[bare("12"), bare_row(), tag("SELECT 1"), failed("42601"), idle()]), "12DCEZ"),
        Server(of(&[bare("12"), bare_row(), tag("SELECT 1"), idle()]), "12DCZ"),
    ]);
}

#[test]
fn each_sync_of_a_pipeline_is_answered_in_its_place() {
    let pipeline = of(&[extended("SELECT 1"), extended("DELETE FROM t"), extended("SELECT 3")]);
    check(&[
        Client(pipeline, "PBESPSPBES", ""),
        Server(of(&[bare("12"), bare_row(), tag("SELECT 1"), idle()]), "12DCZ"),
        Server(of(&[failed("42601"), idle()]), "EZ"),
        Server(of(&[bare("12"), bare_row(), tag("SELECT 1"), idle()]), "12DCZ"),
    ]);
}

#[test]
fn after_an_error_of_the_servers_nothing_is_sent_before_the_sync() {
    check(&[
        Client(of(&[p("", "SELECT 1"), bare("H")]), "PH", ""),
        Server(failed("42P01"), "E"),
        Client(of(&[b("", ""), e(""), q("SELECT 1")]), "", ""),
        Client(sync(), "S", ""),
        Server(idle(), "Z"),
        Client(q("SELECT 1"), "Q", ""),
    ]);
}

#[test]
fn a_flush_shows_a_refusal_before_the_sync() {
    check(&[
        Client(of(&[p("", "DELETE FROM t"), b("", ""), e(""), bare("H")]), "", "E"),
        Client(sync(), "", "Z"),
        Client(q("SELECT 1"), "Q", ""),
    ]);
}

// ---------------------------------------------------------------------- names

#[test]
fn a_name_that_was_refused_is_free_and_stands_for_nothing() {
    check(&[
        Client(of(&[p("n", "DELETE FROM t"), sync()]), "", "EZ"),
        Client(of(&[b("", "n"), e(""), sync()]), "", "EZ"),
        Client(of(&[p("n", "SELECT 7"), b("", "n"), e(""), sync()]), "PBES", ""),
        Server(of(&[bare("12"), bare_row(), tag("SELECT 1"), idle()]), "12DCZ"),
        Client(of(&[b("", "n"), e(""), sync()]), "BES", ""),
        Server(of(&[bare("2"), bare_row(), tag("SELECT 1"), idle()]), "2DCZ"),
    ]);
}

#[test]
fn a_refused_parse_of_the_unnamed_statement_drops_the_one_before_it() {
    for block in [false, true] {
        let mut steps = vec![
            Client(of(&[p("", "SELECT 1"), sync()]), "PS", ""),
            Server(of(&[bare("1"), idle()]), "1Z"),
            Client(of(&[p("", "DELETE FROM t"), sync()]), "", "EZ"),
            Client(of(&[b("", ""), sync()]), "", "EZ"),
        ];
        if block {
            steps = vec![
                Client(of(&[q("BEGIN"), p("", "SELECT 1"), sync()]), "QPS", ""),
                Server(of(&[tag("BEGIN"), in_block(), bare("1"), in_block()]), "CZ1Z"),
                Client(of(&[p("", "DELETE FROM t"), sync()]), "PS", ""),
                Server(of(&[failed("42601"), in_failed()]), "EZ"),
                Client(of(&[b("", ""), sync()]), "PS", ""),
                Server(of(&[failed("42601"), in_failed()]), "EZ"),
            ];
        }
        check(&steps);
    }
}

#[test]
fn a_simple_query_drops_the_unnamed_statement() {
    check(&[
        Client(of(&[p("", "SELECT 1"), sync()]), "PS", ""),
        Server(of(&[bare("1"), idle()]), "1Z"),
        Client(q("SELECT 1"), "Q", ""),
        Server(of(&[row(), tag("SELECT 1"), idle()]), "TDCZ"),
        Client(of(&[b("", ""), sync()]), "", "EZ"),
    ]);
}

#[test]
fn a_statement_whose_fate_is_in_flight_is_waited_for() {
    check(&[
        Client(of(&[p("n", "SELECT 1"), sync()]), "PS", ""),
        Waits(of(&[b("", "n"), e(""), sync()])),
        Server(of(&[failed("42P05"), idle()]), "EZ"),
        Client(of(&[b("", "n"), e(""), sync()]), "", "EZ"),
    ]);
}

#[test]
fn portals_end_with_their_transaction() {
    check(&[
        Client(of(&[p("", "SELECT 1"), b("p", ""), e("p"), sync()]), "PBES", ""),
        Server(of(&[bare("12"), bare_row(), bare("s"), idle()]), "12DsZ"),
        Client(of(&[e("p"), sync()]), "", "EZ"),
        Client(q("BEGIN"), "Q", ""),
        Server(of(&[tag("BEGIN"), in_block()]), "CZ"),
        Client(of(&[p("", "SELECT 1"), b("p", ""), e("p"), sync()]), "PBES", ""),
        Server(of(&[bare("12"), bare_row(), bare("s"), in_block()]), "12DsZ"),
        Client(of(&[e("p"), sync()]), "ES", ""),
        Server(of(&[bare_row(), tag("SELECT 1"), in_block()]), "DCZ"),
    ]);
}

#[test]
fn sql_and_wire_share_the_names_of_prepared_statements() {
    check(&[
        Client(q("PREPARE s AS SELECT 1"), "Q", ""),
        Waits(of(&[b("", "s"), e(""), sync()])),
        Server(of(&[tag("PREPARE"), idle()]), "CZ"),
        Client(of(&[b("", "s"), e(""), sync()]), "BES", ""),
        Server(of(&[bare("2"), bare_row(), tag("SELECT 1"), idle()]), "2DCZ"),
        Client(q("DEALLOCATE s"), "Q", ""),
        Server(of(&[tag("DEALLOCATE"), idle()]), "CZ"),
        Client(of(&[b("", "s"), sync()]), "", "EZ"),
    ]);
}

/// The server keeps 63 bytes of a name: what differs behind them is one.
#[test]
fn names_that_the_server_cuts_are_one() {
    let long = "n".repeat(63);
    let (one, two) = (format!("{long}1"), format!("{long}2"));
    check(&[
        Client(of(&[p(&one, "SELECT 1"), sync()]), "PS", ""),
        Server(of(&[bare("1"), idle()]), "1Z"),
        Client(of(&[made(|out| build::close_statement(out, &two)), sync()]), "CS", ""),
        Server(of(&[bare("3"), idle()]), "3Z"),
        // It stands for nothing now, whichever of its names is used.
        Client(of(&[b("", &one), sync()]), "", "EZ"),
        // A name that is cut inside a letter is no text.
        Client(of(&[p(&format!("{}é", "n".repeat(62)), "SELECT 1"), sync()]), "", "EZ"),
        Client(of(&[p(&format!("{}éé", "n".repeat(61)), "SELECT 1"), sync()]), "PS", ""),
    ]);
}

#[test]
fn sql_that_speaks_of_names_waits_until_they_are_settled() {
    check(&[
        Client(of(&[p("s", "SELECT 1"), sync()]), "PS", ""),
        Waits(q("EXECUTE s")),
        Server(of(&[bare("1"), idle()]), "1Z"),
        Client(q("EXECUTE s"), "Q", ""),
        Server(of(&[row(), tag("SELECT 1"), idle()]), "TDCZ"),
        Client(made(|out| build::close_statement(out, "s")), "C", ""),
        Waits(q("EXECUTE s")),
    ]);
}

#[test]
fn the_gateways_own_name_is_refused() {
    let own = super::own::RESERVED;
    check(&[
        Client(of(&[p(own, "SELECT 1"), sync()]), "", "EZ"),
        Client(of(&[b("", own), sync()]), "", "EZ"),
        Client(of(&[e(own), sync()]), "", "EZ"),
    ]);
}

// ---------------------------------------------------------------------- COPY

#[test]
fn data_behind_a_refused_copy_is_dropped() {
    check(&[
        Client(of(&[q("DELETE FROM t"), copy_data(), copy_done(), q("SELECT 1")]), "Q", "EZ"),
        Server(of(&[row(), tag("SELECT 1"), idle()]), "TDCZ"),
    ]);
}

fn copying(steps: Vec<Step>) -> Talk {
    check(&steps)
}

#[test]
fn copy_in_by_a_simple_query() {
    let talk = copying(vec![
        Client(q("COPY t FROM STDIN"), "Q", ""),
        Server(copy_in(), "G"),
        Client(of(&[copy_data(), copy_data(), copy_done()]), "ddc", ""),
        Server(of(&[tag("COPY 2"), idle()]), "CZ"),
        Client(copy_data(), "", ""),
    ]);
    assert!(talk.conversation.is_idle());
}

#[test]
fn copy_in_by_the_extended_protocol_swallows_the_syncs_within_it() {
    let talk = copying(vec![
        // libpq sends a Sync at once, which the server ignores, and another behind the data.
        Client(extended("COPY t FROM STDIN"), "PBES", ""),
        Server(of(&[bare("12"), copy_in()]), "12G"),
        Client(of(&[copy_data(), copy_done(), sync()]), "dcS", ""),
        Server(of(&[tag("COPY 1"), idle()]), "CZ"),
    ]);
    assert!(talk.conversation.is_idle());
}

#[test]
fn copy_data_may_be_sent_before_the_copy_has_begun() {
    let talk = copying(vec![
        Client(
            of(&[p("", "COPY t FROM STDIN"), b("", ""), e(""), copy_data(), copy_done(), sync()]),
            "PBEdcS",
            "",
        ),
        Server(of(&[bare("12"), copy_in(), tag("COPY 1"), idle()]), "12GCZ"),
    ]);
    assert!(talk.conversation.is_idle());
    let talk = copying(vec![
        Client(of(&[q("COPY t FROM STDIN"), copy_data(), copy_done()]), "Qdc", ""),
        Server(of(&[failed("42P01"), idle()]), "EZ"),
    ]);
    assert!(talk.conversation.is_idle());
}

#[test]
fn a_copy_that_failed_takes_no_more_data() {
    copying(vec![
        Client(q("COPY t FROM STDIN"), "Q", ""),
        Server(copy_in(), "G"),
        Client(copy_data(), "d", ""),
        Server(of(&[failed("22P02"), idle()]), "EZ"),
        Client(of(&[copy_data(), copy_done(), q("SELECT 1")]), "Q", ""),
    ]);
}

#[test]
fn another_message_within_a_copy_ends_the_session_undecided() {
    let talk = copying(vec![
        Client(q("COPY t FROM STDIN"), "Q", ""),
        Waits(q("SELECT 1")),
        Server(copy_in(), "G"),
        Client(of(&[q("DROP TABLE t"), q("SELECT 1")]), "Q", ""),
        Server(
            of(&[failed("08P01"), made(|out| build::error(out, &ErrorFields::fatal("08P01", "lost")))]),
            "EE",
        ),
    ]);
    assert!(talk.answers.fatal);
}

#[test]
fn a_pipeline_of_many_thousands_is_taken_until_it_is_full() {
    let mut talk = Talk::unbounded();
    talk.client(&of(&[p("s", "INSERT INTO t VALUES ($1)"), sync()]));
    talk.server(&of(&[bare("1"), idle()]));
    let one = of(&[b("", "s"), e("")]);
    let mut sent = 0;
    while !talk.conversation.expected.is_full() {
        assert!(talk.client(&one).2);
        sent += 1;
    }
    assert_eq!(sent, 50_000);
}

// ---------------------------------------------------------------------- the second lock

/// The answers to the statement that locks or lifts it, with what a newer server reports of it.
fn shifted(on: &str) -> Vec<u8> {
    let report = made(|out| build::parameter_status(out, "default_transaction_read_only", on.as_bytes()));
    of(&[bare("12"), tag("SET"), bare("33"), report, idle()])
}

#[test]
fn while_a_session_reads_the_server_refuses_to_write() {
    let read = || of(&[row(), tag("SELECT 1"), idle()]);
    let talk = checked(
        Talk::guarded(),
        &[
            Client(q("SELECT 1"), "PBECCSQ", ""),
            Server(of(&[shifted("on"), read()]), "TDCZ"),
            // It stays so as long as nothing else is sent.
            Client(q("SELECT 2"), "Q", ""),
            Server(read(), "TDCZ"),
            Client(extended("SELECT 1"), "PBES", ""),
            Server(of(&[bare("12"), bare_row(), tag("SELECT 1"), idle()]), "12DCZ"),
            Client(q("INSERT INTO t VALUES (1)"), "PBECCSQ", ""),
            Server(of(&[shifted("off"), tag("INSERT 0 1"), idle()]), "CZ"),
            Client(extended("INSERT INTO t VALUES (1)"), "PBES", ""),
            Server(of(&[bare("12"), tag("INSERT 0 1"), idle()]), "12CZ"),
            Client(extended("SELECT 1"), "PBECCSPBES", ""),
            // Behind reads in flight, too: none of them opens a block.
            Client(extended("INSERT INTO t VALUES (1)"), "PBECCSPBES", ""),
            // And not before it is quiet again.
            Client(q("SELECT 1"), "Q", ""),
            Server(of(&[shifted("on"), bare("12"), bare_row(), tag("SELECT 1"), idle()]), "12DCZ"),
            Server(of(&[shifted("off"), bare("12"), tag("INSERT 0 1"), idle()]), "12CZ"),
            Server(read(), "TDCZ"),
        ],
    );
    assert!(talk.conversation.is_idle() && talk.conversation.guard == Guard::Lifted);
}

#[test]
fn a_block_is_what_its_client_wants() {
    for (begin, read) in [("BEGIN", "SELECT 1"), ("BEGIN READ ONLY", "SELECT 1")] {
        checked(
            Talk::guarded(),
            &[
                Client(q("SELECT 1"), "PBECCSQ", ""),
                Server(of(&[shifted("on"), row(), tag("SELECT 1"), idle()]), "TDCZ"),
                Client(q(begin), "PBECCSQ", ""),
                Server(of(&[shifted("off"), tag("BEGIN"), in_block()]), "CZ"),
                Client(q(read), "Q", ""),
                Server(of(&[row(), tag("SELECT 1"), in_block()]), "TDCZ"),
                Client(q("INSERT INTO t VALUES (1)"), "Q", ""),
                Server(of(&[tag("INSERT 0 1"), in_block()]), "CZ"),
                Client(q("COMMIT"), "Q", ""),
                Server(of(&[tag("COMMIT"), idle()]), "CZ"),
                Client(q(read), "PBECCSQ", ""),
            ],
        );
    }
}

/// The answers to the statement that makes a block read only.
fn made_read_only() -> Vec<u8> {
    of(&[bare("12"), tag("SET"), bare("33")])
}

#[test]
fn at_a_strict_target_a_block_that_began_with_a_read_stays_read_only() {
    let strict = || {
        let mut talk = Talk::guarded();
        talk.conversation.block = Block::None;
        talk
    };
    let read = || of(&[row(), tag("SELECT 1"), in_block()]);
    let begun = || [Client(q("BEGIN"), "Q", ""), Server(of(&[tag("BEGIN"), in_block()]), "CZ")];
    let after = |steps: Vec<Step>| checked(strict(), &begun().into_iter().chain(steps).collect::<Vec<_>>());
    after(vec![
        Client(q("SET LOCAL work_mem = '8MB'"), "Q", ""),
        Server(of(&[tag("SET"), in_block()]), "CZ"),
        Client(q("SELECT 1"), "PBECCSQ", ""),
        Server(of(&[made_read_only(), in_block(), read()]), "TDCZ"),
        // Once is enough.
        Client(q("SELECT 2"), "Q", ""),
        Server(read(), "TDCZ"),
        // What would write is refused in a way that fails the block.
        Client(q("INSERT INTO t VALUES (1)"), "Q", ""),
        Server(of(&[failed("42601"), in_failed()]), "EZ"),
        Client(q("ROLLBACK"), "Q", ""),
        Server(of(&[tag("ROLLBACK"), idle()]), "CZ"),
        Client(q("INSERT INTO t VALUES (1)"), "Q", ""),
    ]);
    // A savepoint takes back what was said behind it.
    after(vec![
        Client(q("SAVEPOINT a"), "Q", ""),
        Server(of(&[tag("SAVEPOINT"), in_block()]), "CZ"),
        Client(q("SELECT 1"), "PBECCSQ", ""),
        Server(of(&[made_read_only(), in_block(), read()]), "TDCZ"),
        Client(q("ROLLBACK TO a"), "Q", ""),
        Server(of(&[tag("ROLLBACK"), in_block()]), "CZ"),
        Client(q("SELECT 1"), "PBECCSQ", ""),
    ]);
    // A block that begins with a write is what it always was.
    after(vec![
        Client(q("INSERT INTO t VALUES (1)"), "Q", ""),
        Server(of(&[tag("INSERT 0 1"), in_block()]), "CZ"),
        Client(q("SELECT 1"), "Q", ""),
    ]);
    // In the extended protocol, within the client's own segment.
    let begin = of(&[p("", "BEGIN"), b("", ""), e("")]);
    let select = of(&[p("", "SELECT 1"), b("", ""), e(""), sync()]);
    checked(
        strict(),
        &[
            Client(of(&[begin, select]), "PBEPPBECCBES", ""),
            Server(of(&[bare("12"), tag("BEGIN"), bare("1"), made_read_only(), bare("2")]), "12C12"),
            Server(of(&[bare_row(), tag("SELECT 1"), in_block()]), "DCZ"),
        ],
    );
    // In one message the transaction begins read only.
    checked(
        strict(),
        &[
            Client(q("BEGIN; SELECT 1"), "PBECCSQ", ""),
            Server(of(&[shifted("on"), tag("BEGIN"), row(), tag("SELECT 1"), in_block()]), "CTDCZ"),
            Client(q("SELECT 1; COMMIT"), "Q", ""),
            Server(of(&[row(), tag("SELECT 1"), tag("COMMIT"), idle()]), "TDCCZ"),
            Client(q("INSERT INTO t VALUES (1)"), "PBECCSQ", ""),
        ],
    );
    for midway in ["BEGIN READ WRITE; SELECT 1", "BEGIN; SELECT 1; COMMIT; BEGIN; INSERT INTO t VALUES (1)"] {
        checked(strict(), &[Client(q(midway), "", "EZ")]);
    }
}

#[test]
fn what_is_sent_up_to_a_sync_is_one_transaction() {
    let insert = || of(&[p("", "INSERT INTO t VALUES (1)"), b("", ""), e("")]);
    let select = || of(&[p("", "SELECT 1"), b("", ""), e("")]);
    for (segment, up) in [
        (of(&[select(), sync()]), "PBES"),
        (of(&[p("s", "SELECT 1"), sync()]), "PS"),
        (of(&[p("s", "INSERT INTO t VALUES (1)"), sync()]), "PS"),
        // A write that stands behind a read, and what stands behind is not known.
        (of(&[select(), insert(), sync()]), "PBECCSPBEPBES"),
        (select(), "PBECCSPBE"),
        // What has no intent of its own begins a transaction, too.
        (of(&[made(|out| build::close_statement(out, "x")), insert(), sync()]), "PBECCSCPBES"),
        (of(&[made(|out| build::close_statement(out, "x")), sync()]), "CS"),
    ] {
        let mut talk = Talk::guarded();
        talk.conversation.guard = Guard::Locked;
        checked(talk, &[Client(segment, up, "")]);
    }
}

#[test]
fn the_lock_goes_with_what_the_client_asks_for() {
    for (text, then) in [
        ("SET default_transaction_read_only = on", Guard::Off),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Guard::Off),
        ("RESET ALL", Guard::Lifted),
        ("DISCARD ALL", Guard::Lifted),
        ("RESET work_mem", Guard::Locked),
        ("SET work_mem = '8MB'", Guard::Locked),
        ("SHOW transaction_read_only", Guard::Lifted),
        ("SHOW work_mem", Guard::Locked),
    ] {
        let mut talk = Talk::guarded();
        talk.client(&q(text));
        assert_eq!(talk.conversation.guard, then, "{text}");
    }
    let mut talk = Talk::new();
    for (own, then) in [(true, Guard::Off), (false, Guard::Lifted)] {
        talk.conversation.guard = Guard::Waiting;
        talk.conversation.guard.learned(own);
        assert_eq!(talk.conversation.guard, then);
    }
}

#[test]
fn a_lock_that_the_server_did_not_take_is_tried_again() {
    let cancelled = || of(&[failed("57014"), idle()]);
    checked(
        Talk::guarded(),
        &[
            Client(q("SELECT 1"), "PBECCSQ", ""),
            Server(of(&[cancelled(), row(), tag("SELECT 1"), idle()]), "TDCZ"),
            Client(q("SELECT 1"), "PBECCSQ", ""),
            Server(of(&[shifted("on"), row(), tag("SELECT 1"), idle()]), "TDCZ"),
            Client(q("INSERT INTO t VALUES (1)"), "PBECCSQ", ""),
            Server(of(&[cancelled(), failed("25006"), idle()]), "EZ"),
            Client(q("INSERT INTO t VALUES (1)"), "PBECCSQ", ""),
        ],
    );
}

// ---------------------------------------------------------------------- what changes, and what is kept

/// The first message of these, as it is understood.
fn said(talk: &mut Talk, bytes: &[u8]) -> Said {
    let frame = wire::postgres::split(bytes, usize::MAX).expect("a frame").expect("a whole one");
    talk.conversation.client(&frame, &[]).expect("a message")
}

#[test]
fn what_was_bound_before_something_changed_is_decided_anew_once() {
    let mut talk = check(&[
        Client(q("BEGIN"), "Q", ""),
        Server(of(&[tag("BEGIN"), in_block()]), "CZ"),
        Client(of(&[p("", "SELECT 1"), b("p", ""), e("p"), sync()]), "PBES", ""),
        Server(of(&[bare("12"), bare_row(), bare("s"), in_block()]), "12DsZ"),
        Client(of(&[e("p"), sync()]), "ES", ""),
        Server(of(&[bare_row(), bare("s"), in_block()]), "DsZ"),
    ]);
    talk.conversation.turn += 1;
    let Said::Request(request) = said(&mut talk, &e("p")) else { panic!("it is decided") };
    assert!(matches!(&request.kind, RequestKind::Execute { portal, .. } if portal == "p"));
    // Allowed, it goes on, and is not asked about again.
    checked(
        talk,
        &[
            Client(of(&[e("p"), sync()]), "ES", ""),
            Server(of(&[bare_row(), bare("s"), in_block()]), "DsZ"),
            Client(of(&[e("p"), sync()]), "ES", ""),
            Server(of(&[bare_row(), tag("SELECT 1"), in_block()]), "DCZ"),
        ],
    );
}

#[test]
fn a_long_text_is_read_elsewhere_and_goes_on_as_it_came() {
    let long = format!("SELECT '{}'", "x".repeat(10_000));
    let mut talk = Talk::new();
    assert!(matches!(said(&mut talk, &q(&long)), Said::Think(_)));
    assert!(matches!(said(&mut Talk::new(), &q("SELECT 1")), Said::Request(_)));
    checked(
        Talk::new(),
        &[
            Client(q(&long), "Q", ""),
            Server(of(&[row(), tag("SELECT 1"), idle()]), "TDCZ"),
            Client(extended(&long), "PBES", ""),
            Server(of(&[bare("12"), bare_row(), tag("SELECT 1"), idle()]), "12DCZ"),
            Client(q(&format!("{long} FROM FROM")), "", "EZ"),
        ],
    );
}

#[test]
fn what_is_kept_under_names_is_bounded_by_every_way_in() {
    let value = "x".repeat(8 * 1024 * 1024);
    let ways: [fn(usize, &str) -> Vec<u8>; 3] = [
        |n, value| q(&format!("PREPARE s{n} AS SELECT '{value}'")),
        |n, value| q(&format!("DECLARE c{n} CURSOR WITH HOLD FOR SELECT '{value}'")),
        |n, value| of(&[p("", &format!("SELECT '{value}'")), b(&format!("p{n}"), ""), sync()]),
    ];
    for (way, make) in ways.into_iter().enumerate() {
        let mut talk = checked(
            Talk::new(),
            &[Client(q("BEGIN"), "Q", ""), Server(of(&[tag("BEGIN"), in_block()]), "CZ")],
        );
        let mut kept = 0;
        while kept < 20 && !talk.conversation.names.is_full() {
            talk.client(&make(kept, &value));
            let done = ["PREPARE", "DECLARE CURSOR"].get(way).map(|done| tag(done));
            talk.server(&of(&[done.unwrap_or_else(|| bare("12")), in_block()]));
            kept += 1;
        }
        assert!((1..10).contains(&kept), "way {way}: {kept} are kept");
        let more = if way == 2 { b("q", "") } else { q("PREPARE q AS SELECT 1") };
        assert!(matches!(said(&mut talk, &more), Said::Garbled(_)), "way {way}");
        assert!(matches!(said(&mut talk, &q("SELECT 1")), Said::Request(_)), "way {way}: others go on");
    }
}

#[test]
fn a_simple_query_ends_what_came_before_it_without_a_sync() {
    let parsed = || of(&[p("", "SELECT 1"), b("", "")]);
    for ends in [q("SELECT 1"), q("DELETE FROM t")] {
        let failed_there = kinds(&ends) == "Q" && ends.windows(6).any(|w| w == b"DELETE");
        let answer = if failed_there { failed("42601") } else { of(&[row(), tag("SELECT 1")]) };
        let client = if failed_there { "12EZ" } else { "12TDCZ" };
        let talk = check(&[
            Client(of(&[parsed(), ends]), "PBQ", ""),
            Server(of(&[bare("12"), answer, idle()]), client),
        ]);
        assert!(talk.conversation.is_idle(), "nothing that is sent now is part of what came before");
    }
    // What fails before it takes it along: the server skips it, and all up to the next Sync.
    let talk = check(&[
        Client(of(&[parsed(), q("SELECT 1")]), "PBQ", ""),
        Server(failed("42P01"), "E"),
        Client(of(&[q("SELECT 2"), p("", "SELECT 3")]), "", ""),
        Client(sync(), "S", ""),
        Server(idle(), "Z"),
        Client(q("SELECT 4"), "Q", ""),
        Server(of(&[row(), tag("SELECT 1"), idle()]), "TDCZ"),
    ]);
    assert!(talk.conversation.is_idle());
}

/// What our own statement ends with when it is sent now: with a Sync, or with a Flush, so that nothing of the client's is committed.
fn asked(talk: &mut Talk) -> String {
    let mut out = Vec::new();
    talk.conversation.ask(&mut out, &["SELECT 1".to_owned()]);
    kinds(&out)
}

#[test]
fn a_transaction_that_a_simple_query_leaves_open_is_its_clients_to_end() {
    let run = |sql: &str| of(&[p("", sql), b("", ""), e("")]);
    let ran = || of(&[bare("12"), bare_row(), tag("SELECT 1")]);
    let read = |status: Vec<u8>| of(&[row(), tag("SELECT 1"), status]);
    // What the server says behind the first Query, and behind another; what we ask then.
    for (first, then, ours) in [
        (in_block(), None, "PBECCH"),
        (in_block(), Some(in_block()), "PBECCH"),
        (in_block(), Some(idle()), "PBECCS"),
        (idle(), None, "PBECCS"),
        (idle(), Some(idle()), "PBECCS"),
    ] {
        let mut steps = vec![
            Client(of(&[run("SELECT 1"), q("SELECT 2")]), "PBEQ", ""),
            // Whether it goes on is not known before the answer.
            Waits(q("SELECT 3")),
            Server(of(&[ran(), read(first)]), "12DCTDCZ"),
        ];
        if let Some(then) = then {
            steps.extend([Client(q("SELECT 3"), "Q", ""), Server(read(then), "TDCZ")]);
        }
        assert_eq!(asked(&mut check(&steps)), ours);
    }
    // Its end takes back what a transaction that fails there had set.
    let set = of(&[bare("12"), tag("SET")]);
    let mut talk = check(&[Client(run("SET search_path = a"), "PBE", ""), Server(set, "12C")]);
    talk.conversation.stale = false;
    talk = checked(talk, &[Client(q("SHOW work_mem"), "Q", ""), Server(read(in_block()), "TDCZ")]);
    talk.conversation.stale = false;
    talk.client(&sync());
    assert!(talk.conversation.stale);
    // A block is none of it, whoever began it.
    for begins in [of(&[run("BEGIN"), q("SELECT 1")]), of(&[run("SELECT 1"), q("BEGIN")])] {
        let mut talk = Talk::new();
        talk.client(&begins);
        let extended = begins.windows(5).position(|w| w == b"BEGIN") < Some(20);
        let (one, other) = if extended { ("BEGIN", "SELECT 1") } else { ("SELECT 1", "BEGIN") };
        talk.server(&of(&[bare("12"), tag(one), tag(other), in_block()]));
        assert_eq!(asked(&mut talk), "PBECCS");
    }
}

#[test]
fn a_simple_query_is_committed_although_something_of_ours_was_run_without_a_sync() {
    let answer = || of(&[bare("12"), bare_row(), tag("SELECT 1"), bare("33")]);
    let mut talk = check(&[Client(p("", "SELECT 1"), "P", ""), Server(bare("1"), "1")]);
    assert_eq!(asked(&mut talk), "PBECCH");
    let talk = checked(
        talk,
        &[
            Waits(q("SELECT 1")),
            Server(answer(), ""),
            Client(q("SELECT 1"), "SQ", ""),
            Server(of(&[idle(), row(), tag("SELECT 1"), idle()]), "TDCZ"),
        ],
    );
    assert!(talk.conversation.is_idle());
}

#[test]
fn what_says_how_a_transaction_is_to_be_is_not_late_for_a_question_of_ours() {
    let asks = |bytes: &[u8]| {
        let mut talk = Talk::new();
        talk.conversation.stale = true;
        matches!(said(&mut talk, bytes), Said::Ask(_))
    };
    for text in [
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "  start transaction",
        "SET LOCAL work_mem = '8MB'",
        "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    ] {
        assert!(!asks(&q(text)) && !asks(&p("", text)), "{text}");
    }
    for text in [
        "SELECT 1",
        "BEGIN; SELECT 1",
        "SET ROLE somebody",
        "SET session_replication_role = replica",
        "SELECT set_config('work_mem', '8MB', false)",
    ] {
        assert!(asks(&q(text)) && asks(&p("", text)), "{text}");
    }
}

#[test]
fn a_setting_counts_once_the_server_has_taken_it() {
    let name = |talk: &mut Talk| {
        let Said::Request(request) = said(talk, &q("SELECT 1")) else { panic!("it is understood") };
        let lines = request.under.lines();
        (request.under.is_settled(), lines.into_iter().find(|(n, _)| n == "application_name").map(|(_, v)| v))
    };
    let mut talk = check(&[Client(q("SET application_name = 'a'"), "Q", "")]);
    assert!(!name(&mut talk).0, "it is on its way");
    talk.server(&of(&[failed("22023"), idle()]));
    assert_eq!(name(&mut talk), (true, None), "it failed");
    talk.client(&q("SET application_name = 'a'"));
    talk.server(&of(&[tag("SET"), idle()]));
    assert_eq!(name(&mut talk), (true, Some("a".to_owned())));
    for (end, stays) in [("ROLLBACK", "a"), ("COMMIT", "b")] {
        for (sql, done, status) in [
            ("BEGIN", "BEGIN", in_block()),
            ("SET application_name = 'b'", "SET", in_block()),
            ("COMMIT", end, idle()),
        ] {
            talk.client(&q(sql));
            talk.server(&of(&[tag(done), status]));
        }
        assert_eq!(name(&mut talk), (true, Some(stays.to_owned())), "{end}");
    }
}

#[test]
fn how_names_are_resolved_is_asked_again_once_where_the_catalogue_has_moved() {
    let source = Arc::new(Empty(Arc::new(Catalog::default()), Shared::default(), AtomicU64::new(1)));
    let mut c = Conversation::new(Understanding::new(Arc::clone(&source) as _, false));
    c.stale = false;
    let asks = |c: &mut Conversation| {
        let bytes = q("SELECT 1");
        let frame = wire::postgres::split(&bytes, usize::MAX).expect("a frame").expect("a whole one");
        matches!(c.client(&frame, &[]).expect("a message"), Said::Ask(own::Purpose::SessionFacts))
    };
    assert!(!asks(&mut c));
    source.2.store(2, Ordering::Relaxed);
    assert!(asks(&mut c));
    c.understanding.questions(own::Purpose::SessionFacts);
    // It moves again before the answer is there.
    source.2.store(3, Ordering::Relaxed);
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let answers = || vec![vec![row(&["pg_catalog"])], vec![row(&["agent", "-", "origin", "off"])]];
    assert_eq!(c.understanding.learn(own::Purpose::SessionFacts, answers()), Ok(true));
    c.stale = false;
    assert!(asks(&mut c));
    c.understanding.questions(own::Purpose::SessionFacts);
    assert_eq!(c.understanding.learn(own::Purpose::SessionFacts, answers()), Ok(true));
    c.stale = false;
    assert!(!asks(&mut c) && !asks(&mut c));
}

#[test]
fn the_unnamed_statement_is_not_the_one_before_a_message_that_was_refused_here() {
    let bound = of(&[bare("12"), tag("SELECT 1"), idle()]);
    for refused in [q("DELETE FROM t"), of(&[p("", "DELETE FROM t"), sync()])] {
        let mut talk = Talk::new();
        talk.client(&extended("SELECT 1"));
        talk.server(&bound);
        talk.client(&refused);
        let (up, back, _) = talk.client(&of(&[b("", ""), e(""), sync()]));
        assert_eq!((kinds(&up).as_str(), kinds(&back).as_str()), ("", "EZ"));
        // What is prepared anew is bound.
        assert_eq!(kinds(&talk.client(&extended("SELECT 2")).0), "PBES");
    }
}
