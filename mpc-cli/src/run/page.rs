//! A run as one page of HTML that needs nothing else: what happened, who learnt what, what it cost.

mod chart;
mod html;

use std::collections::BTreeMap;
use std::iter::repeat_n;
use std::thread;

use mpc_nn::{Owner, Plan, Step};
use mpc_ring::Ring;
use mpc_transport::Traffic;

use super::arguments::RunArguments;
use super::summary::{LayerCost, PhaseCost, Summary, largest};
use crate::format::{bytes, count, seconds};
use chart::{Bar, bars};
use html::{escape, section, table};

/// Samples whose results are listed.
const LISTED: usize = 50;

/// The part of a plan that is on the page.
struct Planned {
    /// The owners of the inputs by the number of the party, with the names of those inputs.
    inputs: BTreeMap<usize, Vec<String>>,
    /// Setup, preprocessing and online of all inferences, by party.
    phases: [Vec<Traffic>; 3],
    /// Each step: its shape, and the traffic by party.
    steps: Vec<(Vec<usize>, Vec<Traffic>)>,
}

impl Planned {
    fn new(plan: &Plan<impl Ring>, inferences: usize) -> Self {
        let parties = plan.settings().parties;
        let mut inputs = BTreeMap::<_, Vec<_>>::new();
        for (owner, &id) in plan.input_owners().into_iter().zip(plan.graph().inputs()) {
            if let Owner::Party(party) = owner {
                inputs.entry(party).or_default().push(plan.graph().node(id).name().to_owned());
            }
        }
        let step = |step: &Step| (step.shape.clone(), step.online.to_vec());
        Self {
            inputs,
            phases: [
                (0..parties).map(|party| plan.setup(party) + plan.preparing_setup(party)).collect(),
                (0..parties).map(|party| plan.preprocessings(party).take(inferences).sum()).collect(),
                (0..parties).map(|party| repeat_n(plan.online(party), inferences).sum()).collect(),
            ],
            steps: plan.steps().iter().map(step).collect(),
        }
    }
}

/// The page of a run.
pub fn page(summary: &Summary, arguments: &RunArguments, plan: &Plan<impl Ring>) -> String {
    let planned = Planned::new(plan, inferences(summary));
    let dealer = if summary.no_dealer { "without a dealer" } else { "and a dealer" };
    let title = format!("{}, privately, between {} parties {dealer}", summary.model, summary.parties);
    let sections = [
        section("What happened", &[happened(summary), results(summary)]),
        section("Who learnt what", &[who(summary, &planned)]),
        section("The plan, and what was measured", &[phases(summary, &planned)]),
        section("By layer", &[charts(summary), layers(summary, &planned)]),
        section("Where it ran", &[environment(summary, arguments)]),
    ];
    html::document(&title, &sections.concat())
}

fn happened(summary: &Summary) -> String {
    let online = &summary.phases.online;
    let verdict = match summary.agree {
        true => "The private results are those of the network in the clear",
        false => "<strong>The private results are not those of the network in the clear</strong>",
    };
    let images =
        if summary.count == 1 { "one sample".to_owned() } else { format!("{} samples", count(summary.count as u64)) };
    let error = summary.outputs.iter().map(|output| output.max_error).fold(0.0, f64::max);
    let warning = summary.departure.as_ref().map_or_else(String::new, |departure| {
        format!("<p><strong>Warning:</strong> {}.</p>", escape(&departure.to_string()))
    });
    format!(
        "<p class=\"verdict\">{verdict}: the largest difference is {error:.6}.</p>{warning}<p>{images} went through the network, \
         computed on secret shares. Online, a party sent at most {} bytes in {} rounds, and it took {}.</p>",
        count(largest(&online.bytes_sent)),
        count(online.rounds),
        seconds(online.seconds),
    )
}

