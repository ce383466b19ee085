//! Strict reading of a JSON object (RFC 8259) into its top-level members.
//!
//! Parsers disagree on which of two members of one name counts, so a token with duplicates can
//! mean one thing here and another to the service behind: they are refused at every depth.
//! Numbers stay text, since a float would make one user of two with long ids.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::limits;

/// What is wrong with a text that should have been a JSON object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not UTF-8.
    #[error("are not UTF-8; JSON is (RFC 8259 section 8.1)")]
    NotUtf8,
    /// Not JSON.
    #[error("are not valid JSON (line {line}, column {column})")]
    Syntax {
        /// Where reading stopped, from 1.
        line: usize,
        /// Where reading stopped in that line, from 1.
        column: usize,
    },
    /// A string with half of a surrogate pair, or JSON that could not be walked.
    #[error("hold a text that is not Unicode, such as half of a surrogate pair")]
    NotUnicode,
    /// JSON, but something else.
    #[error("are JSON but not an object, as RFC 7515 and RFC 7519 want")]
    NotAnObject,
    /// Deeper than [`limits::JSON_DEPTH_MAX`].
    #[error("nest deeper than {} levels", limits::JSON_DEPTH_MAX)]
    TooDeep,
    /// Two members of one name in one object.
    #[error(
        "have two members of the name {name} in one object; parsers disagree on which one counts \
         (RFC 7515 section 4, RFC 7519 section 4)"
    )]
    Duplicate {
        /// The name as it may be shown.
        name: String,
    },
}

impl Fault {
    /// The first of two neighbours that are equal.
    fn duplicate<'n>(mut pairs: impl Iterator<Item = (&'n str, &'n str)>) -> Option<Self> {
        let (name, _) = pairs.find(|(a, b)| a == b)?;
        Some(Self::Duplicate {
            name: shown_name(name),
        })
    }
}

/// A name of a token's member as it may be shown: what cannot be seen is escaped, and it is cut.
fn shown_name(name: &str) -> String {
    let mut shown: String = name
        .chars()
        .take(limits::MEMBER_NAME_SHOWN_MAX)
        .flat_map(char::escape_default)
        .collect();
    if name.chars().nth(limits::MEMBER_NAME_SHOWN_MAX).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

/// A value, its strings unescaped and its numbers as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A number, as written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An array.
    Array(Array<'a>),
    /// An object.
    Object(Nested<'a>),
}

impl Value<'_> {
    /// What it is, in words that tell nothing of its content.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(text) if is_whole(text) => "a whole number",
            Self::Number(_) => "a number with a fraction or an exponent",
            Self::Bool(_) => "a boolean",
            Self::Null => "null",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// Whether the text of a JSON number has neither a fraction nor an exponent.
pub(super) fn is_whole(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

/// The members of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object<'a> {
    /// In the order of their names, so that they are found and duplicates met in O(n log n).
    members: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Object<'a> {
    /// Reads an object that takes up all of `bytes`.
    ///
    /// # Errors
    /// When it is anything but one strict JSON object within the bounds.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(bytes).map_err(|_| Fault::NotUtf8)?;
        // This checks the grammar to the end of the text, without recursion; what follows only
        // walks what is known to be JSON.
        let json: &RawValue = serde_json::from_str(text).map_err(|error| Fault::Syntax {
            line: error.line(),
            column: error.column(),
        })?;
        let mut scanner = Scanner::new(json.get());
        if scanner.peek() != Some(b'{') {
            return Err(Fault::NotAnObject);
        }
        let mut members = Vec::with_capacity(16);
        scanner.top(&mut members)?;
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let names = || members.iter().map(|(name, _)| name.as_ref());
        match Fault::duplicate(names().zip(names().skip(1))) {
            Some(fault) => Err(fault),
            None => Ok(Self { members }),
        }
    }

    /// The value of a claim by its configured name: a name that begins with `/` is a JSON Pointer
    /// (RFC 6901) into the members. What is null counts as absent.
    pub fn find(&self, name: &str) -> Option<Value<'a>> {
        let found = match name.strip_prefix('/') {
            None => self.get(name).cloned(),
            Some(pointer) => {
                let mut steps = pointer.split('/').map(unescaped);
                let first = self.get(&steps.next()?).cloned()?;
                steps.try_fold(first, |value, step| value.member(&step))
            }
        };
        found.filter(|value| *value != Value::Null)
    }

    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let place = self
            .members
            .binary_search_by(|(key, _)| key.as_ref().cmp(name))
            .ok()?;
        self.members.get(place).map(|(_, value)| value)
    }

    /// All members, in the order of their names.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.members.iter().map(|(key, value)| (&**key, value))
    }
}

/// One step of a JSON Pointer (RFC 6901 section 4).
fn unescaped(step: &str) -> Cow<'_, str> {
    if step.contains('~') {
        return Cow::Owned(step.replace("~1", "/").replace("~0", "~"));
    }
    Cow::Borrowed(step)
}

impl Value<'_> {
    /// The member of an object, or the element of an array, that a step of a pointer names.
    fn member(&self, step: &str) -> Option<Self> {
        match self {
            Self::Object(nested) => nested.get(step),
            Self::Array(array) => {
                let is_index = step == "0" || !step.starts_with(['0', '+']);
                let place: usize = step.parse().ok().filter(|_| is_index)?;
                array.elements().nth(place)?.ok()
            }
            _ => None,
        }
    }
}

