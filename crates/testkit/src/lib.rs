//! Real servers for tests, certificates.
