//! What threads share, of std. `quota` and `backlog` take it from here, since `make loom` runs them through
//! every order of their steps with loom's in its place (`tests/loom`).

pub(crate) use std::sync::atomic;
