//! Functions of the file's own, put in place of their calls.

use std::collections::{BTreeMap, BTreeSet};

use rten_onnx::onnx::{AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto};

use zeroize::Zeroizing;

use crate::translate::REFERENCE;

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
    Inliner { known, calls: 0, nodes: 0 }.graph(graph, 0)
}

fn key(node: &NodeProto) -> (String, String) {
    (node.domain.clone().unwrap_or_default(), node.op_type.clone().unwrap_or_default())
}

struct Inliner {
    known: BTreeMap<(String, String), Function>,
    calls: usize,
    nodes: usize,
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
            names.insert(name.clone(), call.input.get(place).cloned().unwrap_or_default());
        }
        for (name, outer) in function.outputs.iter().zip(&call.output).filter(|(_, outer)| !outer.is_empty()) {
            // A function may hand an input on as it is; that output is a value of its own.
            if !function.inputs.contains(name) {
                names.insert(name.clone(), outer.clone());
            }
        }
        let name = call.name.as_deref().filter(|name| !name.is_empty());
        let name = name.or(call.output.first().map(String::as_str)).unwrap_or_default();
        let scope = Scope { prefix: format!("{name}/{}", self.calls), call, function };
        let mut nodes = Vec::new();
        for node in &function.nodes {
            nodes.push(scope.node(node, &mut names));
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
}

impl Scope<'_> {
    fn node(&self, node: &NodeProto, names: &mut BTreeMap<String, String>) -> NodeProto {
        let mut node = node.clone();
        for name in node.input.iter_mut().chain(&mut node.output) {
            self.rename(name, names);
        }
        let own = node.name.as_deref().filter(|name| !name.is_empty());
        let own = own.or(node.op_type.as_deref()).unwrap_or_default();
        node.name = Some(format!("{}/{own}", self.prefix));
        node.attribute = node.attribute.iter().filter_map(|attribute| self.attribute(attribute, names)).collect();
        if let Some(opset) = self.function.opset {
            node.attribute.push(AttributeProto {
                name: Some(OPSET.into()),
                i: Some(opset),
                r#type: Some(AttributeType::INT),
                ..Default::default()
            });
        }
        node
    }

    fn rename(&self, name: &mut String, names: &mut BTreeMap<String, String>) {
        if name.is_empty() {
            return;
        }
        let fresh = || format!("{}/{name}", self.prefix);
        *name = names.entry(name.clone()).or_insert_with(fresh).clone();
    }

    /// The attribute with what the call says in place of a reference; none if nothing says it.
    fn attribute(&self, attribute: &AttributeProto, names: &BTreeMap<String, String>) -> Option<AttributeProto> {
        let mut attribute = if attribute.r#type.is_some_and(|kind| kind.0 as u64 == REFERENCE) {
            let wanted = attribute.s.as_deref();
            let find = |list: &[AttributeProto]| list.iter().find(|other| other.name.as_deref() == wanted).cloned();
            let found = find(&self.call.attribute).or_else(|| find(&self.function.defaults))?;
            AttributeProto { name: attribute.name.clone(), ..found }
        } else {
            attribute.clone()
        };
        if let Some(graph) = &mut attribute.g {
            self.subgraph(graph, names);
        }
        Some(attribute)
    }

    /// Renames what a subgraph reads, and what it gives.
    fn subgraph(&self, graph: &mut GraphProto, names: &BTreeMap<String, String>) {
        let mut names = names.clone();
        let inputs: BTreeSet<String> = graph.input.iter().filter_map(|input| input.name.clone()).collect();
        for name in inputs {
            names.insert(name.clone(), format!("{}/{name}", self.prefix));
        }
        graph.node = graph.node.iter().map(|node| self.node(node, &mut names)).collect();
        let infos = graph.input.iter_mut().chain(&mut graph.output).filter_map(|info| info.name.as_mut());
        for name in infos.chain(graph.initializer.iter_mut().filter_map(|weight| weight.name.as_mut())) {
            self.rename(name, &mut names);
        }
    }
}
