//! An authority and a server's certificate, made for one test.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::Failure;

/// Three files in PEM.
pub struct Certificates {
    /// The authority that clients are told to trust.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes an authority and a certificate for some names, and writes them into a directory.
    ///
    /// # Errors
    /// They cannot be made or written.
    pub fn make(directory: &Path, names: &[&str]) -> Result<Self, Failure> {
        let failed = |e: rcgen::Error| Failure::of("cannot make certificates", e);
        let authority_key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // With the leaf's own name OpenSSL would take the leaf for its own issuer.
        params.distinguished_name.push(DnType::CommonName, "an authority of tests");
        let authority = params.self_signed(&authority_key).map_err(failed)?;
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().map_err(failed)?;
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let leaf = CertificateParams::new(names).and_then(|p| p.signed_by(&key, &issuer)).map_err(failed)?;
        let made = Self {
            authority: directory.join("authority.pem"),
            certificate: directory.join("server.pem"),
            key: directory.join("server.key"),
        };
        write(&made.authority, &authority.pem())?;
        write(&made.certificate, &leaf.pem())?;
        write(&made.key, &key.serialize_pem())?;
        Ok(made)
    }
}

/// Keys are for their owner alone; servers refuse others.
fn write(path: &Path, pem: &str) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, pem)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}
