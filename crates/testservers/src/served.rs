//! A server in a thread of this process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::Listener;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Routes that are served on a port of 127.0.0.1 until this is dropped.
pub(crate) struct Served {
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    address: SocketAddr,
    running: Option<Running>,
}

struct Running {
    /// Dropping it ends the thread.
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Served {
    /// Serves `router` on a free port, over TLS if told how.
    pub(crate) fn start(router: Router, tls: Option<Arc<ServerConfig>>) -> Self {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut served = Self { router, tls, address: anywhere, running: None };
        served.start_again();
        served
    }

    /// `http://127.0.0.1:PORT`, or with https.
    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Closes the port and all connections.
    pub(crate) fn stop(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            drop(stop);
            // A panic of the thread has been printed; the test fails by what it misses.
            let _ = thread.join();
        }
    }

    /// Opens the same port, which somebody else may have for a moment.
    pub(crate) fn start_again(&mut self) {
        self.stop();
        let start = Instant::now();
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(_) if start.elapsed() < Duration::from_secs(10) => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) => panic!("no port to listen on: {}: {error}", self.address),
            }
        };
        let address = listener.set_nonblocking(true).and_then(|()| listener.local_addr());
        self.address = address.unwrap_or_else(|error| panic!("a port without address: {error}"));
        let (stop, stopped) = oneshot::channel();
        let (router, tls) = (self.router.clone(), self.tls.clone());
        let thread = thread::spawn(move || run(listener, router, tls, stopped));
        self.running = Some(Running { stop, thread });
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime to serve with: {error}"));
    let serve = async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        match tls {
            None => axum::serve(listener, router).await,
            Some(config) => axum::serve(Encrypted::new(listener, config)?, router).await,
        }
    };
    let outcome: io::Result<()> = runtime.block_on(async {
        tokio::select! {
            outcome = serve => outcome,
            _ = stopped => Ok(()),
        }
    });
    outcome.unwrap_or_else(|error| panic!("serving failed: {error}"));
}

/// Accepts connections and shakes hands with all of them side by side.
struct Encrypted {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl Encrypted {
    fn new(listener: tokio::net::TcpListener, config: Arc<ServerConfig>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(config);
        let (done, ready) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                let (acceptor, done) = (acceptor.clone(), done.clone());
                tokio::spawn(async move {
                    // Clients that do not trust the certificate go away here.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = done.send((stream, from)).await;
                    }
                });
            }
        });
        Ok(Self { ready, address })
    }
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
