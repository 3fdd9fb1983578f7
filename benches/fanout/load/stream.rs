//! A socket, and TLS over it where the server speaks that.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    sync::Arc,
};

use mio::{Interest, Registry, Token, net::TcpStream};
use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use crate::peers::TLS_HOST;

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub fn open(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        let Some(config) = tls else {
            return Ok(Self::Plain(socket));
        };
        let name = ServerName::try_from(TLS_HOST).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(session, socket))))
    }

    pub fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> bool {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &mut tls.sock,
        };
        registry.register(socket, token, interest).is_ok()
    }

    /// Whether a read that does not fill its buffer has emptied the socket
    /// (epoll(7), on edge-triggered streams): TLS gives a record at a time.
    pub fn is_read_whole(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    /// What TLS has to say of its own too.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
