//! The cost of an inference, known before it runs.

use mpc_nn::plan::Action;
use mpc_nn::{Correlations, Op, Plan, Step};
use mpc_protocols::audit::audit_traffic;
use mpc_ring::Ring;
use mpc_transport::Traffic;
use serde::Serialize;

use crate::estimate::Estimate;
use crate::format::{bytes, count, seconds};
use crate::table::table;
use crate::widths::bound;

/// The cost of an inference, for tables and as JSON. Bytes are those on the wire, with the headers of frames.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// The network.
    model: String,
    /// The number of parties.
    parties: usize,
    /// Whether they make their correlations themselves.
    no_dealer: bool,
    /// The variant of comparisons.
    comparisons: String,
    /// f.
    fractional_bits: u32,
    /// k.
    comparison_bits: u32,
    /// ℓ.
    ring_bits: u32,
    /// Images per inference.
    batch: usize,
    /// The number of weights and biases.
    parameters: u64,
    /// Multiplications in the clear.
    multiplications: u64,
    /// The number of ReLUs.
    relus: u64,
    /// The phases; setup without handshakes and seeds, whose lengths depend on names.
    phases: Phases,
    /// Each step.
    per_layer: Vec<Layer>,
}

#[derive(Clone, Debug, Serialize)]
struct Phases {
    setup: Phase,
    preprocessing: Phase,
    online: Phase,
    /// Between the parties for each inference that is audited, beside its preprocessing; none without a dealer.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<Phase>,
}

#[derive(Clone, Debug, Serialize)]
struct Phase {
    bytes_sent: Vec<u64>,
    bytes_received: Vec<u64>,
    rounds: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Layer {
    name: String,
    kind: &'static str,
    shape: Vec<usize>,
    /// The bits of the result that later layers read.
    width: u32,
    /// The magnitude that what it compares or truncates must stay below, and whether that comes from a calibration.
    bound: Option<f64>,
    calibrated: bool,
    bytes_sent: Vec<u64>,
    bytes_received: Vec<u64>,
    rounds: u64,
    dealt_bytes: u64,
}

impl Cost {
    /// The cost of one inference of a plan of the network `model`.
    #[must_use]
    pub fn new<R: Ring>(model: &str, plan: &Plan<R>) -> Self {
        let (graph, settings) = (plan.graph(), plan.settings());
        let parameters =
            graph.parameters().into_iter().map(|parameter| parameter.shape.iter().product::<usize>() as u64);
        let has_dealer = settings.correlations == Correlations::Dealt;
        let audit = || {
            let traffic = audit_traffic::<R>(&plan.requests(), settings.parties);
            phase(settings.parties, |_| traffic)
        };
        Self {
            model: model.to_owned(),
            parties: settings.parties,
            no_dealer: !has_dealer,
            comparisons: settings.comparisons.to_string(),
            fractional_bits: settings.fractional_bits,
            comparison_bits: settings.comparison_bits,
            ring_bits: plan.ring_bits(),
            batch: graph.batch(),
            parameters: parameters.sum(),
            multiplications: graph.multiplications(),
            relus: graph.relu_count(),
            phases: Phases {
                setup: phase(settings.parties, |party| plan.setup(party) + plan.preparing_setup(party)),
                preprocessing: phase(settings.parties, |party| plan.preprocessing(party)),
                online: phase(settings.parties, |party| plan.online(party)),
                audit: has_dealer.then(audit),
            },
            per_layer: plan.steps().iter().map(|step| layer(plan, step)).collect(),
        }
    }

    /// The cost for people.
    #[must_use]
    pub fn text(&self) -> String {
        let [parameters, multiplications, relus] = [self.parameters, self.multiplications, self.relus].map(count);
        let dealer = if self.no_dealer { "no" } else { "a" };
        [
            format!(
                "{}, {} parties and {} dealer, {} image(s) at a time",
                self.model, self.parties, dealer, self.batch
            ),
            format!(
                "ring Z_2^{}, {} fractional bits, comparisons in {} bits and {}",
                self.ring_bits, self.fractional_bits, self.comparison_bits, self.comparisons
            ),
            format!("{parameters} parameters, {multiplications} multiplications, {relus} ReLUs\n"),
            format!("{}", self.phase_table()),
            format!(
                "Setup is once for any number of images, and without handshakes; the rest is per inference.{}\n",
                self.phases.audit.as_ref().map(audit_text).unwrap_or_default()
            ),
            format!("{}\n", self.layer_table()),
        ]
        .join("\n")
    }

