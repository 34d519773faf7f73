//! TwiML that starts a recording: `<Response><Record …/></Response>`, or a `<Recording>` in `<Start>`.
//!
//! Called by `start`. A document becomes the parameters that it stands for, so that nothing is read
//! twice: an attribute has the meaning, the bounds and the refusals of its parameter. All else in a
//! document is refused by name, line and column: a verb that is left out is a call that goes another
//! way than its author wrote.
//!
//! Read by roxmltree, which takes no DTD here, so no entity but XML's own five; bytes and nodes are
//! bounded. <https://www.twilio.com/docs/voice/twiml/record>, twilio.md §3.

use std::fmt::Display;

use roxmltree::{Document, Node, NodeType, ParsingOptions};

use crate::fault::{Fault, code};
use crate::params::{Params, nearest};

#[cfg(test)]
mod tests;

/// Bytes of a document: Twilio's own bound on what it fetches (its error 11750).
pub(crate) const MOST_BYTES: usize = 64 * 1024;

/// Elements, attributes and texts of a document: one verb has few.
const MOST_NODES: u32 = 256;

/// The parameter that a document comes in.
pub(crate) const PARAMETER: &str = "Twiml";

/// Attributes of `<Record>`, and the parameters that they are.
const RECORD: &[(&str, &str)] = &[
    ("action", "Action"),
    ("method", "Method"),
    ("timeout", "Timeout"),
    ("finishOnKey", "FinishOnKey"),
    ("maxLength", "MaxLength"),
    ("playBeep", "PlayBeep"),
    ("trim", "Trim"),
    ("recordingStatusCallback", "RecordingStatusCallback"),
    (
        "recordingStatusCallbackMethod",
        "RecordingStatusCallbackMethod",
    ),
    (
        "recordingStatusCallbackEvent",
        "RecordingStatusCallbackEvent",
    ),
    ("recordingConfigurationId", "RecordingConfigurationId"),
    ("transcribe", "Transcribe"),
    ("transcribeCallback", "TranscribeCallback"),
];

/// The same of `<Recording>`.
const RECORDING: &[(&str, &str)] = &[
    ("channels", "RecordingChannels"),
    ("track", "RecordingTrack"),
    ("trim", "Trim"),
    ("recordingStatusCallback", "RecordingStatusCallback"),
    (
        "recordingStatusCallbackMethod",
        "RecordingStatusCallbackMethod",
    ),
    (
        "recordingStatusCallbackEvent",
        "RecordingStatusCallbackEvent",
    ),
    ("recordingConfigurationId", "RecordingConfigurationId"),
];

/// What a document asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `<Record>`.
    Record,
    /// `<Recording>` in `<Start>`.
    Recording,
}

/// A document that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Twiml {
    pub(crate) verb: Verb,
    said: Vec<Said>,
}

/// An attribute as it was written, and where.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    attribute: &'static str,
    parameter: &'static str,
    value: String,
    at: String,
}

impl Verb {
    const fn name(self) -> &'static str {
        match self {
            Self::Record => "Record",
            Self::Recording => "Recording",
        }
    }

    const fn attributes(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Record => RECORD,
            Self::Recording => RECORDING,
        }
    }
}

