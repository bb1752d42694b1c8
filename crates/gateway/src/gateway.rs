//! What all sessions share: policy, journal, store, targets, live sessions.
