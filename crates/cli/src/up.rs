//! `durward up URL`: one command in front of one's own database.

mod password;
mod url;
mod words;

use std::path::PathBuf;

use anyhow::Context;
use gateway::configure::{Configuration, ConfigureError, Password, PolicyFile, TargetConfig};
use gateway::doctor::Grade;
use gateway::gateway::Gateway;
use gateway::requests::NewToken;
use model::TargetName;
use zeroize::Zeroizing;

use crate::args::Up;
use crate::config::{Settings, loopback};
use crate::exit::Fault;
use crate::node::{self, Node};
use crate::passphrase::{self, Unlock};
use crate::show::{self, say};
use crate::up::url::Database;

/// Who did it, in the journal.
const BY: &str = "durward up";

pub(crate) fn run(args: &Up) -> anyhow::Result<()> {
    let (database, in_url) = Database::parse(&args.url).map_err(Fault::Invalid)?;
    if let Some(password) = in_url {
        if args.password_stdin || args.password_file.is_some() {
            let why = "there is a password in the URL and another one beside it: give one";
            return Err(Fault::Invalid(why.to_owned()).into());
        }
        passphrase_stays(args)?;
        return password::start_again(&args.url, &password);
    }
    if let Some(password) = password::in_environment(args) {
        passphrase_stays(args)?;
        return password::start_again(&args.url, &password);
    }
    let given = password::beside(args, &database)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => database.as_target_name(),
    };
    let data: PathBuf = args.data.clone().unwrap_or_else(node::usual_data);
    let console = loopback(args.console).map_err(Fault::Invalid)?;
    if !args.agents.ip().is_loopback() {
        let why = "--agents can be reached from elsewhere, and tokens are told there: for that give durward serve a configuration \
                   with a certificate in [agents]";
        return Err(Fault::Invalid(why.to_owned()).into());
    }
    let settings = Settings::for_one(data, args.listen, console, args.agents);
    let settings = Settings { unlock: Unlock::given(args.passphrase.passphrase_fd.as_ref()), ..settings };
    if args.seal.passphrase {
        passphrase::must_be_sealed(&settings.data.join("master.key"))?;
        settings.unlock.seal_new(args.seal.new_passphrase_fd.as_ref());
    }
    crate::logs::start(&settings)?;
    node::runtime()?.block_on(up(args, settings, &database, TargetName(name), given))
}

/// A descriptor is read once, and the process is about to be replaced by one that would read it again.
fn passphrase_stays(args: &Up) -> anyhow::Result<()> {
    if args.passphrase.passphrase_fd.is_none() && args.seal.new_passphrase_fd.is_none() {
        return Ok(());
    }
    let why = "beside a passphrase from a file descriptor the database's password is given by --password-file or .pgpass";
    Err(Fault::Invalid(why.to_owned()).into())
}

async fn up(
    args: &Up,
    settings: Settings,
    database: &Database,
    name: TargetName,
    given: Option<Zeroizing<String>>,
) -> anyhow::Result<()> {
    let data = settings.data.clone();
    let place = settings.public.place(settings.console.port());
    let node = Node::start(settings).await?;
    let before = node.gateway.export().await?;
    let kept = node.store.configured().await?.credentials.remove(name.as_str());
    let password = match given {
        None if kept.is_none() => password::prompt(database)?,
        given => given,
    };
    if !database.left_out.is_empty() {
        let left = database.left_out.join(", ");
        say(format_args!("Note (URL): left out, since each client says it of its own connection: {left}"))?;
    }
    let starter = configure(&node.gateway, database, &name, password).await?;
    if let Err(unreachable) = look(&node.gateway, &name).await {
        // What worked before is not replaced by what does not.
        put_back(&node.gateway, before, &name, kept.as_ref().map(|k| k.as_slice())).await?;
        return Err(unreachable);
    }
    // Without proposals nothing would be masked, so nobody gets a token.
    let proposed =
        node.gateway.propose(&name, BY).await.context("the columns cannot be read, so none can be tagged")?;
    let wanted = NewToken {
        kind: "agent".to_owned(),
        name: args.agent.clone(),
        groups: vec!["agents".to_owned()],
        on_behalf_of: Vec::new(),
        purpose: Some("durward up".to_owned()),
        targets: vec![name.to_string()],
        seconds: args.life,
    };
    let issued = node.gateway.issue_token(&wanted, BY).await?;
    // Made last: it is shown once, so nothing that can fail comes between.
    let secret = node.store.make_administrator().await?;
    let link = match node.gateway.members().await?.is_empty() {
        true => Some(crate::init::first_link(&place, node.store.clone()).await?),
        false => None,
    };
    words::Welcome {
        target: name.as_str(),
        listen: args.listen,
        agents: args.agents,
        data: &data,
        agent: &args.agent,
        token: &issued.token,
        expires: issued.expires,
        secret: secret.as_ref().map(|s| s.as_str()),
        console: place.origin,
        gateway: (args.console.port() != 7300).then(|| format!("http://{}", args.console)),
        link: link.as_deref(),
        starter,
        proposed,
    }
    .say()?;
    node.run(None).await
}

