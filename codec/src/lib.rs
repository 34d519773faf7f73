//! reeld-codec.
