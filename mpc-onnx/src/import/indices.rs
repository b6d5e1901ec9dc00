//! Tables, and what private indices choose from them: products with rows that have a single 1.

use mpc_protocols::function::Function;
use ndarray::ArrayD;

use super::Importer;
use super::inputs::Wanted;
use crate::arrays;
use crate::call::Call;
use crate::context::{Whole, real};
use crate::error::{Lowered, Problem, invalid};
use crate::rules;
use crate::value::{Constant, Tensor, Value, vector};

fn as_real(value: Value) -> Lowered<Value> {
    if value.is_private() { Ok(value) } else { real(&value).map(Value::Constant) }
}

impl Importer<'_> {
    /// Rows with a single 1 for private indices below `classes`, in a last axis of their own.
    pub(super) fn rows_of(&mut self, indices: &Value, classes: usize) -> Lowered<Tensor> {
        match indices {
            Value::Tokens { input, places } => {
                let (tokens, made) = self.inputs.rows(*input, Wanted { classes, features: None }, &mut self.context)?;
                self.inputs.limit(*input, places, classes);
                let rows = self.chosen(&tokens, places, &[made.len()])?;
                let axis = rows.rank() - 1;
                // Of an input that chooses from several tables, nothing chooses beyond the smaller ones.
                self.context.slice(&rows, axis, 0, classes)
            }
            Value::Node(x) => rules::one_hot_rows(&mut self.context, x, classes),
            _ => invalid("its indices are public"),
        }
    }

    /// Rows of a table at public places, as a value that can be computed with.
    pub(super) fn rows_at(&mut self, table: &Value, places: &ArrayD<i64>) -> Lowered<Value> {
        let size = table.shape().first().copied().unwrap_or(0);
        let chosen = places.iter().map(|&place| rules::place(place, size)).collect::<Lowered<Vec<_>>>()?;
        let rows = self.context.gather_value(table, 0, &chosen)?;
        let shape = [places.shape(), table.shape().get(1..).unwrap_or_default()].concat();
        let rows = self.context.reshape_value(&rows, &shape)?;
        self.context.tensor_of(&rows).map(Value::Node)
    }

    /// Entries of a table along an axis by private indices.
    pub(super) fn looked_up(&mut self, table: &Value, axis: usize, indices: &Value) -> Lowered<Value> {
        let shape = table.shape().to_vec();
        let classes = shape[axis];
        if arrays::elements(&shape)? == 0 {
            return Err(Problem::Invalid("its table is empty".to_string()));
        }
        if let (Value::Integer(_) | Value::Constant(_), Value::Tokens { input, places }, 0) = (table, indices, axis) {
            let result = self.embedding(&real(table)?, *input, places)?;
            return Ok(self.as_table(table, result));
        }
        let rows = self.rows_of(indices, classes)?;
        let count: usize = rows.shape[..rows.rank() - 1].iter().product();
        let flat = self.context.reshape(&rows, &[count, classes])?;
        let mut permutation: Vec<usize> = (0..shape.len()).filter(|&other| other != axis).collect();
        permutation.insert(0, axis);
        let moved = self.context.transpose_value(table, &permutation)?;
        let moved = self.context.reshape_value(&moved, &[classes, arrays::elements(&shape)? / classes])?;
        let product = rules::product(&mut self.context, &flat.into(), &as_real(moved)?)?;
        // [indices, others] to the others in front of the axis, the indices, the others behind it.
        let others = (0..shape.len()).filter(|&other| other != axis).map(|other| shape[other]);
        let split: Vec<usize> = indices.shape().iter().copied().chain(others).collect();
        let split = self.context.reshape(&product, &split)?;
        let inner = indices.shape().len();
        let order: Vec<usize> =
            (inner..inner + axis).chain(0..inner).chain(inner + axis..inner + shape.len() - 1).collect();
        let result = self.context.transpose(&split, &order)?;
        Ok(self.as_table(table, result))
    }

    /// Entries of a table of whole numbers are whole.
    pub(super) fn as_table(&mut self, table: &Value, result: Tensor) -> Value {
        let whole = match table {
            Value::Integer(_) => Some(Whole::Integer),
            Value::Node(x) => self.context.whole(x.id),
            _ => None,
        };
        if let Some(whole) = whole {
            self.context.note_whole(result.id, whole);
        }
        if let Value::Node(x) = table
            && let Some(own) = self.context.quantisation(x.id).filter(|own| own.is_uniform()).cloned()
        {
            self.context.note_quantisation(result.id, own);
        }
        if matches!(table, Value::Integer(_)) || matches!(table, Value::Node(x) if self.context.is_typed(x.id)) {
            self.context.note_typed(result.id);
        }
        result.into()
    }

    /// GatherND at private places: each is one number for all axes that it is a place of.
    pub(super) fn gathered(&mut self, call: &Call<'_>) -> Lowered<Value> {
        let table = self.table(call.required(0)?.clone())?;
        let indices = call.required(1)?.clone();
        let batch_axes = arrays::size(call.int("batch_dims", 0)?)?;
        let (shape, places) = (table.shape().to_vec(), indices.shape().to_vec());
        let Some((&depth, places)) = places.split_last() else { return invalid("its indices are a scalar") };
        let fits = batch_axes <= places.len() && batch_axes.saturating_add(depth) <= shape.len();
        if depth == 0 || !fits || shape[..batch_axes] != places[..batch_axes] {
            return invalid("its indices do not fit its input");
        }
        let (batches, rest) = shape.split_at(batch_axes);
        let (sizes, row) = rest.split_at(depth);
        let [batch, classes, features] = [arrays::elements(batches)?, arrays::elements(sizes)?, arrays::elements(row)?];
        let count = arrays::elements(&places[batch_axes..])?;
        let indices = if depth == 1 { indices } else { self.row_major(indices, sizes)?.into() };
        let indices = self.context.reshape_value(&indices, &[batch, count])?;
        let tables = self.context.reshape_value(&table, &[batch, classes, features])?;
        let mut parts = Vec::new();
        for sample in 0..batch {
            let own = self.context.gather_value(&tables, 0, &[sample])?;
            let own = self.context.reshape_value(&own, &[classes, features])?;
            let at = self.context.gather_value(&indices, 0, &[sample])?;
            let at = self.context.reshape_value(&at, &[count])?;
            parts.push(self.looked_up(&own, 0, &at)?);
        }
        let all = self.context.concat_values(&parts, 0)?;
        let all = self.context.tensor_of(&all)?;
        let result = self.context.reshape(&all, &[places, row].concat())?;
        Ok(self.as_table(&table, result))
    }

    /// The places in row-major order that private indices of several axes stand for, those below 0 counted from the end.
    fn row_major(&mut self, indices: Value, sizes: &[usize]) -> Lowered<Tensor> {
        let indices = self.plain(indices)?;
        let x = self.context.tensor_of(&indices)?;
        let upper = self.context.offset(&x, 0.5)?;
        let is_upper = self.context.function(&upper, Function::Step)?;
        let own = vector(sizes.iter().map(|&size| size as f32).collect());
        let lower = self.context.scale_by(&is_upper, &own.mapv(|size| -size))?;
        let lower = self.context.offset_by(&lower, &own)?;
        let x = self.context.add(&x, &lower)?;
        let stride = |axis: usize| sizes[axis + 1..].iter().product::<usize>() as f32;
        let row = (0..sizes.len()).map(|axis| (axis, stride(axis))).collect();
        self.context.combine(&x, x.rank() - 1, &[row])
    }

    /// ScatterElements at private places.
    pub(super) fn scattered(&mut self, call: &Call<'_>) -> Lowered<Value> {
        let data = self.plain(call.required(0)?.clone())?;
        let updates = self.plain(call.required(2)?.clone())?;
        let axis = arrays::axis(call.int("axis", 0)?, data.shape().len())?;
        let rows = self.rows_of(call.required(1)?, data.shape()[axis])?;
        let result = rules::scatter_at_rows(&mut self.context, call, [&data, &updates], &rows, axis)?;
        Ok(self.as_scattered(&data, &updates, result))
    }

    /// The result of a scatter is typed as its data, unless the updates are real numbers.
    fn as_scattered(&mut self, data: &Value, updates: &Value, result: Tensor) -> Value {
        match updates {
            Value::Constant(_) => result.into(),
            Value::Node(x) if !self.context.is_typed(x.id) => result.into(),
            _ => self.as_table(data, result),
        }
    }

    /// ScatterND at private places: each is one number for all axes that it is a place of.
    pub(super) fn scattered_at(&mut self, call: &Call<'_>) -> Lowered<Value> {
        let data = self.plain(call.required(0)?.clone())?;
        let updates = self.plain(call.required(2)?.clone())?;
        let indices = call.required(1)?.clone();
        let (shape, places) = (data.shape().to_vec(), indices.shape().to_vec());
        let Some((&depth, places)) = places.split_last() else { return invalid("its indices are a scalar") };
        if depth == 0 || depth > shape.len() || updates.shape() != [places, &shape[depth..]].concat() {
            return invalid("its updates do not fit its indices");
        }
        let (sizes, row) = shape.split_at(depth);
        let [classes, features] = [arrays::elements(sizes)?, arrays::elements(row)?];
        let count = arrays::elements(places)?;
        let indices = if depth == 1 { indices } else { self.row_major(indices, sizes)?.into() };
        let indices = self.context.reshape_value(&indices, &[count])?;
        let rows = self.rows_of(&indices, classes)?;
        // Each element of an update goes to the place of its row.
        let rows = self.context.reshape(&rows, &[count, 1, classes])?;
        let rows = self.context.expand(&rows, &[count, features, classes])?;
        let flat = self.context.reshape_value(&data, &[classes, features])?;
        let flat_updates = self.context.reshape_value(&updates, &[count, features])?;
        let result = rules::scatter_at_rows(&mut self.context, call, [&flat, &flat_updates], &rows, 0)?;
        let result = self.context.reshape(&result, &shape)?;
        Ok(self.as_scattered(&data, &updates, result))
    }

    /// One-hot rows of private indices.
    pub(super) fn one_hot(&mut self, call: &Call<'_>) -> Lowered<Value> {
        let depth = call.constant(1)?;
        let classes = match depth.array().as_slice() {
            Some(&[depth]) if depth >= 1.0 => depth as usize,
            _ => return invalid("its depth is not one positive number"),
        };
        let values = call.constant(2)?;
        let &[off, on] = values.array().as_slice().unwrap_or_default() else { return invalid("it needs two values") };
        let indices = call.required(0)?.clone();
        let axis = arrays::axis(call.int("axis", -1)?, indices.shape().len() + 1)?;
        let rows = self.rows_of(&indices, classes)?;
        let scaled = self.context.scale(&rows, on - off)?;
        let rows = self.context.offset(&scaled, off)?;
        let mut permutation: Vec<usize> = (0..rows.rank() - 1).collect();
        permutation.insert(axis, rows.rank() - 1);
        let result = self.context.transpose(&rows, &permutation)?;
        let is_integer = matches!(call.input(2), Some(Value::Integer(_)));
        let result = self.context.retyped(&result, is_integer)?;
        if is_integer {
            self.context.note_whole(result.id, Whole::Integer);
        }
        Ok(result.into())
    }

    /// The elements of an encoded input at these places; each has `inner` elements of its own.
    pub(super) fn chosen(&mut self, encoded: &Tensor, places: &ArrayD<i64>, inner: &[usize]) -> Lowered<Tensor> {
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
        let wanted = Wanted { classes, features: Some(features) };
        let (tokens, made) = self.inputs.rows(input, wanted, &mut self.context)?;
        self.inputs.limit(input, places, classes);
        let count = places.len();
        let chosen = self.chosen(&tokens, &arrays::reshape(places, &[count])?, &[made.len()])?;
        let (high, low) = (made.high(), made.low());
        self.context.charge(arrays::elements(&[high, low, features])?)?;
        // Of an input that chooses from several tables, the smaller ones have rows of zeros that nothing chooses.
        let table = arrays::reshape(table, &[classes, features])?;
        let table = arrays::pad(&table, &[0, 0], &[high * low - classes, 0], 0.0)?;
        let table = arrays::reshape(&table, &[high, low * features])?;
        // The block that the first row chooses, of which the second one chooses a row.
        let first = self.context.slice(&chosen, 1, 0, high)?;
        let mut rows = self.context.linear(&first, arrays::transpose(&table, &[1, 0]), None)?;
        if low > 1 {
            let blocks = self.context.reshape(&rows, &[count, low, features])?;
            let second = self.context.slice(&chosen, 1, high, made.len())?;
            let second = self.context.reshape(&second, &[count, 1, low])?;
            rows = self.context.matrix_product(&second, &blocks)?;
        }
        let shape: Vec<usize> = places.shape().iter().chain(row).copied().collect();
        self.context.reshape(&rows, &shape)
    }
}
