//! An encoder thread behind every other thread of the machine: nice 19, scheduling class SCHED_BATCH.
//!
//! Each thread of `encode` calls [`lower`] first. Nice 19 is a share: 15 parts to the 1,024 of a
//! thread at nice 0. SCHED_BATCH (sched(7)) says that it has nobody waiting for it in the next
//! millisecond, so when it wakes it takes no core from who runs there. Not SCHED_IDLE, which may get
//! nothing at all for as long as the machine is busy: somebody waits for an MP3.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Lowers the calling thread, for good: only root could raise it again.
pub(super) fn lower() {
    let batch = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    let least = ThreadPriority::Min;
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), least, batch) {
        tracing::warn!(?error, "an encoder thread runs at full priority");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    /// Niceness and scheduling class: fields 19 and 41 of proc_pid_stat(5), whose third is the first
    /// one behind the name.
    fn of_this_thread() -> (i32, u32) {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = fields.split_whitespace().collect();
        (
            fields[19 - 3].parse().unwrap(),
            fields[41 - 3].parse().unwrap(),
        )
    }

    #[test]
    fn a_thread_is_lowered_and_no_other_one() {
        let before = of_this_thread();
        let lowered = std::thread::spawn(|| {
            super::lower();
            of_this_thread()
        });
        let sched_batch = 3; // linux/sched.h
        assert_eq!(lowered.join().unwrap(), (19, sched_batch));
        assert_eq!(of_this_thread(), before);
    }
}
