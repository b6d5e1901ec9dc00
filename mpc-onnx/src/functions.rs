//! Functions of the file's own, put in place of their calls.

mod room;

use std::collections::{BTreeMap, BTreeSet};

use rten_onnx::onnx::{AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto};

use zeroize::Zeroizing;

use crate::translate::REFERENCE;
use room::Room;

/// How deep functions may call each other.
const MAX_DEPTH: usize = 32;
/// The most nodes of a file whose functions are in place.
const MAX_NODES: usize = 1 << 18;
/// The attribute of a node from a function of another version of the operators than the model's.
pub(crate) const OPSET: &str = "\0opset";

/// The version of the standard operators that a model or function is written for.
pub(crate) fn standard_opset(model: &ModelProto) -> Option<i64> {
    let is_standard = |domain: &Option<String>| matches!(domain.as_deref(), None | Some("" | "ai.onnx"));
    model.opset_import.iter().filter(|set| is_standard(&set.domain)).filter_map(|set| set.version).max()
}

/// A function: the names of its inputs and outputs, the defaults of its attributes, and its nodes.
struct Function {
    inputs: Vec<String>,
    outputs: Vec<String>,
    defaults: Vec<AttributeProto>,
    nodes: Vec<NodeProto>,
    opset: Option<i64>,
}

/// Puts the functions of a file, as [`translate`](crate::translate) gives them, in place of their calls.
pub(crate) fn inline(graph: &mut GraphProto, functions: &[Zeroizing<Vec<u8>>], opset: i64) -> Result<(), String> {
    let mut known = BTreeMap::new();
    for function in functions {
        let model = ModelProto::parse_buf(function.as_slice()).map_err(|error| error.to_string())?;
        let own = standard_opset(&model).filter(|&own| own != opset);
        let mut nodes = model.graph.map(|graph| graph.node).unwrap_or_default();
        if nodes.is_empty() {
            continue;
        }
        let call = nodes.remove(0);
        let key = key(&call);
        let function =
            Function { inputs: call.input, outputs: call.output, defaults: call.attribute, nodes, opset: own };
        known.insert(key, function);
    }
    if known.is_empty() {
        return Ok(());
    }
    Inliner { known, calls: 0, nodes: 0, room: Room::new() }.graph(graph, 0)
}

fn key(node: &NodeProto) -> (String, String) {
    (node.domain.clone().unwrap_or_default(), node.op_type.clone().unwrap_or_default())
}

struct Inliner {
    known: BTreeMap<(String, String), Function>,
    calls: usize,
    nodes: usize,
    room: Room,
}

impl Inliner {
    fn graph(&mut self, graph: &mut GraphProto, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("its functions call each other without end, or too deep".into());
        }
        let nodes = core::mem::take(&mut graph.node);
        for mut node in nodes {
            self.nodes += 1;
            if self.nodes > MAX_NODES {
                return Err(format!("its functions have more than {MAX_NODES} nodes in all"));
            }
            for inner in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()) {
                self.graph(inner, depth)?;
            }
            if self.known.contains_key(&key(&node)) {
                let mut body = GraphProto { node: self.body(&node)?, ..Default::default() };
                self.graph(&mut body, depth + 1)?;
                graph.node.append(&mut body.node);
            } else {
                graph.node.push(node);
            }
        }
        Ok(())
    }

    /// The nodes that a call stands for.
    fn body(&mut self, call: &NodeProto) -> Result<Vec<NodeProto>, String> {
        self.calls += 1;
        let Some(function) = self.known.get(&key(call)) else { return Ok(Vec::new()) };
        if call.input.len() > function.inputs.len() || call.output.len() > function.outputs.len() {
            let name = call.op_type.as_deref().unwrap_or_default();
            return Err(format!("a call of its function `{name}` has more operands than the function"));
        }
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for (place, name) in function.inputs.iter().enumerate() {
            let outer = call.input.get(place);
            self.room.take(name.len() + outer.map_or(0, String::len))?;
            names.insert(name.clone(), outer.cloned().unwrap_or_default());
        }
        for (name, outer) in function.outputs.iter().zip(&call.output).filter(|(_, outer)| !outer.is_empty()) {
            // A function may hand an input on as it is; that output is a value of its own.
            if !function.inputs.contains(name) {
                self.room.take(name.len() + outer.len())?;
                names.insert(name.clone(), outer.clone());
            }
        }
        let name = call.name.as_deref().filter(|name| !name.is_empty());
        let name = name.or(call.output.first().map(String::as_str)).unwrap_or_default();
        let scope = Scope { prefix: format!("{name}/{}", self.calls), call, function, room: &self.room };
        let mut nodes = Vec::new();
        for node in &function.nodes {
            nodes.push(scope.node(node, &mut names)?);
        }
        for (inner, outer) in function.outputs.iter().zip(&call.output).filter(|(_, outer)| !outer.is_empty()) {
            if function.inputs.contains(inner) {
                let input = names.get(inner).cloned().unwrap_or_default();
                let op_type = Some("Identity".into());
                nodes.push(NodeProto {
                    op_type,
                    input: vec![input],
                    output: vec![outer.clone()],
                    ..Default::default()
                });
            }
        }
        Ok(nodes)
    }
}

