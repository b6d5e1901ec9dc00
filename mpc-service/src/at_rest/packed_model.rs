//! Packed models: what everybody may know of a network in one file, and its weights in another.

mod encoding;
mod error;

use std::io::Read;
use std::path::Path;

use mpc_nn::file::{FileError, read_file};
use mpc_nn::plan::Variants;
use mpc_nn::{EncodingError, Graph, GraphLimits, Network, OneHot, Plan, Preprocessing, Weights};
use mpc_ring::{Ring, in_ring};
use mpc_transport::LinkSettings;
use ndarray::{ArrayD, IxDyn};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::at_rest::private_file::{check_private, write_private};
use crate::names::PlanDigest;
use crate::terms::{MAX_PUBLIC_BYTES, Terms, TermsError};

use encoding::Encoded;
pub use error::PackError;

const PUBLIC_MAGIC: &[u8; 8] = b"MPCPUB04";
const PRIVATE_MAGIC: &[u8; 8] = b"MPCPRV04";

/// An input or output of a network, by the name that it has in the model's own file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// The name.
    pub name: String,
    /// The shape in the model's own file; the graph's may have one axis more.
    pub shape: Vec<usize>,
    /// The rows that elements become, for integers that are given to the graph as such.
    pub rows: Option<OneHot>,
    /// Of such integers, for each the number that it must stay below, where that is less than the number of classes.
    pub limits: Vec<usize>,
}

/// The public part of a packed model: the network without its weights, and the terms of its use.
#[derive(Clone, Debug)]
pub struct PublicModel {
    /// The network; its outputs are what the terms reveal.
    pub graph: Graph,
    /// Its inputs, in the order of the graph's.
    pub inputs: Vec<Tensor>,
    /// Its outputs, in the order of the graph's.
    pub outputs: Vec<Tensor>,
    /// The computing parties, their precision, and the recipients of the result.
    pub terms: Terms,
}

/// The public part and the weights: the model owner's.
#[derive(Debug)]
pub struct PrivateModel {
    /// The public part.
    pub public: PublicModel,
    /// The weights.
    pub weights: Weights,
}

impl PublicModel {
    /// The public part of an imported network, on terms.
    ///
    /// # Errors
    /// [`PackError::Graph`] where the terms reveal a class of what is no classifier, [`PackError::Plan`] where there is
    /// no plan for them.
    pub fn new(network: &Network, terms: Terms) -> Result<Self, PackError> {
        let inputs = network.inputs.iter().map(|input| Tensor {
            name: input.name.clone(),
            shape: input.shape.clone(),
            rows: input.encoding.rows(),
            limits: input.limits.clone(),
        });
        let graph = terms.revealed_graph(&network.graph)?;
        // A class is that of the first output, and nothing is revealed of the others.
        let outputs = network.outputs.iter().take(graph.outputs().len()).map(|output| Tensor {
            name: output.name.clone(),
            shape: output.shape.clone(),
            rows: None,
            limits: Vec::new(),
        });
        let public = Self { graph, inputs: inputs.collect(), outputs: outputs.collect(), terms };
        public.digest()?;
        Ok(public)
    }

    /// The same with the variant of comparisons that is faster over a link, where a dealer deals while the parties compute.
    ///
    /// # Errors
    /// [`TermsError`].
    pub fn faster_over(mut self, link: LinkSettings) -> Result<Self, TermsError> {
        let (graph, settings, order) = (&self.graph, self.terms.settings()?, Preprocessing::Streamed);
        self.terms.comparisons =
            in_ring!(self.terms.ring, R => Variants::<R>::new(graph, settings, link, order).map(|both| both.faster()))?;
        Ok(self)
    }

    /// The plan of an inference in the ring of the terms, which `R` must be.
    ///
    /// # Errors
    /// [`TermsError`].
    pub fn plan<R: Ring>(&self) -> Result<Plan<R>, TermsError> {
        debug_assert_eq!(R::BITS, self.terms.ring.get());
        Ok(Plan::new(&self.graph, self.terms.settings()?)?)
    }

    /// The digest of the plan, which all parties compare.
    ///
    /// # Errors
    /// [`TermsError`].
    pub fn digest(&self) -> Result<PlanDigest, TermsError> {
        in_ring!(self.terms.ring, R => Ok(PlanDigest(self.plan::<R>()?.digest())))
    }

