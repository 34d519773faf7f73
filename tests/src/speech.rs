//! Speech out of espeak-ng, somebody else's program: whole sentences in some languages and voices.

use std::time::Duration;

use crate::peer;

/// Voices of espeak-ng, and what each says: soft and hard ends, hiss, numbers, names.
pub const SPOKEN: [(&str, &str); 8] = [
    (
        "en-us",
        "Please call Stella, and ask her to bring these things with her from the store.",
    ),
    (
        "en-gb+f3",
        "I would like to change my appointment to Thursday, if that is still possible.",
    ),
    (
        "de",
        "Guten Tag, hier spricht Frau Schmidt, bitte rufen Sie mich morgen zurück.",
    ),
    (
        "fr+f2",
        "Bonjour, je voudrais laisser un message pour le docteur, merci beaucoup.",
    ),
    (
        "es+m3",
        "Mi número es seis cinco cinco, cuatro tres dos uno. Gracias y hasta luego.",
    ),
    ("it", "Vorrei sapere se il pacco è già arrivato in ufficio."),
    (
        "en-us+f4",
        "Yes. This is fifty six Sussex Street, near the bus stop, on the left half.",
    ),
    (
        "nl+m7",
        "Ik bel over de rekening van vorige maand, die klopt volgens mij niet.",
    ),
];

/// What espeak-ng says with a voice, at 8 kHz.
///
/// # Panics
/// When espeak-ng or ffmpeg is missing or fails.
#[must_use]
pub fn say(voice: &str, words: &str) -> Vec<i16> {
    let bound = Duration::from_secs(60);
    let args = ["-v", voice, "-s", "150", "--stdout", words];
    let wav = peer::run("espeak-ng", args, &[], bound).success().stdout;
    let args = ["-v", "error", "-i", "-", "-ar", "8000", "-ac", "1"];
    let args = args.into_iter().chain(["-f", "s16le", "-"]);
    let raw = peer::run("ffmpeg", args, &wav, bound).success().stdout;
    raw.chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}
