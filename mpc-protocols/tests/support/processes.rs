//! Two parties and a dealer, each a process of its own, connected over TCP.

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Lines, Write, stdin};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Command, Stdio};

use mpc_protocols::{CorrelationSource, DealerSession, Party, Place, ProtocolError, Session, session};
use mpc_shares::Seed;
use mpc_transport::{Link, TcpLink, TcpSettings, TcpTransport};

/// Any failure.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Says to a process who it is.
const ROLE: &str = "MPC_EXAMPLE_ROLE";

/// The parties.
const PARTIES: usize = 2;

/// The identity of the session, which whoever starts it hands to all.
const SESSION: [u8; 16] = *b"example session ";

/// Runs the protocol that `of` makes for a party, at two parties and with a dealer; gives what both parties got.
///
/// The process that is started first starts the three others with `command`, which leads back to here, and ends with the
/// result. In a process of a party this does not return.
pub fn run<P>(command: impl Fn() -> Command, of: impl Fn(usize) -> P) -> Result<Vec<String>, Failure>
where
    P: AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<String, ProtocolError>,
{
    match env::var(ROLE).ok().as_deref() {
        None => start(command),
        Some("dealer") => end(smol::block_on(dealer(of(0)))),
        Some(party) => {
            let party = party.parse()?;
            end(smol::block_on(self::party(party, of(party))))
        }
    }
}

/// The `main` of an example: runs it in processes of this program, and prints what each party learns.
#[allow(dead_code, reason = "a test calls the example's `run`")]
pub fn print(run: impl Fn(fn() -> Command) -> Result<Vec<String>, Failure>) -> Result<(), Failure> {
    let own = || Command::new(env::current_exe().unwrap_or_default());
    for (party, result) in run(own)?.iter().enumerate() {
        println!("party {party} learns: {result}");
    }
    Ok(())
}

/// The process of a party. The plan follows from the protocol, so that it is written nowhere.
async fn party(
    index: usize,
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<String, ProtocolError>,
) -> Result<(), Failure> {
    let [listener, dealer_listener] = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    println!("listens {} {}", listener.local_addr()?, dealer_listener.local_addr()?);
    let (parties, _) = addresses()?;
    let transport = TcpTransport::connect(index, listener, &parties, TcpSettings::default()).await?;
    let link = TcpLink::listen(dealer_listener, TcpSettings::default()).await?;
    let plan = session::plan(Place { party: index, parties: PARTIES }, &protocol).await?;
    let mut session = Session::open::<u64>(transport, Link::new(link), SESSION, &plan).await?;
    println!("result {}", session.run(protocol).await?);
    Ok(())
}

/// The process of the dealer, which knows no secret.
async fn dealer(
    protocol: impl AsyncFn(&mut Party, &mut CorrelationSource<'_>) -> Result<String, ProtocolError>,
) -> Result<(), Failure> {
    let (_, dealer_links) = addresses()?;
    let mut links = Vec::new();
    for address in dealer_links {
        links.push(Link::new(TcpLink::connect(address, TcpSettings::default()).await?));
    }
    let plan = session::plan(Place { party: 0, parties: PARTIES }, protocol).await?;
    let mut session = DealerSession::<u64>::open(links, SESSION, &plan, Seed::from_system()?).await?;
    Ok(session.deal().await?)
}

/// Starts the three processes and tells each where the others listen.
fn start(command: impl Fn() -> Command) -> Result<Vec<String>, Failure> {
    let spawn = |role: String| -> Result<(Child, Lines<BufReader<ChildStdout>>), Failure> {
        let mut child = command().env(ROLE, role).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        Ok((child, lines))
    };
    let mut parties = (0..PARTIES).map(|party| spawn(party.to_string())).collect::<Result<Vec<_>, _>>()?;
    let mut addresses = String::new();
    for (_, lines) in &mut parties {
        addresses += &find(lines, "listens ")?;
        addresses += " ";
    }
    let dealer = spawn("dealer".to_owned())?;
    let mut results = Vec::new();
    let mut all: Vec<_> = parties.into_iter().chain([dealer]).collect();
    for (child, _) in &mut all {
        writeln!(child.stdin.take().ok_or("no input")?, "{addresses}")?;
    }
    for (_, lines) in all.iter_mut().take(PARTIES) {
        results.push(find(lines, "result ")?);
    }
    for (child, _) in &mut all {
        let status = child.wait()?;
        if !status.success() {
            return Err(format!("a process ended with {status}").into());
        }
    }
    Ok(results)
}

/// The rest of the first line that has `mark` in it.
fn find(lines: &mut Lines<BufReader<ChildStdout>>, mark: &str) -> Result<String, Failure> {
    for line in lines {
        if let Some((_, rest)) = line?.split_once(mark) {
            return Ok(rest.to_owned());
        }
    }
    Err(format!("a process ended before it said {mark:?}").into())
}

/// Where each party listens for the other, and for the dealer.
fn addresses() -> Result<(Vec<SocketAddr>, Vec<SocketAddr>), Failure> {
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let all = line.split_whitespace().map(str::parse).collect::<Result<Vec<SocketAddr>, _>>()?;
    Ok((all.iter().copied().step_by(2).collect(), all.into_iter().skip(1).step_by(2).collect()))
}

/// Ends a process that was started by another.
fn end(outcome: Result<(), Failure>) -> ! {
    let code = match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    };
    std::process::exit(code)
}
