//! A parsed ONNX file, before import.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mpc_nn::file::read_file;
use rten_onnx::onnx::{DataType, GraphProto, ModelProto, TensorProto, ValueInfoProto};
use zeroize::Zeroize;

use crate::error::OnnxError;
use crate::{functions, tensor, translate, wire};

/// The largest file that is read, in bytes: protobuf's own limit of 2 GiB.
pub const MAX_FILE: usize = (1 << 31) - 1;

/// The first version of the operators that is read.
pub const FIRST_OPSET: i64 = 1;
/// The last version of the operators that is read.
pub const LAST_OPSET: i64 = 28;

/// One size of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dimension {
    /// A size that the file fixes.
    Fixed(usize),
    /// A size that is chosen at import; its name may be empty.
    Symbolic(String),
}

/// An input or output as the file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name.
    pub name: String,
    /// ONNX's name of the element type, such as `FLOAT`.
    pub element_type: String,
    /// The sizes, if the file says any.
    pub shape: Option<Vec<Dimension>>,
}

/// A parsed ONNX file.
///
/// Weights in it are zeroised on drop.
pub struct OnnxFile {
    pub(crate) graph: GraphProto,
    pub(crate) opset: i64,
    /// Where files with further data lie.
    pub(crate) folder: Option<PathBuf>,
    /// The size of the file, which bounds what an import may allocate.
    pub(crate) size: usize,
    /// Whether a converter of classical models made it: what these declare of outputs' shapes is often not so.
    pub(crate) is_classical: bool,
    producer: String,
}

impl OnnxFile {
    /// Reads a file. Data in other files is read at import, and only from the file's own folder.
    ///
    /// # Errors
    /// A file that cannot be read, has more than [`MAX_FILE`] bytes or is not a complete model.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OnnxError> {
        let path = path.as_ref();
        let bytes = read_file(path, MAX_FILE)?;
        let mut file = Self::from_bytes(&bytes)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        file.folder = Some(folder.unwrap_or(Path::new(".")).to_path_buf());
        Ok(file)
    }

    /// Parses a file whose weights are all in it.
    ///
    /// # Errors
    /// Bytes that are not a complete model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OnnxError> {
        wire::check(bytes).map_err(|reason| OnnxError::Format { reason })?;
        let format = |reason| OnnxError::Format { reason };
        let translate::Translated { model, functions } = translate::translate(bytes).map_err(format)?;
        let model = ModelProto::parse_buf(&model).map_err(|error| format(error.to_string()))?;
        // A file without standard operators says no version of them; a model without versions is of the first.
        let opset = functions::standard_opset(&model).unwrap_or(match model.opset_import.is_empty() {
            // Before the format had versions of operators.
            true if model.ir_version.unwrap_or(0) < 3 => 1,
            true => 0,
            false => LAST_OPSET,
        });
        let is_classical = model.opset_import.iter().any(|set| set.domain.as_deref() == Some("ai.onnx.ml"))
            || matches!(model.producer_name.as_deref(), Some("skl2onnx" | "OnnxMLTools"));
        let producer = [model.producer_name.unwrap_or_default(), model.producer_version.unwrap_or_default()];
        let mut file = Self {
            graph: model.graph.ok_or(OnnxError::NoGraph)?,
            opset,
            folder: None,
            size: bytes.len(),
            is_classical,
            producer: producer.join(" ").trim().to_string(),
        };
        functions::inline(&mut file.graph, &functions, opset).map_err(format)?;
        Ok(file)
    }

    /// The tensors that the model's user provides, in order.
    #[must_use]
    pub fn inputs(&self) -> Vec<TensorInfo> {
        self.input_infos().map(|(name, info)| describe(name, info)).collect()
    }

    /// The tensors that the model gives, in order.
    #[must_use]
    pub fn outputs(&self) -> Vec<TensorInfo> {
        self.graph.output.iter().map(|info| describe(info.name.as_deref().unwrap_or_default(), info)).collect()
    }

    /// How often each operator occurs, subgraphs not counted.
    #[must_use]
    pub fn operators(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for node in &self.graph.node {
            *counts.entry(node.op_type.clone().unwrap_or_default()).or_default() += 1;
        }
        counts
    }

    /// The number of elements of all weights.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        let counts = self.graph.initializer.iter().filter_map(|weight| tensor::element_count(weight).ok());
        counts.fold(0, usize::saturating_add)
    }

    /// The version of the operators, 0 if the file names none.
    #[must_use]
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// The program that wrote the file, with its version.
    #[must_use]
    pub fn producer(&self) -> &str {
        &self.producer
    }

    /// The declared inputs that are not weights.
    pub(crate) fn input_infos(&self) -> impl Iterator<Item = (&str, &ValueInfoProto)> {
        let weights: BTreeSet<&str> =
            self.graph.initializer.iter().filter_map(|weight| weight.name.as_deref()).collect();
        let named = self.graph.input.iter().map(|info| (info.name.as_deref().unwrap_or_default(), info));
        named.filter(move |(name, _)| !weights.contains(name))
    }
}

fn describe(name: &str, info: &ValueInfoProto) -> TensorInfo {
    let tensor = info.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let data_type = tensor.and_then(|tensor| tensor.elem_type).unwrap_or(DataType(0));
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let dimension = |size: &rten_onnx::onnx::Dimension| match size.dim_value.map(usize::try_from) {
        Some(Ok(value)) => Dimension::Fixed(value),
        _ => Dimension::Symbolic(size.dim_param.clone().unwrap_or_default()),
    };
    TensorInfo {
        name: name.to_string(),
        element_type: data_type.name().map_or_else(|| format!("type {}", data_type.0), ToString::to_string),
        shape: shape.map(|shape| shape.dim.iter().map(dimension).collect()),
    }
}

fn zeroize(tensor: &mut TensorProto) {
    if let Some(data) = &tensor.raw_data {
        data.borrow_mut().zeroize();
    }
    tensor.float_data.zeroize();
    tensor.double_data.zeroize();
    tensor.int32_data.zeroize();
    tensor.int64_data.zeroize();
}

/// Wipes all numbers of a graph and of the graphs in it, which are nested as little as a file's check allows.
fn zeroize_graph(graph: &mut GraphProto) {
    graph.initializer.iter_mut().for_each(zeroize);
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        attribute.f.zeroize();
        attribute.floats.zeroize();
        attribute.t.iter_mut().for_each(zeroize);
        attribute.g.iter_mut().for_each(zeroize_graph);
    }
}

impl Drop for OnnxFile {
    fn drop(&mut self) {
        zeroize_graph(&mut self.graph);
    }
}

impl core::fmt::Debug for OnnxFile {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut fields = formatter.debug_struct("OnnxFile");
        fields.field("opset", &self.opset).field("producer", &self.producer).finish_non_exhaustive()
    }
}
