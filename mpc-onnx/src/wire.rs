//! The structure of a protobuf file, checked before it is parsed: the parser trusts lengths and nesting.
//!
//! Only what protects memory, stack and completeness is checked: every length lies within its message, messages nest to
//! a bounded depth, and the number of fields is bounded. What the fields mean is the parser's business.

/// How deep messages may nest: a graph in an attribute of a node of a graph takes three levels.
const MAX_DEPTH: usize = 40;
/// The largest number of fields of a file, packed elements not counted.
const MAX_FIELDS: usize = 1 << 22;

/// A message of onnx.proto that has messages or packed numbers in it.
#[derive(Clone, Copy)]
pub(crate) enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    Sequence,
    Shape,
    Sparse,
    Function,
    Leaf,
}

/// The content of a length-delimited field.
enum Content {
    Message(Message),
    Varints,
    Fixed(usize),
    Bytes,
}

impl Message {
    /// The message in a field, if it is one.
    pub(crate) fn child(self, field: u64) -> Option<Self> {
        if let Content::Message(child) = self.content(field) { Some(child) } else { None }
    }

    fn content(self, field: u64) -> Content {
        let message = match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6) => Self::Graph,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22) => Self::Sparse,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 11..=13) => Self::Value,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Value, 2) | (Self::Sequence, 1) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::Type, 4) => Self::Sequence,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Model, 8 | 14) | (Self::Function, 9) | (Self::Tensor, 13) | (Self::Shape, 1) => Self::Leaf,
            (Self::Tensor, 4) => return Content::Fixed(4),
            (Self::Tensor, 10) => return Content::Fixed(8),
            (Self::Tensor, 5 | 7) | (Self::Sparse, 3) => return Content::Varints,
            _ => return Content::Bytes,
        };
        Content::Message(message)
    }
}

/// Checks that `bytes` are one complete model message.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    Checker { fields: 0 }.message(bytes, Message::Model, 0)
}

/// A field of a message: its number, all its bytes, and its content if it has a length.
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) whole: &'a [u8],
    pub(crate) content: Option<&'a [u8]>,
}

/// The fields of a message.
pub(crate) fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Result<Field<'_>, String>> {
    core::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let field = field(&mut bytes);
        if field.is_err() {
            bytes = &[];
        }
        Some(field)
    })
}

fn field<'a>(bytes: &mut &'a [u8]) -> Result<Field<'a>, String> {
    let start = *bytes;
    let tag = varint(bytes)?;
    let mut content = None;
    match tag & 7 {
        0 => drop(varint(bytes)?),
        1 => drop(take(bytes, 8)?),
        5 => drop(take(bytes, 4)?),
        2 => {
            let length = varint(bytes)?;
            content = Some(take(bytes, usize::try_from(length).unwrap_or(usize::MAX))?);
        }
        _ => return Err("it has a field of an unknown wire type".into()),
    }
    Ok(Field { number: tag >> 3, whole: &start[..start.len() - bytes.len()], content })
}

struct Checker {
    fields: usize,
}

impl Checker {
    fn message(&mut self, mut bytes: &[u8], kind: Message, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("its messages nest deeper than {MAX_DEPTH}"));
        }
        while !bytes.is_empty() {
            self.fields += 1;
            if self.fields > MAX_FIELDS {
                return Err(format!("it has more than {MAX_FIELDS} fields"));
            }
            if let Field { number, content: Some(content), .. } = field(&mut bytes)? {
                self.content(content, kind.content(number), depth)?;
            }
        }
        Ok(())
    }

    fn content(&mut self, mut bytes: &[u8], content: Content, depth: usize) -> Result<(), String> {
        match content {
            Content::Message(kind) => self.message(bytes, kind, depth + 1),
            Content::Fixed(size) if !bytes.len().is_multiple_of(size) => Err("a packed field ends in a number".into()),
            Content::Fixed(_) | Content::Bytes => Ok(()),
            Content::Varints => {
                while !bytes.is_empty() {
                    varint(&mut bytes)?;
                }
                Ok(())
            }
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or("it is cut short, or a length is wrong")?;
    *bytes = rest;
    Ok(taken)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for index in 0..10 {
        let byte = take(bytes, 1)?[0];
        if index == 9 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number has more than 64 bits".into())
}
