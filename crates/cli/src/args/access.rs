//! Who comes in and who answers, and what is stopped.

use clap::{Args, Subcommand};

use crate::typed;

#[derive(Subcommand)]
pub(crate) enum Token {
    /// Issue a token and show it, this once
    Issue {
        /// For whom: agent:NAME or user:NAME
        principal: String,
        /// A group of the principal's
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// Whom it acts for, nearest first: user:NAME
        #[arg(long = "for", value_name = "PRINCIPAL")]
        on_behalf_of: Vec<String>,
        /// What it is for
        #[arg(long)]
        purpose: Option<String>,
        /// A target that it is good for; all where none is named
        #[arg(long = "target", value_name = "TARGET")]
        targets: Vec<String>,
        /// How long it lives
        #[arg(long, default_value = "8h", value_parser = typed::seconds, value_name = "TIME")]
        life: u64,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// List tokens, newest first
    Ls {
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=1000))]
        most: u16,
        /// Those that came before this one
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token and end its sessions
    Revoke {
        /// Its id, dwt_…
        id: String,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum Revoke {
    /// A principal, and whoever acts for it
    Principal {
        /// agent:NAME or user:NAME
        principal: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// A token, and those that were minted with it
    Token {
        /// Its id, dwt_…
        id: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Whoever was in a group when they logged in, and whoever acts for them
    Group {
        /// The group
        group: String,
        /// The issuer whose group it is; any where none is named
        #[arg(long, value_name = "NAME")]
        issuer: Option<String>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Whoever comes with a token of an issuer
    Issuer {
        /// The issuer's name in the configuration
        issuer: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// List what is revoked, newest first
    Ls {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Let in again whom a revocation was about
    Lift {
        /// Its id, dwr_…
        id: String,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct Reason {
    /// Why; those concerned are told
    #[arg(long, value_name = "WORDS")]
    pub reason: String,
    /// How long it holds [default: until it is lifted]
    #[arg(long, value_parser = typed::seconds, value_name = "TIME")]
    pub lasting: Option<u64>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub(crate) enum BreakGlass {
    /// Make codes and show them, this once; each opens one session, as a password
    Create {
        /// Whom they are for: user:NAME, or NAME
        #[arg(long = "for", value_name = "NAME")]
        name: String,
        /// A group of theirs; policies may ask for it, and for context.break_glass
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// The target that each opens
        #[arg(long)]
        target: String,
        /// How long a session lasts
        #[arg(long, default_value = "30m", value_parser = typed::seconds, value_name = "TIME")]
        lifetime: u64,
        /// How long they can be kept
        #[arg(long, default_value = "90d", value_parser = typed::seconds, value_name = "TIME")]
        kept: u64,
        /// How many: one is used up even where the target then does not answer
        #[arg(long, default_value = "1", value_name = "NUMBER")]
        count: u32,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// List them, newest first
    Ls {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke one, and end the session that it opened
    Revoke {
        /// Its id, dwb_…
        id: String,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum Approver {
    /// Add one and show their secret, this once
    Add {
        /// A person's name, as in user:NAME: they cannot approve what is done by or for that user, nor by or for whoever has the
        /// same name at an issuer (user:corp/NAME), unless --is says what they are called there
        name: String,
        /// A group that policies name in @approvers; several with commas between
        #[arg(
            long = "group",
            alias = "groups",
            value_name = "GROUP",
            required = true,
            value_delimiter = ','
        )]
        groups: Vec<String>,
        /// What they are called at an issuer, as user:corp/dora, so that they are known there, too; several times for several
        #[arg(long = "is", value_name = "user:NAME")]
        names: Vec<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// List them
    Ls {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Take one's secret away; their answers to what waits, or is approved and not used, do not count
    #[command(alias = "revoke")]
    Remove {
        /// Their name
        name: String,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum People {
    /// Show a link, this once, by which somebody comes to the console with a passkey that they make then; it is good once, for a
    /// day. Somebody who is there already gets new roles, new groups and a new passkey
    Invite {
        /// Their name, as in user:NAME: they cannot approve what is done by or for that user
        name: String,
        /// What they may do: administrator, policy_editor or auditor; several with commas between
        #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', required_unless_present = "groups")]
        roles: Vec<String>,
        /// A group that policies name in @approvers, for which they answer; several with commas between
        #[arg(long = "group", value_name = "GROUP", value_delimiter = ',')]
        groups: Vec<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// List those who came, and those who are invited and may still come
    Ls {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Shut somebody out: their passkeys, where they are signed in, their answers to what still waits, and their invitation
    Remove {
        /// Their name
        name: String,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct Freeze {
    /// all, a target, or a tag of targets; target:NAME and tag:TAG where a word could be both
    pub scope: String,
    /// Refuse reads as well
    #[arg(long)]
    pub reads: bool,
    /// Why; those concerned are told
    #[arg(long, value_name = "WORDS")]
    pub reason: String,
    /// When it ends by itself, as 2027-01-31T18:00:00Z [default: when it is thawed]
    #[arg(long, value_parser = typed::moment, value_name = "MOMENT")]
    pub until: Option<i64>,
    /// How long it holds, as 2h
    #[arg(long, value_parser = typed::seconds, value_name = "TIME", conflicts_with = "until")]
    pub lasting: Option<u64>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}
