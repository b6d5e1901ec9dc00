//! Whether seeds are left in memory when all that used them has ended.
//!
//! A seed is a party's whole share of what is dealt. The process looks for every one in its own memory: those that
//! participants began with, and those that are 32 bytes of a generator's stream, wherever they begin in it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom};
use std::mem;
use std::thread;

use mpc_nn::{Owner, Roles, Settings};
use mpc_protocols::function::Function;
use mpc_ring::Ring;
use mpc_shares::{Prg, Seed};
use rand_core::Rng;

use crate::inference::{Case, Failure, seeds_again};
use crate::networks::{functions, operations};
use crate::opened::Marks;

/// The bytes of a stream that are looked for.
const STREAM: usize = 1 << 16;
/// Bytes in a row that are no coincidence: half a seed.
const WINDOW: usize = 16;
/// Parties of the sessions.
const PARTIES: usize = 3;

/// Runs sessions to their end, and fails if anything of a stream is left.
pub fn run() -> Result<(), Failure> {
    let found = found_after(sessions)?;
    if found.is_empty() { Ok(()) } else { Err(format!("left in memory: {}", found.join("; ")).into()) }
}

/// Fails unless a seed that was left on purpose is found.
pub fn control() -> Result<(), Failure> {
    let found = found_after(|| {
        let case = Case::<u64>::new(&functions(&[Function::Abs])?, Settings::new(2))?;
        case.run(Marks::Nothing)?;
        // Behind a black box, as an allocation that nobody reads need not be made.
        seeds_again().take(1).for_each(|seed| mem::forget(black_box(Box::new(*seed.expose()))));
        Ok(())
    })?;
    if found.is_empty() { Err("a seed that was left in memory was not found".into()) } else { Ok(()) }
}

fn sessions() -> Result<(), Failure> {
    let roles = Roles::new(Owner::Outside, Owner::Outside);
    for settings in [Settings::new(PARTIES), Settings { roles, ..Settings::new(PARTIES) }] {
        Case::<u64>::new(&operations()?, settings)?.run(Marks::Nothing)?;
        let of_functions = functions(&[Function::Sigmoid, Function::Sqrt])?;
        Case::<u64>::new(&of_functions, settings)?.run(Marks::Nothing)?;
    }
    Ok(())
}

/// Runs `work` in a thread of its own, whose stack nobody uses afterwards, and gives all that is left of the streams.
fn found_after(work: fn() -> Result<(), Failure>) -> Result<Vec<String>, Failure> {
    thread::spawn(work).join().map_err(|_| "a session panicked")??;
    // The streams are expanded again only when the memory has been read.
    let memory = writable_memory()?;
    let streams = streams();
    let at_offsets = |(stream, Stream { bytes, .. }): (usize, &Stream)| {
        let windows = bytes.windows(WINDOW).enumerate();
        windows.map(|(offset, window)| (u128::read_le(window), (stream, offset))).collect::<Vec<_>>()
    };
    let windows: HashMap<u128, (usize, usize)> = streams.iter().enumerate().flat_map(at_offsets).collect();
    let mut maybe = vec![false; 1 << 24];
    windows.keys().for_each(|&window| maybe[filter(window)] = true);
    let mut found = Vec::new();
    for (region, bytes) in &memory {
        let mut end = 0;
        for (at, window) in bytes.windows(WINDOW).enumerate() {
            let window = u128::read_le(window);
            let known = if at >= end && maybe[filter(window)] { windows.get(&window) } else { None };
            let Some(&(stream, offset)) = known else { continue };
            let Stream { name, least, bytes: stream } = &streams[stream];
            let len = bytes[at..].iter().zip(&stream[offset..]).take_while(|(left, known)| left == known).count();
            end = at + len;
            if len >= *least {
                found.push(format!("{name}, {len} bytes from {offset} on, in {region} at {at:#x}"));
            }
        }
    }
    Ok(found)
}

fn filter(window: u128) -> usize {
    (window as u32 >> 8) as usize
}

/// Secret bytes that are looked for.
struct Stream {
    name: String,
    /// As many in a row are a seed.
    least: usize,
    bytes: Vec<u8>,
}

/// The seeds and the streams of all participants, which are seeds, and those of the dealer's children, in which seeds are
/// among masks: there half a seed may be two words of a mask that the compiler kept on the stack.
fn streams() -> Vec<Stream> {
    let mut streams = Vec::new();
    let mut add = |name, least, bytes| streams.push(Stream { name, least, bytes });
    for (number, seed) in seeds_again().enumerate() {
        add(format!("seed {number}"), WINDOW, seed.expose().to_vec());
        let stream = stream(seed);
        // The first seeds that a dealer draws for a model and for an inference: that of the session, and one apart of each party.
        for (child, bytes) in seeds_of(&stream, 2 * (PARTIES + 1)) {
            let of_child = self::stream(Seed::copy_of(bytes));
            let name = format!("stream of seed {child} of the stream of seed {number}");
            // From that of a session follow those of the parties, and the dealer's own.
            let session = if child % (PARTIES + 1) == 0 { PARTIES + 1 } else { 0 };
            for (own, bytes) in seeds_of(&of_child, session) {
                add(format!("stream of seed {own} of the {name}"), Seed::BYTES, self::stream(Seed::copy_of(bytes)));
            }
            add(name, Seed::BYTES, of_child);
        }
        add(format!("stream of seed {number}"), WINDOW, stream);
    }
    streams
}

/// The first seeds of a stream.
fn seeds_of(stream: &[u8], count: usize) -> impl Iterator<Item = (usize, &[u8; Seed::BYTES])> {
    stream.as_chunks().0.iter().take(count).enumerate()
}

fn stream(seed: Seed) -> Vec<u8> {
    let mut bytes = vec![0; STREAM];
    Prg::new(seed).fill_bytes(&mut bytes);
    bytes
}

/// The process's writable memory by region: stacks, heaps, static variables.
fn writable_memory() -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mut memory = File::open("/proc/self/mem")?;
    let mut regions = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(access)) = (words.next(), words.next()) else { continue };
        let Some((from, to)) = range.split_once('-') else { continue };
        let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
        let mut bytes = vec![0; (to - from) as usize];
        if access.starts_with("rw")
            && memory.seek(SeekFrom::Start(from)).is_ok()
            && memory.read_exact(&mut bytes).is_ok()
        {
            regions.push((words.nth(3).unwrap_or("memory of its own").to_owned(), bytes));
        }
    }
    Ok(regions)
}
