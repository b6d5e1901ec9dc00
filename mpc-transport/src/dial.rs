//! Connections to somebody who may not listen yet, and from somebody who may not be whom we wait for.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use smol::future::or;
use smol::{Async, Timer};

/// Pauses between attempts to connect double from the first of these to the second.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];

/// Connections that may be greeting at the same time; the oldest makes way for a new one.
const MAX_GREETING: usize = 64;

/// Pause after a failed accept, for instance while no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

pub(crate) type Stream = Async<TcpStream>;
pub(crate) type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How long something may last in all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimit {
    started: Instant,
    limit: Duration,
}

impl TimeLimit {
    /// From now on.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { started: Instant::now(), limit }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Complete when the time is over.
    async fn over(&self) {
        // An instant beyond the clock never comes.
        self.started.checked_add(self.limit).map_or_else(Timer::never, Timer::at).await;
    }

    /// The result of `work`; none if the time is over before.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let expiry = async {
            self.over().await;
            None
        };
        or(async { Some(work.await) }, expiry).await
    }
}

/// Connects once; small messages are sent at once.
pub(crate) async fn open(address: SocketAddr) -> io::Result<Stream> {
    let stream = Stream::connect(address).await?;
    refuse_self_connection(stream.get_ref())?;
    stream.get_ref().set_nodelay(true)?;
    Ok(stream)
}

/// While nobody listens on a local port, a connection to it can come out of that port and meet itself.
fn refuse_self_connection(stream: &TcpStream) -> io::Result<()> {
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}

/// Waits between attempts, longer each time.
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) fn new() -> Self {
        Self(RETRY_PAUSES[0])
    }

    pub(crate) async fn wait(&mut self) {
        Timer::after(self.0).await;
        self.0 = RETRY_PAUSES[1].min(self.0 * 2);
    }
}

/// Runs all tasks at once, to the end of all or the first error.
pub(crate) async fn join<T, E>(mut tasks: VecDeque<Task<'_, Result<Vec<T>, E>>>) -> Result<Vec<T>, E> {
    let mut results = Vec::new();
    while !tasks.is_empty() {
        results.extend(next(&mut tasks).await?);
    }
    Ok(results)
}

/// The result of the task that ends first, which is removed; waits for ever if there is none.
async fn next<T>(tasks: &mut VecDeque<Task<'_, T>>) -> T {
    poll_fn(|cx| {
        for at in 0..tasks.len() {
            if let Poll::Ready(result) = tasks[at].as_mut().poll(cx) {
                drop(tasks.remove(at));
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    })
    .await
}

/// Accepts connections and greets each, side by side, so that none that says nothing holds up the others.
pub(crate) struct Reception<'a, T> {
    listener: Async<TcpListener>,
    greeting: VecDeque<Task<'a, T>>,
}

impl<'a, T> Reception<'a, T> {
    /// # Errors
    /// The listener's.
    pub(crate) fn new(listener: Option<TcpListener>) -> io::Result<Self> {
        let listener = listener.ok_or_else(|| io::Error::other("no listener was given"))?;
        Ok(Self { listener: Async::new(listener)?, greeting: VecDeque::new() })
    }

    /// The result of `greet` for the connection whose greeting ends next.
    pub(crate) async fn next(&mut self, greet: impl Fn(Stream) -> Task<'a, T>) -> T {
        loop {
            let Self { listener, greeting } = self;
            let greeted = async { Ok(next(greeting).await) };
            let connected = async { Err(accept(listener).await) };
            match or(greeted, connected).await {
                Ok(greeted) => return greeted,
                Err(stream) => self.enqueue(greet(stream)),
            }
        }
    }

    fn enqueue(&mut self, task: Task<'a, T>) {
        if self.greeting.len() == MAX_GREETING {
            self.greeting.pop_front();
        }
        self.greeting.push_back(task);
    }
}

async fn accept(listener: &Async<TcpListener>) -> Stream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => drop(Timer::after(ACCEPT_PAUSE).await),
        }
    }
}