fn results(summary: &Summary) -> String {
    if summary.images.is_empty() {
        let row = |output: &super::OutputResult| {
            let shape = output.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
            vec![output.name.clone(), shape, format!("{:.4}", output.max_magnitude), format!("{:.6}", output.max_error)]
        };
        let rows = summary.outputs.iter().map(row).collect::<Vec<_>>();
        return table(&["output", "shape", "largest magnitude", "largest difference"], 2, &rows);
    }
    let row = |image: &super::ImageResult| {
        let label = image.label.map_or_else(String::new, |label| label.to_string());
        let [private, plain] = [image.predicted, image.plain_predicted].map(|class| class.to_string());
        vec![image.index.to_string(), label, private, plain, format!("{:.6}", image.max_logit_error)]
    };
    let rows = summary.images.iter().take(LISTED).map(row).collect::<Vec<_>>();
    let header = ["sample", "shows", "private class", "in the clear", "largest difference"];
    let more = summary.images.len().saturating_sub(LISTED);
    let more = if more == 0 { String::new() } else { format!("<p>and {more} more</p>") };
    table(&header, 0, &rows) + &more
}

fn who(summary: &Summary, planned: &Planned) -> String {
    let row = |party: usize| {
        let inputs = planned.inputs.get(&party).map(|names| format!("the input {}", names.join(", ")));
        let weights = (party == 0).then(|| "the weights".to_owned());
        let knows: Vec<_> = weights.into_iter().chain(inputs).collect();
        let role = match (party, knows.len()) {
            (0, 1) => "model owner",
            (0, _) => "model owner and data owner",
            (_, 0) => "computes",
            _ => "data owner",
        };
        let knows = if knows.is_empty() { "nothing".to_owned() } else { knows.join(" and ") };
        let learnt = if party == 1 { "the result" } else { "nothing" };
        vec![format!("party {party}"), role.to_owned(), knows, learnt.to_owned()]
    };
    let mut rows: Vec<_> = (0..summary.parties).map(row).collect();
    let dealer = ["dealer", "deals random correlations", "the masks that it dealt", "nothing"];
    if !summary.no_dealer {
        rows.push(dealer.map(str::to_owned).to_vec());
    }
    rows.push(
        ["everybody", "", "the plan: architecture, shapes, settings", "when messages passed"]
            .map(str::to_owned)
            .to_vec(),
    );
    table(&["", "role", "knew", "learnt"], 4, &rows)
        + "<p>That holds between machines of their owners. In this run one person started everything, and could read \
           everything.</p>"
}

/// The inferences of the run, of a batch each.
fn inferences(summary: &Summary) -> usize {
    summary.count / summary.batch.max(1)
}

fn phases(summary: &Summary, planned: &Planned) -> String {
    let phases = &summary.phases;
    let named = [("setup", &phases.setup), ("preprocessing", &phases.preprocessing), ("online", &phases.online)];
    let row = |((name, measured), planned): ((&str, &PhaseCost), &Vec<Traffic>)| {
        let most = |part: fn(&Traffic) -> u64| planned.iter().map(part).max().unwrap_or(0);
        vec![
            name.to_owned(),
            seconds(measured.seconds),
            count(most(Traffic::bytes_sent)),
            count(largest(&measured.bytes_sent)),
            count(most(Traffic::bytes_received)),
            count(largest(&measured.bytes_received)),
            count(most(|traffic| traffic.rounds)),
            count(measured.rounds),
        ]
    };
    let rows = named.into_iter().zip(&planned.phases).map(row).collect::<Vec<_>>();
    let header = [
        "phase",
        "time",
        "sent by a party, planned",
        "measured",
        "received by one, planned",
        "measured",
        "rounds, planned",
        "measured",
    ];
    table(&header, 1, &rows)
        + "<p>Bytes are those on the wire, with the headers of frames, of the party that had most. The setup that is measured \
           has handshakes on top, whose length depends on names. Every party and step was compared with the plan, and is \
           equal to it.</p>"
}

fn charts(summary: &Summary) -> String {
    let bar = |layer: &LayerCost, length: f64, value: String| Bar { label: layer.name.clone(), length, value };
    let chart = |title: &str, value: &dyn Fn(&LayerCost) -> (f64, String), show: &dyn Fn(f64) -> String| {
        let layers = summary.per_layer.iter().map(|layer| {
            let (length, text) = value(layer);
            bar(layer, length, text)
        });
        bars(title, layers.collect(), show)
    };
    [
        chart("Online time", &|layer| (layer.seconds, milliseconds(layer.seconds)), &milliseconds),
        chart(
            "Bytes sent online by a party",
            &|layer| (largest(&layer.bytes_sent) as f64, bytes(largest(&layer.bytes_sent))),
            &|total| bytes(total as u64),
        ),
        chart("Rounds online", &|layer| (layer.rounds as f64, layer.rounds.to_string()), &|total| format!("{total}")),
    ]
    .concat()
}

