//! What the gateway knows of a target while it serves: address, tags, strategies and the catalogue.
