//! The database's password: from the URL, the environment, the standard input, a file, `.pgpass` or a prompt.

use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use super::url::Database;
use crate::args::Up;
use crate::exit::Fault;
use crate::files;

const VARIABLE: &str = "PGPASSWORD";
/// A pipe takes this much before anybody reads, in bytes; PostgreSQL takes less.
const LONGEST: usize = 16 * 1024;

/// Arguments and environment can be read by other processes of the same user (arguments by everybody), so the process is
/// replaced by one that has the password in neither: it comes through the standard input, over a pipe that holds it already.
pub(crate) fn start_again(url: &str, password: &Zeroizing<String>) -> anyhow::Result<()> {
    if password.len() > LONGEST {
        return Err(Fault::Invalid("the password is longer than 16 KiB".to_owned()).into());
    }
    let without = Database::without_password(url).map_err(Fault::Invalid)?;
    let (reader, mut writer) = std::io::pipe().context("no pipe for the password")?;
    writer.write_all(password.as_bytes())?;
    drop(writer);
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "durward".into());
    let error = Command::new(std::env::current_exe().context("the program cannot find itself")?)
        .arg0(name)
        .args(arguments.map(|a| if a.to_str() == Some(url) { without.clone().into() } else { a }))
        .arg("--password-stdin")
        .env_remove(VARIABLE)
        .stdin(Stdio::from(reader))
        .exec();
    bail!("the process cannot be started again without the password in its arguments: {error}")
}

/// `PGPASSWORD`, where nothing else was said.
pub(crate) fn in_environment(args: &Up) -> Option<Zeroizing<String>> {
    if args.password_stdin || args.password_file.is_some() {
        return None;
    }
    std::env::var(VARIABLE).ok().filter(|p| !p.is_empty()).map(Zeroizing::new)
}

/// What stands beside the URL: standard input, a file, or `.pgpass`.
pub(crate) fn beside(args: &Up, database: &Database) -> anyhow::Result<Option<Zeroizing<String>>> {
    if args.password_stdin {
        let mut text = Zeroizing::new(String::new());
        std::io::stdin().read_to_string(&mut text).context("the password on the standard input")?;
        return Ok(Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())));
    }
    if let Some(file) = &args.password_file {
        return files::password_file(file).map(Some);
    }
    let Some(file) = pgpass() else { return Ok(None) };
    let Ok(metadata) = std::fs::metadata(&file) else { return Ok(None) };
    if metadata.mode() & 0o077 != 0 {
        eprintln!(
            "durward: {} can be read by others and is ignored, as libpq does: chmod 600 it",
            file.display()
        );
        return Ok(None);
    }
    let text = Zeroizing::new(std::fs::read_to_string(&file).with_context(|| file.display().to_string())?);
    Ok(entry(&text, database))
}

fn pgpass() -> Option<PathBuf> {
    let named = std::env::var_os("PGPASSFILE").filter(|v| !v.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pgpass")))
}

/// The first line that fits: `host:port:database:user:password`, `*` for any, `\` before `:` and `\`.
fn entry(text: &str, database: &Database) -> Option<Zeroizing<String>> {
    let host = if database.host.starts_with('/') { "localhost" } else { &database.host };
    let port = database.port.to_string();
    let wanted = [host, &port, &database.name, &database.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = fields(line).into_iter();
        let fits =
            wanted.iter().all(|w| fields.next().is_some_and(|f| f.as_str() == "*" || f.as_str() == *w));
        if fits { fields.next() } else { None }
    })
}

fn fields(line: &str) -> Vec<Zeroizing<String>> {
    let mut all = vec![Zeroizing::new(String::new())];
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            ':' => all.push(Zeroizing::new(String::new())),
            '\\' => all.last_mut().into_iter().for_each(|f| f.extend(characters.next())),
            c => all.last_mut().into_iter().for_each(|f| f.push(c)),
        }
    }
    all
}

/// Asks at the terminal; nothing where there is none, or where only Enter is pressed.
pub(crate) fn prompt(database: &Database) -> anyhow::Result<Option<Zeroizing<String>>> {
    if !std::io::stderr().is_terminal() {
        return Ok(None);
    }
    let ask = format!("Password of {} (Enter for none): ", crate::show::line(&database.user));
    let typed = Zeroizing::new(rpassword::prompt_password(ask).context("the password cannot be read")?);
    Ok(Some(typed).filter(|p| !p.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pgpass_line_fits_by_host_port_database_and_user() {
        let (database, _) = Database::parse("postgres://app@db:6000/orders").expect("a URL");
        let (local, _) = Database::parse("postgres://app@/orders?host=/tmp").expect("a URL");
        for (text, of, expected) in [
            ("db:6000:orders:app:right", &database, Some("right")),
            ("#db:6000:orders:app:no\n*:*:*:app:right\ndb:*:*:*:late", &database, Some("right")),
            ("db:5432:orders:app:no\n", &database, None),
            ("*:*:*:*:a\\:b\\\\c", &database, Some("a:b\\c")),
            ("localhost:5432:orders:app:socket", &local, Some("socket")),
            ("db:6000:orders:app", &database, None),
            ("", &database, None),
        ] {
            assert_eq!(entry(text, of).as_ref().map(|p| p.as_str()), expected, "{text}");
        }
    }
}