fn layers(summary: &Summary, planned: &Planned) -> String {
    let inferences = inferences(summary) as u64;
    let row = |(layer, (shape, online)): (&LayerCost, &(Vec<usize>, Vec<Traffic>))| {
        let most = |part: fn(&Traffic) -> u64| count(inferences * online.iter().map(part).max().unwrap_or(0));
        vec![
            layer.name.clone(),
            layer.kind.to_owned(),
            shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × "),
            milliseconds(layer.seconds),
            most(Traffic::bytes_sent),
            count(largest(&layer.bytes_sent)),
            most(|traffic| traffic.rounds),
            count(layer.rounds),
            count(layer.dealt_bytes),
        ]
    };
    let rows = summary.per_layer.iter().zip(&planned.steps).map(row).collect::<Vec<_>>();
    let header = [
        "layer",
        "kind",
        "output",
        "time",
        "sent, planned",
        "measured",
        "rounds, planned",
        "measured",
        "received for its correlations",
    ];
    format!("<details><summary>All {} layers</summary>{}</details>", rows.len(), table(&header, 3, &rows))
}

fn environment(summary: &Summary, arguments: &RunArguments) -> String {
    let processors = thread::available_parallelism().map_or_else(|_| "unknown".to_owned(), |number| number.to_string());
    let peak = summary.peak_memory_bytes.map_or_else(|| "unknown".to_owned(), bytes);
    let facts = [
        ("program", format!("mpc {}", env!("CARGO_PKG_VERSION"))),
        ("machine", format!("{} on {}, {processors} processors", std::env::consts::OS, std::env::consts::ARCH)),
        ("threads of a process", arguments.threads.to_string()),
        ("messages travelled by", word(&summary.transport)),
        ("links imitated", word(&summary.link)),
        ("comparisons", summary.comparisons.clone()),
        ("correlations drawn", word(&summary.preprocessing_mode)),
        ("ring", format!("Z_2^{}", summary.ring_bits)),
        ("fractional bits, bits of comparisons", format!("{}, {}", summary.fractional_bits, summary.comparison_bits)),
        ("weights", if summary.owner_computes { "in the clear at their owner" } else { "shared" }.to_owned()),
        ("peak memory of a process", peak),
        ("the same in the clear, on one thread", seconds(summary.plain_seconds)),
    ];
    let rows = facts.map(|(name, fact)| vec![name.to_owned(), fact]);
    table(&["", ""], 2, &rows)
}