    /// The names of the inputs.
    #[must_use]
    pub fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(|input| input.name.clone()).collect()
    }

    /// The names of the outputs.
    #[must_use]
    pub fn output_names(&self) -> Vec<String> {
        self.outputs.iter().map(|output| output.name.clone()).collect()
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { graph, inputs, outputs, terms } = self.clone();
        let encoded = Encoded { graph: graph.to_bytes(), inputs, outputs, terms };
        postcard::to_extend(&encoded, PUBLIC_MAGIC.to_vec()).expect("models have no maps, so they always encode")
    }

    /// Reads what [`to_bytes`](Self::to_bytes) gives; `from` is named in errors. Anybody may have written it: the network
    /// must be within `limits`.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn from_bytes(bytes: &[u8], from: &str, limits: &GraphLimits) -> Result<Self, PackError> {
        let public = Self::decode(bytes, from, limits)?;
        public.digest()?;
        Ok(public)
    }

    /// As [`from_bytes`](Self::from_bytes), and makes no plan, which may take seconds: for what this side has checked before.
    pub(crate) fn decode(bytes: &[u8], from: &str, limits: &GraphLimits) -> Result<Self, PackError> {
        let wrong = |reason: String| PackError::Format { file: from.to_owned(), reason };
        let body = bytes.strip_prefix(PUBLIC_MAGIC).ok_or_else(|| wrong("it begins otherwise".to_owned()))?;
        let Encoded { graph, inputs, outputs, terms } = Encoded::read(body, from, limits)?;
        let graph = Graph::from_bytes(&graph, limits).map_err(|error| match error {
            EncodingError::TooLarge { .. } => PackError::TooLarge { file: from.to_owned(), source: Box::new(error) },
            error => wrong(error.to_string()),
        })?;
        let public = Self { graph, inputs, outputs, terms };
        encoding::check(&public).map_err(wrong)?;
        Ok(public)
    }

    /// Reads a file within the [`GraphLimits`] that are the default, as [`read_within`](Self::read_within) does.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn read(path: &Path) -> Result<Self, PackError> {
        Self::read_within(path, &GraphLimits::default())
    }

    /// Reads a file. The network must be within `limits`, as anybody may have written it, unless the private part lies beside
    /// it, in the file of the same name that ends in `.private`: then it is this side's own.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn read_within(path: &Path, limits: &GraphLimits) -> Result<Self, PackError> {
        let bytes = read_file(path, MAX_PUBLIC_BYTES)?;
        let limits = if is_own(path, &bytes) { GraphLimits::NONE } else { *limits };
        Self::from_bytes(&bytes, &path.display().to_string(), &limits)
    }
}

impl PrivateModel {
    /// An imported network, on terms.
    ///
    /// # Errors
    /// As for [`PublicModel::new`].
    pub fn new(network: Network, terms: Terms) -> Result<Self, PackError> {
        let public = PublicModel::new(&network, terms)?;
        Ok(Self { public, weights: network.weights })
    }

    /// The SHA-256 of the public part and the weights. It tells who has a guess of the weights whether it is right: it stays
    /// with their owner.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(&self.public.to_bytes());
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 << 16));
        for parameter in self.public.graph.parameters() {
            let tensor = self.weights.get(&parameter.name).expect("weights have all parameters of their graph");
            for value in tensor {
                if bytes.len() + 4 > bytes.capacity() {
                    context.update(&bytes);
                    bytes.clear();
                }
                bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
        context.update(&bytes);
        context.finish().as_ref().try_into().unwrap_or_else(|_| unreachable!("SHA-256 has 32 bytes"))
    }

    /// Writes a file, readable by its owner alone.
    ///
    /// # Errors
    /// [`PackError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), PackError> {
        let public = self.public.to_bytes();
        let parameters = self.public.graph.parameters();
        let elements: usize = parameters.iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum();
        // With room for all from the start, the buffer does not move and leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(16 + public.len() + 4 * elements));
        bytes.extend_from_slice(PRIVATE_MAGIC);
        bytes.extend_from_slice(&(public.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&public);
        for parameter in parameters {
            let tensor = self.weights.get(&parameter.name).expect("weights have all parameters of their graph");
            tensor.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        }
        Ok(write_private(path, &bytes)?)
    }

    /// Reads a file, which nobody else may be able to read.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn read(path: &Path) -> Result<Self, PackError> {
        check_private(path)?;
        let file = path.display().to_string();
        let wrong = |reason: &str| PackError::Format { file: file.clone(), reason: reason.to_owned() };
        let bytes = read_file(path, MAX_PRIVATE_BYTES)?;
        let body = bytes.strip_prefix(PRIVATE_MAGIC).ok_or_else(|| wrong("it begins otherwise"))?;
        let (length, body) = body.split_first_chunk().ok_or_else(|| wrong("cut short"))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (public, mut rest) = body.split_at_checked(length).ok_or_else(|| wrong("cut short"))?;
        let public = PublicModel::from_bytes(public, &file, &GraphLimits::NONE)?;
        let mut tensors = std::collections::BTreeMap::new();
        for parameter in public.graph.parameters() {
            let elements: usize = parameter.shape.iter().product();
            let (values, after) = rest.split_at_checked(4 * elements).ok_or_else(|| wrong("weights are missing"))?;
            let values = values.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let tensor = ArrayD::from_shape_vec(IxDyn(&parameter.shape), values).expect("as many elements");
            tensors.insert(parameter.name, tensor);
            rest = after;
        }
        let weights = Weights::for_graph(&public.graph, tensors)
            .map_err(|source| PackError::Weights { file: file.clone(), source })?;
        if rest.is_empty() { Ok(Self { public, weights }) } else { Err(wrong("bytes after its end")) }
    }
}

