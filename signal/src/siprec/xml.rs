//! XML of which as much is read as there is: a small tree, bounded.
//!
//! Called by [`super::metadata`]; calls quick-xml's event reader. A recording client's metadata may be cut,
//! undeclared in their prefixes or closed in the wrong order, and a call is recorded all the same: what stands
//! before a fault counts. Names are known by what stands behind their prefix, since vendors differ in the
//! namespace.
//!
//! Bounds: [`MOST_ELEMENTS`], [`MOST_DEPTH`], [`MOST_TEXT`]. A document type is passed over, so no entity is ever
//! declared and none expands; the five of XML and those of characters are known.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// Elements that are kept.
const MOST_ELEMENTS: usize = 2_000;
/// How deep they lie.
const MOST_DEPTH: usize = 24;
/// Bytes of an element's own text, and of an attribute.
const MOST_TEXT: usize = 1_024;
/// Attributes of an element that are kept.
const MOST_ATTRIBUTES: usize = 16;

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element {
    /// Its name as it is written, prefix and all.
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    /// The text between its tags, without its children's.
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

/// The elements at the top, and what was wrong with the text.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) top: Element,
    pub(crate) faults: Vec<String>,
}

impl Element {
    /// Its name without the prefix, in lower case.
    pub(crate) fn kind(&self) -> String {
        local(&self.name).to_ascii_lowercase()
    }

    /// An attribute by its name without a prefix, trimmed; none where it is empty.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self
            .attributes
            .iter()
            .find(|(known, _)| local(known).eq_ignore_ascii_case(name));
        found
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// Its text, trimmed; none where it is empty.
    pub(crate) fn said(&self) -> Option<&str> {
        Some(self.text.trim()).filter(|text| !text.is_empty())
    }

    /// The first child of this name.
    pub(crate) fn child(&self, kind: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.kind() == kind)
    }

    /// Every element below it, in the order of the text.
    pub(crate) fn all(&self) -> Vec<&Element> {
        let mut found = Vec::new();
        let mut waiting: Vec<&Element> = self.children.iter().rev().collect();
        while let Some(element) = waiting.pop() {
            found.push(element);
            waiting.extend(element.children.iter().rev());
        }
        found
    }
}

/// What stands behind a prefix.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// A document's text: UTF-8, UTF-16 by its byte order mark or by the zero beside its first letter (XML 1.0 §F), or
/// ISO-8859-1 where it is no UTF-8 and says so.
pub(crate) fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    let bytes = bytes.trim_ascii_start();
    let wide = |units: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| units([pair[0], pair[1]]));
        let letters = char::decode_utf16(units);
        Cow::Owned(letters.map(|letter| letter.unwrap_or('\u{fffd}')).collect())
    };
    match bytes {
        [0xff, 0xfe, ..] | [b'<', 0, ..] => return wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, b'<', ..] => return wide(u16::from_be_bytes),
        _ => {}
    }
    let text = String::from_utf8_lossy(bytes);
    let declaration = text
        .split("?>")
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let says_latin = [
        "iso-8859-1\"",
        "iso-8859-1'",
        "iso-8859-15",
        "windows-1252",
        "latin",
    ]
    .into_iter()
    .any(|name| declaration.contains(name));
    if matches!(text, Cow::Owned(_)) && says_latin {
        // The letters of Western names are the same in all of these.
        return bytes
            .iter()
            .copied()
            .map(char::from)
            .collect::<String>()
            .into();
    }
    text
}

/// Reads a text.
pub(crate) fn read(text: &str) -> Read {
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}').trim_start());
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let mut read = Read::default();
    // Open elements; the first one is the top.
    let mut open = vec![Element::default()];
    let mut elements = 0;
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                elements += 1;
                if elements > MOST_ELEMENTS || open.len() > MOST_DEPTH {
                    read.faults
                        .push("there is more of it than is read".to_owned());
                    break;
                }
                open.push(element(&start));
            }
            Ok(Event::Empty(start)) => {
                elements += 1;
                if elements > MOST_ELEMENTS {
                    read.faults
                        .push("there is more of it than is read".to_owned());
                    break;
                }
                if let Some(parent) = open.last_mut() {
                    parent.children.push(element(&start));
                }
            }
            Ok(Event::End(end)) => {
                let name = end.name().as_ref().to_owned();
                // The nearest of this name that is open: what lies above it was not closed.
                let at = open
                    .iter()
                    .rposition(|open| open.name == name)
                    .filter(|&at| at > 0);
                match at {
                    Some(at) => {
                        if at + 1 < open.len() {
                            let unclosed = open.last().map_or("", |open| &open.name);
                            fault(&mut read, format!("<{unclosed}> is not closed"));
                        }
                        close(&mut open, at);
                    }
                    None => fault(&mut read, format!("</{name}> closes nothing")),
                }
            }
            Ok(Event::Text(text)) => append(&mut open, &text),
            Ok(Event::CData(text)) => append(&mut open, &text),
            Ok(Event::GeneralRef(reference)) => match reference.resolve_char_ref() {
                Ok(Some(character)) => append(&mut open, character.encode_utf8(&mut [0; 4])),
                _ => {
                    let name: &str = &reference;
                    match resolve_predefined_entity(name) {
                        Some(text) => append(&mut open, text),
                        None => fault(&mut read, format!("&{name}; stands for nothing")),
                    }
                }
            },
            Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_)) => {}
            Ok(Event::DocType(_)) => fault(&mut read, "a document type is not read".to_owned()),
            Ok(Event::Eof) => {
                if open.len() > 1 {
                    let unclosed = open.last().map_or("", |open| &open.name);
                    fault(&mut read, format!("it ends within <{unclosed}>"));
                }
                break;
            }
            Err(error) => {
                fault(&mut read, error.to_string());
                break;
            }
        }
    }
    close(&mut open, 1);
    read.top = open.pop().unwrap_or_default();
    read
}

