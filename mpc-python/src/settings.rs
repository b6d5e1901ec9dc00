//! The terms of a run, as keywords of Python.

use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use mpc_cli::run::RunArguments;
use mpc_cli::{ComparisonKind, LinkArgument, RevealArgument, RevealToArgument, TermsArguments};
use mpc_ring::RingBits;
use pyo3::prelude::*;

use crate::error::Fault;

/// The terms of a run, and how it runs on this machine.
#[pyclass(frozen)]
#[derive(Clone)]
pub struct Settings(pub RunArguments);

#[pymethods]
impl Settings {
    /// Checks the keywords.
    #[new]
    #[pyo3(signature = (*, parties, ring=64, fractional_bits=None, comparison_bits=None, widths=None, no_dealer=false, session_inferences=None, comparisons=None, owner_computes=false, outsourced=false, reveal="full", reveal_to="data-owner", threads=1, link="none", deadline=30))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        parties: u8,
        ring: u32,
        fractional_bits: Option<u32>,
        comparison_bits: Option<u32>,
        widths: Option<PathBuf>,
        no_dealer: bool,
        session_inferences: Option<u32>,
        comparisons: Option<&str>,
        owner_computes: bool,
        outsourced: bool,
        reveal: &str,
        reveal_to: &str,
        threads: u8,
        link: &str,
        deadline: u64,
    ) -> PyResult<Self> {
        if !(2..=8).contains(&parties) {
            return Err(Fault::input(format!("parties={parties}: 2 to 8 parties can compute")).into());
        }
        let ring: RingBits = ring
            .to_string()
            .parse()
            .map_err(|_| Fault::input(format!("ring={ring}: a ring has 32, 64 or 128 bits")))?;
        let threads = NonZeroU8::new(threads).ok_or_else(|| Fault::input("threads=0: at least one is needed"))?;
        if !(1..=86_400).contains(&deadline) {
            return Err(Fault::input(format!("deadline={deadline}: 1 to 86400 seconds")).into());
        }
        match session_inferences {
            Some(0) => return Err(Fault::input("session_inferences=0: a session has at least one inference").into()),
            Some(_) if !no_dealer => {
                let reason = "session_inferences is for parties without a dealer: give no_dealer=True, too";
                return Err(Fault::input(reason).into());
            }
            _ => {}
        }
        let comparisons = comparisons.map(|what| choice::<ComparisonKind>("comparisons", what)).transpose()?;
        let link: LinkArgument = link.parse().map_err(|error| Fault::input(format!("link=\"{link}\": {error}")))?;
        let defaults = RunArguments::default();
        // Terms that have no keyword here stay as they are by default.
        #[allow(clippy::needless_update)]
        let terms = TermsArguments {
            parties,
            outsourced,
            reveal: choice::<RevealArgument>("reveal", reveal)?,
            reveal_to: choice::<RevealToArgument>("reveal_to", reveal_to)?,
            owner_computes,
            ring,
            fractional_bits,
            comparison_bits,
            widths,
            no_dealer,
            session_inferences,
            comparisons,
            link,
            ..defaults.terms
        };
        Ok(Self(RunArguments { terms, threads, deadline, ..defaults }))
    }
}

impl Settings {
    /// The bounds of values: a file's, or those that come with the network.
    pub fn widths(&self) -> Option<&Path> {
        self.0.terms.widths.as_deref()
    }

    /// The arguments of a run of the network of that name.
    pub fn arguments(&self, name: &str) -> RunArguments {
        RunArguments { model: name.into(), ..self.0.clone() }
    }
}

/// A choice by its name.
pub fn choice<T: ValueEnum>(what: &str, text: &str) -> Result<T, Fault> {
    let names = || {
        let names = T::value_variants()
            .iter()
            .filter_map(|value| Some(format!("\"{}\"", value.to_possible_value()?.get_name())));
        names.collect::<Vec<_>>().join(", ")
    };
    T::from_str(text, false).map_err(|_| Fault::input(format!("{what}=\"{text}\" is none of {}", names())))
}