/// One call of a function.
struct Scope<'a> {
    prefix: String,
    call: &'a NodeProto,
    function: &'a Function,
    room: &'a Room,
}

impl Scope<'_> {
    fn node(&self, node: &NodeProto, names: &mut BTreeMap<String, String>) -> Result<NodeProto, String> {
        let own = node.name.as_deref().filter(|name| !name.is_empty());
        let own = own.or(node.op_type.as_deref()).unwrap_or_default();
        self.room.take(room::node(node) + self.prefix.len() + own.len())?;
        let name = Some(format!("{}/{own}", self.prefix));
        let renamed = |list: &[String], names: &mut _| list.iter().map(|name| self.renamed(name, names)).collect();
        let (input, output): (Result<_, _>, Result<_, _>) = (renamed(&node.input, names), renamed(&node.output, names));
        let attribute = node.attribute.iter().filter_map(|attribute| self.attribute(attribute, names).transpose());
        let mut node = NodeProto {
            name,
            input: input?,
            output: output?,
            attribute: attribute.collect::<Result<_, _>>()?,
            domain: node.domain.clone(),
            op_type: node.op_type.clone(),
        };
        if let Some(opset) = self.function.opset {
            node.attribute.push(AttributeProto {
                name: Some(OPSET.into()),
                i: Some(opset),
                r#type: Some(AttributeType::INT),
                ..Default::default()
            });
        }
        Ok(node)
    }

    /// The name that a value of the function has in the file.
    fn renamed(&self, name: &str, names: &mut BTreeMap<String, String>) -> Result<String, String> {
        if name.is_empty() {
            return Ok(String::new());
        }
        if let Some(known) = names.get(name) {
            self.room.take(known.len())?;
            return Ok(known.clone());
        }
        self.room.take(2 * (self.prefix.len() + name.len()) + name.len())?;
        let fresh = format!("{}/{name}", self.prefix);
        names.insert(name.to_owned(), fresh.clone());
        Ok(fresh)
    }

    /// The attribute with what the call says in place of a reference; none if nothing says it.
    fn attribute(
        &self,
        attribute: &AttributeProto,
        names: &BTreeMap<String, String>,
    ) -> Result<Option<AttributeProto>, String> {
        let mut found = attribute;
        if attribute.r#type.is_some_and(|kind| kind.0 as u64 == REFERENCE) {
            let wanted = attribute.s.as_deref();
            let mut all = self.call.attribute.iter().chain(&self.function.defaults);
            let Some(said) = all.find(|other| other.name.as_deref() == wanted) else { return Ok(None) };
            found = said;
        }
        self.room.take(room::attribute(found))?;
        let mut copy = AttributeProto { name: attribute.name.clone(), ..found.clone() };
        if let Some(graph) = &mut copy.g {
            self.subgraph(graph, names)?;
        }
        Ok(Some(copy))
    }

    /// Renames what a subgraph reads, and what it gives.
    fn subgraph(&self, graph: &mut GraphProto, names: &BTreeMap<String, String>) -> Result<(), String> {
        self.room.take(names.iter().map(|(name, outer)| 2 * size_of::<String>() + name.len() + outer.len()).sum())?;
        let mut names = names.clone();
        let inputs: BTreeSet<String> = graph.input.iter().filter_map(|input| input.name.clone()).collect();
        for name in inputs {
            self.room.take(self.prefix.len() + 2 * name.len())?;
            names.insert(name.clone(), format!("{}/{name}", self.prefix));
        }
        graph.node = graph.node.iter().map(|node| self.node(node, &mut names)).collect::<Result<_, _>>()?;
        let infos = graph.input.iter_mut().chain(&mut graph.output).filter_map(|info| info.name.as_mut());
        for name in infos.chain(graph.initializer.iter_mut().filter_map(|weight| weight.name.as_mut())) {
            *name = self.renamed(name, &mut names)?;
        }
        Ok(())
    }
}
