//! A TCP proxy that spoils connections.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long a stalled connection is kept open: longer than everybody's deadline.
const STALL: Duration = Duration::from_secs(60);

/// Which bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those of the side that connected.
    Forth,
    /// Those of the side that it connected to.
    Back,
}

/// The damage that is done to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is cut in both directions.
    Drop,
    /// Nothing more is passed on, and it stays open.
    Stall,
    /// Everything that follows comes late, but in time.
    Delay,
    /// The end is announced in this direction as if all had been sent.
    Truncate,
    /// One bit is changed.
    Flip,
}

/// A fault after so many bytes of one direction.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub fault: Fault,
    pub direction: Direction,
    pub after: u64,
}

/// Passes connections on to an address.
pub struct Proxy {
    pub address: SocketAddr,
    plan: Arc<Mutex<Option<Plan>>>,
    /// Bytes that the last connection has passed on, forth and back.
    passed: Arc<[AtomicU64; 2]>,
}

impl Proxy {
    pub fn new(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Mutex::new(None));
        let passed = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let (plans, counts) = (Arc::clone(&plan), Arc::clone(&passed));
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(target) else { continue };
                let plan = *plans.lock().unwrap();
                counts.iter().for_each(|count| count.store(0, Ordering::SeqCst));
                pass(&near, &far, Direction::Forth, plan, &counts);
                pass(&far, &near, Direction::Back, plan, &counts);
            }
        });
        Self { address, plan, passed }
    }

    /// Sets what happens to connections from now on.
    pub fn spoil(&self, plan: Option<Plan>) {
        *self.plan.lock().unwrap() = plan;
    }

    /// Bytes that the last connection has passed on in a direction.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.passed[direction as usize].load(Ordering::SeqCst)
    }
}

/// Passes one direction on, on a thread of its own.
fn pass(from: &TcpStream, to: &TcpStream, direction: Direction, plan: Option<Plan>, passed: &Arc<[AtomicU64; 2]>) {
    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let plan = plan.filter(|plan| plan.direction == direction);
    let passed = Arc::clone(passed);
    thread::spawn(move || {
        copy(&from, &to, plan, &passed[direction as usize]);
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// Copies until the end, or until the plan's fault ends it.
fn copy(mut from: &TcpStream, mut to: &TcpStream, plan: Option<Plan>, passed: &AtomicU64) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer) else { return };
        let before = passed.fetch_add(count as u64, Ordering::SeqCst);
        let mut bytes = &mut buffer[..count];
        if let Some(Plan { fault, after, .. }) = plan.filter(|plan| plan.after < before + count as u64) {
            let place = after.saturating_sub(before) as usize;
            match fault {
                Fault::Delay => thread::sleep(Duration::from_millis(5)),
                Fault::Flip if after >= before => bytes[place] ^= 1 << (after % 8),
                Fault::Flip => {}
                Fault::Drop | Fault::Stall | Fault::Truncate => bytes = &mut bytes[..place],
            }
            let written = to.write_all(bytes);
            match fault {
                Fault::Drop => drop(from.shutdown(Shutdown::Both)),
                Fault::Stall => thread::sleep(STALL),
                Fault::Truncate => {}
                Fault::Delay | Fault::Flip if written.is_ok() => continue,
                Fault::Delay | Fault::Flip => {}
            }
            return;
        }
        if to.write_all(bytes).is_err() {
            return;
        }
    }
}
