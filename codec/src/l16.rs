//! L16: 16-bit linear samples in network byte order, one channel or several in turn.
//!
//! Called by `capture` for each packet, and by what makes L16 for tests. It calls nothing. Rates do
//! not belong here: L16 has any.
//!
//! RFC 3551 §4.5.11; RFC 2586.

/// Decodes `bytes` of `channels` interleaved channels into the start of `samples`, their mean where
/// there are several; returns how many. Bytes beyond the last whole frame are left.
pub fn decode(bytes: &[u8], channels: u8, samples: &mut [i16]) -> usize {
    let channels = usize::from(channels.max(1));
    let frames = bytes.chunks_exact(2 * channels);
    let count = frames.len().min(samples.len());
    for (sample, frame) in samples.iter_mut().zip(frames) {
        let sum: i32 = frame
            .chunks_exact(2)
            .map(|pair| i32::from(i16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        // A mean of samples is one; at most 255 channels.
        let mean = sum / i32::try_from(channels).unwrap_or(1);
        *sample = i16::try_from(mean).unwrap_or_default();
    }
    count
}

/// Encodes `samples` onto the end of `bytes`.
pub fn encode(samples: &[i16], bytes: &mut Vec<u8>) {
    bytes.extend(samples.iter().flat_map(|sample| sample.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stereo_is_the_mean_and_half_a_frame_is_left() {
        let mut bytes = Vec::new();
        encode(&[100, 300, i16::MIN, i16::MIN, 7, -8, 1], &mut bytes);
        let mut samples = [9; 8];
        assert_eq!(decode(&bytes, 2, &mut samples), 3);
        assert_eq!(samples, [200, i16::MIN, 0, 9, 9, 9, 9, 9]);
    }

    proptest! {
        #[test]
        fn mono_is_exact(said: Vec<i16>, room in 0usize..64) {
            let mut bytes = Vec::new();
            encode(&said, &mut bytes);
            bytes.push(1);
            let mut heard = vec![0; said.len()];
            prop_assert_eq!(decode(&bytes, 1, &mut heard), said.len());
            prop_assert_eq!(&heard, &said);
            prop_assert_eq!(decode(&bytes, 1, &mut vec![0; room]), room.min(said.len()));
        }
    }
}
