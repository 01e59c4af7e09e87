//! A tree of elements and its text. The only attributes are the name space of the document and the currency of an
//! amount, so an element has room for no other.

use feiqian_money::Amount;
use quick_xml::escape::escape;

use super::ExportError;
use super::value::decimal;

/// The most characters of `Max140Text`.
pub(super) const LINE: usize = 140;

/// One element: its children in the order in which they were added, or its text.
#[derive(Debug, Clone)]
pub(super) struct Node {
    name: &'static str,
    attribute: Option<(&'static str, String)>,
    text: String,
    children: Vec<Self>,
}

impl Node {
    /// An element without content.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, attribute: None, text: String::new(), children: Vec::new() }
    }

    /// Adds a child.
    pub(super) fn node(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// Adds the child if there is one.
    pub(super) fn maybe(mut self, child: Option<Self>) -> Self {
        self.children.extend(child);
        self
    }

    /// Adds children.
    pub(super) fn nodes(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// Adds a child that holds this value: an identifier, a code, a number, a time.
    pub(super) fn text(self, name: &'static str, value: impl Into<String>) -> Self {
        self.node(Self { text: value.into(), ..Self::new(name) })
    }

    /// Adds a child that holds what a person wrote, cut to `most` characters. An empty text gets no element: the
    /// definitions allow none.
    pub(super) fn words(self, name: &'static str, value: &str, most: usize) -> Self {
        let value: String = legal(value).take(most).collect();
        if value.is_empty() { self } else { self.text(name, value) }
    }

    /// Adds as many children as a long text needs lines; nothing is lost.
    pub(super) fn lines(self, name: &'static str, value: &str) -> Self {
        let characters: Vec<char> = legal(value).collect();
        characters.chunks(LINE).fold(self, |node, line| node.text(name, line.iter().collect::<String>()))
    }

    /// Adds a child with an amount and its currency.
    ///
    /// # Errors
    /// [`ExportError::TooManyDigits`].
    pub(super) fn amount(self, name: &'static str, amount: Amount) -> Result<Self, ExportError> {
        let text = decimal(u128::from(amount.minor.value()), amount.currency)?;
        let attribute = Some(("Ccy", amount.currency.code().to_owned()));
        Ok(self.node(Self { text, attribute, ..Self::new(name) }))
    }

    /// The document of this message, with this element as its content.
    pub(super) fn into_document(self, message: &str) -> String {
        let name_space = format!("urn:iso:std:iso:20022:tech:xsd:{message}");
        let document = Self { attribute: Some(("xmlns", name_space)), ..Self::new("Document") }.node(self);
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        document.write(&mut text, 0);
        text
    }

    fn write(&self, out: &mut String, depth: usize) {
        let margin = "  ".repeat(depth);
        out.push_str(&margin);
        out.push('<');
        out.push_str(self.name);
        if let Some((name, value)) = &self.attribute {
            out.push_str(&format!(" {name}=\"{}\"", escape(value.as_str())));
        }
        out.push('>');
        if !self.children.is_empty() {
            out.push('\n');
            for child in &self.children {
                child.write(out, depth.saturating_add(1));
            }
            out.push_str(&margin);
        }
        // A carriage return that stands for itself would be read back as a line feed.
        out.push_str(&escape(self.text.as_str()).replace('\r', "&#13;"));
        out.push_str(&format!("</{}>\n", self.name));
    }
}

/// The characters of a text, those XML 1.0 cannot hold (most control characters, U+FFFE, U+FFFF) replaced by
/// U+FFFD.
fn legal(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|character| if is_legal(character) { character } else { char::REPLACEMENT_CHARACTER })
}

/// `Char` of XML 1.0, section 2.2.
pub(super) fn is_legal(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
