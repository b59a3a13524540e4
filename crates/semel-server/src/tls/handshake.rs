//! One handshake, and what it tells of the caller.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::Certificates;
use crate::peer::{ClientCertificate, NoCertificate};

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Shaken {
    /// To be read and written in the clear.
    pub stream: TlsStream<TcpStream>,
    /// Whether both sides agreed on HTTP/2.
    pub http_2: bool,
    /// What the caller proved to hold.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Unshaken {
    /// It does not speak TLS, and was told so.
    #[error("it speaks no TLS")]
    Plain,
    /// It broke off, or the two did not agree.
    #[error("the handshake failed: {0}")]
    Failed(#[from] io::Error),
    /// The handshake took a certificate that cannot be read here.
    #[error(transparent)]
    Certificate(#[from] NoCertificate),
}

/// The first byte of a handshake's record (RFC 8446 §5.1). No method of HTTP begins with it.
const HANDSHAKE: u8 = 22;

/// Shakes hands by what is in use now.
///
/// # Errors
/// [`Unshaken`]; there is nothing more to be said to the other side then.
pub(crate) async fn shake(
    certificates: &Certificates,
    mut stream: TcpStream,
) -> Result<Shaken, Unshaken> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE] {
        turn_away(&mut stream).await?;
        return Err(Unshaken::Plain);
    }
    let stream = TlsAcceptor::from(certificates.current()).accept(stream).await?;
    let (_, session) = stream.get_ref();
    let http_2 = session.alpn_protocol() == Some(b"h2");
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let certificate = shown.map(ClientCertificate::read).transpose()?.map(Arc::new);
    Ok(Shaken { stream, http_2, certificate })
}

/// Most who come without TLS wrote `http://` where `https://` was meant, and should read so.
async fn turn_away(stream: &mut TcpStream) -> io::Result<()> {
    let body = "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\
                \"detail\":\"This port speaks HTTPS only; use https:// in the URL.\"}";
    let reply = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await?;
    // Closed with bytes unread, the connection would be reset, and the answer lost with it.
    let mut rest = [0; 1024];
    let mut left = 64 * 1024_usize;
    while left > 0 {
        match stream.read(&mut rest).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}