impl Twiml {
    /// Reads a document.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() > MOST_BYTES {
            let why = format_args!("it must be at most {MOST_BYTES} bytes");
            return Err(Fault::parameter(PARAMETER, why, code::TWIML));
        }
        let options = ParsingOptions {
            allow_dtd: false,
            nodes_limit: MOST_NODES,
            ..ParsingOptions::default()
        };
        let document = Document::parse_with_options(text, options).map_err(|error| {
            let why = format_args!("it cannot be read: {error}");
            Fault::parameter(PARAMETER, why, code::TWIML)
        })?;
        let response = document.root_element();
        expect(response, &["Response"])?;
        no_attributes(response)?;
        let first = only_child(response, &["Record", "Start"])?;
        let (verb, element) = match first.tag_name().name() {
            "Record" => (Verb::Record, first),
            _ => {
                no_attributes(first)?;
                (Verb::Recording, only_child(first, &["Recording"])?)
            }
        };
        if let Some(child) = content(element).next() {
            let why = format_args!("{} within <{}>", describe(child), verb.name());
            return Err(schema(&place(&document, child.range().start), why));
        }
        let mut said = Vec::new();
        for attribute in element.attributes() {
            let at = place(&document, attribute.range().start);
            let known = verb.attributes().iter();
            let known = known
                .copied()
                .find(|(name, _)| *name == attribute.name() && attribute.namespace().is_none());
            let Some((name, parameter)) = known else {
                let names = verb.attributes().iter().map(|(name, _)| *name);
                let hint = nearest(attribute.name(), names)
                    .map_or_else(String::new, |name| format!("; did you mean {name}?"));
                let why = format_args!(
                    "{} is no attribute of <{}>{hint}",
                    attribute.name(),
                    verb.name()
                );
                return Err(schema(&at, why));
            };
            said.push(Said {
                attribute: name,
                parameter,
                value: attribute.value().to_owned(),
                at,
            });
        }
        Ok(Self { verb, said })
    }

    /// Puts what the document says into a form, which must not say it too.
    pub(crate) fn enter(&self, form: &mut Params) -> Result<(), Fault> {
        for (attribute, parameter) in RECORD.iter().chain(RECORDING) {
            // <Record> does not say which tracks are recorded, so the form may.
            let is_its_own = match self.verb {
                Verb::Record => RECORD.iter().any(|(_, own)| own == parameter),
                Verb::Recording => true,
            };
            if is_its_own && form.names(parameter) {
                return Err(Fault::invalid(
                    parameter,
                    format_args!(
                        "it cannot stand beside {PARAMETER}, whose <{}> says it, or leaves it at its \
                         default ({attribute})",
                        self.verb.name()
                    ),
                ));
            }
        }
        for said in &self.said {
            form.push(said.parameter, &said.value);
        }
        Ok(())
    }

    /// A refusal of a parameter, as one of the attribute that it came from.
    pub(crate) fn explain(&self, mut fault: Fault) -> Fault {
        // A fault's message begins with the parameter's name (docs/ref/api.md, "Errors").
        let found = self.said.iter().find_map(|said| {
            let rest = fault.message.strip_prefix(said.parameter)?;
            Some((said, rest.strip_prefix(": ")?))
        });
        if let Some((said, why)) = found {
            fault.message = format!("{PARAMETER}: {}: {}: {why}", said.at, said.attribute);
        }
        fault
    }
}

/// What is in an element, but for comments, processing instructions and white space.
fn content<'a, 'input>(element: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    element.children().filter(|child| match child.node_type() {
        NodeType::Element => true,
        NodeType::Text => child.text().is_some_and(|text| !text.trim().is_empty()),
        NodeType::Root | NodeType::Comment | NodeType::PI => false,
    })
}

/// The only thing in an element, which is to be one of `names`.
fn only_child<'a, 'input>(
    element: Node<'a, 'input>,
    names: &[&'static str],
) -> Result<Node<'a, 'input>, Fault> {
    let document = element.document();
    let mut only: Option<Node<'a, 'input>> = None;
    for child in content(element) {
        expect(child, names)?;
        if let Some(first) = only {
            let at = place(document, child.range().start);
            let why = format_args!(
                "{} beside {}: one is all that is taken",
                describe(child),
                describe(first)
            );
            return Err(schema(&at, why));
        }
        only = Some(child);
    }
    only.ok_or_else(|| {
        let at = place(document, element.range().start);
        let why = format_args!("{} needs {} in it", describe(element), tags(names));
        schema(&at, why)
    })
}

/// Holds a node to be an element of one of `names`.
fn expect(node: Node<'_, '_>, names: &[&'static str]) -> Result<(), Fault> {
    let tag = node.tag_name();
    if node.is_element() && tag.namespace().is_none() && names.contains(&tag.name()) {
        return Ok(());
    }
    let at = place(node.document(), node.range().start);
    let why = format_args!(
        "{} where {} is all that is taken",
        describe(node),
        tags(names)
    );
    Err(schema(&at, why))
}

fn tags(names: &[&'static str]) -> String {
    let tags: Vec<String> = names.iter().map(|name| format!("<{name}>")).collect();
    tags.join(" or ")
}

fn no_attributes(element: Node<'_, '_>) -> Result<(), Fault> {
    let Some(first) = element.attributes().next() else {
        return Ok(());
    };
    let at = place(element.document(), first.range().start);
    let name = element.tag_name().name();
    Err(schema(
        &at,
        format_args!("{} is no attribute of <{name}>", first.name()),
    ))
}

fn describe(node: Node<'_, '_>) -> String {
    if node.is_element() {
        let name: String = node.tag_name().name().chars().take(32).collect();
        format!("<{name}>")
    } else {
        "text".to_owned()
    }
}

fn place(document: &Document<'_>, at: usize) -> String {
    let at = document.text_pos_at(at);
    format!("line {}, column {}", at.row, at.col)
}

/// 400/12200: XML, and not what is taken here.
fn schema(at: &str, why: impl Display) -> Fault {
    Fault::parameter(PARAMETER, format_args!("{at}: {why}"), code::TWIML_SCHEMA)
}
