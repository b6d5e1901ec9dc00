//! `--link`: comparisons are chosen by the link, and what runs is what was planned.

use mpc_service::PublicModel;
use serde_json::Value;

use crate::run::{assert_refused, command, json, json_of, stderr};

fn plan(arguments: &[&str]) -> Value {
    json_of("plan", arguments)
}

/// Of the variants over the link, the one that was chosen and the times of both.
fn times(plan: &Value) -> (String, [f64; 2]) {
    let variants = plan["over_link"]["variants"].as_array().unwrap();
    let chosen: Vec<_> = variants.iter().filter(|variant| variant["chosen"] == true).collect();
    assert_eq!((chosen.len(), variants.len()), (1, 2));
    assert_eq!(plan["comparisons"], chosen[0]["comparisons"]);
    let time = |at: usize| variants[at]["seconds"].as_f64().unwrap();
    (chosen[0]["comparisons"].as_str().unwrap().to_owned(), [time(0), time(1)])
}

#[test]
fn a_plan_chooses_the_faster_comparisons() {
    for more in [&[][..], &["--preprocessing", "ahead"], &["--no-dealer"]] {
        for (link, expected) in [("200ms,10Gbit", "few rounds"), ("0.2ms,20Mbit", "few bytes")] {
            let plan = plan(&[&["resnet32", "--link", link], more].concat());
            let (chosen, [rounds, bytes]) = times(&plan);
            assert_eq!(chosen, expected, "{link}, {more:?}");
            assert_eq!(bytes < rounds, expected == "few bytes", "{link}, {more:?}");
        }
    }
}

/// 126 rounds of 40 ms and 3,480,648 bytes at 100 Mb/s; what is dealt fills the waits, or comes first in one round.
#[test]
fn the_times_are_those_of_rounds_and_bytes() {
    for (more, expected) in [(&[][..], 5.31845184), (&["--preprocessing", "ahead"], 5.31845184 + 0.04 + 1.51894976)] {
        let (_, [rounds, _]) = times(&plan(&[&["resnet32", "--link", "wan"], more].concat()));
        assert!((rounds - expected).abs() < 1e-9, "{rounds}");
    }
    let asked = plan(&["resnet32", "--link", "wan", "--comparisons", "few-bytes"]);
    assert_eq!(asked["over_link"]["variants"].as_array().unwrap().len(), 1);
    assert_eq!(asked["comparisons"], "few bytes");
    let text = command(&["plan", "breast-cancer", "--link", "40ms,100Mbit"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("Over the link 40ms,100Mbit") && text.contains("chosen"), "{text}");
}

#[test]
fn a_run_is_that_of_the_variant_that_was_chosen() {
    for (link, more) in [("wan", &[][..]), ("200us,1Mbit", &[]), ("wan", &["--no-dealer"])] {
        let arguments = [&["breast-cancer", "--link", link, "--transport", "tcp"], more].concat();
        let (planned, run) = (plan(&arguments), json(&arguments));
        let (chosen, _) = times(&planned);
        assert_eq!((&run["link"], &run["comparisons"]), (&link.into(), &chosen.clone().into()));
        let asked = plan(&[&["breast-cancer", "--comparisons", &chosen.replace(' ', "-")], more].concat());
        for phase in ["preprocessing", "online"] {
            for what in ["bytes_sent", "bytes_received", "rounds"] {
                assert_eq!(run["phases"][phase][what], asked["phases"][phase][what], "{link}, {phase}, {what}");
            }
        }
    }
}

#[test]
fn a_packed_model_has_the_variant_that_was_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let [public, private] = ["net.public", "net.private"].map(|name| folder.path().join(name));
    let [public, private] = [public.to_str().unwrap(), private.to_str().unwrap()];
    for (link, expected) in [("200ms,10Gbit", "few rounds"), ("0.2ms,1Mbit", "few bytes")] {
        let packed = command(&["pack", "breast-cancer", "--no-dealer", "--link", link, "-o", public, private]);
        assert!(packed.status.success(), "{}", stderr(&packed));
        assert_eq!(PublicModel::read(public.as_ref()).unwrap().terms.comparisons.to_string(), expected);
        // Its plan has its variant over whatever link, and nothing to choose.
        let plan = plan(&[public, "--link", "wan"]);
        assert_eq!((&plan["comparisons"], &plan["over_link"]["chose"]), (&expected.into(), &false.into()));
        std::fs::remove_file(private).unwrap();
    }
}

#[test]
fn what_is_no_link_is_refused() {
    assert_refused(&["--link", "moon"], "write lan, wan, or a round trip and a rate, such as 40ms,100Mbit");
    assert_refused(&["--link", "40,100Mbit"], "write a number with s, ms, us or ns");
    assert_refused(&["--link", "40ms,fast"], "write a number above 0 with Gbit, Mbit, kbit or bit");
    assert_refused(&["--comparisons", "auto"], "give --link lan, wan, or a round trip and a rate");
    assert_refused(&["--comparisons", "auto", "--transport", "services"], "give --link");
}
