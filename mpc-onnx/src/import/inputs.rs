//! The inputs of a network: made when something reads them, in the encoding that it needs.

use std::collections::{BTreeMap, BTreeSet};

use mpc_nn::{Encoding, Graph, NetworkInput, OneHot};
use ndarray::ArrayD;
use rten_onnx::onnx::{DataType, ValueInfoProto};

use super::Importer;
use crate::arrays;
use crate::call::Call;
use crate::context::{Context, Whole, graph_shape};
use crate::error::{Lowered, Problem, Reason, invalid};
use crate::file::OnnxFile;
use crate::rules;
use crate::shapes::InputShapes;
use crate::value::{Tensor, Value};

/// The declared inputs, and which of them have become inputs of the graph.
pub(super) struct Inputs {
    list: Vec<Input>,
    places: BTreeMap<String, usize>,
    known: Known,
    /// The inputs whose encoding turned out to be another than all their readers need.
    pub(super) wanted: BTreeMap<String, Wanted>,
}

/// The facts that earlier attempts at an import have found out.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// The inputs that no output depends on.
    pub(super) unused: BTreeSet<String>,
    /// The rows that readers of inputs of integers need.
    pub(super) wanted: BTreeMap<String, Wanted>,
}

/// The rows with a single 1 that readers of an input of integers need.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// The number of rows of the largest table.
    pub(super) classes: usize,
    /// The numbers in a row of its widest table; `None` if something else than a table reads the rows.
    pub(super) features: Option<usize>,
}

impl Wanted {
    /// The needs of both.
    fn with(self, other: Option<&Self>) -> Self {
        let Some(other) = other else { return self };
        let features = self.features.zip(other.features).map(|(own, other)| own.max(other));
        Self { classes: self.classes.max(other.classes), features }
    }

    fn rows(self) -> OneHot {
        self.features.map_or(OneHot::whole(self.classes), |features| OneHot::for_table(self.classes, features))
    }

    /// Whether these rows serve.
    fn is_met_by(self, rows: OneHot) -> bool {
        self.classes <= rows.classes() && (self.features.is_some() || rows.low() == 1)
    }
}

struct Input {
    name: String,
    shape: Vec<usize>,
    data_type: DataType,
    is_integer: bool,
    made: Option<(Tensor, Encoding)>,
    /// For each element of integers the least number of rows of the tables that it chooses from.
    limits: Vec<usize>,
    /// Whether a negative integer is not the same place for all that read it.
    differs: bool,
}

impl Inputs {
    pub(super) fn new(file: &OnnxFile, shapes: &InputShapes, known: &Known) -> Result<Self, Vec<Reason>> {
        let mut reasons = Vec::new();
        let mut list = Vec::new();
        for (name, info) in file.input_infos() {
            match shape(name, info, shapes) {
                Ok((shape, data_type)) => {
                    let is_integer = !FLOATS.contains(&data_type);
                    let name = name.to_string();
                    let (made, limits, differs) = (None, Vec::new(), false);
                    list.push(Input { name, shape, data_type, is_integer, made, limits, differs });
                }
                Err(reason) => reasons.push(Reason::InputShape { name: name.to_string(), reason }),
            }
        }
        let names = || file.input_infos().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        let declared: BTreeSet<String> = names().into_iter().collect();
        let unknown = shapes.names().filter(|name| !declared.contains(*name));
        reasons.extend(unknown.map(|name| Reason::UnknownInput { name: name.to_string(), inputs: names() }));
        if let Some(first) = list.first().filter(|_| list.iter().all(|input| input.shape.contains(&0))) {
            let reason = format!("its shape {:?} has no elements; give at least one sample", first.shape);
            reasons.push(Reason::InputShape { name: first.name.clone(), reason });
        }
        let places = list.iter().enumerate().map(|(place, input)| (input.name.clone(), place)).collect();
        if !reasons.is_empty() {
            return Err(reasons);
        }
        Ok(Self { list, places, known: known.clone(), wanted: BTreeMap::new() })
    }

