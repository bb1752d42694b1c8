//! The order of a session, with a toy protocol over a real journal, store and policies: what may reach a target, and when.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journal::record::Fields;
use masking::{Cut, Maskable, Masked};
use model::{
    Action, ColumnName, Effect, Facts, Inspect, Part, Principal, PrincipalKind, PrincipalRef, Resource,
    Status, TableName, Tag, TargetName,
};
use policy::{Context, Denied, Grant, Identity};
use tempfile::TempDir;

use crate::approvers::{Said, Voter};
use crate::audit::{
    self, Audit, Cleared, Form, Noted, Origin, Outcome, Owed, Recorded, StatementNote, Terms, ValueNote,
};
use crate::configure::{Configuration, PolicyFile, TargetConfig};
use crate::credentials::Sources;
use crate::gateway::{Config, Gateway, Limits};
use crate::holds::{Countable, Ticket};
use crate::memory::Memory;
use crate::protocols::postgres::preview::Outlook;
use crate::requests::NewToken;
use crate::spine::{self, Auditable, AuditableGarbled, Ears, Event, Measured, Protocol, Stop};
use crate::state::State;
use crate::traces::{Spent, Traces};

mod answering;
pub(crate) mod unknown;

const POLICIES: &str = r#"
@id("in") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in [Action::"read"], resource);
@id("writes") permit (principal, action in [Action::"write"], resource);
@id("writes-need-dba") @approvers("dba") @quorum("1") @expires("15m") @reason("writes need a second pair of eyes")
forbid (principal, action in [Action::"write"], resource) unless { context.approvals.contains("writes-need-dba") };
"#;

struct Toy {
    journal: journal::Journal,
    session: String,
    inbox: VecDeque<Event<Toy>>,
    seen: Seen,
    patience: Duration,
}

/// What the target and the client saw, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn push(&self, what: impl Into<String>) {
        self.0.lock().expect("no panic while it was held").push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic while it was held").clone()
    }
}

struct Wish {
    effects: Vec<Effect>,
    written: Fields,
    facts: Facts,
    text: String,
    value: String,
    errand: Option<crate::errand::Errand>,
    unshown: Option<&'static str>,
}

fn wish(action: Action, value: &str) -> Wish {
    let table = TableName { schema: "shop".to_owned(), name: "orders".to_owned() };
    let effects = vec![Effect::new(action, Resource::Table(table))];
    let text = format!("{} $1", action.as_str());
    Wish {
        written: audit::fields(action.as_str(), &text, &effects),
        effects,
        facts: Facts { kind: action.as_str().to_owned(), statements: 1, ..Facts::default() },
        text,
        value: value.to_owned(),
        errand: None,
        unshown: None,
    }
}

impl Inspect for Wish {
    fn effects(&self) -> &[Effect] {
        &self.effects
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        &[]
    }

    fn shape(&self) -> [u8; 16] {
        let mut shape = [0; 16];
        shape.iter_mut().zip(self.text.bytes()).for_each(|(to, from)| *to = from);
        shape
    }

    fn particulars(&self) -> model::Particulars {
        model::Particulars::default()
    }
}

impl Auditable for Wish {
    fn planned(&self) -> Option<crate::protocols::postgres::estimate::Planned> {
        None
    }

    fn learn(&mut self, _: crate::spine::Learned) {}

