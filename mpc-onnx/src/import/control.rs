//! Branches and loops: the nodes of a body, as often as a public number says.

use rten_onnx::onnx::{GraphProto, NodeProto};

use super::{Importer, Item};
use crate::arrays;
use crate::error::{Lowered, Problem, invalid, unsupported};
use crate::rules::MAX_STEPS;
use crate::value::Value;

/// The most nodes of all bodies, each counted as often as it is lowered, and so the body itself: loops within loops would go on for
/// years.
const MAX_VISITS: usize = 1 << 20;

/// The values that a loop's body hands from one step to the next: nothing else there is kept.
type Carried = Vec<Item>;

fn graph_attribute<'a>(node: &'a NodeProto, wanted: &str) -> Lowered<&'a GraphProto> {
    let mut attributes = node.attribute.iter();
    let found = attributes.find(|attribute| attribute.name.as_deref() == Some(wanted));
    match found.and_then(|attribute| attribute.g.as_ref()) {
        Some(graph) => Ok(graph),
        None => invalid(format!("it has no {wanted}")),
    }
}

fn number(node: &NodeProto, name: &str, default: i64) -> i64 {
    let found = node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name));
    found.and_then(|attribute| attribute.i).unwrap_or(default)
}

fn numbers(node: &NodeProto, name: &str) -> Vec<i64> {
    let found = node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name));
    found.map(|attribute| attribute.ints.clone()).unwrap_or_default()
}

impl<'a> Importer<'a> {
    /// The nodes of the branch that a public condition chooses; of a private one both, and a choice of their results.
    pub(super) fn branch(&mut self, node: &'a NodeProto) -> Lowered<Vec<Item>> {
        let Some(condition) = node.input.first() else { return invalid("it has no condition") };
        let condition = self.value(condition)?;
        let condition = self.plain(condition)?;
        match condition {
            Value::Integer(array) if array.len() == 1 => {
                let is_then = array.iter().any(|&value| value != 0);
                self.body(graph_attribute(node, if is_then { "then_branch" } else { "else_branch" })?)
            }
            Value::Node(condition) if condition.len() == 1 => {
                let condition = self.context.reshape(&condition, &[])?;
                let yes = self.body(graph_attribute(node, "then_branch")?)?;
                let no = self.body(graph_attribute(node, "else_branch")?)?;
                let mut chosen = Vec::new();
                for pair in yes.into_iter().zip(no) {
                    let (Item::Value(yes), Item::Value(no)) = pair else {
                        return unsupported("a private condition that chooses between sequences");
                    };
                    if yes.shape() != no.shape() {
                        return unsupported("a private condition that chooses a shape, which is public");
                    }
                    let (yes, no) = (self.plain(yes)?, self.plain(no)?);
                    let (yes, no) = (self.context.tensor_of(&yes)?, self.context.tensor_of(&no)?);
                    let difference = self.context.subtract(&yes, &no)?;
                    let part = self.context.multiply(&difference, &condition)?;
                    let one = self.context.add(&part, &no)?;
                    chosen.push(Item::Value(self.context.made_of(&[yes, no], one).into()));
                }
                Ok(chosen)
            }
            _ => unsupported("its condition is not one number"),
        }
    }

    /// Lowers all nodes of a body, and gives its outputs.
    fn body(&mut self, body: &'a GraphProto) -> Lowered<Vec<Item>> {
        self.visits = self.visits.saturating_add(1 + body.node.len());
        if self.visits > MAX_VISITS {
            return unsupported(format!("branches and loops of more than {MAX_VISITS} nodes in all their steps"));
        }
        let before = self.reasons.len();
        self.graph(body);
        if self.reasons.len() > before {
            return Err(Problem::Many(self.reasons.split_off(before)));
        }
        body.output.iter().map(|output| self.item(output.name.as_deref().unwrap_or_default())).collect()
    }