/// Whether the private part of a model lies beside its public part, which has these bytes.
fn is_own(path: &Path, public: &[u8]) -> bool {
    let Ok(mut file) = std::fs::File::open(path.with_extension("private")) else { return false };
    let expected = [PRIVATE_MAGIC, &(public.len() as u64).to_le_bytes()[..], public].concat();
    let mut begins = Vec::with_capacity(expected.len());
    let read = file.by_ref().take(expected.len() as u64).read_to_end(&mut begins);
    read.is_ok() && begins == expected
}

/// Whether a file is the private part of a packed model.
///
/// # Errors
/// [`PackError::File`].
pub fn is_private(path: &Path) -> Result<bool, PackError> {
    let failed =
        |error: std::io::Error| FileError::Read { path: path.display().to_string(), reason: error.to_string() };
    let mut magic = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(PRIVATE_MAGIC.len() as u64).read_to_end(&mut magic).map_err(failed)?;
    Ok(magic == PRIVATE_MAGIC)
}

/// The largest file of weights, in bytes: 2^30 parameters.
const MAX_PRIVATE_BYTES: usize = (4 << 30) + MAX_PUBLIC_BYTES;

#[cfg(test)]
mod tests {
    use mpc_nn::GraphBuilder;
    use tempfile::tempdir;

    use super::*;
    use crate::at_rest::private_file::DiskError;

    /// A network with a larger value than those of others may have.
    fn large() -> PrivateModel {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", &[1, (1 << 24) + 1]).unwrap();
        let y = builder.relu("y", x).unwrap();
        let graph = builder.finish(&[y]).unwrap();
        let weights = Weights::for_graph(&graph, std::collections::BTreeMap::new()).unwrap();
        PrivateModel::new(Network::new(graph, weights), Terms::default()).unwrap()
    }

    #[test]
    fn a_network_of_others_is_within_limits_and_ones_own_need_not_be() {
        let folder = tempdir().unwrap();
        let [public, private] = ["net.public", "net.private"].map(|name| folder.path().join(name));
        let model = large();
        std::fs::write(&public, model.public.to_bytes()).unwrap();
        assert!(matches!(PublicModel::read(&public), Err(PackError::TooLarge { .. })));
        model.write(&private).unwrap();
        assert!(PublicModel::read(&public).is_ok());
        // That of another model makes it nobody's own.
        let other = PublicModel { inputs: model.public.inputs.iter().cloned().map(renamed).collect(), ..model.public };
        std::fs::write(&public, other.to_bytes()).unwrap();
        assert!(matches!(PublicModel::read(&public), Err(PackError::TooLarge { .. })));
        let limits = GraphLimits::default().times(2);
        assert!(PublicModel::read_within(&public, &limits).is_ok());
    }

    #[test]
    fn rows_that_do_not_fit_the_network_are_refused() {
        let mut builder = GraphBuilder::new();
        let rows = OneHot::for_table(1000, 1).without_negative();
        let x = builder.whole_input("x", &[1, 2, rows.len()]).unwrap();
        let y = builder.relu("y", x).unwrap();
        let graph = builder.finish(&[y]).unwrap();
        let weights = Weights::for_graph(&graph, std::collections::BTreeMap::new()).unwrap();
        let mut network = Network::new(graph, weights);
        let read = |model: &PublicModel| PublicModel::from_bytes(&model.to_bytes(), "net", &GraphLimits::NONE);
        (network.inputs[0].shape, network.inputs[0].encoding) = (vec![1, 2], mpc_nn::Encoding::OneHot(rows));
        let model = PublicModel::new(&network, Terms::default()).unwrap();
        assert_eq!(read(&model).unwrap().inputs[0].rows, Some(rows));
        for other in [None, Some(OneHot::whole(1000)), Some(OneHot::whole(usize::MAX)), Some(OneHot::whole(0))] {
            let inputs = model.inputs.iter().map(|input| Tensor { rows: other, ..input.clone() }).collect();
            let error = read(&PublicModel { inputs, ..model.clone() }).unwrap_err();
            assert!(error.to_string().contains("has a shape that the network does not take"), "{error}");
        }
        // Of a second digit without places there is no encoding.
        let encoded = postcard::to_allocvec(&(1000usize, 0usize, true)).unwrap();
        assert!(postcard::from_bytes::<OneHot>(&encoded).is_err());
    }

    fn renamed(tensor: Tensor) -> Tensor {
        Tensor { name: "other".to_owned(), ..tensor }
    }

    #[cfg(unix)]
    #[test]
    fn weights_that_others_may_read_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempdir().unwrap();
        let path = folder.path().join("net.private");
        large().write(&path).unwrap();
        assert!(PrivateModel::read(&path).is_ok());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = PrivateModel::read(&path);
        assert!(matches!(refused, Err(PackError::Write(DiskError::Exposed { .. }))), "{refused:?}");
    }
}
