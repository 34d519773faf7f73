//! Placing packets: see the module's head.

use super::*;

const FIRST: i64 = 100_000;
const RATE: u32 = 8_000;

/// A sender of 20 ms packets whose stamps and arrivals are given.
struct Sender {
    segment: Segment,
    number: i64,
    behind: MediaPlace,
    first_place: MediaPlace,
    moves: Vec<Move>,
}

impl Sender {
    /// Its first packet has the stamp `stamp` and arrives at `arrived`.
    fn new(stamp: u32, arrived: i64) -> Self {
        let packet = Packet {
            stamp,
            number: 1,
            steps: 1,
            samples: 160,
            arrived: MediaPlace(arrived),
            behind: MediaPlace(i64::MIN),
        };
        let (segment, place) = Segment::begin(&packet, RATE, RATE, &Known::default());
        Self {
            segment,
            number: 1,
            behind: place + 160,
            first_place: place,
            moves: Vec::new(),
        }
    }

    fn send(&mut self, steps: i64, stamp: u32, arrived: i64) -> i64 {
        self.number += steps;
        let placed = self.segment.place_newest(&Packet {
            stamp,
            number: self.number,
            steps,
            samples: 160,
            arrived: MediaPlace(arrived),
            behind: self.behind,
        });
        self.moves.extend(placed.moved);
        self.behind = self.behind.max(placed.place + 160);
        placed.place.0
    }
}

#[test]
fn the_first_packet_ends_where_it_arrived() {
    let sender = Sender::new(5, FIRST);
    assert_eq!(sender.first_place, MediaPlace(FIRST - 160));
}

#[test]
fn a_late_first_packet_shifts_nothing() {
    let mut sender = Sender::new(u32::MAX - 159, FIRST + 1_000);
    for packet in 1..100_i64 {
        let late = if packet % 20 == 0 {
            0
        } else {
            packet * 37 % 900
        };
        let stamp = (u32::MAX - 159).wrapping_add(u32::try_from(packet * 160).unwrap());
        let place = sender.send(1, stamp, FIRST + packet * 160 + late);
        if packet > 25 {
            assert_eq!(place, FIRST - 160 + packet * 160, "{packet}");
        }
    }
    let moved = Move {
        from: MediaPlace(FIRST + 840),
        by: -1_000,
    };
    assert_eq!(sender.moves, [moved]);
}

#[test]
fn a_hold_with_a_running_stamp_keeps_the_segment() {
    let mut sender = Sender::new(0, FIRST);
    for packet in 1..40 {
        sender.send(1, packet * 160, FIRST + i64::from(packet) * 160);
    }
    let place = sender.send(1, 400_000, FIRST + 400_000);
    assert_eq!(place, FIRST + 400_000 - 160);
    assert!(sender.moves.is_empty());
}

#[test]
fn a_pause_with_the_stamp_standing_still_is_kept() {
    for pause in [800, 2_400, 40_000] {
        let mut sender = Sender::new(0, FIRST);
        let mut place = 0;
        for packet in 1..200_u32 {
            let pause = if packet >= 100 { pause } else { 0 };
            let late = if packet % 9 == 0 { 0 } else { 300 };
            place = sender.send(
                1,
                packet * 160,
                FIRST + i64::from(packet) * 160 + pause + late,
            );
        }
        let error = place - (FIRST + 199 * 160 + pause - 160);
        assert!(error.abs() <= 160 + 300, "{pause}: {error}");
        assert!(
            (0..=80).contains(&(place + 160 - (FIRST + 199 * 160 + pause)).abs()),
            "{pause}"
        );
    }
}

#[test]
fn a_sender_that_stalls_and_catches_up_loses_nothing() {
    let mut sender = Sender::new(0, FIRST);
    for packet in 1..200_u32 {
        let due = FIRST + i64::from(packet) * 160;
        let arrived = if (100..150).contains(&packet) {
            FIRST + 150 * 160
        } else {
            due
        };
        let place = sender.send(1, packet * 160, arrived);
        if !(100..150).contains(&packet) {
            assert_eq!(place, due - 160, "{packet}");
        }
    }
    assert_eq!(
        sender
            .moves
            .iter()
            .map(|moved| moved.by.signum())
            .sum::<i64>(),
        -1
    );
}

#[test]
fn a_stray_stamp_makes_no_gap_and_is_forgotten() {
    for stray in [1 << 31, 1 << 30, (1 << 31) + 7] {
        let mut sender = Sender::new(0, FIRST);
        for packet in 1..100_u32 {
            let due = FIRST + i64::from(packet) * 160;
            let stamp = if packet == 50 { stray } else { packet * 160 };
            let place = sender.send(1, stamp, due);
            assert_eq!(place, due - 160, "{packet}");
        }
    }
}

#[test]
fn a_fork_that_squeezes_the_loss_out_is_placed_by_sequence() {
    let mut sender = Sender::new(0, FIRST);
    for packet in 1..100_u32 {
        let due = FIRST + i64::from(packet) * 160;
        if (50..53).contains(&packet) {
            continue;
        }
        let (steps, squeezed) = match packet {
            53 => (4, 3),
            54.. => (1, 3),
            _ => (1, 0),
        };
        let place = sender.send(steps, (packet - squeezed) * 160, due + 100);
        assert!(
            (due - 160..=due - 60).contains(&place),
            "{packet}: {}",
            place - due
        );
    }
}

#[test]
fn a_squeezed_loss_of_a_sender_that_is_early_is_seen() {
    // 12 ms early by now, as a fast clock is: what was squeezed out is 20 ms.
    let mut sender = Sender::new(0, FIRST);
    for packet in 1..200_u32 {
        let early = i64::from(packet.min(150)) * 96 / 150;
        let due = FIRST + i64::from(packet) * 160 - early;
        if packet == 170 {
            continue;
        }
        let (steps, squeezed) = match packet {
            171 => (2, 1),
            172.. => (1, 1),
            _ => (1, 0),
        };
        let place = sender.send(steps, (packet - squeezed) * 160, due);
        let error = place + 160 - due;
        assert!((0..=96).contains(&error), "{packet}: {error}");
    }
}

#[test]
fn a_burst_ahead_of_time_is_kept_whole() {
    let mut sender = Sender::new(0, FIRST);
    let mut places = vec![];
    for packet in 1..500_u32 {
        places.push(sender.send(1, packet * 160, FIRST));
    }
    // It begins no further back than a window, since what lies there is settled.
    assert_eq!(sender.moves.len(), 1);
    assert_eq!(sender.moves[0].by, -1_600);
    assert!(
        places[200..]
            .windows(2)
            .all(|pair| pair[1] - pair[0] == 160)
    );
}
