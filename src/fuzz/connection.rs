//! All bytes of one client, sent to the real accept loop and routes on the
//! loopback; only the database is left out.

use std::{net::SocketAddr, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::Mutex,
    time::timeout,
};

use crate::{
    auth::{self, Authenticator},
    channel_demand::{Demand, ListenRequest},
    event::Notification,
    hub::{self, Hub},
    publish::{self, PublishQueue},
    shutdown::Shutdown,
    transport::{
        AdminPages, Admission, Browsers, Limits, Listener, ListenerTraits, RouteSet, Settings,
        router, serve,
    },
};

/// Limit of a client's connection: it has sent all bytes by then, and
/// disconnects without a close.
const PATIENCE: Duration = Duration::from_millis(20);

/// Timeout of the other reader, ample even beside other tests.
const LIMIT: Duration = Duration::from_secs(10);

thread_local! {
    /// Leaked: it lives as long as the process.
    static GATEWAY: &'static Gateway = Box::leak(Box::new(Gateway::start()));
}

/// Sends all bytes of one client's connection. Whatever they are, another
/// reader is still served.
pub(super) fn connection(bytes: &[u8]) {
    let gateway = GATEWAY.with(|gateway| *gateway);
    gateway.runtime.block_on(async {
        // The bytes may not be a request, or may start an endless response.
        let _ = timeout(PATIENCE, gateway.client(bytes)).await;
        let served = timeout(LIMIT, gateway.notify_the_other());
        served.await.expect("another reader is served");
    });
}

/// A gateway on one thread, so that an input has the same effect each time.
struct Gateway {
    runtime: Runtime,
    address: SocketAddr,
    hub: Hub,
    other: Mutex<TcpStream>,
}

impl Gateway {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (address, hub, other) = runtime.block_on(async {
            // As Rust's own `main` does, and a fuzzer's does not: writing to a
            // closed connection must not end the process.
            drop(signal(SignalKind::pipe()).expect("it can be handled"));
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("its address");
            let hub = gateway(listener);
            (address, hub, reader(address).await)
        });
        let other = Mutex::new(other);
        Self {
            runtime,
            address,
            hub,
            other,
        }
    }

    /// Sends all bytes, and reads until the gateway closes the connection.
    async fn client(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut socket = TcpStream::connect(self.address).await?;
        // Closes by a reset: lingering would soon use up all ports.
        SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
        let (mut answers, mut says) = socket.split();
        let saying = async {
            says.write_all(bytes).await?;
            says.shutdown().await
        };
        let hearing = async {
            let mut part = [0; 4096];
            while answers.read(&mut part).await? > 0 {}
            Ok(())
        };
        tokio::try_join!(saying, hearing).map(drop)
    }

    async fn notify_the_other(&self) {
        self.hub.ingest(|intake| {
            intake.notification(Notification {
                channel: "other".into(),
                payload: "served".into(),
            });
        });
        hear(&mut *self.other.lock().await, "served").await;
    }
}

/// A gateway whose source listens to all requested channels, and confirms each
/// publish.
fn gateway(listener: TcpListener) -> Hub {
    let demand = Demand::default();
    let hub = Hub::new(hub::Config::default(), demand.clone());
    hub.ingest(|intake| intake.live(false));
    let (publisher, requests) = publish::channel();
    let settings = Settings::default();
    let auth = Authenticator::new(auth::Config::open(true));
    let browsers = Browsers::default();
    let admission = Admission::new(
        hub.clone(),
        publisher,
        auth,
        browsers,
        settings,
        Limits::default(),
    );
    let side = RouteSet::Whole;
    let front = ListenerTraits {
        side,
        speaks_tls: false,
    };
    let app = router(admission.clone(), AdminPages::empty(), front).expect("the routes");
    let door = Listener {
        listener,
        app,
        side,
        tls: None,
    };
    tokio::spawn(listen(demand, hub.clone()));
    tokio::spawn(publish(requests));
    tokio::spawn(async move {
        let shutdown = Shutdown::default();
        serve(vec![door], admission, &shutdown).await;
    });
    hub
}

async fn listen(demand: Demand, hub: Hub) {
    loop {
        let wishes = demand.changed().await;
        hub.ingest(|intake| {
            for (channel, wish) in &wishes {
                if let ListenRequest::Listen(generation, _) = wish {
                    intake.listening(channel, *generation);
                }
            }
        });
    }
}

async fn publish(mut requests: PublishQueue) {
    while let Some(request) = requests.recv().await {
        let _ = request.reply.send(Ok(()));
    }
}

/// A reader that stays connected.
async fn reader(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    let request = b"GET /v1/sse?channel=other&format=raw HTTP/1.1\r\nHost: localhost\r\n\r\n";
    socket.write_all(request).await.expect("it is taken");
    hear(&mut socket, "ready").await;
    socket
}

async fn hear(socket: &mut TcpStream, word: &str) {
    let mut heard = Vec::new();
    while !heard
        .windows(word.len())
        .any(|part| part == word.as_bytes())
    {
        let length = socket.read_buf(&mut heard).await.expect("it is served");
        assert!(length > 0, "another's stream has ended");
    }
}
