//! A tensor that the data owner provides.

use mpc_protocols::sharing;

use super::prelude::*;
use crate::plan::settings::Owner;
use crate::run::context::Input as Brought;

impl GraphBuilder {
    /// A tensor of the data owner's.
    ///
    /// # Errors
    /// A shape without elements or with too many; a name that is taken.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> Result<NodeId, GraphError> {
        self.push(name, Op::Input, vec![], shape.to_vec())
    }

    /// A tensor of whole numbers of the data owner's, such as rows with a single 1: layers open fewer bits of them. With a dealer
    /// the weights of such a layer have f fractional bits, as its result has, where others have 16 at least.
    ///
    /// # Errors
    /// As [`input`](Self::input).
    pub fn whole_input(&mut self, name: &str, shape: &[usize]) -> Result<NodeId, GraphError> {
        self.push(name, Op::WholeInput, vec![], shape.to_vec())
    }
}

pub(super) struct Input {
    pub(super) whole: bool,
}

impl Operation for Input {
    fn rebuild(&self, builder: &mut GraphBuilder, node: &Node) -> Result<NodeId, GraphError> {
        if self.whole {
            builder.whole_input(node.name(), node.shape())
        } else {
            builder.input(node.name(), node.shape())
        }
    }

    fn work(&self, _node: &Node, _input: &[usize]) -> Work {
        Work::LINEAR
    }

    fn clear(&self, x: &Clear<'_>) -> ArrayD<f32> {
        x.given().as_standard_layout().into_owned()
    }

    fn plan<R: Ring>(&self, walk: &mut Walk<'_, R>, node: &Node) -> Result<(Action, Format), PlanError> {
        let format = if self.whole { Number { scale: 0, divisor: 1.0 }.into() } else { walk.single() };
        Ok((Action::Share { input: walk.input_index(node) }, format))
    }
}

pub(super) struct ShareStep {
    pub(super) input: usize,
}

impl Protocol for ShareStep {
    fn kind(&self) -> &'static str {
        "input"
    }

    fn reads<R: Ring>(&self, _step: &Step, _operand: usize) -> u32 {
        0
    }

    fn needs(&self, _elements: usize) -> Needs {
        Needs::Nothing
    }

    fn online<R: Ring>(&self, _elements: usize, _width: u32, settings: &Settings, party: usize) -> Traffic {
        match settings.roles.input_owner(self.input) {
            Owner::Party(owner) => sharing::traffic(party, owner, settings.parties),
            Owner::Outside => Traffic::default(),
        }
    }

    fn workspace(&self, _operands: usize, elements: usize) -> usize {
        2 * elements
    }

    async fn run<R: Ring>(
        &self,
        run: &mut Run<'_, R>,
        step: &Step,
        _material: Material<R>,
    ) -> Result<ArithmeticShares<R>, Failure> {
        let brought = run.inputs.get_mut(self.input).and_then(Option::take);
        let (owner, secret) = match (run.settings.roles.input_owner(self.input), brought) {
            (Owner::Outside, Some(Brought::Share(share))) => return Ok(share.reshape(&step.shape)?),
            (Owner::Party(owner), Some(Brought::Secret(secret))) => (owner, Some(secret)),
            (Owner::Party(owner), None) => (owner, None),
            _ => return Err(Failure::NoValue),
        };
        let generator = run.generator.as_deref_mut().ok_or(Failure::NoValue)?;
        Ok(sharing::share(run.party, owner, &step.shape, secret.as_deref(), generator).await?)
    }

    fn ideal<R: Ring>(&self, ideal: Ideal<'_, R>, _step: &Step) -> Result<Vec<R>, Failure> {
        let secret = ideal.inputs.get_mut(self.input).and_then(Option::take);
        secret.map(|secret| secret.into_vec()).ok_or(Failure::NoValue)
    }
}
