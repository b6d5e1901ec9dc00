//! The walk over the nodes of a file.

mod constants;
mod control;
mod flexible;
mod hidden;
mod indices;
mod inputs;
mod lookahead;
mod placed;
mod quantised;
mod sequences;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mpc_nn::{GraphError, Network, NetworkOutput, Weights};
use ndarray::ArrayD;
use rten_onnx::onnx::{DataLocation, DataType, GraphProto, NodeProto, TensorProto, ValueInfoProto};

use crate::call::{Call, Masking};
use crate::context::Context;
use crate::error::{ImportError, Lowered, Problem, Reason, invalid, unsupported};
use crate::file::{FIRST_OPSET, LAST_OPSET, OnnxFile};
use crate::shapes::InputShapes;
use crate::topology::{self, Order, node_name};
use crate::value::{Tensor, Value};
use crate::{functions, rules, tensor};
use inputs::{Inputs, Known, Wanted};

/// The number of elements of constants that a file may make beyond a multiple of its size.
const BUDGET: usize = 1 << 24;
/// How often the bytes or elements of a file may be gone through.
const CREDIT: usize = 16;
/// How often an import starts again because an input turned out to be of no use or of more classes.
const MAX_ATTEMPTS: usize = 16;
/// The most reasons that are listed.
const MAX_REASONS: usize = 256;

impl OnnxFile {
    /// The network as a graph and its weights.
    ///
    /// # Errors
    /// All reasons at once why it cannot be imported.
    pub fn import(&self, shapes: &InputShapes) -> Result<Network, ImportError> {
        let mut known = Known::default();
        for _ in 0..MAX_ATTEMPTS {
            match attempt(self, shapes, &known)? {
                Outcome::Network(network) => return Ok(*network),
                Outcome::Unused(name) => drop(known.unused.insert(name)),
                Outcome::Wanted(wanted) => known.wanted.extend(wanted),
            }
        }
        Err(Reason::NothingPrivate.into())
    }
}

/// Reads and imports a file; sizes that it leaves open, such as the batch, are 1.
///
/// # Errors
/// A file that cannot be read; all reasons at once why it cannot be imported.
pub fn import(path: impl AsRef<Path>) -> Result<Network, ImportError> {
    OnnxFile::open(path)?.import(&InputShapes::new())
}

enum Outcome {
    Network(Box<Network>),
    /// The input of this name has no influence on an output.
    Unused(String),
    /// These inputs need such rows.
    Wanted(BTreeMap<String, Wanted>),
}

fn attempt(file: &OnnxFile, shapes: &InputShapes, known: &Known) -> Result<Outcome, ImportError> {
    if !(FIRST_OPSET..=LAST_OPSET).contains(&file.opset) {
        return Err(Reason::Opset { found: file.opset, first: FIRST_OPSET, last: LAST_OPSET }.into());
    }
    let inputs = Inputs::new(file, shapes, known).map_err(|reasons| ImportError { reasons })?;
    let budget = BUDGET.saturating_add(file.size.saturating_mul(CREDIT));
    let mut importer = Importer {
        file,
        context: Context::new(file.opset, budget),
        values: BTreeMap::new(),
        sequences: BTreeMap::new(),
        initializers: BTreeMap::new(),
        inputs,
        types: BTreeMap::new(),
        absorbed: BTreeSet::new(),
        external: BTreeSet::new(),
        scorers: Vec::new(),
        visits: 0,
        reasons: Vec::new(),
    };
    importer.context.is_pytorch = file.producer().starts_with("pytorch");
    importer.context.is_unnamed = file.producer().is_empty();
    for (name, _) in file.input_infos() {
        importer.context.unique(name.to_string());
    }
    importer.graph(&file.graph);
    if !importer.inputs.wanted.is_empty() {
        return Ok(Outcome::Wanted(importer.inputs.wanted));
    }
    let outputs = importer.outputs();
    if importer.reasons.is_empty() {
        importer.finish(outputs)
    } else {
        importer.reasons.truncate(MAX_REASONS);
        Err(ImportError { reasons: importer.reasons })
    }
}

