//! The synthetic caller: real RTP of many calls at once, each with a sound of its own that anyone
//! can make again and hold the recording against.
//!
//! Called by `reeld demo`, `reeld bench` and the end-to-end tests; it calls `codec` for G.711. It
//! knows nothing of reeld's API: destinations come as socket addresses. Opening calls and fetching
//! files belongs to who uses it.
//!
//! - [`sound`]: what is said, a function of a seed, a call and a track;
//! - [`rtp`]: the header that goes before it;
//! - [`send`](fn@send): pacing and sockets;
//! - [`flood`](fn@flood): strangers at one of its ports;
//! - [`exact`]: the comparison of a recording with what was said;
//! - [`dual`]: the two channels of a recording.
//!
//! Nothing is stored: the reference is generated again sample by sample while it is compared.

pub mod dual;
pub mod exact;
mod flood;
pub mod rtp;
mod send;
pub mod sound;
mod stream;

pub use exact::{Difference, Exact};
pub use flood::{Flooded, flood};
pub use send::{MAX_BUNDLE, Plan, Sent, Sockets, send, thread_cpu};
pub use sound::{Melody, Seeded, Sound, Voice};
pub use stream::Stream;