    fn statement(&self) -> StatementNote<'_> {
        StatementNote {
            phase: "query",
            kind: &self.facts.kind,
            text: &self.text,
            fields: &self.written,
            values: vec![ValueNote {
                bytes: Some(self.value.as_bytes()),
                form: Form::Literal(sql::postgres::Spelled::Text),
            }],
        }
    }

    fn is_shape_only(&self) -> bool {
        false
    }

    fn understood(&self) -> crate::traces::Understood {
        crate::traces::Understood::default()
    }

    fn errand(&self) -> Option<&crate::errand::Errand> {
        self.errand.as_ref()
    }

    fn exact(&self, _session: &str, part: &mut dyn FnMut(&[u8])) {
        part(self.text.as_bytes());
        part(self.value.as_bytes());
    }

    fn alike(&self) -> Option<crate::holds::Alike> {
        None
    }

    fn shown(&self, value: &ValueNote<'_>) -> audit::Shown {
        let text = value.bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        audit::Shown { text, kind: String::new() }
    }

    fn circumstances(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn script(&self) -> Option<String> {
        Some(self.text.clone())
    }

    fn ahead(&self) -> Option<&crate::plans::Ahead> {
        None
    }

    fn touched(&self) -> Vec<model::Touched> {
        Vec::new()
    }

    fn unshown(&self) -> Option<&str> {
        self.unshown
    }

    fn stores_masks(&self) -> Vec<(ColumnName, BTreeSet<Tag>)> {
        Vec::new()
    }

    fn outlook(&self, _: model::Tier) -> Outlook {
        Outlook::default()
    }

    fn countable(&self) -> Countable {
        Countable::Rows(Vec::new())
    }

    fn catalogue(&self) -> u64 {
        0
    }
}

struct Noise;

impl AuditableGarbled for Noise {
    fn code(&self) -> &'static str {
        "42601"
    }

    fn reason(&self) -> &'static str {
        "noise"
    }
}

struct Piece(String);

impl Maskable for Piece {
    type Plan = ();

    fn rewrite(self, _plan: &mut ()) -> Result<Self, Cut> {
        Ok(Self(self.0.replace("secret", "***")))
    }
}

