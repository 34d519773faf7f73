//! reeld-api.
