//! What lies between a client and a server, and fails as networks do.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// A TCP port that leads to the Unix socket of a server, as well as it is told to.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// How the bytes are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// They pass.
    Fair,
    /// They pass after a while, in both directions.
    Slow(Duration),
    /// They are taken and never arrive; the connections stay open.
    Silent,
    /// New connections are closed at once, and so are those that there are.
    Broken,
}

#[derive(Debug)]
struct Shared {
    socket: PathBuf,
    weather: watch::Sender<Weather>,
    /// How many bytes of clients may pass until every connection is cut.
    until_cut: AtomicU64,
    cuts: watch::Sender<u64>,
    connections: AtomicU64,
}

impl Relay {
    /// Listens on a free port.
    ///
    /// # Panics
    /// When there is none.
    pub async fn to(socket: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Shared {
            socket: socket.to_owned(),
            weather: watch::Sender::new(Weather::Fair),
            until_cut: AtomicU64::new(u64::MAX),
            cuts: watch::Sender::new(0),
            connections: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// The URL of a database by this way.
    ///
    /// # Panics
    /// When it is none of [`Cluster::database`](crate::Cluster::database).
    pub fn url(&self, database: &str) -> String {
        let (direct, _) = database.split_once('?').expect("the socket is an option of the URL");
        direct.replace("@localhost/", &format!("@{}/", self.address))
    }

    /// What happens to bytes and connections from now on.
    pub fn turn(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
        if weather == Weather::Broken {
            self.shared.cut();
        }
    }

    /// Cuts every connection when so many more bytes of clients have passed.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.until_cut.store(bytes, Ordering::SeqCst);
    }

    /// How often connections were cut.
    pub fn cuts(&self) -> u64 {
        *self.shared.cuts.borrow()
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.cut();
    }
}

impl Shared {
    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// So many bytes of a client are to pass; whether they may.
    fn count(&self, bytes: u64) -> bool {
        let counted = self.until_cut.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
            u64::MAX => None,
            left => Some(left.checked_sub(bytes).unwrap_or(u64::MAX)),
        });
        let is_due = counted.is_ok_and(|left| left < bytes);
        if is_due {
            self.cut();
        }
        !is_due
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        if *shared.weather.borrow() == Weather::Broken {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut cuts = shared.cuts.subscribe();
            let _ = client.set_nodelay(true);
            // A server that is down refuses; here the connection is closed.
            let Ok(server) = UnixStream::connect(&shared.socket).await else { return };
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::select! {
                _ = carry(from_client, to_server, &shared, Way::There) => {}
                _ = carry(from_server, to_client, &shared, Way::Back) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    There,
    Back,
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
    way: Way,
) -> io::Result<()> {
    let mut weather = shared.weather.subscribe();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let now = *weather.borrow_and_update();
        match now {
            Weather::Fair | Weather::Broken => {}
            Weather::Slow(by) => tokio::time::sleep(by).await,
            Weather::Silent => continue,
        }
        if way == Way::There && !shared.count(read as u64) {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