impl Measured for Piece {
    fn bytes(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    fn pieces(&self, put: &mut dyn FnMut(&recording::Piece<'_>)) {
        put(&recording::Piece::Bytes(0, self.0.as_bytes()));
    }
}

impl Protocol for Toy {
    type Message = Wish;
    type Garbled = Noise;
    type Chunk = Piece;

    async fn login(&mut self, _audit: &mut Audit) -> Result<(Identity, TargetName), Stop> {
        let principal = Principal {
            id: PrincipalRef { kind: PrincipalKind::Agent, name: "bot".to_owned() },
            groups: Vec::new(),
            on_behalf_of: vec![PrincipalRef { kind: PrincipalKind::User, name: "alice".to_owned() }],
            purpose: None,
            asserted: Vec::new(),
        };
        Ok((Identity::verified(principal), TargetName::new("orders")))
    }

    async fn dial(&mut self, _grant: &Grant, mut owed: Owed, _audit: &mut Audit) -> Result<(), Stop> {
        owed.settle(&self.journal).await?;
        self.seen.push("dialled");
        Ok(())
    }

    async fn next(&mut self, ears: Ears) -> Result<Event<Self>, Stop> {
        match ears {
            Ears::Both => self.inbox.pop_front().ok_or(Stop::Done),
            Ears::Upstream => std::future::pending().await,
        }
    }

    async fn over(&mut self) -> Stop {
        std::future::pending().await
    }

    fn cancelled(&self) -> impl Future<Output = ()> + 'static + use<> {
        std::future::pending()
    }

    async fn forward(&mut self, message: Cleared<Wish>) -> Result<(), Stop> {
        let (wish, Terms { decision, .. }, mut owed) = message.into_parts();
        owed.settle(&self.journal).await?;
        self.seen.push(format!("ran {} {}", wish.text, wish.value));
        self.inbox.push_front(Event::Outcome(Outcome {
            decision,
            rows: 3,
            duration: Duration::from_micros(5),
            sqlstate: None,
            masking: Spent::default(),
            stopped: None,
            instructions: 0,
        }));
        Ok(())
    }

    fn mask(&mut self, chunk: Piece) -> Result<Masked<Piece>, Stop> {
        masking::apply(&mut (), chunk).map_err(|_| Stop::Broken("mask"))
    }

    async fn deliver(&mut self, chunk: Recorded<Masked<Piece>>) -> Result<(), Stop> {
        self.seen.push(format!("shown {}", chunk.into_inner().into_inner().0));
        Ok(())
    }

    async fn refuse(
        &mut self,
        _grant: &Grant,
        _message: Wish,
        denied: Denied,
        noted: Noted,
        _times: u32,
    ) -> Result<(), Stop> {
        assert!(noted.to_string().contains(&self.session));
        self.seen.push(format!("refused {}", denied.code));
        Ok(())
    }

    async fn refuse_unreadable(&mut self, garbled: Noise, _noted: Noted) -> Result<(), Stop> {
        self.seen.push(format!("refused {}", garbled.code()));
        Ok(())
    }

    async fn tell_held(&mut self, ticket: &Ticket) -> Result<(), Stop> {
        assert!(ticket.how.contains(&ticket.id));
        self.seen.push("held");
        Ok(())
    }

    fn unread(&mut self, message: Wish) -> Result<(), Stop> {
        self.inbox.push_front(Event::Request(message));
        Ok(())
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn context(&self) -> Context {
        Context {
            now: 1_800_000_000,
            address: [127, 0, 0, 1].into(),
            application: "toy".into(),
            in_transaction: false,
            encrypted: true,
            read_instructions: false,
        }
    }

    fn origin(&self) -> Origin {
        Origin {
            session: self.session.clone(),
            address: ([127, 0, 0, 1], 5).into(),
            application: "toy".into(),
            tls: None,
        }
    }

    async fn close(&mut self, _stop: &Stop) {
        self.seen.push("closed");
    }
}

struct House {
    directory: TempDir,
    gateway: Arc<Gateway>,
}

async fn house() -> House {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = journal::Journal::open(&directory.path().join("journal"), journal::Options::default())
        .expect("a journal");
    let state = State::new(Memory::default());
    let config = Config {
        journal,
        recordings: directory.path().join("recordings"),
        state,
        limits: Limits::default(),
        alarm: None,
        sources: Sources::default(),
        traces: Traces::default(),
        carriers: Vec::new(),
        authorization: None,
    };
    let gateway = Gateway::start(config).await.expect("started");
    let target = TargetConfig {
        name: "orders".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: 1,
        user: "u".to_owned(),
        database: "d".to_owned(),
        password: None,
        sslmode: "disable".to_owned(),
        credential: None,
        sslrootcert: None,
        direct_tls: false,
        require_channel_binding: false,
        read_only: Default::default(),
        freshness: Default::default(),
        tags: BTreeSet::new(),
        columns: std::collections::BTreeMap::new(),
        functions: std::collections::BTreeMap::new(),
    };
    let policies = vec![PolicyFile { name: "test.cedar".to_owned(), text: POLICIES.to_owned() }];
    gateway
        .apply(Configuration { targets: vec![target], policies, ..Configuration::default() }, "user:root")
        .await
        .expect("applied");
    House { directory, gateway }
}

impl House {
    /// Runs one session over these events; returns what was seen.
    async fn run(&self, inbox: Vec<Event<Toy>>, patience: Duration) -> Vec<String> {
        let seen = Seen::default();
        let session = self.gateway.session_id().expect("randomness");
        let mut audit = Audit::new(&self.gateway, &session);
        let journal = self.gateway.journal().clone();
        let toy = Toy { journal, session, inbox: inbox.into(), seen: seen.clone(), patience };
        spine::serve(toy, &self.gateway, &mut audit).await;
        seen.all()
    }

    fn journal(&self) -> String {
        let mut all = String::new();
        for entry in std::fs::read_dir(self.directory.path().join("journal")).expect("the journal") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                all.push_str(&String::from_utf8_lossy(&std::fs::read(path).expect("a segment")));
            }
        }
        all
    }
}

fn of(kind: PrincipalKind, name: &str, groups: &[&str]) -> Voter {
    let groups = groups.iter().map(|g| (*g).to_owned()).collect();
    Voter::proved(PrincipalRef { kind, name: name.to_owned() }, groups, Vec::new())
}

fn user(name: &str) -> Voter {
    of(PrincipalKind::User, name, &["dba"])
}

const NOW: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_read_runs_and_its_value_is_in_no_record() {
    let house = house().await;
    let read = Event::Request(wish(Action::Select, "hunter2"));
    let seen = house.run(vec![read, Event::Response(Piece("secret".to_owned()))], NOW).await;
    assert_eq!(seen, ["dialled", "ran select $1 hunter2", "shown ***", "closed"]);
    let journal = house.journal();
    for word in ["opened", "allowed", "outcome", "closed", "select shop.orders"] {
        assert!(journal.contains(word), "{word} is not in:\n{journal}");
    }
    assert!(!journal.contains("hunter2"));
}

