//! Downloads one small document over HTTP: the keys of an identity provider.

use std::{fmt, io, time::Duration};

use http::{HeaderValue, Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::{task::JoinSet, time::timeout};

use crate::outgoing::{IoStream, Tls, dial, is_name};

/// Timeout of the complete download; clients may be waiting to be let in.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Maximum size of the document: a hundred keys with their certificates fit.
const MAX_BYTES: usize = 256 << 10;

/// Some providers and their proxies refuse a request without a `User-Agent`.
const USER_AGENT: &str = concat!("pgfan/", env!("CARGO_PKG_VERSION"));

/// RFC 7517, section 8.5.1, and the type that most providers send.
const ACCEPT: &str = "application/json, application/jwk-set+json";

/// URL of a document. `Display` shows only the host.
#[derive(Clone)]
pub struct Url {
    uri: Uri,
    /// Present for `https`.
    tls: Option<Tls>,
}

/// Reason why a text is not accepted as the URL of a key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The scheme is neither `http` nor `https`, or there is no host.
    #[error("not a URL like https://id.example/jwks.json")]
    Syntax,
    /// Credentials in the URL would be written to logs.
    #[error("a user name or password has no place in it")]
    Credentials,
    /// Plain `http` to another machine.
    #[error("over http only from this machine: who sits between could hand in keys of his own")]
    Plain,
    /// There are no trusted root certificates.
    #[error("the system has no root certificates for https")]
    NoRoots,
}

/// Reason why the download failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the answer is {0}, not 200")]
    Status(StatusCode),
    #[error("the answer is broken off, or longer than 256 KiB")]
    Body,
    #[error("not within {TIME_LIMIT:?}")]
    Time,
}

impl Url {
    /// Parses a URL. `insecure` allows `http` for any host.
    ///
    /// # Errors
    /// The text is not a URL from which keys may be fetched.
    pub fn parse(text: &str, insecure: bool) -> Result<Self, UrlError> {
        let uri: Uri = text.parse().map_err(|_| UrlError::Syntax)?;
        let authority = uri.authority().ok_or(UrlError::Syntax)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::Credentials);
        }
        if authority.host().is_empty() {
            return Err(UrlError::Syntax);
        }
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => {
                if !is_name(&host(&uri)) {
                    return Err(UrlError::Syntax);
                }
                Some(Tls::new("http/1.1").map_err(|_| UrlError::NoRoots)?)
            }
            Some(scheme) if *scheme == Scheme::HTTP => {
                if !insecure && !is_this_machine(&host(&uri)) {
                    return Err(UrlError::Plain);
                }
                None
            }
            _ => return Err(UrlError::Syntax),
        };
        Ok(Self { uri, tls })
    }

    fn port(&self) -> u16 {
        let default = if self.tls.is_some() { 443 } else { 80 };
        self.uri.port_u16().unwrap_or(default)
    }

    /// Downloads the document. Redirects are not followed: they could lead to any host.
    pub(super) async fn get(&self) -> Result<Bytes, FetchError> {
        let getting = async {
            let socket = dial(&host(&self.uri), self.port(), self.tls.as_ref()).await?;
            self.get_over(socket).await
        };
        timeout(TIME_LIMIT, getting)
            .await
            .map_err(|_| FetchError::Time)?
    }

    async fn get_over(&self, socket: Box<dyn IoStream>) -> Result<Bytes, FetchError> {
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(socket));
        let (mut sender, connection) = handshake.await?;
        // The task ends with this function.
        let mut driving = JoinSet::new();
        driving.spawn(connection);
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = path.parse().unwrap_or_default();
        let host = authority.parse().map_err(io::Error::other)?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPT));
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_BYTES).collect();
        Ok(body.await.map_err(|_| FetchError::Body)?.to_bytes())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// Only the host: the path or query may contain a secret.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri.host().unwrap_or_default())
    }
}

/// The host, without the brackets around an IPv6 address.
fn host(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).to_owned()
}

fn is_this_machine(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for url in ["http://127.0.0.1:1/a", "http://[::1]/a", "http://localhost"] {
            assert!(Url::parse(url, false).is_ok(), "{url}");
        }
        for url in [
            "http://id.example/a",
            "http://127.0.0.1.evil.example/a",
            "http://10.0.0.1",
        ] {
            assert_eq!(
                Url::parse(url, false).unwrap_err(),
                UrlError::Plain,
                "{url}"
            );
            assert!(Url::parse(url, true).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_and_one_shows_its_host_alone() {
        for url in [
            "",
            "/a",
            "id.example",
            "ftp://id.example/a",
            "https://",
            "file:///a",
        ] {
            assert_eq!(
                Url::parse(url, true).unwrap_err(),
                UrlError::Syntax,
                "{url}"
            );
        }
        let named = Url::parse("http://ann:s3cret@localhost/", true);
        assert_eq!(named.unwrap_err(), UrlError::Credentials);
        let url = Url::parse("http://localhost/s3cret?key=s3cret", false).unwrap();
        assert_eq!(format!("{url} {url:?}"), "localhost Url(localhost)");
    }
}