    /// The element type that the file declares for an input.
    pub(super) fn type_of(&self, name: &str) -> Option<DataType> {
        self.places.get(name).map(|&place| self.list[place].data_type)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The input as a value; floats become an input of the graph now, integers when it is known how they are read.
    pub(super) fn value(&mut self, name: &str, context: &mut Context) -> Lowered<Value> {
        let Some(&place) = self.places.get(name) else {
            return invalid(format!("nothing gives `{name}`"));
        };
        let shape = &self.list[place].shape;
        let elements = arrays::elements(shape)?;
        if elements == 0 {
            // Nothing of it is private.
            let shape = shape.as_slice();
            let is_integer = self.list[place].is_integer;
            return Ok(if is_integer {
                Value::integer(ArrayD::zeros(shape))
            } else {
                Value::constant(ArrayD::zeros(shape))
            });
        }
        if self.list[place].is_integer {
            context.charge(elements)?;
            let all = arrays::from_elements(shape, (0..elements as i64).collect())?;
            return Ok(Value::tokens(place, all));
        }
        self.numbers(place, context).map(Value::Node)
    }

    /// The input of the graph as numbers.
    pub(super) fn numbers(&mut self, place: usize, context: &mut Context) -> Lowered<Tensor> {
        // A negative number counts from no end.
        self.list[place].differs = true;
        let Input { name, made, .. } = &self.list[place];
        match (made, self.known.wanted.get(name)) {
            (Some((tensor, Encoding::Plain)), _) => Ok(tensor.clone()),
            (Some((tensor, Encoding::OneHot(rows))), _) => numbers(context, &tensor.clone(), *rows),
            (None, Some(&wanted)) => {
                let (tensor, rows) = self.rows(place, wanted, context)?;
                numbers(context, &tensor, rows)
            }
            (None, None) => self.make(place, Encoding::Plain, context),
        }
    }

    /// The input of the graph as rows.
    pub(super) fn rows(&mut self, place: usize, wanted: Wanted, context: &mut Context) -> Lowered<(Tensor, OneHot)> {
        let Input { name, made, .. } = &self.list[place];
        let all = wanted.with(self.known.wanted.get(name));
        match made {
            None => {
                let rows = all.rows();
                Ok((self.make(place, Encoding::OneHot(rows), context)?, rows))
            }
            Some((tensor, Encoding::OneHot(rows))) if wanted.is_met_by(*rows) => Ok((tensor.clone(), *rows)),
            Some(_) => {
                // The import starts again with such rows.
                let all = all.with(self.wanted.get(name));
                self.wanted.insert(name.clone(), all);
                Err(Problem::Upstream)
            }
        }
    }

    fn make(&mut self, place: usize, encoding: Encoding, context: &mut Context) -> Lowered<Tensor> {
        let input = &mut self.list[place];
        let mut shape = input.shape.clone();
        if let Encoding::OneHot(rows) = encoding {
            shape.push(rows.len());
        }
        let (graph_shape, name) = (graph_shape(&shape), &input.name);
        let id = match encoding {
            // No output depends on it: a placeholder that is left out of the graph in the end.
            _ if self.known.unused.contains(name) => context.builder.parameter(name, &graph_shape)?,
            Encoding::Plain => context.builder.input(name, &graph_shape)?,
            Encoding::OneHot(_) => context.builder.whole_input(name, &graph_shape)?,
        };
        context.exact.insert(id);
        let tensor = Tensor { id, shape };
        input.made = Some((tensor.clone(), encoding));
        Ok(tensor)
    }

    /// Notes that the elements at these places choose from a table of so many rows.
    pub(super) fn limit(&mut self, input: usize, places: &ArrayD<i64>, classes: usize) {
        let Input { shape, limits, differs, .. } = &mut self.list[input];
        limits.resize(shape.iter().product(), usize::MAX);
        for &place in places {
            if let Some(limit) = usize::try_from(place).ok().and_then(|place| limits.get_mut(place)) {
                *differs |= *limit != usize::MAX && *limit != classes;
                *limit = classes.min(*limit);
            }
        }
    }

    /// The inputs of a finished graph, in its order.
    pub(super) fn of_graph(self, graph: &Graph) -> Vec<NetworkInput> {
        let find = |name: &str| self.places.get(name).map(|&place| &self.list[place]);
        let inputs = graph.inputs().iter().filter_map(|&id| {
            let input = find(graph.node(id).name())?;
            let encoding = match input.made {
                Some((_, Encoding::OneHot(rows))) if input.differs => Encoding::OneHot(rows.without_negative()),
                Some((_, encoding)) => encoding,
                None => Encoding::Plain,
            };
            let (name, shape, limits) = (input.name.clone(), input.shape.clone(), input.limits.clone());
            Some(NetworkInput { name, shape, encoding, limits })
        });
        inputs.collect()
    }
}

/// The types of real numbers.
pub(super) const FLOATS: [DataType; 4] = [DataType::FLOAT, DataType::DOUBLE, DataType::FLOAT16, DataType::BFLOAT16];

fn shape(name: &str, info: &ValueInfoProto, shapes: &InputShapes) -> Result<(Vec<usize>, DataType), String> {
    let tensor = info.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref()).ok_or("it is not a tensor")?;
    let data_type = tensor.elem_type.unwrap_or(DataType(0));
    let is_known = FLOATS.contains(&data_type) || INTEGERS.contains(&data_type);
    if !is_known {
        return Err(format!("elements of type {data_type} are not supported; use floats or integers"));
    }
    let declared = tensor.shape.as_ref().map(|shape| &shape.dim);
    let given = shapes.get(name);
    let shape: Vec<usize> = match (declared, given) {
        (None, None) => return Err("the model leaves its shape open; give one".to_string()),
        (None, Some(given)) => given.to_vec(),
        (Some(sizes), None) => {
            let size = |size: &rten_onnx::onnx::Dimension| match size.dim_value {
                Some(value) => usize::try_from(value).map_err(|_| format!("its size {value} is negative")),
                None => Ok(1),
            };
            sizes.iter().map(size).collect::<Result<_, _>>()?
        }
        (Some(sizes), Some(given)) => {
            let fits = |(size, &given): (&rten_onnx::onnx::Dimension, &usize)| {
                size.dim_value.is_none_or(|value| usize::try_from(value) == Ok(given))
            };
            if sizes.len() != given.len() || !sizes.iter().zip(given).all(fits) {
                let size = |size: &rten_onnx::onnx::Dimension| match (size.dim_value, &size.dim_param) {
                    (Some(value), _) => value.to_string(),
                    (None, Some(name)) => name.clone(),
                    (None, None) => "?".to_string(),
                };
                let sizes = sizes.iter().map(size).collect::<Vec<_>>().join(", ");
                return Err(format!("shape {given:?} does not fit the model's [{sizes}]"));
            }
            given.to_vec()
        }
    };
    arrays::elements(&shape).map_err(|_| format!("shape {shape:?} has too many elements"))?;
    Ok((shape, data_type))
}

