//! Programs that this one starts inherit its environment, but none of the secrets in it.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Variables that have secrets of the gateway's and of its people.
const OURS: [&str; 4] =
    ["DURWARD_ADMIN_SECRET", "DURWARD_APPROVER_SECRET", "DURWARD_TOKEN", "DURWARD_RECOVERY_KEY"];

/// Variables that configuration names as the source of a secret. The environment is the process's, and so is this.
static NAMED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// From now on no child gets this variable.
pub fn withhold(variable: &str) {
    NAMED.lock().unwrap_or_else(PoisonError::into_inner).insert(variable.to_owned());
}

/// Takes what is a secret out of a child's environment. What it is to have of that is given to it afterwards.
pub fn without_secrets(command: &mut Command) -> &mut Command {
    for name in OURS {
        command.env_remove(name);
    }
    for name in NAMED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_gets_no_variable_that_is_or_has_a_secret() {
        withhold("THE_MASTER_KEY");
        let mut command = Command::new("true");
        command.env("DURWARD_TOKEN", "t").env("THE_MASTER_KEY", "k").env("PATH", "/bin");
        without_secrets(&mut command);
        let gets: Vec<_> =
            command.get_envs().filter(|(_, value)| value.is_some()).map(|(name, _)| name).collect();
        assert_eq!(gets, ["PATH"]);
        for name in OURS.into_iter().chain(["THE_MASTER_KEY"]) {
            assert!(command.get_envs().any(|(n, value)| n == name && value.is_none()), "{name} is taken out");
        }
    }
}