/// Checks an output's shape against what the file says of it, where it says something.
fn check_declared(info: &ValueInfoProto, found: &[usize]) -> Lowered<()> {
    let tensor = info.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let Some(shape) = tensor.and_then(|tensor| tensor.shape.as_ref()).filter(|shape| !shape.dim.is_empty()) else {
        return Ok(());
    };
    // A size of 0 or less is one that the exporter did not know.
    let declared: Vec<Option<usize>> = shape
        .dim
        .iter()
        .map(|size| size.dim_value.filter(|&size| size > 0).and_then(|size| usize::try_from(size).ok()))
        .collect();
    let fits = |(declared, &found): (&Option<usize>, &usize)| declared.is_none_or(|declared| declared == found);
    let is_scalar = found.is_empty() && declared.iter().all(|&size| size == Some(1));
    if is_scalar || (declared.len() == found.len() && declared.iter().zip(found).all(fits)) {
        return Ok(());
    }
    let size = |size: &Option<usize>| size.map_or_else(|| "?".to_string(), |size| size.to_string());
    let declared = declared.iter().map(size).collect::<Vec<_>>().join(", ");
    invalid(format!("its shape is {found:?}, but the file declares [{declared}]"))
}

/// Whether an output of the node is one of the graph.
fn is_output(order: &Order<'_>, node: &NodeProto) -> bool {
    let readers = node.output.iter().filter_map(|output| order.readers.get(output.as_str()));
    readers.flatten().any(|&reader| reader == usize::MAX)
}

/// Whether the next operand is one of a Where that its condition, a public one, takes nowhere.
fn is_untaken(node: &NodeProto, inputs: &[Option<Value>]) -> bool {
    let Some(Some(Value::Integer(condition))) = inputs.first() else { return false };
    let untaken = match inputs.len() {
        1 => 0,
        2 => 1,
        _ => return false,
    };
    node.op_type.as_deref() == Some("Where") && condition.iter().all(|&is| i64::from(is != 0) == untaken)
}

/// The meaning of a name.
#[derive(Clone)]
enum Item {
    Value(Value),
    /// A list of values; its length is public.
    Sequence(Vec<Value>),
}

struct Importer<'a> {
    file: &'a OnnxFile,
    context: Context,
    /// The values known so far; `None` for one that a failed node should have given.
    values: BTreeMap<&'a str, Option<Value>>,
    sequences: BTreeMap<&'a str, Vec<Value>>,
    initializers: BTreeMap<&'a str, &'a TensorProto>,
    inputs: Inputs,
    /// Element types of integers that nodes give.
    types: BTreeMap<&'a str, DataType>,
    /// Outputs of nodes that the node before them has taken up.
    absorbed: BTreeSet<&'a str>,
    /// Weights that were read from another file.
    external: BTreeSet<&'a str>,
    /// Graphs whose results go into a softmax.
    scorers: Vec<&'a GraphProto>,
    /// The nodes of all bodies of branches and loops so far, each as often as it was lowered.
    visits: usize,
    reasons: Vec<Reason>,
}

