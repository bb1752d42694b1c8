//! The arguments of `durward policy`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Place;

const POLICY_QUESTIONS: &str = "\
Examples:
  durward policy explain --as agent:bot --target orders \"DELETE FROM customers\"
  durward policy explain --as agent:bot --target orders --policies new/ \"SELECT email FROM customers\"
  durward policy explain --as agent:bot --target orders update=shop.orders reveal=column:shop.people.email#pii";

const POLICY_TESTS: &str = "\
A test is a question and the verdict that it must have, in a file *.test.toml:
  [[case]]
  name = \"agents ask before they delete\"
  principal = \"agent:bot\"
  target = \"orders\"
  statement = \"DELETE FROM customers WHERE id = 7\"   # or: effects = [\"delete=public.customers\"]
  expect = \"hold\"                                    # allow, deny or hold
  by = [\"writes-need-a-dba\"]                         # where it matters which policies decide
Beside these: groups, on_behalf_of, target_tags, approved, and for effects without_where, values, values_uncertain, literals,
estimated_rows and measured_rows. Statements need a gateway
that reads the target's catalogue: a running one, or --data or --config of one that does not run.";

#[derive(Subcommand)]
pub(crate) enum Policy {
    /// Check that policies are valid
    Check {
        /// Files and directories
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Run the tests beside policies (*.test.toml)
    #[command(after_help = POLICY_TESTS)]
    Test {
        /// The directory of policies and tests
        directory: PathBuf,
        #[command(flatten)]
        place: Place,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what a statement would do, what policies decide of it, and which of them
    ///
    /// A statement is understood by the target's own catalogue, which a running gateway reads, or this command itself where
    /// --data or --config names the data directory of one that does not run. Nothing of the statement is sent to the target.
    #[command(after_help = POLICY_QUESTIONS)]
    Explain {
        /// Policies in files and directories; those in force where none is given
        #[arg(long = "policies", value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Who asks: agent:NAME or user:NAME
        #[arg(long = "as", value_name = "PRINCIPAL")]
        principal: String,
        /// A group of the principal's
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// Whom it acts for, nearest first: user:NAME
        #[arg(long = "for", value_name = "PRINCIPAL")]
        on_behalf_of: Vec<String>,
        /// On which target
        #[arg(long)]
        target: String,
        /// A tag of the target's, beside those that it is configured with
        #[arg(long = "target-tag", value_name = "TAG")]
        target_tags: Vec<String>,
        /// Of effects: the statement has no condition
        #[arg(long)]
        without_where: bool,
        /// A hold that was approved
        #[arg(long = "approved", value_name = "POLICY")]
        approved: Vec<String>,
        /// A statement, or what one would do: `ACTION=[KIND:]NAME[#TAG…]`
        #[arg(required = true, value_name = "STATEMENT")]
        questions: Vec<String>,
        #[command(flatten)]
        place: Place,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}
