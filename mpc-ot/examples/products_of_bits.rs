//! Two parties multiply the bits that each of them has, and see nothing but random shares of the products.

use std::error::Error;
use std::time::Duration;

use mpc_ot::products::{bits_bytes, plane_bytes, receive_corrections};
use mpc_ot::{Batch, Method, Pair, PairSettings};
use mpc_shares::Seed;
use mpc_transport::{Transport, memory_network};

type Failure = Box<dyn Error + Send + Sync>;

/// 64 transfers, with one bit each.
const BATCH: Batch = Batch { count: 64, bits: 1 };

fn settings(own: u8) -> PairSettings {
    PairSettings { session: *b"one fresh number", own, peer: 1 - own, method: Method::SILENT }
}

/// Has the bits `c`: receives.
async fn first(end: impl Transport + 'static, c: u64) -> Result<u64, Failure> {
    let mut pair = Pair::open(end, settings(0), Seed::from_system()?).await?;
    let (_, mut received) = pair.random(&[], &[BATCH]).await?;
    let transfers = received.remove(0);
    let (mut message, mut answer) = (Vec::new(), vec![0; bits_bytes(BATCH)]);
    transfers.send_corrections(&[c], &mut message)?;
    pair.exchange(&message, &mut answer).await?;
    Ok(transfers.receive_bits(Some(&[c]), &answer)?[0])
}

/// Has the bits `v`: sends.
async fn second(end: impl Transport + 'static, v: u64) -> Result<u64, Failure> {
    let mut pair = Pair::open(end, settings(1), Seed::from_system()?).await?;
    let (mut sent, _) = pair.random(&[BATCH], &[]).await?;
    let transfers = sent.remove(0);
    let (mut message, mut corrections) = (Vec::new(), vec![0; plane_bytes(BATCH.count)]);
    transfers.send_bits(&[v], &mut message)?;
    pair.exchange(&message, &mut corrections).await?;
    Ok(transfers.bit_shares(Some(&receive_corrections(BATCH.count, &corrections)?))?[0])
}

/// Prints the shares that each party gets, and their sum.
pub fn main() -> Result<(), Failure> {
    let (c, v) = (0xffff_0000_ffff_0000, 0x1234_5678_9abc_def0);
    let mut ends = memory_network(2, Duration::from_secs(10)).into_iter();
    let (one, other) = ends.next().zip(ends.next()).ok_or("a network of two")?;
    let (mine, theirs) = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| smol::block_on(first(one, c)));
        let theirs = smol::block_on(second(other, v));
        (receiver.join(), theirs)
    });
    let (mine, theirs) = (mine.map_err(|_| "the receiver stopped")??, theirs?);
    println!("shares {mine:#018x} and {theirs:#018x} make {:#018x}", mine ^ theirs);
    assert_eq!(mine ^ theirs, c & v);
    Ok(())
}
