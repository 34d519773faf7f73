//! reeld-capture.