/// Closes what is open from `at` on.
fn close(open: &mut Vec<Element>, at: usize) {
    while open.len() > at
        && let Some(done) = open.pop()
    {
        match open.last_mut() {
            Some(parent) => parent.children.push(done),
            None => open.push(done),
        }
        if open.len() == 1 && at <= 1 {
            return;
        }
    }
}

fn fault(read: &mut Read, what: String) {
    if read.faults.len() < 4 {
        let what: String = what.chars().take(120).collect();
        read.faults.push(what);
    }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        let room = MOST_TEXT.saturating_sub(element.text.len());
        let text = &text[..text.floor_char_boundary(room.min(text.len()))];
        element.text.push_str(text);
    }
}

fn element(start: &BytesStart<'_>) -> Element {
    let mut attributes = start.attributes();
    let attributes = attributes.with_checks(false).flatten();
    let attributes = attributes.take(MOST_ATTRIBUTES).map(|attribute| {
        let value = attribute.value.to_string();
        let value = quick_xml::escape::unescape(&value).map_or_else(|_| value.clone(), Into::into);
        (bounded(attribute.key.as_ref().to_owned()), bounded(value))
    });
    Element {
        attributes: attributes.collect(),
        name: bounded(start.name().as_ref().to_owned()),
        ..Element::default()
    }
}

fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MOST_TEXT.min(text.len())));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(text: &str) -> (Vec<String>, usize) {
        let read = read(text);
        let kinds = read
            .top
            .all()
            .iter()
            .map(|element| element.kind())
            .collect();
        (kinds, read.faults.len())
    }

    #[test]
    fn prefixes_entities_and_cdata_are_read() {
        let read = read(
            "\u{feff}<?xml version='1.0'?><!-- --><t:A x:id=' 1 ' b='&lt;'>a &lt;b&gt; &#x41;<![CDATA[<c>]]><B/></t:A>",
        );
        assert!(read.faults.is_empty(), "{:?}", read.faults);
        let a = &read.top.children[0];
        assert_eq!((a.kind().as_str(), a.attribute("ID")), ("a", Some("1")));
        assert_eq!(a.attribute("b"), Some("<"));
        assert_eq!(a.said(), Some("a <b> A<c>"));
        assert_eq!(a.children[0].kind(), "b");
    }

    #[test]
    fn a_text_is_read_in_its_encoding() {
        let text = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>J\u{fc}rgen \u{20ac}</a>";
        let wide =
            |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let marked = |text: Vec<u8>, mark: [u8; 2]| [mark.to_vec(), text].concat();
        for bytes in [
            text.as_bytes().to_vec(),
            wide(u16::to_le_bytes),
            wide(u16::to_be_bytes),
            marked(wide(u16::to_le_bytes), [0xff, 0xfe]),
            marked(wide(u16::to_be_bytes), [0xfe, 0xff]),
        ] {
            let text = decoded(&bytes);
            let read = read(&text);
            assert_eq!(read.top.children[0].text, "J\u{fc}rgen \u{20ac}");
            assert!(read.faults.is_empty(), "{:?}", read.faults);
        }
        let latin = |declared: &str| {
            let text = [declared.as_bytes(), b"<a>J\xfcrgen</a>"].concat();
            read(&decoded(&text)).top.children[0].text.clone()
        };
        assert_eq!(
            latin("<?xml version='1.0' encoding='iso-8859-1'?>"),
            "J\u{fc}rgen"
        );
        assert_eq!(latin("<?xml version='1.0'?>"), "J\u{fffd}rgen");
    }

    #[test]
    fn what_stands_before_a_fault_counts() {
        for (text, wanted) in [
            ("<a><b>x</b><c", "a b"),
            ("<a><b>x</b><c>y", "a b c"),
            ("<a><b>x</c></b><d/></a>", "a b d"),
            ("<a><b>x</a><c/>", "a b c"),
            ("</z><a/>", "a"),
            ("<a><b k=></b></a>", "a b"),
            ("<a>&nbsp;<b/></a>", "a b"),
        ] {
            let (kinds, faults) = kinds(text);
            assert_eq!(kinds.join(" "), wanted, "{text}");
            assert!(faults > 0 || text.contains("k="), "{text}");
        }
    }

    #[test]
    fn no_entity_expands_and_no_depth_is_followed() {
        let bomb = "<!DOCTYPE a [<!ENTITY x 'xxxxxxxx'><!ENTITY y '&x;&x;&x;&x;'>]><a>&y;&y;</a>";
        let bomb = read(bomb);
        assert_eq!(bomb.top.children[0].text, "");
        assert!(!bomb.faults.is_empty());
        let deep = read(&"<a>".repeat(100_000));
        assert!(deep.top.all().len() <= MOST_DEPTH && !deep.faults.is_empty());
        let wide = read(&format!("<a>{}", "<b/>".repeat(100_000)));
        assert!(wide.top.all().len() <= MOST_ELEMENTS && !wide.faults.is_empty());
        let long = read(&format!("<a>{}</a>", "x".repeat(100_000)));
        assert_eq!(long.top.children[0].text.len(), MOST_TEXT);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, parts in proptest::collection::vec("(</?[a-c:]{1,3}( [a-c]='[^']?')?/?>|&[a-z#]{0,4};|[ -~])", 0..40)) {
            let _ = read(&text);
            let read = read(&parts.concat());
            prop_assert!(read.top.all().len() <= 40);
        }
    }
}