#[tokio::test]
async fn what_no_policy_allows_never_reaches_the_target_and_the_session_goes_on() {
    let house = house().await;
    let events = vec![
        Event::Request(wish(Action::Drop, "1")),
        Event::Unreadable(Noise),
        Event::Request(wish(Action::Select, "2")),
    ];
    let seen = house.run(events, NOW).await;
    assert_eq!(seen, ["dialled", "refused 42501", "refused 42601", "ran select $1 2", "closed"]);
}

/// It would leave its effects, and show nothing of them but the end of the session.
#[tokio::test]
async fn what_could_not_be_shown_does_not_run_and_nobody_is_asked() {
    let house = house().await;
    let unshown = |action, value| Event::Request(Wish { unshown: Some("a body"), ..wish(action, value) });
    let events = vec![
        unshown(Action::Select, "1"),
        unshown(Action::Update, "2"),
        Event::Request(wish(Action::Select, "3")),
    ];
    let seen = house.run(events, NOW).await;
    assert_eq!(seen, ["dialled", "refused 42501", "refused 42501", "ran select $1 3", "closed"]);
}

#[tokio::test]
async fn a_held_write_without_an_answer_does_not_run() {
    let house = house().await;
    let seen = house.run(vec![Event::Request(wish(Action::Update, "1"))], NOW).await;
    assert_eq!(seen, ["dialled", "held", "refused ZD001", "closed"]);
}

#[tokio::test]
async fn an_approval_that_comes_later_is_good_for_one_run_of_exactly_that() {
    let house = house().await;
    let update = |value| vec![Event::Request(wish(Action::Update, value))];
    house.run(update("1"), NOW).await;
    // The same question is not filed twice.
    house.run(update("1"), NOW).await;
    let waiting = house.gateway.requests(&user("dora"), false, &Part::newest(50)).await.expect("requests");
    assert_eq!(waiting.len(), 1);
    let id = &waiting.first().expect("one").id;
    let shown = house.gateway.request(id, &user("dora"), "user:dora").await.expect("shown");
    assert_eq!(shown.values, [Some("1".to_owned())]);

    for (voter, why) in [
        (user("alice"), "for whom it is done"),
        (user("ALICE"), "the same, written otherwise"),
        (of(PrincipalKind::Agent, "other", &["dba"]), "an agent"),
        (of(PrincipalKind::User, "erik", &["sales"]), "of another group"),
        (of(PrincipalKind::User, "erik", &[]), "of no group"),
    ] {
        assert!(
            house.gateway.answer_request(id, &voter, true, Said::default(), None).await.is_err(),
            "{why}"
        );
    }
    let erik = of(PrincipalKind::User, "erik", &["sales"]);
    assert!(
        house.gateway.requests(&erik, true, &Part::newest(50)).await.expect("requests").is_empty(),
        "nor does he see it"
    );
    assert!(house.gateway.request(id, &erik, "user:erik").await.is_err());
    let answered =
        house.gateway.answer_request(id, &user("dora"), true, Said::default(), None).await.expect("approved");
    assert_eq!(answered.status, Status::Approved);

    assert_eq!(house.run(update("2"), NOW).await, ["dialled", "held", "refused ZD001", "closed"]);
    assert_eq!(house.run(update("1"), NOW).await, ["dialled", "held", "ran update $1 1", "closed"]);
    assert_eq!(house.run(update("1"), NOW).await, ["dialled", "held", "refused ZD001", "closed"]);
    let used = house.gateway.requests(&user("dora"), true, &Part::newest(50)).await.expect("requests");
    let used = used.iter().find(|r| r.id == *id).expect("the first");
    assert_eq!(used.status, Status::Done);
}

