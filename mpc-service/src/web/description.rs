//! The public description that a page reads: everything of a model and its servers that the module in the browser needs.

use mpc_nn::plan::{Action, Format, Number};
use mpc_nn::{ENCODING_VERSION, Plan};
use mpc_ring::RingBits;
use serde::Serialize;

use super::envelope::WebKey;
use crate::at_rest::packed_model::PublicModel;
use crate::names::{Owner, PlanDigest};
use crate::terms::{RevealTo, TermsError, Topology};

/// Why a page cannot bring inputs to a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// A dealer that is not named.
    #[error("by the terms of this model a dealer makes the correlations: name it")]
    NoDealer,
    /// A dealer that is named for a model whose servers make their own correlations.
    #[error("a dealer is named, and by the terms of this model there is none: the two servers make the correlations")]
    NeedlessDealer,
    /// A model of which servers hold no shares.
    #[error("a page is for models that servers hold shares of: pack this one for that (outsourced)")]
    NotOutsourced,
    /// Another ring than the page's arithmetic is in.
    #[error("a page computes in the ring of 64 bits, and this model is in that of {bits}: pack it with 64 bits")]
    Ring {
        /// The bits of its ring.
        bits: u32,
    },
    /// A result that goes to others.
    #[error("a page is for models whose result goes to the data owner alone")]
    Recipients,
    /// Inputs of integers.
    #[error("the input `{input}` takes integers, and a page gives numbers")]
    Integers {
        /// The input.
        input: String,
    },
    /// More servers or fewer than the terms say.
    #[error("this model has {needed} servers, but {named} are named: name each, in the order of their parties")]
    Servers {
        /// How many there are.
        needed: usize,
        /// How many are named.
        named: usize,
    },
    /// One server in two places.
    #[error(
        "parties {first} and {second} have one key, and whoever has it would hold both shares: name the key that each prints"
    )]
    KeyTwice {
        /// The party of one.
        first: usize,
        /// That of the other one.
        second: usize,
    },
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] TermsError),
}

/// A server as a page reaches it.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    /// Where each of its machines is: `https://host:port`, without a slash at the end. One at `https://*.domain:port` is never
    /// called by itself: a machine may say that it has such a name.
    pub urls: Vec<String>,
    /// The key that its part is sealed to.
    #[serde(serialize_with = "as_text")]
    pub key: WebKey,
}

/// A tensor that a page gives.
#[derive(Clone, Debug, Serialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
}

/// A tensor that a page gets, and what its elements stand for.
#[derive(Clone, Debug, Serialize)]
struct Output {
    name: String,
    shape: Vec<usize>,
    format: OutputFormat,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum OutputFormat {
    /// The signed element over 2^scale, over the divisor; a magnitude of `bound` or more means nothing.
    Number { scale: u32, divisor: f64, bound: f64 },
    /// origin + step · (the lowest bits of the element).
    Index { bits: u32, origin: i64, step: i64 },
}

/// A model and its servers, for the module in the browser.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    version: u32,
    encoding: u16,
    plan: String,
    fractional_bits: u32,
    bound: f64,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    disclosure: String,
    dealer: Option<String>,
    model_owner: Option<String>,
    servers: Vec<Place>,
}

impl Description {
    /// The version of the description.
    const VERSION: u32 = 2;

