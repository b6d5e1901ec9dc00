//! A session agrees on everything before anything is dealt.

use crate::common::{PATIENT, block_on, on_threads};
use mpc_protocols::{
    Bilinear, CorrelationSource, DealerSession, Party, Place, ProtocolError, Request, Session, beaver, in_process,
    open, session,
};
use mpc_ring::Ring;
use mpc_shares::{ArithmeticShares, Seed};
use mpc_transport::{Link, MemoryTransport, TransportError, memory_link, memory_network};

const ID: [u8; 16] = [7; 16];

/// Opens 6 · 15 among three parties, 6 · 10 among two.
async fn multiply(party: &mut Party, source: &mut CorrelationSource<'_>) -> Result<Vec<u64>, ProtocolError> {
    let [x, y] = [2u64, 5].map(|share| ArithmeticShares::from_elements(vec![share]));
    let map = Bilinear::Elementwise { len: 1 };
    let z = beaver::multiply(party, &x, &y, source.next(map).await?).await?;
    open::open(party, &z).await
}

fn plan() -> Vec<Request> {
    block_on(session::plan(Place { party: 0, parties: 2 }, multiply)).unwrap()
}

type Ended = (Vec<Result<Vec<u64>, ProtocolError>>, Result<(), ProtocolError>);

/// Sessions of two parties and a dealer, each opened with a plan of its own.
fn sessions<R: Ring, S: Ring>(parties: [&[Request]; 2], id: [u8; 16], dealt: &[Request]) -> Ended {
    let (dealer_links, party_links): (Vec<_>, Vec<_>) = (0..2).map(|_| memory_link(PATIENT)).unzip();
    let party = |transport: MemoryTransport, link: Link, plan: &[Request]| {
        block_on(async { Session::open::<R>(transport, link, ID, plan).await?.run(multiply).await })
    };
    let ends = memory_network(2, PATIENT).into_iter().zip(party_links).zip(parties);
    let dealing =
        async { DealerSession::<S>::open(dealer_links, id, dealt, Seed::from_bytes([5; 32])).await?.deal().await };
    on_threads(ends.map(|((end, link), plan)| move || party(end, link, plan)), || block_on(dealing))
}

/// The field that an error names, where the two sides' values differ.
fn field(error: &TransportError) -> &str {
    match error {
        TransportError::HandshakeMismatch { field, ours, theirs, .. } if ours != theirs => field,
        other => panic!("{other}"),
    }
}

fn assert_dealer_differs((parties, dealt): Ended, expected: &str) {
    for result in parties {
        let Err(ProtocolError::LinkToDealer { source }) = result else { panic!("{result:?}") };
        assert_eq!(field(&source), expected);
    }
    let Err(ProtocolError::DealerLink { party: 0, source }) = dealt else { panic!("{dealt:?}") };
    assert_eq!(field(&source), expected);
}

#[test]
fn those_who_agree_get_the_result() {
    let plan = plan();
    assert_eq!(plan, [Request::Beaver(Bilinear::Elementwise { len: 1 })]);
    let (parties, dealt) = sessions::<u64, u64>([&plan, &plan], ID, &plan);
    dealt.unwrap();
    assert!(parties.into_iter().all(|output| output.unwrap() == [40]));
    let outcomes = in_process::run::<u64, _>(3, multiply).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.output == [90]));
}

/// Both parties would get the same wrong number, if the session were not compared.
#[test]
fn a_dealer_with_another_plan_is_named() {
    let (plan, other) = (plan(), [Request::Square { len: 1 }]);
    assert_dealer_differs(sessions::<u64, u64>([&plan, &plan], ID, &other), "plan");
    // It deals what they need, and then more.
    let longer = [plan.clone(), plan.clone()].concat();
    assert_dealer_differs(sessions::<u64, u64>([&plan, &plan], ID, &longer), "plan");
    assert_dealer_differs(sessions::<u64, u64>([&plan, &plan], [8; 16], &plan), "session");
    assert_dealer_differs(sessions::<u64, u32>([&plan, &plan], ID, &plan), "ring");
}

#[test]
fn a_party_with_another_plan_is_named() {
    let (plan, other) = (plan(), [Request::Square { len: 1 }]);
    let (parties, dealt) = sessions::<u64, u64>([&plan, &other], ID, &plan);
    for (party, result) in parties.into_iter().enumerate() {
        let Err(ProtocolError::Transport(error)) = result else { panic!("{result:?}") };
        assert_eq!(field(&error), "plan");
        assert!(error.to_string().starts_with(&format!("party {} disagrees", 1 - party)), "{error}");
    }
    assert!(matches!(dealt, Err(ProtocolError::DealerLink { .. })), "{dealt:?}");
}

#[test]
fn a_dealer_of_more_parties_is_named() {
    let plan = plan();
    let (dealer_links, party_links): (Vec<_>, Vec<_>) = (0..3).map(|_| memory_link(PATIENT)).unzip();
    let plan = &plan;
    let dealing = DealerSession::<u64>::open(dealer_links, ID, plan, Seed::from_bytes([5; 32]));
    let ends = memory_network(2, PATIENT).into_iter().zip(party_links);
    let open = |(end, link)| move || block_on(Session::open::<u64>(end, link, ID, plan)).unwrap_err();
    let (errors, _) = on_threads(ends.map(open), || block_on(dealing).unwrap_err());
    for error in errors {
        let ProtocolError::LinkToDealer { source } = error else { panic!("{error}") };
        assert_eq!(field(&source), "parties");
    }
}

/// A party's place follows from its transport: exactly one is the last, which the dealer's corrections are for.
#[test]
fn exactly_one_party_is_the_last() {
    for parties in 2..=8 {
        let places = memory_network(parties, PATIENT).into_iter().map(|end| Party::new(end).place());
        let last: Vec<_> = places.filter(|place| place.is_last()).map(|place| place.party).collect();
        assert_eq!(last, [parties - 1]);
    }
}
