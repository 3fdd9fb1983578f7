//! A gateway in this process, on its own port.

use std::{collections::HashMap, net::SocketAddr};

use pgfan::{
    app::{AppError, Gateway},
    config::Config,
    shutdown::Shutdown,
};
use tokio::task::JoinHandle;

use super::{Answer, Database, Reader, Wire, get, until};

/// The test's own environment.
pub fn environment(name: &str) -> Option<String> {
    pgfan::config::environment(name)
}

/// Gateway that ends when it is dropped, or gracefully with `stop`.
pub struct TestGateway {
    pub address: SocketAddr,
    /// Address of the admin port, if one is set.
    pub admin: Option<SocketAddr>,
    shutdown: Shutdown,
    running: JoinHandle<Result<(), AppError>>,
}

impl TestGateway {
    /// A gateway whose source is live.
    pub async fn on(database: &Database) -> Self {
        Self::with(database, &[]).await
    }

    pub async fn with(database: &Database, settings: &[(&str, &str)]) -> Self {
        let gateway = Self::starting(&database.url, settings);
        gateway.ready().await;
        gateway
    }

    /// A gateway that has not connected yet.
    pub fn starting(url: &str, settings: &[(&str, &str)]) -> Self {
        let own = [("listen", "127.0.0.1:0"), ("database-url", url)];
        let all = own.iter().chain(settings);
        let flags: HashMap<_, _> = all.map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let config = Config::resolve(&flags, &|_| None, None).unwrap();
        let gateway = Gateway::bind(config).unwrap();
        let address = gateway.local_addr().unwrap();
        let admin = gateway.admin_addr().unwrap();
        let shutdown = Shutdown::default();
        let running = tokio::spawn(gateway.run(shutdown.clone()));
        Self {
            address,
            admin,
            shutdown,
            running,
        }
    }

    pub async fn ready(&self) {
        until("/readyz is 200", || async {
            self.get("/readyz").await.status == 200
        })
        .await;
    }

    /// Waits until `/readyz` is 503 with this reason.
    pub async fn unready(&self, why: &str) {
        until(why, || async {
            let answer = self.get("/readyz").await;
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            answer.status == 503 && text.contains(why)
        })
        .await;
    }

    pub async fn get(&self, path: &str) -> Answer {
        get(self.address, path, &[]).await
    }

    /// A reader that has seen its `ready`.
    pub async fn reader(&self, wire: Wire, channel: &str) -> Reader {
        let mut reader = Reader::open(wire, self.address, &[channel], None).await;
        reader.ready().await;
        reader
    }

    /// Begins the shutdown, like SIGTERM.
    pub fn begin_shutdown(&self) {
        self.shutdown.begun.cancel();
    }

    pub async fn stop(mut self) {
        self.begin_shutdown();
        let running = &mut self.running;
        super::within("the gateway ends", running)
            .await
            .unwrap()
            .unwrap();
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.begin_shutdown();
        self.running.abort();
    }
}