impl<'a> Importer<'a> {
    /// Lowers all nodes of a graph that its outputs depend on.
    fn graph(&mut self, graph: &'a GraphProto) {
        let known = |name: &str| {
            self.values.contains_key(name)
                || self.sequences.contains_key(name)
                || self.initializers.contains_key(name)
                || self.inputs.contains(name)
        };
        let order = match topology::order(graph, known) {
            Ok(order) => order,
            Err(reasons) => return self.reasons.extend(reasons),
        };
        // What another body gave under the names of this one is another value.
        let given: BTreeSet<_> = graph.input.iter().filter_map(|input| input.name.as_deref()).collect();
        let own = graph.initializer.iter().filter_map(|weight| weight.name.as_deref());
        for name in own.chain(graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str))) {
            if !given.contains(name) {
                self.forget(name);
            }
        }
        for weight in &graph.initializer {
            self.initializers.insert(weight.name.as_deref().unwrap_or_default(), weight);
        }
        for &place in &order.nodes {
            self.node(graph, &order, &graph.node[place]);
        }
    }

    fn node(&mut self, graph: &'a GraphProto, order: &Order<'a>, node: &'a NodeProto) {
        self.context.base = node_name(node);
        self.note_type(node);
        let results = match self.apply(graph, order, node) {
            Ok(items) => items.into_iter().map(Some).collect(),
            Err(problem) => {
                let operator = node.op_type.as_deref().unwrap_or_default();
                self.reasons.extend(problem.reasons(&node_name(node), operator));
                Vec::new()
            }
        };
        let results = results.into_iter().chain(core::iter::repeat_with(|| None));
        for (output, item) in node.output.iter().zip(results).filter(|(output, _)| !output.is_empty()) {
            match item {
                Some(item) => self.put(output, item),
                None => drop(self.values.insert(output, None)),
            }
        }
    }

    fn put(&mut self, name: &'a str, item: Item) {
        match item {
            Item::Value(value) => drop(self.values.insert(name, Some(value))),
            Item::Sequence(values) => drop(self.sequences.insert(name, values)),
        }
    }

    /// Forgets what a name stood for in the step of a loop before.
    fn forget(&mut self, name: &'a str) {
        self.values.remove(name);
        self.sequences.remove(name);
        self.types.remove(name);
        self.absorbed.remove(name);
    }

    /// A value that goes into a list or a loop, or out of a body. Quantised integers are known by their names alone.
    fn item(&mut self, name: &'a str) -> Lowered<Item> {
        if let Some(values) = self.sequences.get(name) {
            return Ok(Item::Sequence(values.clone()));
        }
        let value = self.value(name)?;
        match &value {
            Value::Node(x) if self.types.contains_key(name) && self.context.quantisation(x.id).is_some() => {
                unsupported("quantised integers in a list, branch or loop; put it behind their DequantizeLinear")
            }
            _ => Ok(Item::Value(value)),
        }
    }

    fn apply(&mut self, graph: &'a GraphProto, order: &Order<'a>, node: &'a NodeProto) -> Lowered<Vec<Item>> {
        let operator = node.op_type.as_deref().unwrap_or_default();
        let domain = node.domain.as_deref().unwrap_or_default();
        match operator {
            "If" => return self.branch(node),
            "Loop" => return self.unrolled(node),
            "Scan" => return self.scan(node),
            "SequenceMap" => return self.mapped(node),
            "FlexAttention" if domain == flexible::PREVIEW => return self.flexible_attention(node),
            _ => {}
        }
        let rule = rules::find(operator, domain);
        if rule.is_none() && !sequences::OPERATORS.contains(&operator) {
            return unsupported(rules::hint(operator, domain));
        }
        let mut call = self.call(order, node)?;
        if let Some(items) = self.on_sequences(&call, node)? {
            return Ok(items);
        }
        let Some(rule) = rule else { return unsupported(rules::hint(operator, domain)) };
        let values = self.lower(graph, order, &mut call, rule)?;
        Ok(values.into_iter().map(Item::Value).collect())
    }

    /// The results of an operator on tensors.
    fn lower(
        &mut self,
        graph: &'a GraphProto,
        order: &Order<'a>,
        call: &mut Call<'a>,
        rule: rules::Rule,
    ) -> Lowered<Vec<Value>> {
        let node = call.node;
        let is_scorer = self.scorers.iter().any(|scorer| core::ptr::eq(*scorer, graph));
        call.masking = lookahead::masking(graph, order, call, is_scorer).unwrap_or(Masking::NONE);
        let limited = self.limited(call)?;
        let of_file = limited.map(|limited| core::mem::replace(&mut call.inputs, limited));
        if let Some(values) = self.encoded(call)? {
            self.note_chosen(call, rule, of_file, &values)?;
            return Ok(values);
        }
        if node.output.first().is_some_and(|output| self.absorbed.contains(output.as_str())) {
            return Ok([call.required(0)?.clone()].into());
        }
        let moved = self.moved_quantisation(call)?;
        let norm = self.norm_behind(graph, order, node)?;
        call.norm = norm.as_ref().map(|(_, norm)| norm.clone());
        call.operand_type = self.operand_type(node, call);
        call.is_output = is_output(order, node);
        call.is_revealed = core::ptr::eq(graph, &self.file.graph) && lookahead::is_revealed(graph, order, node);
        let mut values = constants::apply(&mut self.context, rule, call)?;
        whole::note(&mut self.context, call, &values);
        whole::check(&self.context, call, &values)?;
        if let Some(of_file) = of_file {
            call.inputs = of_file;
            if !values.iter().any(Value::is_private) {
                // The numbers of nothing but constants are known.
                values = constants::apply(&mut self.context, rule, call)?;
            }
            self.note_placed(call, rule, &values)?;
        }
        self.note_hidden(call, rule, &values)?;
        self.note_private_masks(call, rule, &values)?;
        self.note_moved(moved, rule, call, &values)?;
        if let Some((output, _)) = norm {
            self.absorbed.insert(output);
        }
        Ok(values)
    }

    fn call(&mut self, order: &Order<'a>, node: &'a NodeProto) -> Lowered<Call<'a>> {
        let mut inputs = Vec::new();
        for name in &node.input {
            let is_value = !name.is_empty() && !self.sequences.contains_key(name.as_str());
            let untaken = if is_untaken(node, &inputs) { self.untaken(name)? } else { None };
            inputs.push(match untaken {
                None if is_value => Some(self.value(name)?),
                untaken => untaken,
            });
        }
        let used = node.output.iter().map(|output| order.readers.contains_key(output.as_str())).collect();
        let own = node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(functions::OPSET));
        let opset = own.and_then(|attribute| attribute.i).unwrap_or(self.file.opset);
        Ok(Call { inputs, used, opset, ..Call::of(node) })
    }

    /// Zeros in the shape of a weight, of which nothing is taken: it may be NaN, as for a variance without elements.
    fn untaken(&mut self, name: &'a str) -> Lowered<Option<Value>> {
        let weight = self.initializers.get(name).filter(|_| !self.values.contains_key(name));
        let Some(weight) = weight.filter(|weight| weight.data_type.is_some_and(|kind| rules::is_float(kind.0.into())))
        else {
            return Ok(None);
        };
        let reason = |reason| Problem::Constant(Box::new(Reason::Constant { name: name.to_string(), reason }));
        self.context.charge(tensor::element_count(weight).map_err(reason)?)?;
        let shape: Vec<usize> = weight.dims.iter().map(|&size| size as usize).collect();
        Ok(Some(Value::constant(ArrayD::zeros(shape))))
    }

    fn value(&mut self, name: &'a str) -> Lowered<Value> {
        if self.sequences.contains_key(name) {
            return unsupported("it takes a sequence; use SequenceAt first");
        }
        if let Some(value) = self.values.get(name) {
            return value.clone().ok_or(Problem::Upstream);
        }
        if let Some(weight) = self.initializers.get(name) {
            let reason = |reason| Problem::Constant(Box::new(Reason::Constant { name: name.to_string(), reason }));
            let elements = tensor::element_count(weight).map_err(reason)?;
            // A weight is decoded for each of its readers. One in a file beside the model's is not in the budget before
            // that file is known to hold it.
            let is_external = weight.data_location == Some(DataLocation::EXTERNAL);
            let is_new = is_external && self.external.insert(name);
            if !is_new {
                self.context.charge(elements)?;
            }
            let value = tensor::decode(weight, self.file.folder.as_deref()).map_err(reason)?;
            if is_new {
                self.context.budget = self.context.budget.saturating_add(elements.saturating_mul(CREDIT));
            }
            return Ok(value);
        }
        let value = self.inputs.value(name, &mut self.context)?;
        self.values.insert(name, Some(value.clone()));
        Ok(value)
    }

    /// The outputs as nodes of the graph, each its own.
    fn outputs(&mut self) -> Vec<(String, Tensor)> {
        let mut outputs: Vec<(String, Tensor)> = Vec::new();
        if !self.reasons.is_empty() {
            return outputs;
        }
        for info in &self.file.graph.output {
            let name = info.name.as_deref().unwrap_or_default();
            self.context.base = format!("output {name}");
            let taken: BTreeSet<_> = outputs.iter().map(|(_, tensor)| tensor.id).collect();
            let result = self.value(name).and_then(|value| {
                let value = self.plain(value)?;
                let tensor = self.context.tensor_of(&value)?;
                let tensor = self.as_quantised(name, tensor)?;
                if !self.file.is_classical {
                    check_declared(info, &tensor.shape)?;
                }
                if taken.contains(&tensor.id) { self.context.copy(&tensor) } else { Ok(tensor) }
            });
            match result {
                Ok(tensor) => outputs.push((name.to_string(), tensor)),
                Err(problem) => self.reasons.extend(problem.reasons(name, "output")),
            }
        }
        outputs
    }

    fn finish(mut self, outputs: Vec<(String, Tensor)>) -> Result<Outcome, ImportError> {
        let ids: Vec<_> = outputs.iter().map(|(_, tensor)| tensor.id).collect();
        let graph = match core::mem::take(&mut self.context.builder).finish(&ids) {
            Ok(graph) => graph,
            Err(GraphError::UnusedInput { name }) => return Ok(Outcome::Unused(name)),
            Err(error) => return Err(Reason::Finish(error).into()),
        };
        if graph.inputs().is_empty() {
            return Err(Reason::NothingPrivate.into());
        }
        let mut weights = BTreeMap::new();
        for parameter in graph.parameters() {
            // Shared parameters are listed for each node that uses them.
            if let Some(array) = self.context.weights.0.remove(&parameter.name) {
                weights.insert(parameter.name, array);
            }
        }
        let weights = Weights::for_graph(&graph, weights).map_err(Reason::from)?;
        let inputs = self.inputs.of_graph(&graph);
        let outputs = outputs.into_iter().map(|(name, tensor)| NetworkOutput { name, shape: tensor.shape }).collect();
        Ok(Outcome::Network(Box::new(Network { graph, weights, inputs, outputs })))
    }
}
