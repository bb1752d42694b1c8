//! The admin API: health, metrics, requests, tokens, configuration.