    /// The description of a model at servers, in the order of their parties, with the fingerprint of the dealer that they work
    /// with, unless they make correlations themselves; `model_owner` is needed where several owners have left a model of one
    /// plan.
    ///
    /// # Errors
    /// [`DescriptionError`].
    pub fn new(
        model: &PublicModel,
        servers: Vec<Place>,
        dealer: Option<[u8; 32]>,
        model_owner: Option<Owner>,
    ) -> Result<Self, DescriptionError> {
        let terms = model.terms;
        if terms.setting != Topology::Outsourced {
            return Err(DescriptionError::NotOutsourced);
        }
        match (terms.has_dealer(), dealer) {
            (true, None) => return Err(DescriptionError::NoDealer),
            (false, Some(_)) => return Err(DescriptionError::NeedlessDealer),
            _ => {}
        }
        if terms.reveal_to != RevealTo::DataOwner {
            return Err(DescriptionError::Recipients);
        }
        if terms.ring != RingBits::Bits64 {
            return Err(DescriptionError::Ring { bits: terms.ring.get() });
        }
        if let Some(input) = model.inputs.iter().find(|input| input.rows.is_some()) {
            return Err(DescriptionError::Integers { input: input.name.clone() });
        }
        let (needed, named) = (terms.servers(), servers.len());
        if needed != named {
            return Err(DescriptionError::Servers { needed, named });
        }
        check_keys(&servers)?;
        let plan = model.plan::<u64>()?;
        let inputs = model.inputs.iter().zip(model.graph.inputs());
        let inputs = inputs
            .map(|(input, &node)| Input { name: input.name.clone(), shape: model.graph.node(node).shape().to_vec() });
        Ok(Self {
            version: Self::VERSION,
            encoding: ENCODING_VERSION,
            plan: PlanDigest(plan.digest()).to_string(),
            fractional_bits: terms.fractional_bits,
            bound: plan.settings().bound(),
            inputs: inputs.collect(),
            outputs: outputs(model, &plan),
            disclosure: terms.disclosure(),
            dealer: dealer.map(|dealer| Owner(dealer).to_string()),
            model_owner: model_owner.map(|owner| owner.to_string()),
            servers,
        })
    }

    /// The servers, in the order of their parties.
    #[must_use]
    pub fn servers(&self) -> &[Place] {
        &self.servers
    }
}

/// An error where two servers have one key.
fn check_keys(servers: &[Place]) -> Result<(), DescriptionError> {
    for (second, server) in servers.iter().enumerate() {
        if let Some(first) = servers[..second].iter().position(|other| other.key == server.key) {
            return Err(DescriptionError::KeyTwice { first, second });
        }
    }
    Ok(())
}

/// The revealed values, in the order of the outputs.
fn outputs(model: &PublicModel, plan: &Plan<u64>) -> Vec<Output> {
    let revealed = plan.steps().iter().filter(|step| matches!(step.action, Action::Reveal { .. }));
    let named = model.outputs.iter().zip(revealed);
    let described = named.map(|(output, step)| Output {
        name: output.name.clone(),
        shape: step.shape.clone(),
        format: match step.format {
            Format::Number(Number { scale, divisor }) => {
                OutputFormat::Number { scale, divisor, bound: plan.bound(step.node) }
            }
            Format::Index(index) | Format::Ranked(index) => {
                OutputFormat::Index { bits: index.bits, origin: index.origin, step: index.step }
            }
            _ => unreachable!("there are no other formats"),
        },
    });
    described.collect()
}

fn as_text<S: serde::Serializer>(key: &WebKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mpc_nn::{GraphBuilder, Network, Weights};

    use super::*;
    use crate::terms::Terms;

    #[test]
    fn two_servers_of_one_key_are_refused() {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", &[1, 2]).unwrap();
        let y = builder.relu("y", x).unwrap();
        let graph = builder.finish(&[y]).unwrap();
        let weights = Weights::for_graph(&graph, BTreeMap::new()).unwrap();
        let terms = Terms { setting: Topology::Outsourced, parties: 3, ..Terms::default() };
        let model = PublicModel::new(&Network::new(graph, weights), terms).unwrap();
        let described = |keys: [u8; 3]| {
            let place = |key: u8| Place { urls: vec![format!("https://{key}.example")], key: WebKey([key; 32]) };
            Description::new(&model, keys.map(place).to_vec(), Some([9; 32]), None)
        };
        assert!(described([1, 2, 3]).is_ok());
        let refused = described([1, 2, 1]);
        assert!(matches!(refused, Err(DescriptionError::KeyTwice { first: 0, second: 2 })), "{refused:?}");
    }
}
