//! The catalogue of a real server, while that changes and goes away.
