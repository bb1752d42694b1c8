//! The nouns that every crate shares. Data only: no rule, no codec, no IO.

mod access;
mod action;
mod ceiling;
mod denial;
mod draft;
mod effect;
mod hold_rule;
mod name;
mod operation;
mod people;
mod plan;
mod principal;
mod request;
mod sign_out;
mod standing;
mod status;
mod task;
mod vote;
mod voucher;
mod weighed;

pub use access::{Access, GIVEN_AS, Leave};
pub use action::Action;
pub use ceiling::{Ceiling, Claim, Expected};
pub use denial::{Denial, Scope, Subject, Which};
pub use draft::{Draft, DraftStatus};
pub use effect::{Changed, Rows, Tier, grouped};
pub use hold_rule::{BY_SLACK, HoldRule, SlackYes};
pub use name::{ColumnName, FunctionName, Resource, TableName, Tag, TargetName, parts};
pub use operation::{Effect, Facts, Inspect, Particulars, Told};
pub use people::{Member, Passkey, Signed, SlackLink, SlackUser, Visit};
pub use plan::{CarriedBy, Change, Done, Plan, Progress, Sign, Stage, Step, Tried};
pub use principal::{Asserted, MayAct, Principal, PrincipalKind, PrincipalRef};
pub use request::{
    Circumstances, Filed, NewRequest, News, Part, Preview, Reached, Request, Room, SINCE_IT_WAS, Shown,
    Standing, Touched, since_request,
};
pub use sign_out::{SignOut, SignedOut};
pub use standing::{
    Covered, CoveredValues, Given, GrantState, GrantUse, Likeness, OpenValue, StandingGrant, Used, covered,
};
pub use status::{Finish, Status};
pub use task::{Task, TaskState};
pub use vote::{Approver, Backing, Counted, KnownAs, TakenBack, Vote};
pub use voucher::{RegisteredClient, Voucher, VoucherKind};
pub use weighed::{Object, Weighed};
