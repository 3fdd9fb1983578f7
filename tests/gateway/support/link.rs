//! A network link to a server, that a test can freeze: TCP stays up, and
//! nothing passes.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    select,
    sync::watch,
    task::JoinHandle,
};

pub struct Link {
    pub port: u16,
    frozen: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Link {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (frozen, state) = watch::channel(false);
        Self {
            port: listener.local_addr().unwrap().port(),
            frozen,
            accepting: tokio::spawn(async move {
                while let Ok((near, _)) = listener.accept().await {
                    tokio::spawn(carry(near, port, state.clone()));
                }
            }),
        }
    }

    /// New connections are accepted, and as silent as the old ones.
    pub fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    pub fn thaw(&self) {
        self.frozen.send_replace(false);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut near: TcpStream, port: u16, mut frozen: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    loop {
        if frozen.wait_for(|frozen| !frozen).await.is_err() {
            return;
        }
        let mut until_frozen = frozen.clone();
        select! {
            _ = copy_bidirectional(&mut near, &mut far) => return,
            _ = until_frozen.wait_for(|frozen| *frozen) => {}
        }
    }
}
