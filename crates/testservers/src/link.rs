//! A line to somewhere far away: bytes take a while, and only so many go at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, sleep_until};

/// Bytes that are passed on together.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces of one connection and one direction that are on the line: with more than a line can
/// hold, whoever sends has to wait.
const PIECES: usize = 128;

/// Passes connections on to a server, late and no faster than the line allows.
pub struct Link {
    address: SocketAddr,
    /// Dropping it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What a line is like. All connections share its rate, each direction for itself.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// From the client to the server and back.
    pub round_trip: Duration,
    /// Bytes per second.
    pub rate: u64,
}

impl Link {
    /// Lays a line to the server at `endpoint`, such as `http://127.0.0.1:5000`.
    pub fn start(endpoint: &str, line: Line) -> Self {
        let server = endpoint.trim_start_matches("http://").trim_end_matches('/');
        let server: SocketAddr =
            server.parse().unwrap_or_else(|error| panic!("{endpoint} is no address: {error}"));
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
            runtime.block_on(async move {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
                let listener = listener.unwrap_or_else(|error| panic!("no port: {error}"));
                let _ = tell.send(listener.local_addr());
                tokio::select! {
                    () = carry(listener, server, line) => {}
                    _ = stopped => {}
                }
            });
        });
        let Ok(Ok(address)) = told.recv() else { panic!("the line has no end") };
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// The near end of the line, as `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed.
            let _ = thread.join();
        }
    }
}

async fn carry(listener: TcpListener, server: SocketAddr, line: Line) {
    let (up, down) = (Arc::new(Lane::new(line)), Arc::new(Lane::new(line)));
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let (up, down) = (Arc::clone(&up), Arc::clone(&down));
        tokio::spawn(async move {
            // TCP's handshake.
            sleep(line.round_trip).await;
            let Ok(server) = TcpStream::connect(server).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::join!(pass(from_client, to_server, up), pass(from_server, to_client, down));
        });
    }
}

/// One direction of a line.
struct Lane {
    line: Line,
    /// When what was sent so far has left.
    busy_until: Mutex<Instant>,
}

impl Lane {
    fn new(line: Line) -> Self {
        Self { line, busy_until: Mutex::new(Instant::now()) }
    }

    /// When so many bytes that are sent now will have left.
    fn send(&self, bytes: usize) -> Instant {
        let takes = Duration::from_nanos(bytes as u64 * 1_000_000_000 / self.line.rate.max(1));
        let mut busy_until = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
        *busy_until = (*busy_until).max(Instant::now()) + takes;
        *busy_until
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, lane: Arc<Lane>) {
    let (pieces, mut arriving) = mpsc::channel::<(Instant, Bytes)>(PIECES);
    let send = async {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(len @ 1..) = from.read(&mut buffer).await {
            let left = lane.send(len);
            let piece = Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default());
            if pieces.send((left + lane.line.round_trip / 2, piece)).await.is_err() {
                break;
            }
        }
        drop(pieces);
    };
    let receive = async {
        while let Some((arrives, piece)) = arriving.recv().await {
            sleep_until(arrives.into()).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
        arriving.close();
        let _ = to.shutdown().await;
    };
    tokio::join!(send, receive);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn bytes_come_late_and_not_faster_than_the_line_allows() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
        let server = listener.local_addr().unwrap_or_else(|error| panic!("{error}"));
        let echo = thread::spawn(move || {
            let Ok((mut stream, _)) = listener.accept() else { panic!("nobody came") };
            let mut got = vec![0; 1_000_000];
            assert!(stream.read_exact(&mut got).is_ok() && stream.write_all(&got).is_ok());
        });
        let line = Line { round_trip: Duration::from_millis(50), rate: 4_000_000 };
        let link = Link::start(&format!("http://{server}"), line);
        let start = Instant::now();
        let sent: Vec<u8> = (0..1_000_000u32).map(|number| (number % 251) as u8).collect();
        let mut stream = TcpStream::connect(link.address).unwrap_or_else(|error| panic!("{error}"));
        let mut got = vec![0; sent.len()];
        assert!(stream.write_all(&sent).is_ok() && stream.read_exact(&mut got).is_ok());
        assert!(got == sent);
        // A handshake, then a quarter of a second each way.
        assert!(start.elapsed() > Duration::from_millis(550), "{:?}", start.elapsed());
        assert!(echo.join().is_ok());
    }
}
