//! Futures can move between threads, over any transport.

use mpc_transport::{Agreement, MemoryTransport, Metered, TcpTransport, Transport, TransportError, handshake};

fn assert_send<T: Send>(_: T) {}

fn all_futures_are_send<T: Transport>(end: &mut T) {
    assert_send(end.send(1, &[]));
    assert_send(end.receive(1, &mut []));
    assert_send(end.receive_bounded(1, 0));
    assert_send(end.exchange(&[], &mut []));
    assert_send(Transport::exchange(&mut &mut *end, &[], &mut []));
    assert_send(handshake(end, &Agreement::new([0; 16])));
}

#[test]
fn futures_and_errors_are_send() {
    all_futures_are_send::<MemoryTransport>(&mut mpc_transport::memory_network(2, Default::default()).remove(0));
    let _ = all_futures_are_send::<Metered<TcpTransport>>;
    let address = "127.0.0.1:1".parse().unwrap();
    assert_send(TcpTransport::connect(0, None, &[address], Default::default()));
    fn is_error<E: std::error::Error + Send + Sync + 'static>() {}
    is_error::<TransportError>();
}
