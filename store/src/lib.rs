//! reeld-store.
