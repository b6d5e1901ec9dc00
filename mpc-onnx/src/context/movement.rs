//! Moving elements: free for every kind of value, written once for all of them.

use mpc_nn::GraphBuilder;

use super::{Context, Movement, Origin, Whole, graph_shape};
use crate::arrays;
use crate::error::{Lowered, invalid, unsupported};
use crate::value::{Tensor, Value};

/// Applies a movement to whatever kind of value it is.
macro_rules! moved {
    ($self:ident, $value:expr, $array:ident => $public:expr, $tensor:ident => $private:expr) => {
        match $value {
            Value::Integer(array) => {
                let $array = array.as_ref();
                let moved: Lowered<_> = $public;
                let moved = moved?;
                $self.charge(moved.len())?;
                Ok(Value::integer(moved))
            }
            Value::Constant(constant) => {
                let $array = constant.array();
                let moved: Lowered<_> = $public;
                let moved = moved?;
                $self.charge(moved.len())?;
                Ok(Value::constant(moved))
            }
            Value::Node($tensor) => $private.map(Value::Node),
            Value::Tokens { input, places } => {
                let $array = places.as_ref();
                let moved: Lowered<_> = $public;
                let moved = moved?;
                $self.charge(moved.len())?;
                Ok(Value::tokens(*input, moved))
            }
        }
    };
}

impl Context {
    pub(crate) fn reshape_value(&mut self, value: &Value, shape: &[usize]) -> Lowered<Value> {
        if arrays::elements(value.shape())? != arrays::elements(shape)? {
            return invalid(format!("shape {:?} cannot become {shape:?}", value.shape()));
        }
        moved!(self, value, array => arrays::reshape(array, shape), tensor => self.reshape(tensor, shape))
    }