    /// One step of a loop: the body for these inputs.
    pub(super) fn step(&mut self, body: &'a GraphProto, inputs: Carried) -> Lowered<Vec<Item>> {
        if inputs.len() != body.input.len() {
            return invalid("its body takes another number of values than it is given");
        }
        for (info, value) in body.input.iter().zip(inputs) {
            let name = info.name.as_deref().unwrap_or_default();
            self.forget(name);
            self.put(name, value);
        }
        self.body(body)
    }

    fn optional_item(&mut self, name: &'a str) -> Lowered<Option<Item>> {
        if name.is_empty() { Ok(None) } else { self.item(name).map(Some) }
    }

    /// A loop of a public number of steps, or one whose condition is public in each.
    pub(super) fn unrolled(&mut self, node: &'a NodeProto) -> Lowered<Vec<Item>> {
        let body = graph_attribute(node, "body")?;
        let mut given = Vec::new();
        for name in &node.input {
            given.push(self.optional_item(name)?);
        }
        let one = |item: Option<&Option<Item>>, what: &str| match item {
            Some(Some(Item::Value(Value::Integer(array)))) if array.len() == 1 => Ok(array.first().copied()),
            None | Some(None) => Ok(None),
            Some(Some(_)) => unsupported(format!("its {what} depends on the input; make it a constant")),
        };
        let most = one(given.first(), "number of steps")?.map_or(i64::MAX, |count| count.max(0));
        let mut goes_on = one(given.get(1), "condition")?.is_none_or(|value| value != 0);
        let mut carried: Carried = Vec::new();
        for item in given.into_iter().skip(2) {
            let Some(item) = item else { return invalid("a value that it carries is missing") };
            carried.push(item);
        }
        let count = carried.len();
        let Some(scans) = body.output.len().checked_sub(1 + count) else {
            return invalid("its body gives fewer values than it carries");
        };
        let mut scanned: Vec<Vec<Value>> = vec![Vec::new(); scans];
        let mut step = 0;
        while goes_on && step < most {
            if step as usize >= MAX_STEPS {
                return unsupported(format!("more than {MAX_STEPS} steps"));
            }
            // A loop that ends by its number of steps need not say that it goes on.
            let mut inputs = vec![Item::Value(Value::scalar(step)), Item::Value(Value::scalar(1))];
            inputs.append(&mut carried);
            let mut results = self.step(body, inputs)?.into_iter();
            goes_on = match results.next() {
                Some(Item::Value(Value::Integer(condition))) if condition.len() == 1 => {
                    condition.iter().any(|&value| value != 0)
                }
                _ => {
                    return unsupported(
                        "how often it runs depends on the input; export it for a fixed number of steps",
                    );
                }
            };
            carried = results.by_ref().take(count).collect();
            push_scanned(&mut scanned, results)?;
            step += 1;
        }
        if scanned.iter().any(Vec::is_empty) && step == 0 {
            return unsupported("it runs no step, so that its results have no elements");
        }
        for values in scanned {
            carried.push(Item::Value(self.stacked(&values, 0)?));
        }
        Ok(carried)
    }

