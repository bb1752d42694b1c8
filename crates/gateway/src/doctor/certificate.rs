//! The certificate that a server shows.

use std::time::{SystemTime, UNIX_EPOCH};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::{Check, Grade, check};

/// A certificate that ends within so many days should be renewed.
const SOON: i64 = 21;
const DAY: i64 = 24 * 3600;

/// Looks at a certificate: when it ends, and whom it names.
pub fn look(der: &[u8]) -> Check {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    look_at(der, i64::try_from(now).unwrap_or(i64::MAX))
}

/// What is wrong with a certificate for those who come by a name, where it does not name that.
pub fn is_for(der: &[u8], host: &str) -> Option<Check> {
    let name = rustls::pki_types::ServerName::try_from(host.to_owned()).ok()?;
    let parsed = rustls::pki_types::CertificateDer::from(der);
    let parsed = rustls::server::ParsedCertificate::try_from(&parsed).ok()?;
    let says =
        format!("it does not name {host}, by which browsers come (console.public_url): they refuse it");
    rustls::client::verify_server_name(&parsed, &name).err().map(|_| check("certificate", Grade::Bad, says))
}

fn look_at(der: &[u8], now: i64) -> Check {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else {
        return check("certificate", Grade::Warning, "it cannot be read");
    };
    let validity = certificate.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let names = names(&certificate).join(", ");
    let days = (until - now) / DAY;
    if until < now {
        return check("certificate", Grade::Bad, format!("it ended {} days ago: renew it ({names})", -days));
    }
    if from > now {
        return check(
            "certificate",
            Grade::Bad,
            format!("it is not valid yet: is the clock right? ({names})"),
        );
    }
    let grade = if days < SOON { Grade::Warning } else { Grade::Good };
    check("certificate", grade, format!("it ends in {days} days; it names {names}"))
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let named = alternatives.iter().flat_map(|a| &a.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => Some(address(bytes)),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    });
    let mut all: Vec<String> = named.collect();
    if all.is_empty() {
        all.push(certificate.subject().to_string());
    }
    all
}

fn address(bytes: &[u8]) -> String {
    let four = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let address = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from));
    address.map_or_else(|_| "an address".to_owned(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_soon_is_told_in_time() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let parameters =
            rcgen::CertificateParams::new(vec!["db.example.com".to_owned(), "127.0.0.1".to_owned()]);
        let mut parameters = parameters.expect("names");
        parameters.not_before = rcgen::date_time_ymd(2030, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2030, 3, 1);
        let der = parameters.self_signed(&key).expect("signed");
        let (from, until) = (1_893_456_000, 1_898_553_600);
        for (now, grade, says) in [
            (from + DAY, Grade::Good, "it ends in 58 days; it names db.example.com, 127.0.0.1"),
            (until - 5 * DAY, Grade::Warning, "it ends in 5 days"),
            (until + 3 * DAY, Grade::Bad, "it ended 3 days ago"),
            (from - DAY, Grade::Bad, "it is not valid yet"),
        ] {
            let found = look_at(der.der(), now);
            assert!(found.grade == grade && found.says.starts_with(says), "{found:?}");
        }
        assert_eq!(look_at(b"x", from).grade, Grade::Warning);
        for (host, fine) in [("db.example.com", true), ("other.example.com", false), ("localhost", false)] {
            assert_eq!(is_for(der.der(), host).is_none(), fine, "{host}");
        }
    }
}