    pub(crate) fn transpose_value(&mut self, value: &Value, permutation: &[usize]) -> Lowered<Value> {
        let mut sorted = permutation.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..value.shape().len()) {
            return invalid("its permutation is not one of the axes");
        }
        moved!(self, value, array => Ok(arrays::transpose(array, permutation)),
            tensor => self.transpose(tensor, permutation))
    }

    pub(crate) fn gather_value(&mut self, value: &Value, axis: usize, indices: &[usize]) -> Lowered<Value> {
        let mut shape = value.shape().to_vec();
        if axis >= shape.len() || indices.iter().any(|&index| index >= shape[axis]) {
            return invalid("an index is outside its tensor");
        }
        shape[axis] = indices.len();
        arrays::elements(&shape)?;
        if indices.is_empty() && value.is_private() {
            // Nothing of it is private: only a concatenation can make use of it.
            return Ok(Value::constant(ndarray::ArrayD::zeros(shape)));
        }
        moved!(self, value, array => Ok(arrays::gather(array, axis, indices)),
            tensor => self.gather(tensor, axis, indices))
    }

    pub(crate) fn expand_value(&mut self, value: &Value, shape: &[usize]) -> Lowered<Value> {
        let full = arrays::broadcast_shape(value.shape(), shape)?;
        self.charge_public(value, &full)?;
        moved!(self, value, array => arrays::broadcast(array, &full), tensor => self.expand(tensor, &full))
    }

    /// Checks that a public value of that shape may be made.
    fn charge_public(&mut self, value: &Value, shape: &[usize]) -> Lowered<()> {
        let elements = arrays::elements(shape)?;
        if value.is_private() { Ok(()) } else { self.charge(elements) }
    }

    /// Zeros around a value.
    pub(crate) fn pad_value(&mut self, value: &Value, before: &[usize], after: &[usize]) -> Lowered<Value> {
        let padded = |axis: usize| value.shape()[axis].saturating_add(before[axis]).saturating_add(after[axis]);
        let shape: Vec<usize> = (0..value.shape().len()).map(padded).collect();
        self.charge_public(value, &shape)?;
        match value {
            Value::Integer(array) => arrays::pad(array, before, after, 0).map(Value::integer),
            Value::Constant(constant) => arrays::pad(constant.array(), before, after, 0.0).map(Value::constant),
            Value::Node(tensor) => self.pad(tensor, before, after).map(Value::Node),
            Value::Tokens { .. } => unsupported("it pads a private input of integers"),
        }
    }

    /// Values one after the other along an axis.
    pub(crate) fn concat_values(&mut self, values: &[Value], axis: usize) -> Lowered<Value> {
        let Some(first) = values.first() else { return invalid("it has no input") };
        let mut total = first.shape().to_vec();
        for value in &values[1..] {
            let shape = value.shape();
            let fits = |i: usize| i == axis || shape[i] == total[i];
            if axis >= total.len() || shape.len() != total.len() || !(0..total.len()).all(fits) {
                return invalid("its inputs have shapes that cannot be joined");
            }
            total[axis] = total[axis].saturating_add(shape[axis]);
        }
        let total = arrays::elements(&total)?;
        if values.iter().any(Value::is_private) {
            return self.concat_private(values, axis).map(Value::Node);
        }
        self.charge(total)?;
        let integers: Option<Vec<_>> = values
            .iter()
            .map(|value| if let Value::Integer(array) = value { Some(array.as_ref().clone()) } else { None })
            .collect();
        match integers {
            Some(arrays) => arrays::concat(axis, &arrays).map(Value::integer),
            None => {
                let constants = values.iter().map(super::real).collect::<Lowered<Vec<_>>>()?;
                let arrays: Vec<_> = constants.iter().map(|constant| constant.array().clone()).collect();
                arrays::concat(axis, &arrays).map(Value::constant)
            }
        }
    }

    fn concat_private(&mut self, values: &[Value], axis: usize) -> Lowered<Tensor> {
        let mut parts = Vec::new();
        let mut shape: Option<Vec<usize>> = None;
        for value in values.iter().filter(|value| value.shape().iter().all(|&size| size > 0)) {
            let part = self.tensor_of(value)?;
            match &mut shape {
                Some(shape) => shape[axis] += part.shape[axis],
                None => shape = Some(part.shape.clone()),
            }
            parts.push(part);
        }
        match (parts.as_slice(), shape) {
            ([part], _) => Ok(part.clone()),
            (parts, Some(shape)) => self.concat(parts, axis, &shape),
            _ => unsupported("its result has no elements"),
        }
    }

    fn concat(&mut self, parts: &[Tensor], axis: usize, shape: &[usize]) -> Lowered<Tensor> {
        let ids: Vec<_> = parts.iter().map(|part| part.id).collect();
        let y = self.emit("concat", shape, |builder, name| builder.concat(name, &ids, axis))?;
        Ok(self.made_of(parts, y))
    }

    /// Joins tensors that agree in every axis but one.
    pub(crate) fn join(&mut self, parts: &[Tensor], axis: usize) -> Lowered<Tensor> {
        self.concat_private(&parts.iter().cloned().map(Value::Node).collect::<Vec<_>>(), axis)
    }

    /// A value as a node: a constant becomes a private parameter.
    pub(crate) fn tensor_of(&mut self, value: &Value) -> Lowered<Tensor> {
        match value {
            Value::Node(tensor) => Ok(tensor.clone()),
            Value::Tokens { .. } => unsupported("it takes a private input of integers"),
            public => {
                let constant = super::real(public)?;
                let y = self.parameter(constant.array())?;
                if let Value::Integer(_) = public {
                    self.note_whole(y.id, Whole::Integer);
                    self.note_typed(y.id);
                }
                Ok(y)
            }
        }
    }

    pub(crate) fn reshape(&mut self, x: &Tensor, shape: &[usize]) -> Lowered<Tensor> {
        let (from, to) = (graph_shape(&x.shape), graph_shape(shape));
        if from == to {
            return Ok(Tensor { id: x.id, shape: shape.to_vec() });
        }
        let y = self.moved_once(x, Movement::Reshape(to.clone()), shape, |context| {
            context.emit("reshape", shape, |builder, name| builder.reshape(name, x.id, &to))
        })?;
        self.reshaped.insert(y.id, self.unshaped(x));
        if let Some(exponents) = self.exponents.get(&x.id).cloned() {
            self.exponents.insert(y.id, exponents);
            self.note(y.id, Origin::SumOfExponentials);
        }
        if self.origin(x.id) == Some(Origin::SquaredNorm) {
            self.note(y.id, Origin::SquaredNorm);
        }
        if let Some(rows) = self.rows(x.id).cloned() {
            self.note_rows(y.id, rows);
        }
        Ok(self.moved_as(x, y))
    }

    pub(crate) fn transpose(&mut self, x: &Tensor, permutation: &[usize]) -> Lowered<Tensor> {
        let shape: Vec<usize> = permutation.iter().map(|&axis| x.shape[axis]).collect();
        let moving = permutation.iter().copied().filter(|&axis| x.shape[axis] > 1);
        // Axes of size 1 may move without moving an element.
        if moving.is_sorted() {
            return self.reshape(x, &shape);
        }
        let y = self.moved_once(x, Movement::Transpose(permutation.to_vec()), &shape, |context| {
            context.emit("transpose", &shape, |builder, name| builder.transpose(name, x.id, permutation))
        })?;
        Ok(self.moved_as(x, y))
    }

    /// The node that `make` makes of x, or that it has made before.
    fn moved_once(
        &mut self,
        x: &Tensor,
        movement: Movement,
        shape: &[usize],
        make: impl FnOnce(&mut Self) -> Lowered<Tensor>,
    ) -> Lowered<Tensor> {
        let key = (x.id, movement);
        if let Some(&id) = self.movements.get(&key) {
            return Ok(Tensor { id, shape: shape.to_vec() });
        }
        let y = make(self)?;
        self.movements.insert(key, y.id);
        Ok(y)
    }

    /// Exchanges the last two axes.
    pub(crate) fn transpose_last(&mut self, x: &Tensor) -> Lowered<Tensor> {
        let mut permutation: Vec<usize> = (0..x.rank()).collect();
        permutation.swap(x.rank() - 2, x.rank() - 1);
        self.transpose(x, &permutation)
    }

    pub(crate) fn gather(&mut self, x: &Tensor, axis: usize, indices: &[usize]) -> Lowered<Tensor> {
        if indices.iter().copied().eq(0..x.shape[axis]) {
            return Ok(x.clone());
        }
        if indices.is_empty() {
            return unsupported("its result has no elements");
        }
        self.charge(indices.len())?;
        let mut shape = x.shape.clone();
        shape[axis] = indices.len();
        let (first, last) = (indices[0], indices[indices.len() - 1]);
        let step = indices.get(1).map_or(1, |second| second.saturating_sub(first));
        if step > 0 && indices.windows(2).all(|pair| pair[1] == pair[0] + step) {
            let mut start = vec![0; x.rank()];
            let (mut stop, mut steps) = (x.shape.clone(), vec![1; x.rank()]);
            (start[axis], stop[axis], steps[axis]) = (first, last + 1, step);
            let slice = |builder: &mut GraphBuilder, name: &str| builder.slice(name, x.id, &start, &stop, &steps);
            let y = self.emit("slice", &shape, slice)?;
            return Ok(self.moved_as(x, y));
        }
        let y = self.emit("gather", &shape, |builder, name| builder.gather(name, x.id, axis, indices))?;
        Ok(self.moved_as(x, y))
    }

    /// y, whose elements are those of x: ranked, whole and integers where they are.
    fn moved_as(&mut self, x: &Tensor, y: Tensor) -> Tensor {
        if self.is_ranked(x.id) {
            self.note_ranked(y.id);
        }
        if let Some(whole) = self.whole(x.id) {
            self.note_whole(y.id, whole);
        }
        if self.is_typed(x.id) {
            self.note_typed(y.id);
        }
        if self.exact.contains(&x.id) {
            self.exact.insert(y.id);
        }
        y
    }

    /// The same values as integers, or as floats: another node if it is not of these, as nodes are what that is noted of.
    pub(crate) fn retyped(&mut self, x: &Tensor, is_integer: bool) -> Lowered<Tensor> {
        if self.is_typed(x.id) == is_integer {
            return Ok(x.clone());
        }
        self.once(x, |context, x| {
            let (shape, part) = (graph_shape(&x.shape), if is_integer { "integers" } else { "float" });
            let y = context.emit(part, &x.shape, |builder, name| builder.reshape(name, x.id, &shape))?;
            if let Some(rows) = context.rows(x.id).cloned() {
                context.note_rows(y.id, rows);
            }
            if let Some(origin) = context.origin(x.id) {
                context.note(y.id, origin);
            }
            let y = context.moved_as(x, y);
            context.set_typed(y.id, is_integer);
            Ok(y)
        })
    }

    /// y, made of elements of several values: whole and integers where all of them are.
    pub(crate) fn made_of(&mut self, parts: &[Tensor], y: Tensor) -> Tensor {
        let whole = parts.iter().try_fold(Whole::Boolean, |all, part| Some(all.max(self.whole(part.id)?)));
        if let Some(whole) = whole {
            self.note_whole(y.id, whole);
        }
        if parts.iter().all(|part| self.is_typed(part.id)) {
            self.note_typed(y.id);
        }
        y
    }

    /// The positions `start` to `stop` of an axis.
    pub(crate) fn slice(&mut self, x: &Tensor, axis: usize, start: usize, stop: usize) -> Lowered<Tensor> {
        let indices = self.range(start, stop)?;
        self.gather(x, axis, &indices)
    }

    /// The positions `start` to `stop`, counted as memory.
    pub(crate) fn range(&mut self, start: usize, stop: usize) -> Lowered<Vec<usize>> {
        self.charge(stop.saturating_sub(start))?;
        Ok((start..stop).collect())
    }

    pub(crate) fn pad(&mut self, x: &Tensor, before: &[usize], after: &[usize]) -> Lowered<Tensor> {
        if before.iter().chain(after).all(|&count| count == 0) {
            return Ok(x.clone());
        }
        let padded = |axis: usize| x.shape[axis].saturating_add(before[axis]).saturating_add(after[axis]);
        let shape: Vec<usize> = (0..x.rank()).map(padded).collect();
        self.emit("pad", &shape, |builder, name| builder.pad(name, x.id, before, after))
    }

    /// Repeats axes of size 1, and adds axes in front, up to `shape`, which x broadcasts to.
    pub(crate) fn expand(&mut self, x: &Tensor, shape: &[usize]) -> Lowered<Tensor> {
        let source = self.reshape(x, &arrays::aligned(&x.shape, shape.len()))?;
        let mut y = source.clone();
        for (axis, &size) in shape.iter().enumerate() {
            if size == 0 {
                return unsupported("its result has no elements");
            }
            if y.shape[axis] == 1 && size > 1 {
                self.charge(size)?;
                y = self.gather(&y, axis, &vec![0; size])?;
            }
        }
        if y.id != source.id {
            self.repeats.insert(y.id, source);
        }
        Ok(y)
    }

    /// The value that x repeats along axes, with size 1 there, or x itself.
    pub(crate) fn source(&self, x: &Tensor) -> Tensor {
        let mut source = x;
        while let Some(repeated) = self.repeats.get(&source.id).filter(|repeated| repeated.rank() == x.rank()) {
            source = repeated;
        }
        source.clone()
    }

    /// The value that x is a reshape of, or x itself.
    pub(super) fn unshaped(&self, x: &Tensor) -> Tensor {
        self.reshaped.get(&x.id).unwrap_or(x).clone()
    }

    /// A result of each element, made once of what x repeats.
    pub(crate) fn once(
        &mut self,
        x: &Tensor,
        make: impl FnOnce(&mut Self, &Tensor) -> Lowered<Tensor>,
    ) -> Lowered<Tensor> {
        let source = self.source(x);
        let y = make(self, &source)?;
        self.expand(&y, &x.shape)
    }
}
