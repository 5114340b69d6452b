//! A TCP connection that hands over one line at a time.
//!
//! lettre keeps what it has read when STARTTLS replaces the connection. Without this, lines that somebody on the way adds
//! behind the server's 220 would be taken as answers from inside TLS (the STARTTLS response injection). Here they stay in
//! the connection and spoil the handshake, as they should.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are read ahead.
const BUFFER_BYTES: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct LineByLine {
    tcp: TcpStream,
    ahead: Vec<u8>,
    taken: usize,
}

impl LineByLine {
    pub(super) const fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            ahead: Vec::new(),
            taken: 0,
        }
    }
}

impl AsyncTokioStream for LineByLine {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }
}

impl AsyncRead for LineByLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken >= self.ahead.len() {
            let mut space = [0; BUFFER_BYTES];
            let mut fresh = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut fresh))?;
            self.ahead.clear();
            self.ahead.extend_from_slice(fresh.filled());
            self.taken = 0;
        }
        let waiting = self.ahead.get(self.taken..).unwrap_or_default();
        let line = waiting
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(waiting.len(), |at| at.saturating_add(1));
        let part = waiting.get(..line.min(buf.remaining())).unwrap_or_default();
        buf.put_slice(part);
        let length = part.len();
        self.taken = self.taken.saturating_add(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LineByLine {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
