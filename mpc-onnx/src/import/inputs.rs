//! The inputs of a network: made when something reads them, in the encoding that it needs.

use std::collections::{BTreeMap, BTreeSet};

use mpc_nn::{Encoding, Graph, NetworkInput};
use ndarray::ArrayD;
use rten_onnx::onnx::{DataType, ValueInfoProto};

use super::Importer;
use crate::arrays;
use crate::call::Call;
use crate::context::{Context, graph_shape};
use crate::error::{Lowered, Problem, Reason, invalid, unsupported};
use crate::file::OnnxFile;
use crate::shapes::InputShapes;
use crate::value::{Constant, Tensor, Value};

/// The declared inputs, and which of them have become inputs of the graph.
pub(super) struct Inputs {
    list: Vec<Input>,
    places: BTreeMap<String, usize>,
    known: Known,
    /// The inputs whose encoding turned out to have too few classes, with the number that they need.
    pub(super) wider: BTreeMap<String, usize>,
}

/// The facts that earlier attempts at an import have found out.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// The inputs that no output depends on.
    pub(super) unused: BTreeSet<String>,
    /// The least number of classes of inputs of integers.
    pub(super) classes: BTreeMap<String, usize>,
}

struct Input {
    name: String,
    shape: Vec<usize>,
    is_integer: bool,
    made: Option<(Tensor, Encoding)>,
    /// For each element of integers the least number of rows of the tables that it chooses from.
    limits: Vec<usize>,
}