#[tokio::test]
async fn who_waits_is_woken_by_the_answer() {
    let house = Arc::new(house().await);
    for (approve, expected) in [(true, "ran update $1 7"), (false, "refused ZD002")] {
        let other = Arc::clone(&house);
        let waits = tokio::spawn(async move {
            other.run(vec![Event::Request(wish(Action::Update, "7"))], Duration::from_secs(30)).await
        });
        let id = loop {
            let waiting =
                house.gateway.requests(&user("dora"), false, &Part::newest(50)).await.expect("requests");
            match waiting.first() {
                Some(request) => break request.id.clone(),
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        house
            .gateway
            .answer_request(
                &id,
                &user("dora"),
                approve,
                Said { words: Some("fine".to_owned()), ..Said::default() },
                None,
            )
            .await
            .expect("answered");
        let seen = waits.await.expect("no panic");
        assert_eq!(seen, ["dialled", "held", expected, "closed"]);
    }
}

/// The policies with another rule for who approves writes.
fn ruled(approvers: &str, quorum: u32) -> String {
    let (before, after) =
        ("@approvers(\"dba\") @quorum(\"1\")", format!("@approvers(\"{approvers}\") @quorum(\"{quorum}\")"));
    assert!(POLICIES.contains(before));
    POLICIES.replace(before, &after)
}

async fn rule(house: &House, text: String) {
    let mut wanted = house.gateway.export().await.expect("exported");
    wanted.policies = vec![PolicyFile { name: "test.cedar".to_owned(), text }];
    house.gateway.apply(wanted, "user:root").await.expect("applied");
}

async fn waiting(house: &House) -> Option<model::Request> {
    let administrator = of(PrincipalKind::User, "administrator", &["admins"]);
    house
        .gateway
        .requests(&administrator, false, &Part::newest(50))
        .await
        .expect("requests")
        .into_iter()
        .next()
}

#[tokio::test]
async fn an_answer_is_to_the_rule_in_force_and_not_to_the_one_that_asked() {
    let (dora, sam, tom) = (
        user("dora"),
        of(PrincipalKind::User, "sam", &["security"]),
        of(PrincipalKind::User, "tom", &["security"]),
    );
    let update = || vec![Event::Request(wish(Action::Update, "1"))];
    for approved_before in [false, true] {
        let house = house().await;
        let answer = async |id: &str, voter: &Voter| {
            house.gateway.answer_request(id, voter, true, Said::default(), None).await
        };
        house.run(update(), NOW).await;
        let first = waiting(&house).await.expect("it waits").id;
        if approved_before {
            answer(&first, &dora).await.expect("approved");
        }
        // The same rule in other words changes nothing.
        rule(&house, POLICIES.replace("second pair of eyes", "colleague")).await;
        if !approved_before {
            assert_eq!(waiting(&house).await.expect("it waits").id, first);
        }
        rule(&house, ruled("security", 2)).await;
        let shown = house.gateway.request(&first, &dora, "user:dora").await.expect("shown");
        assert_eq!(shown.status, Status::Superseded);
        let why = "the policy \"writes-need-dba\" was changed since it was asked for";
        assert_eq!(shown.outcome.as_deref(), Some(why));
        assert!(answer(&first, &dora).await.is_err() && answer(&first, &sam).await.is_err());
        // It is asked anew, of whom the rule names now, and of as many.
        assert_eq!(house.run(update(), NOW).await, ["dialled", "held", "refused ZD001", "closed"]);
        let second = waiting(&house).await.expect("it waits").id;
        assert_ne!(first, second);
        assert!(answer(&second, &dora).await.is_err());
        assert_eq!(answer(&second, &sam).await.expect("counted").status, Status::Pending);
        assert_eq!(answer(&second, &tom).await.expect("counted").status, Status::Approved);
        assert_eq!(house.run(update(), NOW).await, ["dialled", "held", "ran update $1 1", "closed"]);
    }
}

#[tokio::test]
async fn who_waits_asks_anew_when_the_rule_is_changed_and_goes_on_when_it_is_gone() {
    let house = Arc::new(house().await);
    for (text, expected) in [
        (ruled("security", 1), &["dialled", "held", "held", "refused ZD002", "closed"][..]),
        (ruled("security", 1).lines().take(4).collect(), &["dialled", "held", "ran update $1 3", "closed"]),
    ] {
        rule(&house, POLICIES.to_owned()).await;
        let other = Arc::clone(&house);
        let waits = tokio::spawn(async move {
            other.run(vec![Event::Request(wish(Action::Update, "3"))], Duration::from_secs(30)).await
        });
        let first = until_one_waits(&house, None).await;
        rule(&house, text).await;
        if expected.len() > 4 {
            let second = until_one_waits(&house, Some(&first)).await;
            let sam = of(PrincipalKind::User, "sam", &["security"]);
            house.gateway.answer_request(&second, &sam, false, Said::default(), None).await.expect("denied");
        }
        assert_eq!(waits.await.expect("no panic"), expected);
    }
}

async fn until_one_waits(house: &House, but: Option<&str>) -> String {
    // Nobody waits for longer than this.
    for _ in 0..6_000 {
        match waiting(house).await.filter(|request| Some(&*request.id) != but) {
            Some(request) => return request.id,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    panic!("nothing waits but {but:?}: {:?}", waiting(house).await)
}

#[tokio::test]
async fn nobody_approves_their_own_by_another_name() {
    let house = house().await;
    let add = async |name: &str, names: &[&str]| {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        house.gateway.add_approver(name, &["dba".to_owned()], &names, "user:root").await
    };
    // The agent acts for user:alice.
    house.run(vec![Event::Request(wish(Action::Update, "1"))], NOW).await;
    let id = waiting(&house).await.expect("it waits").id;
    let answer = async |name: &str| {
        let voter = of(PrincipalKind::User, name, &["dba"]);
        house
            .gateway
            .answer_request(&id, &voter, true, Said::default(), None)
            .await
            .map(|answered| answered.status)
    };
    add("al", &["user:alice"]).await.expect("added");
    assert!(add("al2", &["user:alice"]).await.is_err() && add("al3", &["user:AL"]).await.is_err());
    assert!(add("x", &["agent:bot"]).await.is_err() && add("x", &["corp/x"]).await.is_err());
    for name in ["alice", "corp/alice", "corp/Alice@example.com", "al"] {
        let refused = answer(name).await.expect_err(name).to_string();
        assert!(refused.starts_with("nobody approves what they ask for themselves"), "{refused}");
        assert_eq!(refused.contains("--is user:"), name != "alice", "{refused}");
    }
    assert_eq!(answer("corp/alan").await.expect("somebody else"), Status::Approved);
}

#[tokio::test]
async fn nobody_counts_twice_by_another_name() {
    let house = house().await;
    rule(&house, ruled("dba", 2)).await;
    house.run(vec![Event::Request(wish(Action::Update, "1"))], NOW).await;
    let id = waiting(&house).await.expect("it waits").id;
    let names = ["user:corp/d.miller".to_owned()];
    house.gateway.add_approver("dora", &["dba".to_owned()], &names, "user:root").await.expect("added");
    let answer = async |name: &str| {
        let voter = of(PrincipalKind::User, name, &["dba"]);
        house
            .gateway
            .answer_request(&id, &voter, true, Said::default(), None)
            .await
            .map(|answered| answered.status)
    };
    assert_eq!(answer("dora").await.expect("counted"), Status::Pending);
    for name in ["corp/d.miller", "gh/dora"] {
        let refused = answer(name).await.expect_err(name).to_string();
        assert!(refused.starts_with("nobody's answer counts twice"), "{refused}");
    }
    // At corp she is somebody else than this one.
    assert_eq!(answer("corp/dora").await.expect("counted"), Status::Approved);
}

#[tokio::test]
async fn what_an_approver_approved_who_was_removed_is_not_approved() {
    let house = house().await;
    let update = || vec![Event::Request(wish(Action::Update, "1"))];
    house.gateway.add_approver("dora", &["dba".to_owned()], &[], "user:root").await.expect("added");
    house.run(update(), NOW).await;
    let id = waiting(&house).await.expect("it waits").id;
    house.gateway.answer_request(&id, &user("dora"), true, Said::default(), None).await.expect("approved");
    house.gateway.remove_approver("dora", "user:root").await.expect("removed");
    assert_eq!(house.run(update(), NOW).await, ["dialled", "held", "refused ZD001", "closed"]);
}

#[tokio::test]
async fn a_broken_configuration_leaves_the_old_one_in_force() {
    let house = house().await;
    let before = house.gateway.export().await.expect("exported");
    let mut broken = before.clone();
    broken
        .policies
        .push(PolicyFile { name: "broken.cedar".to_owned(), text: "permit (principal".to_owned() });
    let error = house.gateway.apply(broken, "user:root").await.expect_err("refused");
    assert!(error.to_string().starts_with("broken.cedar:"), "{error}");
    assert_eq!(house.gateway.export().await.expect("exported"), before);
    let seen = house.run(vec![Event::Request(wish(Action::Select, "1"))], NOW).await;
    assert_eq!(seen, ["dialled", "ran select $1 1", "closed"]);
}

#[tokio::test]
async fn a_token_is_checked_bound_and_revoked() {
    use crate::net::login::Authenticator;
    let house = house().await;
    let wanted = NewToken {
        kind: "agent".to_owned(),
        name: "bot".to_owned(),
        groups: vec!["ci".to_owned()],
        on_behalf_of: Vec::new(),
        purpose: Some("tests".to_owned()),
        targets: vec!["orders".to_owned()],
        seconds: 60,
    };
    let issued = house.gateway.issue_token(&wanted, "user:root").await.expect("issued");
    let tokens = house.gateway.authenticator();
    let admitted = tokens.check(issued.token.as_bytes()).await.expect("right");
    assert!(admitted.is_for(&TargetName::new("orders")) && !admitted.is_for(&TargetName::new("other")));
    assert!(tokens.check(issued.id.as_bytes()).await.is_err());
    let wrong = format!("{}0", issued.token.as_str());
    assert!(tokens.check(wrong.as_bytes()).await.is_err());
    let (verifier, proof) = tokens.verifier(&issued.id).await.expect("known");
    assert!(proof.is_some() && verifier.matches(issued.token.as_bytes()));
    let (one, nobody) = tokens.verifier("dwt_nobody").await.expect("known");
    let (two, _) = tokens.verifier("dwt_nobody").await.expect("known");
    assert!(nobody.is_none() && one == two);
    house.gateway.revoke_token(&issued.id, "user:root").await.expect("revoked");
    assert!(tokens.check(issued.token.as_bytes()).await.is_err());
    assert!(!house.journal().contains(issued.token.as_str()));
}

#[tokio::test]
async fn how_many_tokens_are_made_of_one_is_bounded() {
    use crate::exchange::{ExchangeError, Proof, Wanted};
    let house = house().await;
    let issue = async |name: &str, person: Option<&str>| {
        let wanted = NewToken {
            kind: "agent".to_owned(),
            name: name.to_owned(),
            groups: Vec::new(),
            on_behalf_of: person.map(str::to_owned).into_iter().collect(),
            purpose: None,
            targets: Vec::new(),
            seconds: 600,
        };
        house.gateway.issue_token(&wanted, "user:root").await.expect("issued").token
    };
    let exchange = async |subject: &str| {
        let subject = zeroize::Zeroizing::new(subject.to_owned());
        let proof = Proof::Tokens { subject, actor: None, agent: None };
        let targets = BTreeSet::from(["orders".to_owned()]);
        let from = "127.0.0.1:1".parse().expect("an address");
        house.gateway.exchange(&proof, &Wanted { targets, purpose: None, seconds: Some(60) }, from).await
    };
    house.gateway.set_limits(Limits { tokens_of_one: 3, ..Limits::default() });
    // Whatever agents of one person's ask, and what is made of what was made.
    let (one, two, other) = (
        issue("one", Some("user:alice")).await,
        issue("two", Some("user:alice")).await,
        issue("one", Some("user:bob")).await,
    );
    let first = exchange(&one).await.expect("made");
    exchange(&first.token).await.expect("made of what was made");
    let third = exchange(&two).await.expect("made");
    for token in [&one, &two, &first.token] {
        assert!(matches!(exchange(token).await, Err(ExchangeError::TooMany(_))));
    }
    exchange(&other).await.expect("somebody else's");
    house
        .gateway
        .give_back(&third.token, "127.0.0.1:1".parse().expect("an address"))
        .await
        .expect("given back");
    exchange(&two).await.expect("there is room again");
}
