//! Whether anything branches on a secret, or reads where a secret says: under Valgrind, which runs the machine code of a
//! release and reports both where secrets are marked as undefined.

use std::hint::black_box;

use mpc_nn::{Comparisons, Graph, GraphError, Owner, Roles, Settings, WeightKnowledge};
use mpc_protocols::function::Function;
use mpc_ring::{Backend, Ring};

use crate::general;
use crate::inference::{Case, Failure};
use crate::networks::{ALL, OF_SMALL_RINGS, functions, made_by_two, operations};
use crate::opened::Marks;
use crate::request::{errors, is_there, mark_secret};

/// Runs everything on a backend, whose vectors Valgrind must know; gives the cases with reports.
pub fn run(backend: Backend) -> Result<(), Failure> {
    needs_valgrind()?;
    if !backend.is_available() {
        println!("{backend:?} is not available on this machine");
        return Ok(());
    }
    let used = backend.choose();
    let mut reported = Vec::new();
    for (name, case) in cases(backend) {
        let before = errors();
        case().map_err(|error| format!("{name}, {used:?}: {error}"))?;
        let found = errors() - before;
        println!("{name}, {used:?}: {found} reports");
        if found > 0 {
            reported.push(format!("{name}, {used:?}"));
        }
    }
    if reported.is_empty() { Ok(()) } else { Err(format!("reports in {}", reported.join("; ")).into()) }
}

/// Whether what must be reported is: a branch on a secret bit, a place that a secret says, and an inference whose openings
/// are not marked as public, which reads tables where they say.
pub fn control() -> Result<(), Failure> {
    needs_valgrind()?;
    let secret = black_box([5u8; 1]);
    mark_secret(&secret);
    let case = Case::<u64>::new(&functions(&[Function::Exp])?, Settings::new(2))?;
    let before = errors();
    branch_on(secret[0]);
    let branched = errors();
    read_at(secret[0]);
    let read = errors();
    case.run(Marks::Nothing)?;
    match [branched - before, read - branched, errors() - read].iter().position(|&reports| reports == 0) {
        None => Ok(()),
        Some(which) => Err(["a branch on a secret", "a read where a secret says", "openings that are secret"][which])
            .map_err(|what| format!("{what}: not reported").into()),
    }
}

fn needs_valgrind() -> Result<(), Failure> {
    if is_there() { Ok(()) } else { Err("to be run under Valgrind".into()) }
}

#[inline(never)]
fn branch_on(secret: u8) {
    if secret & 1 == 1 {
        println!("a secret bit is 1");
    }
}

#[inline(never)]
fn read_at(secret: u8) {
    let table = black_box([7u8; 256]);
    black_box(table[usize::from(secret)]);
}

/// A case's name and what runs it.
type Named = (String, Box<dyn Fn() -> Result<(), Failure>>);

/// An inference of a graph in ring `R`.
fn inference<R: Ring>(graph: fn() -> Result<Graph, GraphError>, what: &str, settings: Settings) -> Named {
    let name = format!("{what}, Z_2^{}, {} parties", R::BITS, settings.parties);
    (name, Box::new(move || Case::<R>::new(&graph()?, settings)?.run(Marks::Openings)))
}

/// The protocols that no network uses, in ring `R`.
fn protocols<R: Ring>(parties: usize) -> Named {
    (format!("protocols, Z_2^{}, {parties} parties", R::BITS), Box::new(move || general::run::<R>(parties)))
}

fn cases(backend: Backend) -> Vec<Named> {
    let owner = |parties| Settings { weights: WeightKnowledge::Owner, ..Settings::new(parties) };
    let outside = |parties| Settings { roles: Roles::new(Owner::Outside, Owner::Outside), ..Settings::new(parties) };
    let coarse = |settings| Settings { fractional_bits: 8, comparison_bits: 18, ..settings };
    let few_bytes = |settings| Settings { comparisons: Comparisons::FewBytes, ..settings };
    let of_parties = |parties| {
        let shared = Settings::new(parties);
        [
            inference::<u64>(operations, "operations, weights shared", shared),
            inference::<u64>(operations, "operations, owner computes", owner(parties)),
            inference::<u64>(operations, "operations, outsourced", outside(parties)),
            inference::<u64>(operations, "operations, few bytes", few_bytes(shared)),
            inference::<u32>(operations, "operations, weights shared", coarse(shared)),
            inference::<u128>(operations, "operations, owner computes", owner(parties)),
            inference::<u64>(|| functions(&ALL), "functions", shared),
            inference::<u32>(|| functions(&OF_SMALL_RINGS), "functions", coarse(shared)),
            inference::<u128>(|| functions(&ALL), "functions", outside(parties)),
            protocols::<u32>(parties),
            protocols::<u64>(parties),
            protocols::<u128>(parties),
        ]
    };
    // Silent transfers begin with others; both parties encrypt and evaluate where weights are shared.
    // Their beginning takes most of the time, so each variant of comparisons has a backend.
    let comparisons = if backend == Backend::Portable { Comparisons::FewRounds } else { Comparisons::FewBytes };
    let own = Settings { weights: WeightKnowledge::Shared, comparisons, ..Settings::without_dealer() };
    let without_dealer = [inference::<u64>(made_by_two, "no dealer, weights shared", own)];
    [2, 3].into_iter().flat_map(of_parties).chain(without_dealer).collect()
}