impl Inputs {
    pub(super) fn new(file: &OnnxFile, shapes: &InputShapes, known: &Known) -> Result<Self, Vec<Reason>> {
        let mut reasons = Vec::new();
        let mut list = Vec::new();
        for (name, info) in file.input_infos() {
            match shape(name, info, shapes) {
                Ok((shape, data_type)) => {
                    let is_integer = !FLOATS.contains(&data_type);
                    list.push(Input { name: name.to_string(), shape, is_integer, made: None, limits: Vec::new() });
                }
                Err(reason) => reasons.push(Reason::InputShape { name: name.to_string(), reason }),
            }
        }
        let names = || file.input_infos().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        let declared: BTreeSet<String> = names().into_iter().collect();
        let unknown = shapes.names().filter(|name| !declared.contains(*name));
        reasons.extend(unknown.map(|name| Reason::UnknownInput { name: name.to_string(), inputs: names() }));
        let places = list.iter().enumerate().map(|(place, input)| (input.name.clone(), place)).collect();
        if !reasons.is_empty() {
            return Err(reasons);
        }
        Ok(Self { list, places, known: known.clone(), wider: BTreeMap::new() })
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The input as a value; floats become an input of the graph now, integers when it is known how they are read.
    pub(super) fn value(&mut self, name: &str, context: &mut Context) -> Lowered<Value> {
        let Some(&place) = self.places.get(name) else {
            return invalid(format!("nothing gives `{name}`"));
        };
        if self.list[place].is_integer {
            let shape = &self.list[place].shape;
            let elements = arrays::elements(shape)?;
            context.charge(elements)?;
            let all = arrays::from_elements(shape, (0..elements as i64).collect())?;
            return Ok(Value::tokens(place, all));
        }
        self.encoded(place, Encoding::Plain, context).map(Value::Node)
    }

    /// The input of the graph in an encoding.
    fn encoded(&mut self, place: usize, encoding: Encoding, context: &mut Context) -> Lowered<Tensor> {
        let input = &mut self.list[place];
        let encoding = match encoding {
            Encoding::OneHot(classes) => {
                Encoding::OneHot(classes.max(self.known.classes.get(&input.name).copied().unwrap_or(0)))
            }
            Encoding::Plain => Encoding::Plain,
        };
        if let Some((tensor, made)) = &input.made {
            match (*made, encoding) {
                (Encoding::OneHot(made), Encoding::OneHot(wanted)) if made < wanted => {
                    // The import starts again with so many classes.
                    let most = self.wider.entry(input.name.clone()).or_insert(wanted);
                    *most = wanted.max(*most);
                    return Err(Problem::Upstream);
                }
                (Encoding::OneHot(_), Encoding::OneHot(_)) | (Encoding::Plain, Encoding::Plain) => {
                    return Ok(tensor.clone());
                }
                _ => {}
            }
            return unsupported(format!("input `{}` is read in two encodings, {made:?} and {encoding:?}", input.name));
        }
        let mut shape = input.shape.clone();
        if let Encoding::OneHot(classes) = encoding {
            shape.push(classes);
        }
        let (graph_shape, name) = (graph_shape(&shape), input.name.clone());
        let id = if self.known.unused.contains(&name) {
            // No output depends on it: a placeholder that is left out of the graph in the end.
            context.builder.parameter(&name, &graph_shape)?
        } else {
            context.builder.input(&name, &graph_shape)?
        };
        let tensor = Tensor { id, shape };
        input.made = Some((tensor.clone(), encoding));
        Ok(tensor)
    }

    /// Notes that the elements at these places choose from a table of so many rows.
    fn limit(&mut self, input: usize, places: &ArrayD<i64>, classes: usize) {
        let Input { shape, limits, .. } = &mut self.list[input];
        limits.resize(shape.iter().product(), usize::MAX);
        for &place in places {
            if let Some(limit) = usize::try_from(place).ok().and_then(|place| limits.get_mut(place)) {
                *limit = classes.min(*limit);
            }
        }
    }

    /// The inputs of a finished graph, in its order.
    pub(super) fn of_graph(self, graph: &Graph) -> Vec<NetworkInput> {
        let find = |name: &str| self.places.get(name).map(|&place| &self.list[place]);
        let inputs = graph.inputs().iter().filter_map(|&id| {
            let input = find(graph.node(id).name())?;
            let encoding = input.made.as_ref().map_or(Encoding::Plain, |(_, encoding)| *encoding);
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

impl Importer<'_> {
    /// Nodes that read a private input of integers: they decide its encoding.
    pub(super) fn encoded(&mut self, call: &Call<'_>) -> Lowered<Option<Vec<Value>>> {
        let value = match (call.operator(), call.input(0), call.input(1)) {
            ("Cast", Some(Value::Tokens { input, places }), _) => {
                let floats = FLOATS.map(|data_type| i64::from(data_type.0));
                if floats.contains(&call.int("to", 1)?) {
                    let plain = self.inputs.encoded(*input, Encoding::Plain, &mut self.context)?;
                    self.chosen(&plain, places, &[])?.into()
                } else {
                    call.required(0)?.clone()
                }
            }
            ("Gather", Some(Value::Constant(table)), Some(Value::Tokens { input, places })) => {
                if call.int("axis", 0)? != 0 {
                    return unsupported("it looks tokens up along an axis that is not the first of its table");
                }
                self.embedding(table, *input, places)?.into()
            }
            _ => return Ok(None),
        };
        Ok(Some([value].into()))
    }

    /// The elements of an encoded input at these places; each has `inner` elements of its own.
    fn chosen(&mut self, encoded: &Tensor, places: &ArrayD<i64>, inner: &[usize]) -> Lowered<Tensor> {
        let shape = [places.shape(), inner].concat();
        let elements = encoded.len() / arrays::elements(inner)?.max(1);
        let all = places.iter().copied().eq(0..elements as i64);
        if all {
            return self.context.reshape(encoded, &shape);
        }
        let indices = places.iter().map(|&place| arrays::size(place)).collect::<Lowered<Vec<_>>>()?;
        let rows = self.context.reshape(encoded, &[&[elements], inner].concat())?;
        let rows = self.context.gather(&rows, 0, &indices)?;
        self.context.reshape(&rows, &shape)
    }

    /// Rows of a table by private numbers: the product of their one-hot encoding with it.
    fn embedding(&mut self, table: &Constant, input: usize, places: &ArrayD<i64>) -> Lowered<Tensor> {
        let table = table.array();
        let Some((&classes, row)) = table.shape().split_first() else {
            return invalid("its table is a scalar");
        };
        let features = arrays::elements(row)?;
        if classes == 0 || features == 0 {
            return Err(Problem::Invalid("its table is empty".to_string()));
        }
        let tokens = self.inputs.encoded(input, Encoding::OneHot(classes), &mut self.context)?;
        self.inputs.limit(input, places, classes);
        let Some(&encoded) = tokens.shape.last() else { return invalid("it has no classes") };
        let chosen = self.chosen(&tokens, places, &[encoded])?;
        self.context.charge(arrays::elements(&[encoded, features])?)?;
        // Of an input that chooses from several tables, the smaller ones have rows of zeros that nothing chooses.
        let table = arrays::pad(&arrays::reshape(table, &[classes, features])?, &[0, 0], &[encoded - classes, 0], 0.0)?;
        let rows = self.context.linear(&chosen, arrays::transpose(&table, &[1, 0]), None)?;
        let shape: Vec<usize> = places.shape().iter().chain(row).copied().collect();
        self.context.reshape(&rows, &shape)
    }
}