/// The word that a choice is in JSON.
fn word(choice: &impl serde::Serialize) -> String {
    let text = serde_json::to_value(choice).ok();
    text.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.2} ms", 1e3 * seconds)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use ndarray::array;

    use super::*;
    use crate::precision::Departure;
    use crate::run::job::Job;
    use crate::run::local::tests::network;
    use crate::run::run_local;

    /// The names of tags that are open, of which each must be closed in turn.
    fn check_tags(page: &str) {
        let mut open = Vec::new();
        for tag in page.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').unwrap();
            assert!(!text.contains('>') || open.last() == Some(&"style"), "{text}");
            let name = tag.split([' ', '\n']).next().unwrap();
            match name.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed), "{tag}"),
                None if tag.ends_with('/') || ["!DOCTYPE", "meta"].contains(&name) => {}
                None => open.push(name),
            }
        }
        assert_eq!(open, [""; 0]);
    }

    #[test]
    fn a_page_is_whole_and_has_every_figure_of_the_run() {
        let (name, network) = ("<script>alert('&\"')</script>", network("<script>relu"));
        let arguments = RunArguments { model: name.into(), ..RunArguments::default() };
        let inputs = vec![vec![array![[0.5, -2.0, 0.0]].into_dyn()]; 3];
        let summary = run_local(&arguments, &network, inputs, &mut |_| ControlFlow::Continue(())).unwrap().summary;
        let plan = Job::new(&arguments, network.graph.clone()).unwrap().plan::<u64>().unwrap();
        let page = page(&summary, &arguments, &plan);
        check_tags(&page);
        assert!(!page.contains("<script"), "a name is markup");
        assert!(page.contains("&lt;script&gt;relu") && page.contains("&lt;script&gt;alert(&#39;&amp;&quot;"));
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("<svg"));
        // Nothing comes from elsewhere.
        assert!(
            ["http:", "https:", "src=", "href=", "url("]
                .iter()
                .all(|word| { !page.replace("http://www.w3.org/2000/svg", "").contains(word) })
        );
        let online = &summary.phases.online;
        let [bytes, rounds] = [largest(&online.bytes_sent), online.rounds].map(count);
        let sent = format!("a party sent at most {bytes} bytes in {rounds} rounds");
        assert!(page.contains(&sent));
        // Each step with what was planned and what was measured, and what was dealt for it.
        for layer in &summary.per_layer {
            let (sent, rounds) = (count(largest(&layer.bytes_sent)), count(layer.rounds));
            let cells = [sent.clone(), sent, rounds.clone(), rounds, count(layer.dealt_bytes)];
            let cells: String = cells.iter().map(|cell| format!("<td class=\"number\">{cell}</td>")).collect();
            assert!(page.contains(&cells), "{}", layer.name);
        }
    }

    #[test]
    fn a_page_has_the_warning_of_a_run() {
        let (network, arguments) = (network("relu"), RunArguments::default());
        let inputs = vec![vec![array![[0.5, -2.0, 0.0]].into_dyn()]];
        let mut summary = run_local(&arguments, &network, inputs, &mut |_| ControlFlow::Continue(())).unwrap().summary;
        let plan = Job::new(&arguments, network.graph.clone()).unwrap().plan::<u64>().unwrap();
        assert!(!page(&summary, &arguments, &plan).contains("Warning"));
        let layer = "<div>".to_owned();
        summary.departure =
            Some(Departure { layer, error: 0.25, coarse: None, fractional_bits: 16, enough: Some(20), ring: None });
        let page = page(&summary, &arguments, &plan);
        check_tags(&page);
        assert!(
            page.contains(
                "`&lt;div&gt;` departs from floating point by up to 0.25; --fractional-bits 20 keeps enough."
            )
        );
    }

    #[test]
    fn a_page_of_a_run_without_a_dealer_has_the_plan_of_every_inference() {
        let mut arguments = RunArguments::default();
        arguments.terms.no_dealer = true;
        let (network, inputs) = (network("relu"), vec![vec![array![[0.5, -2.0, 0.0]].into_dyn()]; 3]);
        let summary = run_local(&arguments, &network, inputs, &mut |_| ControlFlow::Continue(())).unwrap().summary;
        let plan = Job::new(&arguments, network.graph.clone()).unwrap().plan::<u64>().unwrap();
        let page = page(&summary, &arguments, &plan);
        check_tags(&page);
        for phase in [&summary.phases.preprocessing, &summary.phases.online] {
            let figures = [largest(&phase.bytes_sent), largest(&phase.bytes_received), phase.rounds];
            let cell = |figure| format!("<td class=\"number\">{}</td>", count(figure));
            let cells: String = figures.map(|figure| cell(figure).repeat(2)).concat();
            assert!(page.contains(&cells), "{phase:?}");
        }
    }

    #[test]
    fn the_longest_bars_are_drawn_and_the_others_together() {
        let bar = |at: u32| Bar { label: format!("layer {at}"), length: f64::from(at), value: at.to_string() };
        let chart = bars("rounds", (0..40).map(bar).collect(), |total| format!("{total} in all"));
        check_tags(&chart);
        assert!(chart.contains("layer 39") && !chart.contains("layer 24"));
        // 1 to 24, as a bar of length 0 is none.
        assert!(chart.contains("24 others") && chart.contains("300 in all"));
    }
}
