//! reeld-ingest.