/// An object inside another, whose members were checked; read when it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nested<'a> {
    text: &'a str,
}

impl<'a> Nested<'a> {
    fn get(self, name: &str) -> Option<Value<'a>> {
        let mut scanner = Scanner::new(self.text);
        let mut more = scanner.open(b'{', b'}').ok()?;
        while more {
            let key = scanner.name().ok()?;
            let value = scanner.value(1).ok()?;
            if key == name {
                return Some(value);
            }
            more = scanner.more(b'}').ok()?;
        }
        None
    }
}

/// An array, read when it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    text: &'a str,
}

impl<'a> Array<'a> {
    /// Its elements.
    pub fn elements(self) -> Elements<'a> {
        Elements {
            scanner: Scanner::new(self.text),
            state: State::Before,
        }
    }
}

/// The elements of an [`Array`].
#[derive(Debug)]
pub struct Elements<'a> {
    scanner: Scanner<'a>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Before,
    Within,
    Ended,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Value<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let more = match self.state {
            State::Before => self.scanner.open(b'[', b']'),
            State::Within => self.scanner.more(b']'),
            State::Ended => return None,
        };
        let item = match more {
            Ok(true) => Some(self.scanner.value(1)),
            Ok(false) => None,
            Err(fault) => Some(Err(fault)),
        };
        self.state = match item {
            Some(Ok(_)) => State::Within,
            _ => State::Ended,
        };
        item
    }
}

/// Walks JSON whose grammar was checked. Recursion ends at [`limits::JSON_DEPTH_MAX`].
#[derive(Debug)]
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The names met in the nested objects that are open, outermost first.
    names: Vec<Cow<'a, str>>,
}

impl<'a> Scanner<'a> {
    const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            names: Vec::new(),
        }
    }

    fn top(&mut self, members: &mut Vec<(Cow<'a, str>, Value<'a>)>) -> Result<(), Fault> {
        let mut more = self.open(b'{', b'}')?;
        while more {
            let name = self.name()?;
            members.push((name, self.value(1)?));
            more = self.more(b'}')?;
        }
        Ok(())
    }

    /// The value at this place, which lies within `depth` arrays and objects.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Fault> {
        self.skip_space();
        let from = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b'{' | b'[') if depth >= limits::JSON_DEPTH_MAX => Err(Fault::TooDeep),
            Some(b'{') => {
                self.object(depth + 1)?;
                let text = self.text.get(from..self.at).ok_or(Fault::NotUnicode)?;
                Ok(Value::Object(Nested { text }))
            }
            Some(b'[') => {
                self.array(depth + 1)?;
                let text = self.text.get(from..self.at).ok_or(Fault::NotUnicode)?;
                Ok(Value::Array(Array { text }))
            }
            _ => self.literal(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        let outer = self.names.len();
        let mut more = self.open(b'{', b'}')?;
        while more {
            let name = self.name()?;
            self.names.push(name);
            self.value(depth)?;
            more = self.more(b'}')?;
        }
        let names = self.names.get_mut(outer..).unwrap_or_default();
        names.sort_unstable();
        let in_order = || names.iter().map(AsRef::as_ref);
        if let Some(fault) = Fault::duplicate(in_order().zip(in_order().skip(1))) {
            return Err(fault);
        }
        self.names.truncate(outer);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        let mut more = self.open(b'[', b']')?;
        while more {
            self.value(depth)?;
            more = self.more(b']')?;
        }
        Ok(())
    }

    fn name(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.skip_space();
        let name = self.string()?;
        self.skip_space();
        self.take(b':')?;
        Ok(name)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let from = self.at;
        self.take(b'"')?;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let len = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\'))
                .ok_or(Fault::NotUnicode)?;
            self.at += len;
            if self.peek() == Some(b'"') {
                break;
            }
            // The character after a backslash is part of the string, be it a quote.
            escaped = true;
            self.at += 2;
        }
        self.at += 1;
        let text = self.text.get(from..self.at).ok_or(Fault::NotUnicode)?;
        if escaped {
            // Only half of a surrogate pair can be wrong: the grammar was checked.
            let text: String = serde_json::from_str(text).map_err(|_| Fault::NotUnicode)?;
            return Ok(Cow::Owned(text));
        }
        let inner = text.get(1..text.len() - 1).ok_or(Fault::NotUnicode)?;
        Ok(Cow::Borrowed(inner))
    }

    fn literal(&mut self) -> Result<Value<'a>, Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest
            .find([',', ']', '}', ' ', '\t', '\n', '\r'])
            .unwrap_or(rest.len());
        self.at += end;
        match rest.get(..end) {
            Some("true") => Ok(Value::Bool(true)),
            Some("false") => Ok(Value::Bool(false)),
            Some("null") => Ok(Value::Null),
            Some(number) if !number.is_empty() => Ok(Value::Number(number)),
            _ => Err(Fault::NotUnicode),
        }
    }

    /// Enters an array or object; false when it is empty, which leaves it at once.
    fn open(&mut self, open: u8, close: u8) -> Result<bool, Fault> {
        self.take(open)?;
        self.skip_space();
        let empty = self.peek() == Some(close);
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// After a value: whether another follows; else the array or object is left.
    fn more(&mut self, close: u8) -> Result<bool, Fault> {
        self.skip_space();
        if self.peek() == Some(b',') {
            self.at += 1;
            return Ok(true);
        }
        self.take(close).map(|()| false)
    }

    fn take(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(Fault::NotUnicode);
        }
        self.at += 1;
        Ok(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}