    /// The cost for people, with estimated times.
    #[must_use]
    pub fn text_with(&self, estimates: &[Estimate]) -> String {
        let mut header = vec!["link", "online"];
        header.extend(["slowest layer", "which takes"]);
        let mut rows = table(&header, 1);
        for estimate in estimates {
            let slowest = estimate.steps.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds));
            let (name, time) = slowest.map_or(("", 0.0), |slowest| (slowest.name.as_str(), slowest.seconds));
            rows.add_row([estimate.net.to_string(), seconds(estimate.seconds), name.to_owned(), seconds(time)]);
        }
        format!(
            "{}\nEstimated times of one inference, from its bytes, rounds and multiplications:\n{rows}\n",
            self.text()
        )
    }

    fn phase_table(&self) -> comfy_table::Table {
        let header = ["phase", "sent by a party", "received by a party", "by the last party", "rounds"];
        let mut rows = table(&header, 1);
        let phases = &self.phases;
        for (name, phase) in
            [("setup", &phases.setup), ("preprocessing", &phases.preprocessing), ("online", &phases.online)]
        {
            let (last, others) = phase.bytes_received.split_last().map_or((0, &[][..]), |(&last, rest)| (last, rest));
            let [sent, others, last] = [largest(&phase.bytes_sent), largest(others), last].map(bytes);
            rows.add_row([name.to_owned(), sent, others, last, phase.rounds.to_string()]);
        }
        rows
    }

    fn layer_table(&self) -> comfy_table::Table {
        let dealt = if self.no_dealer { "received to make correlations" } else { "dealt to the last party" };
        let header = ["layer", "kind", "output", "bits read", "bound", "sent by a party", "rounds", dealt];
        let mut rows = table(&header, 3);
        for layer in &self.per_layer {
            let shape = layer.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
            let (sent, dealt) = (bytes(largest(&layer.bytes_sent)), bytes(layer.dealt_bytes));
            let (width, rounds) = (layer.width.to_string(), layer.rounds.to_string());
            let bound = bound(layer.bound, layer.calibrated);
            rows.add_row([layer.name.clone(), layer.kind.to_owned(), shape, width, bound, sent, rounds, dealt]);
        }
        rows
    }
}

/// The cost of an audit, for people.
fn audit_text(audit: &Phase) -> String {
    let sent = bytes(largest(&audit.bytes_sent));
    format!("\nOne that is audited (`mpc prepare --audit`) is dealt, and a party sends {sent} to compare it.")
}

fn phase(parties: usize, traffic: impl Fn(usize) -> Traffic) -> Phase {
    let traffic: Vec<_> = (0..parties).map(traffic).collect();
    Phase {
        bytes_sent: traffic.iter().map(Traffic::bytes_sent).collect(),
        bytes_received: traffic.iter().map(Traffic::bytes_received).collect(),
        rounds: traffic.iter().map(|traffic| traffic.rounds).max().unwrap_or(0),
    }
}

fn layer(plan: &Plan<impl Ring>, step: &Step) -> Layer {
    let Phase { bytes_sent, bytes_received, rounds } =
        phase(step.online.len(), |party| step.online.get(party).copied().unwrap_or_default());
    Layer {
        name: step.name.clone(),
        kind: kind(plan, step),
        shape: step.shape.clone(),
        width: step.width,
        bound: step.bound(plan.settings()),
        calibrated: step.is_calibrated(plan.graph()),
        bytes_sent,
        bytes_received,
        rounds,
        dealt_bytes: step.preprocessing.bytes_received(),
    }
}

fn largest(values: &[u64]) -> u64 {
    values.iter().copied().max().unwrap_or(0)
}

/// The kind of layer that a step belongs to, for tables.
#[must_use]
pub fn kind(plan: &Plan<impl Ring>, step: &Step) -> &'static str {
    match (&step.action, plan.graph().node(step.node).op()) {
        (Action::Linear { .. }, Op::Convolution { .. }) => "convolution",
        (action, _) => action.kind(),
    }
}

/// A party's measurements of one step.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// The step's name.
    pub name: &'a str,
    /// Its time in seconds.
    pub seconds: f64,
    /// The traffic that it sent and received.
    pub traffic: Traffic,
}

/// The plan's table, with what the last party measured beside.
#[must_use]
pub fn measured_table<R: Ring>(plan: &Plan<R>, measured: &[Measured<'_>]) -> comfy_table::Table {
    let header = ["layer", "kind", "output", "sent, planned", "measured", "rounds, planned", "measured", "time"];
    let mut rows = table(&header, 3);
    let party = plan.settings().parties - 1;
    for (step, measured) in plan.steps().iter().zip(measured) {
        let planned = step.online.get(party).copied().unwrap_or_default();
        let shape = step.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
        rows.add_row([
            measured.name.to_owned(),
            kind(plan, step).to_owned(),
            shape,
            bytes(planned.bytes_sent()),
            bytes(measured.traffic.bytes_sent()),
            planned.rounds.to_string(),
            measured.traffic.rounds.to_string(),
            format!("{:.2} ms", measured.seconds * 1e3),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use mpc_models::Model;
    use mpc_nn::{Settings, Transfers};

    use super::*;

    #[test]
    fn an_audit_has_its_price_where_there_is_a_dealer() {
        let graph = Model::by_name("breast-cancer").unwrap().graph(1).unwrap();
        for parties in 2..=3 {
            let plan = Plan::<u64>::new(&graph, Settings::new(parties)).unwrap();
            let cost = Cost::new("breast-cancer", &plan);
            let expected = audit_traffic::<u64>(&plan.requests(), parties);
            let json = serde_json::to_value(&cost).unwrap();
            let audit = &json["phases"]["audit"];
            assert_eq!(audit["bytes_sent"], serde_json::json!(vec![expected.bytes_sent(); parties]));
            assert_eq!(audit["bytes_received"], serde_json::json!(vec![expected.bytes_received(); parties]));
            assert_eq!(audit["rounds"], 1);
            let sent = bytes(expected.bytes_sent());
            assert!(cost.text().contains(&format!("a party sends {sent} to compare it")), "{}", cost.text());
        }
        let correlations = Correlations::Own { transfers: Transfers::Silent, inferences: 1 };
        let plan = Plan::<u64>::new(&graph, Settings { correlations, ..Settings::new(2) }).unwrap();
        let cost = Cost::new("breast-cancer", &plan);
        assert!(serde_json::to_value(&cost).unwrap()["phases"]["audit"].is_null());
        assert!(!cost.text().contains("audit"));
    }
}
