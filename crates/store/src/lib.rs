//! State: targets, tokens, policies, requests; sealed credentials.
