//! A connection through somebody who harms it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// The harm done to the bytes of one direction.
#[derive(Clone, Copy, Debug)]
pub enum Harm {
    Nothing,
    /// Ends after so many bytes.
    Truncate(usize),
    /// Flips a bit of the byte after so many.
    Corrupt(usize),
    /// Passes nothing on after so many bytes, and closes nothing.
    Stall(usize),
    /// Passes single bytes, slowly, for the first so many.
    Trickle(usize),
}

/// Passes one connection on to `target`: bytes from the connecting side suffer `forth`, bytes to it `back`.
pub fn proxy(target: SocketAddr, forth: Harm, back: Harm) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(target).unwrap();
        let [client_too, server_too] = [&client, &server].map(|stream| stream.try_clone().unwrap());
        thread::spawn(move || pass(client, server, forth));
        thread::spawn(move || pass(server_too, client_too, back));
    });
    address
}

fn pass(mut from: TcpStream, mut to: TcpStream, harm: Harm) {
    to.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let mut passed = 0;
    loop {
        let room = if matches!(harm, Harm::Trickle(bytes) if passed < bytes) { 1 } else { buffer.len() };
        let Ok(read @ 1..) = from.read(&mut buffer[..room]) else { break };
        let bytes = &mut buffer[..read];
        match harm {
            Harm::Truncate(at) if passed + read > at => {
                let _ = to.write_all(&bytes[..at - passed]);
                break;
            }
            Harm::Stall(at) if passed + read > at => {
                let _ = to.write_all(&bytes[..at - passed]);
                // Reads on, so that the sender does not notice either.
                while matches!(from.read(&mut buffer), Ok(1..)) {}
                return;
            }
            Harm::Corrupt(at) if (passed..passed + read).contains(&at) => bytes[at - passed] ^= 0x10,
            Harm::Trickle(at) if passed < at => thread::sleep(Duration::from_micros(100)),
            _ => {}
        }
        if to.write_all(bytes).is_err() {
            break;
        }
        passed += read;
    }
    let _ = to.shutdown(Shutdown::Write);
    if matches!(harm, Harm::Truncate(_)) {
        let _ = from.shutdown(Shutdown::Both);
    }
}
