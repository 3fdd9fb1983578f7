//! A socket, with TLS over it if the server uses TLS.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use mio::{Interest, Registry, Token, net::TcpStream};
use rustix::io::Errno;
use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use socket2::{Domain, Socket, Type};

use crate::peers::TLS_HOST;

/// Address of a server, and the way to connect.
pub struct Target {
    pub address: SocketAddr,
    /// For a server with TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// Another source address on the loopback, since each has ports of its own;
    /// `None` for the usual one.
    pub from: Option<Ipv4Addr>,
}

impl Target {
    fn connect(&self) -> io::Result<TcpStream> {
        let Some(from) = self.from else {
            return TcpStream::connect(self.address);
        };
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        match socket.connect(&self.address.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                Err(error)
            }
            _ => Ok(TcpStream::from_std(socket.into())),
        }
    }
}

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub fn open(target: &Target) -> io::Result<Self> {
        let socket = target.connect()?;
        let Some(config) = &target.tls else {
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
    /// (epoll(7), on edge-triggered streams): TLS returns one record at a time.
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

    /// Includes TLS's own messages.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