/// Adds the database to what is configured; says whether the policies are the starter ones.
async fn configure(
    gateway: &Gateway,
    database: &Database,
    name: &TargetName,
    password: Option<Zeroizing<String>>,
) -> anyhow::Result<bool> {
    let mut wanted: Configuration = gateway.export().await?;
    let (tags, columns, functions, read_only, freshness) =
        match wanted.targets.iter().position(|t| t.name == name.as_str()) {
            Some(known) => {
                let known = wanted.targets.remove(known);
                (known.tags, known.columns, known.functions, known.read_only, known.freshness)
            }
            None => Default::default(),
        };
    wanted.targets.push(TargetConfig {
        name: name.to_string(),
        host: database.host.clone(),
        port: database.port,
        user: database.user.clone(),
        database: database.name.clone(),
        password: password.map(|p| Password::new(p.to_string())),
        sslmode: database.sslmode.clone().unwrap_or_else(|| "prefer".to_owned()),
        credential: None,
        sslrootcert: database.root_certificates()?,
        direct_tls: database.direct_tls,
        require_channel_binding: database.require_channel_binding,
        read_only,
        freshness,
        tags,
        columns,
        functions,
    });
    let files = |all: Vec<policy::Source>| -> Vec<PolicyFile> {
        all.into_iter().map(|s| PolicyFile { name: s.name, text: s.text }).collect()
    };
    // Whoever runs this is the only one who could answer.
    let starter = files(policy::starter_for_one());
    if wanted.policies.is_empty() {
        wanted.policies.clone_from(&starter);
    }
    let is_starter = wanted.policies == starter || wanted.policies == files(policy::starter());
    let invalid = |error: ConfigureError| match error {
        ConfigureError::Target { .. }
        | ConfigureError::Policies(_)
        | ConfigureError::Tests(_)
        | ConfigureError::Issuer { .. }
        | ConfigureError::Groups(_) => Fault::Invalid(error.to_string()).into(),
        ConfigureError::State(_) | ConfigureError::Journal(_) | ConfigureError::Raced => {
            anyhow::Error::from(error)
        }
    };
    gateway.apply(wanted, BY).await.map_err(invalid)?;
    Ok(is_starter)
}

/// Takes the former configuration again, with the password that the store had.
async fn put_back(
    gateway: &Gateway,
    mut before: Configuration,
    name: &TargetName,
    password: Option<&[u8]>,
) -> anyhow::Result<()> {
    let password = password.map(|p| Password::new(String::from_utf8_lossy(p).into_owned()));
    for target in before.targets.iter_mut().filter(|t| t.name == name.as_str()) {
        target.password.clone_from(&password);
    }
    gateway.apply(before, BY).await?;
    Ok(())
}

/// Says what should be better; a database that cannot be reached is the end.
async fn look(gateway: &Gateway, name: &TargetName) -> anyhow::Result<()> {
    for check in gateway.doctor(name).await.unwrap_or_default() {
        match check.grade {
            Grade::Good => (),
            Grade::Bad if check.what == "reachable" => {
                let way_on = check.advice.map(|advice| format!(". {advice}")).unwrap_or_default();
                anyhow::bail!("the database cannot be reached: {}{way_on}", check.says);
            }
            Grade::Warning | Grade::Bad => {
                say(format_args!("Note ({}): {}", check.what, show::line(&check.says)))?;
                for way_on in check.advice.iter().chain(&check.mend) {
                    say(format_args!("     → {}", show::line(way_on)))?;
                }
            }
        }
    }
    Ok(())
}
