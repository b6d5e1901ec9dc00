//! What the parser has no types for, said in terms of what it has: sparse tensors, and functions of the file's own.
//!
//! A sparse tensor becomes a graph of three weights: its values, their places, its sizes. A function becomes a model of its
//! own whose first node is a call of it. All of it was checked by [`wire::check`] before.

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::wire::{self, Field, Message};

/// The type of an attribute that stands for one of the function's, whose name is its string.
pub(crate) const REFERENCE: u64 = 1000;

/// A graph's weights, nodes, inputs and outputs.
const NODE: u64 = 1;
const WEIGHT: u64 = 5;
const INPUT: u64 = 11;
const OUTPUT: u64 = 12;

/// The bytes of a model, and of one for each of its functions.
pub(crate) struct Translated<'a> {
    pub(crate) model: Cow<'a, [u8]>,
    pub(crate) functions: Vec<Zeroizing<Vec<u8>>>,
}

/// Translates a checked model.
pub(crate) fn translate(bytes: &[u8]) -> Result<Translated<'_>, String> {
    let mut functions = Vec::new();
    for field in wire::fields(bytes) {
        let Field { number, content, .. } = field?;
        if let (25, Some(function)) = (number, content) {
            functions.push(of_function(function)?);
        }
    }
    Ok(Translated { model: rewritten(bytes, Message::Model)?, functions })
}

/// A field's number, all its bytes, and what becomes of it or of its content.
type Part<'a> = (u64, &'a [u8], Cow<'a, [u8]>);

/// A message in which every part that the parser does not know is replaced.
fn rewritten(bytes: &[u8], kind: Message) -> Result<Cow<'_, [u8]>, String> {
    // Most messages stay as they are, and are not copied.
    let mut parts: Vec<Part<'_>> = Vec::new();
    let (mut is_changed, mut is_typed) = (false, true);
    for field in wire::fields(bytes) {
        let Field { number, whole, content } = field?;
        let is_replaced = matches!((kind, number), (Message::Graph, 15) | (Message::Attribute, 22));
        let inner = content.filter(|_| !is_replaced).and_then(|content| Some((content, kind.child(number)?)));
        let part = match (inner, content, kind, number) {
            (Some((content, child)), ..) => rewritten(content, child)?,
            (_, Some(content), Message::Graph, 15) => Cow::Owned(constant(content)?),
            (_, Some(content), Message::Attribute, 22) => {
                is_typed = false;
                Cow::Owned(sparse(content)?)
            }
            (_, Some(content), Message::Attribute, 21) => {
                is_typed = false;
                Cow::Borrowed(content)
            }
            _ => Cow::Borrowed(whole),
        };
        is_changed |= matches!(part, Cow::Owned(_)) || matches!((kind, number), (Message::Attribute, 21));
        parts.push((number, whole, part));
    }
    if !is_changed {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut all = Vec::with_capacity(bytes.len() + 64);
    for (number, whole, part) in parts {
        match (kind, number) {
            (Message::Graph, 15) => put(&mut all, NODE, &part),
            (Message::Attribute, 22) => {
                put(&mut all, 6, &part);
                put_number(&mut all, 20, 5);
            }
            (Message::Attribute, 21) => {
                put(&mut all, 4, &part);
                put_number(&mut all, 20, REFERENCE);
            }
            (Message::Attribute, 20) if !is_typed => {}
            _ if matches!(part, Cow::Owned(_)) => put(&mut all, number, &part),
            _ => all.extend_from_slice(whole),
        }
    }
    Ok(Cow::Owned(all))
}

/// A sparse weight as a node that gives it.
fn constant(weight: &[u8]) -> Result<Vec<u8>, String> {
    let mut attribute = Vec::new();
    put(&mut attribute, 1, b"sparse_value");
    put(&mut attribute, 6, &sparse(weight)?);
    put_number(&mut attribute, 20, 5);
    let mut node = Vec::new();
    let mut name: &[u8] = &[];
    for field in wire::fields(weight) {
        let Field { number, content, .. } = field?;
        let (1, Some(values)) = (number, content) else { continue };
        for field in wire::fields(values) {
            let Field { number, content, .. } = field?;
            if let (8, Some(content)) = (number, content) {
                name = content;
            }
        }
    }
    put(&mut node, 2, name);
    put(&mut node, 4, b"Constant");
    put(&mut node, 5, &attribute);
    Ok(node)
}

/// The values, the places and the sizes of a sparse tensor as weights of a graph.
fn sparse(tensor: &[u8]) -> Result<Vec<u8>, String> {
    let mut graph = Vec::new();
    let mut sizes = Vec::new();
    for field in wire::fields(tensor) {
        let Field { number, whole, content } = field?;
        match (number, content) {
            (1 | 2, Some(content)) => put(&mut graph, WEIGHT, content),
            (3, Some(packed)) => sizes.extend_from_slice(packed),
            // One number behind its tag of one byte.
            (3, None) => sizes.extend_from_slice(whole.get(1..).unwrap_or_default()),
            _ => {}
        }
    }
    let mut weight = Vec::new();
    let count = sizes.iter().filter(|&&byte| byte < 0x80).count();
    put_number(&mut weight, 1, count as u64);
    put_number(&mut weight, 2, 7);
    put(&mut weight, 7, &sizes);
    put(&mut graph, WEIGHT, &weight);
    Ok(graph)
}

/// A function as a model: a call with its names and the defaults of its attributes, then its nodes.
fn of_function(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let (mut call, mut nodes, mut ends, mut sets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for field in wire::fields(bytes) {
        let Field { number, content, .. } = field?;
        let Some(content) = content else { continue };
        match number {
            1 => put(&mut call, 4, content),
            4 | 5 => {
                put(&mut call, number - 3, content);
                let mut info = Vec::new();
                put(&mut info, 1, content);
                put(&mut ends, if number == 4 { INPUT } else { OUTPUT }, &info);
            }
            7 => put(&mut nodes, NODE, &rewritten(content, Message::Node)?),
            9 => put(&mut sets, 8, content),
            10 => put(&mut call, 7, content),
            11 => put(&mut call, 5, &rewritten(content, Message::Attribute)?),
            _ => {}
        }
    }
    let mut graph = Zeroizing::new(Vec::new());
    put(&mut graph, NODE, &call);
    graph.extend_from_slice(&Zeroizing::new(nodes));
    graph.extend_from_slice(&ends);
    let mut model = Zeroizing::new(Vec::new());
    put(&mut model, 7, &graph);
    model.extend_from_slice(&sets);
    wire::check(&model)?;
    Ok(model)
}

fn put(to: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_varint(to, number << 3 | 2);
    put_varint(to, content.len() as u64);
    to.extend_from_slice(content);
}

fn put_number(to: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(to, number << 3);
    put_varint(to, value);
}

fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}