    /// Scan: a step for each entry of its inputs along an axis.
    pub(super) fn scan(&mut self, node: &'a NodeProto) -> Lowered<Vec<Item>> {
        let body = graph_attribute(node, "body")?;
        if self.file.opset < 9 {
            return unsupported("Scan of opset 8, with a batch; export the model with opset 9 or later");
        }
        let scans = arrays::size(number(node, "num_scan_inputs", 0))?;
        let Some(count) = node.input.len().checked_sub(scans) else { return invalid("it has too few inputs") };
        let mut items = Vec::new();
        for name in &node.input {
            items.push(self.item(name)?);
        }
        let sequences = items.split_off(count);
        let mut carried: Carried = items;
        let list = |name: &str, place: usize| numbers(node, name).get(place).copied().unwrap_or(0);
        let mut entries = Vec::new();
        for (place, item) in sequences.into_iter().enumerate() {
            let Item::Value(value) = item else { return invalid("it scans a sequence") };
            let axis = arrays::axis(list("scan_input_axes", place), value.shape().len())?;
            entries.push((value, axis, list("scan_input_directions", place) != 0));
        }
        let steps = entries.first().map_or(0, |(value, axis, _)| value.shape()[*axis]);
        if steps == 0 || steps > MAX_STEPS || entries.iter().any(|(value, axis, _)| value.shape()[*axis] != steps) {
            return unsupported(format!(
                "a scan of no steps, of more than {MAX_STEPS}, or of inputs of several lengths"
            ));
        }
        let Some(outputs) = body.output.len().checked_sub(count) else {
            return invalid("its body gives fewer values than it carries");
        };
        let mut scanned: Vec<Vec<Value>> = vec![Vec::new(); outputs];
        for step in 0..steps {
            let mut inputs = core::mem::take(&mut carried);
            for (value, axis, is_reverse) in &entries {
                let place = if *is_reverse { steps - 1 - step } else { step };
                let entry = self.context.gather_value(value, *axis, &[place])?;
                let mut shape = entry.shape().to_vec();
                shape.remove(*axis);
                inputs.push(Item::Value(self.context.reshape_value(&entry, &shape)?));
            }
            let mut results = self.step(body, inputs)?.into_iter();
            carried = results.by_ref().take(count).collect();
            push_scanned(&mut scanned, results)?;
        }
        for (place, mut values) in scanned.into_iter().enumerate() {
            if list("scan_output_directions", place) != 0 {
                values.reverse();
            }
            let rank = values.first().map_or(0, |value| value.shape().len());
            let axis = arrays::axis(list("scan_output_axes", place), rank + 1)?;
            carried.push(Item::Value(self.stacked(&values, axis)?));
        }
        Ok(carried)
    }

    /// SequenceMap: the body for each value of its first input, beside those at the same places of other sequences.
    pub(super) fn mapped(&mut self, node: &'a NodeProto) -> Lowered<Vec<Item>> {
        let body = graph_attribute(node, "body")?;
        let mut given = Vec::new();
        for name in &node.input {
            given.push(self.item(name)?);
        }
        let Some(Item::Sequence(first)) = given.first() else { return invalid("its first input is no sequence") };
        let steps = first.len();
        if steps > MAX_STEPS {
            return unsupported(format!("more than {MAX_STEPS} steps"));
        }
        let mut mapped: Vec<Vec<Value>> = vec![Vec::new(); body.output.len()];
        for step in 0..steps {
            let mut inputs = Vec::new();
            for item in &given {
                inputs.push(match item {
                    Item::Sequence(values) => match values.get(step) {
                        Some(value) => Item::Value(value.clone()),
                        None => return invalid("its sequences are of several lengths"),
                    },
                    value => value.clone(),
                });
            }
            let results = self.step(body, inputs)?;
            push_scanned(&mut mapped, results.into_iter())?;
        }
        Ok(mapped.into_iter().map(Item::Sequence).collect())
    }

    /// Values side by side along a new axis.
    pub(super) fn stacked(&mut self, values: &[Value], axis: usize) -> Lowered<Value> {
        let mut rows = Vec::new();
        for value in values {
            let mut shape = value.shape().to_vec();
            if axis > shape.len() {
                return invalid("it stacks values along an axis that they have not");
            }
            shape.insert(axis, 1);
            rows.push(self.context.reshape_value(value, &shape)?);
        }
        self.context.concat_values(&rows, axis)
    }
}

fn push_scanned(scanned: &mut [Vec<Value>], results: impl Iterator<Item = Item>) -> Lowered<()> {
    for (values, result) in scanned.iter_mut().zip(results) {
        let Item::Value(result) = result else { return unsupported("a sequence as a scanned result") };
        values.push(result);
    }
    Ok(())
}
