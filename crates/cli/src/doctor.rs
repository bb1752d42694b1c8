//! `durward doctor`: this machine, policies and targets, as a careful operator would look at them.

mod here;

use std::collections::BTreeMap;

use gateway::doctor::{Check, Grade, advised, check};
use model::TargetName;
use serde_json::{Value, json};

use crate::args::Doctor;
use crate::client::{Client, part};
use crate::config::Settings;
use crate::exit::Fault;
use crate::node;
use crate::show::{self, field, say};

/// What was found, each check as JSON.
#[derive(Default)]
struct Report {
    here: Vec<Value>,
    policies: Vec<Value>,
    targets: BTreeMap<String, Vec<Value>>,
}

pub(crate) fn run(base: &str, args: &Doctor) -> anyhow::Result<()> {
    let Doctor { target, place, strict, json } = args;
    let mut report = Report::default();
    let one = target.as_deref();
    if place.config.is_some() || place.data.is_some() {
        let settings = place.settings()?;
        let base = match settings.console.port() {
            0 => base.to_owned(),
            // Whoever listens everywhere listens here, too.
            port if settings.console.ip().is_unspecified() => format!("http://127.0.0.1:{port}"),
            _ => format!("http://{}", settings.console),
        };
        let asked = Client::new(&base).and_then(|client| report.ask(&client, one));
        let runs =
            !matches!(asked.as_ref().err().and_then(|e| e.downcast_ref()), Some(Fault::Unreachable(_)));
        report.here = values(here::look(&settings, place.config.as_deref(), runs))?;
        match asked.map_err(|error| (error.downcast_ref::<Fault>().map(is_about_the_secret), error)) {
            Ok(()) => (),
            Err((Some(true), _)) => {
                let says = "a gateway runs; with the administrator's secret its policies and targets are looked at as well";
                let advice = "set DURWARD_ADMIN_SECRET to what durward init has shown";
                report.here.push(serde_json::to_value(advised("gateway", Grade::Warning, says, advice))?);
            }
            Err((Some(false), error)) if runs => return Err(error),
            Err(_) => match report.look(&settings, one) {
                Ok(()) => (),
                Err(error) if matches!(error.downcast_ref(), Some(Fault::Missing(_))) => return Err(error),
                Err(error) => {
                    let found = check("store", Grade::Bad, format!("it cannot be opened: {error:#}"));
                    report.here.push(serde_json::to_value(found)?);
                }
            },
        }
    } else {
        report.ask(&Client::new(base)?, one)?;
    }
    if *json {
        show::json(&report.to_json())?
    } else {
        report.print()?
    }
    let count = |grade: &str| report.all().filter(|c| field(c, "grade") == grade).count();
    let (bad, warnings) = (count("bad"), count("warning"));
    if bad > 0 || *strict && warnings > 0 {
        return Err(Fault::Wrong(format!("{bad} bad, {warnings} warnings")).into());
    }
    Ok(())
}

fn is_about_the_secret(fault: &Fault) -> bool {
    matches!(fault, Fault::Unauthorized(_))
}

impl Report {
    /// Asks a gateway that runs.
    fn ask(&mut self, client: &Client, one: Option<&str>) -> anyhow::Result<()> {
        self.policies = client.get("/doctor")?.as_array().cloned().unwrap_or_default();
        let names = match one {
            Some(name) => vec![name.to_owned()],
            None => {
                let configuration = client.get("/configuration")?;
                let targets = configuration.get("targets").and_then(Value::as_array);
                targets.into_iter().flatten().map(|t| field(t, "name")).collect()
            }
        };
        for name in names {
            let checks = client.get(&format!("/targets/{}/doctor", part(&name)))?;
            self.targets.insert(name, checks.as_array().cloned().unwrap_or_default());
        }
        Ok(())
    }

    /// Looks without a gateway that runs.
    fn look(&mut self, settings: &Settings, one: Option<&str>) -> anyhow::Result<()> {
        if settings.store.is_none() && !node::is_there(&settings.data.join("state.db"))? {
            return Ok(());
        }
        let missing = |name: &str| Fault::Missing(format!("there is no target \"{name}\""));
        node::runtime()?.block_on(async {
            let gateway = node::without_listeners(settings).await?;
            self.policies = values(gateway.doctor_of_policies().await)?;
            let names: Vec<String> = match one {
                Some(name) => vec![name.to_owned()],
                None => gateway.export().await?.targets.into_iter().map(|t| t.name).collect(),
            };
            for name in names {
                let found = gateway.doctor(&TargetName::new(name.as_str())).await;
                let found = found.ok_or_else(|| missing(&name))?;
                self.targets.insert(name, values(found)?);
            }
            anyhow::Ok(())
        })
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        self.here.iter().chain(&self.policies).chain(self.targets.values().flatten())
    }

    fn to_json(&self) -> Value {
        let Self { here, policies, targets } = self;
        json!({ "here": here, "policies": policies, "targets": targets })
    }

    fn print(&self) -> anyhow::Result<()> {
        let Self { here, policies, targets } = self;
        let parts = [("this machine", here), ("policies", policies)].into_iter();
        let parts = parts.chain(targets.iter().map(|(name, found)| (name.as_str(), found)));
        for (name, found) in parts.filter(|(_, found)| !found.is_empty()) {
            say(format_args!("{}:", show::line(name)))?;
            for check in found {
                let of = |name| show::line(&field(check, name));
                say(format_args!("  {:<8} {:<11} {}", of("grade"), of("what"), of("says")))?;
                if !of("advice").is_empty() {
                    say(format_args!("  {:<8} {:<11} {}", "", "", of("advice")))?;
                }
                // As it can be run: a command for this machine, or a statement for the target.
                for line in field(check, "mend").lines() {
                    say(format_args!("  {:<8} {:<11} → {}", "", "", show::line(line)))?;
                }
            }
        }
        if targets.is_empty() {
            say("No target was looked at.")?;
        }
        Ok(())
    }
}

fn values(checks: Vec<Check>) -> anyhow::Result<Vec<Value>> {
    checks.into_iter().map(|check| Ok(serde_json::to_value(check)?)).collect()
}
