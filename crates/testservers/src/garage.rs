//! Garage: an S3 store of three nodes, which ignores conditions.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fs, iter};

use tempfile::TempDir;

use crate::process::{Server, program};

const VARIABLE: &str = "NIGHTJAR_TEST_GARAGE";
const REGION: &str = "garage";
const NODES: usize = 3;
/// How long the nodes may take to find each other again.
const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster of three nodes that keeps three copies of everything: two nodes are enough to read and
/// to write. Each node takes requests at an endpoint of its own.
pub struct Garage {
    nodes: Vec<Node>,
    access_key: String,
    secret_key: String,
    buckets: AtomicU32,
    /// Dropped after the nodes.
    _folder: TempDir,
}

struct Node {
    config: PathBuf,
    endpoint: String,
    /// None while it is stopped.
    server: Option<Server>,
}

impl Garage {
    /// Starts a cluster of its own and waits until all nodes are part of it. Panics with what went
    /// wrong otherwise.
    pub fn start() -> Self {
        let folder = TempDir::new();
        let folder = folder.unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let nodes: Vec<Node> = free_ports(NODES)
            .into_iter()
            .enumerate()
            .map(|(number, ports)| Node::new(&folder.path().join(format!("node-{number}")), ports))
            .collect();
        let ids: Vec<String> =
            nodes.iter().map(|node| node.garage(&["node", "id", "-q"])).collect();
        let Some((first, others)) = nodes.split_first() else { panic!("a cluster has nodes") };
        for id in ids.iter().skip(1) {
            first.garage(&["node", "connect", id]);
        }
        for (id, zone) in ids.iter().zip(["a", "b", "c"]) {
            let id = id.split('@').next().unwrap_or(id);
            first.garage(&["layout", "assign", id, "-z", zone, "-c", "1G"]);
        }
        first.garage(&["layout", "apply", "--version", "1"]);
        let key = first.garage(&["json-api", "CreateKey", "{\"name\": \"test\"}"]);
        for node in iter::once(first).chain(others) {
            node.wait_for_others();
        }
        let (access_key, secret_key) = (field(&key, "accessKeyId"), field(&key, "secretAccessKey"));
        Self { access_key, secret_key, nodes, buckets: AtomicU32::new(0), _folder: folder }
    }

    /// Where a node is, as `http://127.0.0.1:PORT`.
    pub fn endpoint(&self, node: usize) -> &str {
        &self.node(node).endpoint
    }

    /// The variables that tell clients of it.
    pub fn variables(&self) -> [(&'static str, &str); 3] {
        [
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", &self.access_key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret_key),
        ]
    }

    /// Makes a bucket that the key may use and returns its name.
    pub fn new_bucket(&self) -> String {
        let bucket = format!("bucket-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        let key = self.access_key.as_str();
        let node = self.node(0);
        node.garage(&["bucket", "create", &bucket]);
        node.garage(&["bucket", "allow", "--read", "--write", "--owner", &bucket, "--key", key]);
        bucket
    }

    /// Kills a node.
    pub fn stop(&mut self, node: usize) {
        match self.nodes.get_mut(node).map(|node| node.server.take()) {
            Some(Some(server)) => drop(server),
            _ => panic!("node {node} does not run"),
        }
    }

    /// Starts a node that was stopped, and waits until all nodes see each other.
    pub fn start_again(&mut self, node: usize) {
        let Some(stopped) = self.nodes.get_mut(node) else { panic!("there is no node {node}") };
        stopped.server = Some(serve(&stopped.config));
        for node in &self.nodes {
            node.wait_for_others();
        }
    }

    fn node(&self, number: usize) -> &Node {
        self.nodes.get(number).unwrap_or_else(|| panic!("there is no node {number}"))
    }
}

impl Node {
    fn new(folder: &Path, [s3, rpc]: [u16; 2]) -> Self {
        let config = folder.join("garage.toml");
        let at = folder.display();
        let secret = "5c".repeat(32);
        let text = format!(
            "metadata_dir = \"{at}/meta\"\n\
             data_dir = \"{at}/data\"\n\
             db_engine = \"sqlite\"\n\
             replication_factor = {NODES}\n\
             rpc_bind_addr = \"127.0.0.1:{rpc}\"\n\
             rpc_public_addr = \"127.0.0.1:{rpc}\"\n\
             rpc_secret = \"{secret}\"\n\
             [s3_api]\n\
             s3_region = \"{REGION}\"\n\
             api_bind_addr = \"127.0.0.1:{s3}\"\n"
        );
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&config, text));
        written.unwrap_or_else(|error| panic!("{}: {error}", config.display()));
        let server = Some(serve(&config));
        let endpoint = format!("http://127.0.0.1:{s3}");
        let node = Self { config, endpoint, server };
        node.wait("takes commands", |answer| answer.is_ok());
        node
    }

    fn wait_for_others(&self) {
        let healthy = |answer: Result<String, String>| {
            answer.is_ok_and(|text| field(&text, "status") == "healthy")
        };
        self.wait("sees the others", healthy);
    }

    fn wait(&self, what: &str, mut holds: impl FnMut(Result<String, String>) -> bool) {
        let start = Instant::now();
        while !holds(self.run(&["json-api", "GetClusterHealth"])) {
            assert!(start.elapsed() < PATIENCE, "no sign that {} {what}", self.config.display());
            sleep(Duration::from_millis(200));
        }
    }

    /// Runs a command of Garage's own, which must succeed, and returns what it prints.
    fn garage(&self, words: &[&str]) -> String {
        self.run(words).unwrap_or_else(|error| panic!("garage {}: {error}", words.join(" ")))
    }

    fn run(&self, words: &[&str]) -> Result<String, String> {
        let output =
            Command::new(program(VARIABLE)).arg("-c").arg(&self.config).args(words).output();
        let output = output.map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

fn serve(config: &Path) -> Server {
    let setup = |command: &mut Command| {
        command.arg("-c").arg(config).arg("server").env("RUST_LOG", "garage=info,netapp=info");
    };
    Server::start(VARIABLE, setup, "S3 API server listening on").0
}

/// Two free ports for each of so many. All are held until all are known.
fn free_ports(count: usize) -> Vec<[u16; 2]> {
    let listen = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        listener.unwrap_or_else(|error| panic!("no port to listen on: {error}"))
    };
    let held: Vec<[TcpListener; 2]> = (0..count).map(|_| [listen(), listen()]).collect();
    let port = |listener: &TcpListener| match listener.local_addr() {
        Ok(address) => address.port(),
        Err(error) => panic!("a port without address: {error}"),
    };
    held.iter().map(|pair| [port(&pair[0]), port(&pair[1])]).collect()
}

/// The first string of that name in a JSON document.
fn field(document: &str, name: &str) -> String {
    let after = document.split(&format!("\"{name}\"")).nth(1);
    let value = after.and_then(|rest| rest.split('"').nth(1));
    value.unwrap_or_else(|| panic!("no {name} in:\n{document}")).to_owned()
}
