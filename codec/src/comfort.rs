//! Placeholder until the codec branch is merged.
/// Comfort noise.
#[derive(Debug)]
pub struct Noise(u32);
impl Noise {
    /// By the payload.
    pub fn new(payload: &[u8]) -> Self {
        Self(u32::from(payload.first().copied().unwrap_or(127)))
    }
    /// Fills.
    pub fn fill(&mut self, out: &mut [i16]) {
        out.fill(1);
    }
}
