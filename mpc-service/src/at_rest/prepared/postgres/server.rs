//! A PostgreSQL server of a test program's own: in a temporary folder, on a free port, gone with the program.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

/// Says where the tests' own server is not, and how to get it.
pub const MISSING: &str = "skipped: no PostgreSQL server is installed (apt-get install postgresql)";

/// Starts and stops the server as the reader of a pipe, which ends with the program that tests; `start` and `stop` are
/// its words. The folder is removed at its end.
const KEEPER: &str = r#"
trap '' INT TERM
data="$1/data"
stop() { if [ -n "$pid" ]; then kill -"$1" "$pid" 2>/dev/null; wait "$pid"; pid=; fi; }
LC_ALL=C "$2/initdb" -D "$data" -U test -A trust -E UTF8 -N >"$1/log" 2>&1 || { cat "$1/log" >&2; exit 1; }
echo ready
while read -r word; do
    case "$word" in
    start) "$2/postgres" -D "$data" -p "$3" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
        -c max_connections=200 >>"$1/log" 2>&1 & pid=$!
        tries=0
        until "$2/pg_isready" -q -h 127.0.0.1 -p "$3"; do
            tries=$((tries + 1)); if [ "$tries" -gt 600 ]; then cat "$1/log" >&2; exit 1; fi; sleep 0.05
        done ;;
    stop) stop INT ;;
    esac
    echo done
done
stop QUIT
rm -rf "$1"
"#;

/// A running server.
pub struct PostgresServer {
    port: u16,
    keeper: Mutex<Keeper>,
}

struct Keeper {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

/// The folder of the newest server's programs, where Debian puts them or on the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|entry| entry.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    folders.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// Whether this process is root, for whom the server does not run.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0)
}

/// A free port.
fn port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl PostgresServer {
    /// The server of this test program, started by the first who asks. `None` where none is installed, which is said.
    pub fn shared() -> Option<&'static Self> {
        static SERVER: OnceLock<Option<PostgresServer>> = OnceLock::new();
        SERVER.get_or_init(Self::start).as_ref()
    }

    /// A server of one's own. `None` where none is installed, which is said.
    pub fn start() -> Option<Self> {
        let mut command = Command::new("sh");
        if is_root() {
            command = Command::new("runuser");
            command.args(["-u", "nobody", "--", "sh"]);
        }
        Self::start_by(command, is_root())
    }

    /// As [`start`](Self::start), by a command that is a shell in some way, and whether that is user `nobody`'s.
    pub fn start_by(mut command: Command, is_nobody: bool) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os("MPC_POSTGRES_REQUIRED").is_none(), "{MISSING}");
            println!("{MISSING}");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("mpc-postgres-").tempdir().unwrap().keep();
        if is_nobody {
            let given = Command::new("chown").args(["nobody:"]).arg(&folder).status().unwrap();
            assert!(given.success());
        }
        let port = port();
        command.args(["-c", KEEPER, "sh"]).arg(&folder).arg(&programs).arg(port.to_string());
        command.current_dir(Path::new("/")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut keeper = Keeper { child, said };
        keeper.hear("ready");
        keeper.say("start");
        Some(Self { port, keeper: Mutex::new(keeper) })
    }

    /// One of the programs that come with it.
    #[allow(dead_code, reason = "the program's tests need it")]
    pub fn program(name: &str) -> PathBuf {
        programs().unwrap_or_default().join(name)
    }

    /// The address of one of its databases.
    pub fn address(&self, database: &str) -> String {
        format!("postgres://test@127.0.0.1:{}/{database}", self.port)
    }

    /// A new, empty database; its address.
    pub fn database(&self) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.run(&format!("create database {name}"));
        self.address(&name)
    }

    /// Has a statement run by the server's administrator.
    pub fn run(&self, statement: &str) {
        let mut client = ::postgres::Client::connect(&self.address("postgres"), ::postgres::NoTls).unwrap();
        client.batch_execute(statement).unwrap();
    }

    /// Starts or stops it.
    pub fn order(&self, word: &str) {
        self.keeper.lock().unwrap().say(word);
    }
}

impl Keeper {
    fn say(&mut self, word: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{word}").unwrap();
        self.hear("done");
    }

    fn hear(&mut self, word: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word, "the server did not start");
    }
}
