//! Where a gateway serves clients, as seen from here.

use anyhow::Context;
use gateway::net::dial::Address;
use gateway::net::tls::{SslMode, UpstreamTls};

use crate::args;
use crate::exit::Fault;

/// Host, port and how they are reached.
pub(crate) struct Gate {
    pub host: String,
    pub port: u16,
    pub mode: SslMode,
    pub root: Option<std::path::PathBuf>,
    tls: UpstreamTls,
}

impl Gate {
    /// From what was typed.
    pub(crate) fn new(typed: &args::Gate) -> anyhow::Result<Self> {
        let args::Gate { postgres, sslmode, sslrootcert } = typed;
        let (host, port) = host_and_port(postgres)
            .ok_or_else(|| Fault::Invalid(format!("\"{postgres}\": write HOST:PORT of the gateway")))?;
        let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let mode = match sslmode {
            Some(mode) => mode.parse::<SslMode>().map_err(Fault::Invalid)?,
            // Elsewhere, whoever answers must be who is meant.
            None if here && sslrootcert.is_none() => SslMode::Prefer,
            None => SslMode::VerifyFull,
        };
        let read = |file: &std::path::PathBuf| {
            std::fs::read(file).with_context(|| format!("--sslrootcert {}", file.display()))
        };
        let roots = sslrootcert.as_ref().map(read).transpose()?;
        let tls = UpstreamTls { mode, roots, direct: false };
        Ok(Self { host: host.to_owned(), port, mode, root: sslrootcert.clone(), tls })
    }
}

impl From<Gate> for gateway::broker::Gate {
    fn from(gate: Gate) -> Self {
        Self { address: Address::new(&gate.host, gate.port), tls: gate.tls }
    }
}

/// `gate.example.com:7432`, `[::1]:7432`.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let bare = !host.is_empty() && !host.contains(['/', '@', '?', '[', ']']);
    Some((host, port.parse().ok()?)).filter(|_| bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_a_host_and_a_port() {
        for (text, expected) in [
            ("127.0.0.1:7432", Some(("127.0.0.1", 7432))),
            ("[::1]:7432", Some(("::1", 7432))),
            ("gate.example.com:1", Some(("gate.example.com", 1))),
            ("gate.example.com", None),
            ("user@host:1", None),
            (":7432", None),
            ("host:x", None),
        ] {
            assert_eq!(host_and_port(text), expected, "{text}");
        }
    }

    #[test]
    fn elsewhere_the_certificate_is_checked_unless_told_otherwise() {
        for (host, typed, mode) in [
            ("127.0.0.1:1", None, SslMode::Prefer),
            ("gate:1", None, SslMode::VerifyFull),
            ("gate:1", Some("require"), SslMode::Require),
        ] {
            let typed = args::Gate {
                postgres: host.to_owned(),
                sslmode: typed.map(str::to_owned),
                sslrootcert: None,
            };
            assert_eq!(Gate::new(&typed).expect("a gate").mode, mode, "{host}");
        }
    }
}