const INTEGERS: [DataType; 9] = [
    DataType::BOOL,
    DataType::INT8,
    DataType::INT16,
    DataType::INT32,
    DataType::INT64,
    DataType::UINT8,
    DataType::UINT16,
    DataType::UINT32,
    DataType::UINT64,
];

/// The numbers that rows with a single 1 stand for.
fn numbers(context: &mut Context, tensor: &Tensor, rows: OneHot) -> Lowered<Tensor> {
    let axis = tensor.rank() - 1;
    context.charge(rows.len())?;
    let high = (0..rows.high()).map(|place| (place, (place * rows.low()) as f32));
    let low = (rows.high()..rows.len()).map(|place| (place, (place - rows.high()) as f32));
    let sum = context.combine(tensor, axis, &[high.chain(low).collect()])?;
    context.reshape(&sum, &tensor.shape[..axis])
}

/// Operators that move elements of their first input, or look at its shape alone: an input of integers may stay open.
const OPEN: [&str; 17] = [
    "Identity",
    "Reshape",
    "Flatten",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Expand",
    "Tile",
    "Shape",
    "Size",
    "Split",
    "Slice",
    "Gather",
    "GatherElements",
    "GatherND",
    "DepthToSpace",
    "SpaceToDepth",
];

impl Importer<'_> {
    /// A value that can be computed with: an input of integers as the numbers that they are.
    pub(super) fn plain(&mut self, value: Value) -> Lowered<Value> {
        let Value::Tokens { input, places } = value else { return Ok(value) };
        let plain = self.inputs.numbers(input, &mut self.context)?;
        let chosen = self.chosen(&plain, &places, &[])?;
        let is_boolean = self.inputs.list[input].data_type == DataType::BOOL;
        self.context.note_whole(chosen.id, if is_boolean { Whole::Boolean } else { Whole::Integer });
        self.context.note_typed(chosen.id);
        Ok(chosen.into())
    }

    /// Nodes that read a private input of integers: they decide its encoding. Others get the numbers that they are.
    pub(super) fn encoded(&mut self, call: &mut Call<'_>) -> Lowered<Option<Vec<Value>>> {
        let is_secret = |place: usize| call.input(place).is_some_and(Value::is_private);
        let value = match call.operator() {
            "Cast" if matches!(call.input(0), Some(Value::Tokens { .. })) => {
                let to = rules::target(call)?;
                let is_number = FLOATS.iter().any(|data_type| i64::from(data_type.0) == to);
                if !is_number && !rules::is_boolean(to) && !rules::is_narrow(to) {
                    return Ok(Some([call.required(0)?.clone()].into()));
                }
                None
            }
            "Gather" if is_secret(1) => {
                let (indices, table) = (call.required(1)?.clone(), call.required(0)?.clone());
                let table = self.table(table)?;
                let axis = arrays::axis(call.int("axis", 0)?, table.shape().len())?;
                Some(self.looked_up(&table, axis, &indices)?)
            }
            "GatherElements" if is_secret(1) => {
                let (table, indices) = (call.required(0)?.clone(), call.required(1)?.clone());
                let table = self.table(table)?;
                let axis = arrays::axis(call.int("axis", 0)?, table.shape().len())?;
                let Some(&classes) = table.shape().get(axis) else { return invalid("it has no axis") };
                let rows = self.rows_of(&indices, classes)?;
                let result = rules::elements_at(&mut self.context, &table, &rows, axis)?;
                Some(self.as_table(&table, result))
            }
            "GatherND" if is_secret(1) => Some(self.gathered(call)?),
            "ScatterElements" | "Scatter" if is_secret(1) => Some(self.scattered(call)?),
            "ScatterND" if is_secret(1) => Some(self.scattered_at(call)?),
            "OneHot" if is_secret(0) => Some(self.one_hot(call)?),
            "EmbedLayerNormalization" | "QEmbedLayerNormalization" => {
                if call.operator() == "QEmbedLayerNormalization" {
                    rules::real_tables(&mut self.context, call)?;
                }
                // The tables of the words and the segments.
                for (place, table) in [(0, 2), (1, 4)] {
                    let indices = call.inputs.get_mut(place).and_then(Option::take);
                    if let (Some(indices), Some(table)) = (indices, call.input(table).cloned()) {
                        call.inputs[place] = Some(match indices {
                            Value::Integer(places) => self.rows_at(&table, &places)?,
                            indices => self.looked_up(&table, 0, &indices)?,
                        });
                    }
                }
                None
            }
            operator if OPEN.contains(&operator) => None,
            _ => None,
        };
        if let Some(value) = value {
            return Ok(Some([value].into()));
        }
        let stays_open = OPEN.contains(&call.operator());
        for place in usize::from(stays_open)..call.inputs.len() {
            if let Some(value) = call.inputs[place].take() {
                call.inputs[place] = Some(self.plain(value)?);
            }
        }
        Ok(None)
    }
}
