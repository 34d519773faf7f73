//! reeld-config.
