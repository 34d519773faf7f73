//! What threads share, of std. `group` takes it from here, since `make loom` runs it through every order of its
//! steps with loom's in its place (`tests/loom`).

pub(crate) use std::sync::{Condvar, Mutex};
