//! A call in virtual time: packets go in at any instant, frames of recordings come out.

mod beep;
mod bench;
mod chaos;
mod codecs;
mod control;
mod ends;
mod kept;
mod keys;
mod native;
mod native_rules;
mod sound;
mod sources;
mod srtp;
mod strangers;
