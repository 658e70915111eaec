//! Which HTTP a client speaks: HTTP/2 begins with a preface, HTTP/1 with anything else.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// A connection of which the first bytes were read, and are read again.
pub(super) struct Greeted<I> {
    io: I,
    first: Bytes,
}

impl<I: AsyncRead + Unpin> Greeted<I> {
    /// Waits for as many bytes as it takes to know the version.
    pub(super) async fn by(mut io: I) -> io::Result<(Version, Self)> {
        let mut first = [0; PREFACE.len()];
        let mut len = 0;
        while len < PREFACE.len() && PREFACE.starts_with(&first[..len]) {
            match io.read(&mut first[len..]).await? {
                0 => break,
                read => len += read,
            }
        }
        let version = if first[..len] == *PREFACE { Version::Http2 } else { Version::Http1 };
        Ok((version, Self { io, first: Bytes::copy_from_slice(&first[..len]) }))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Greeted<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, out);
        }
        let fits = this.first.len().min(out.remaining());
        out.put_slice(&this.first.split_to(fits));
        // What has come since goes with it: who reads but a little into a buffer makes it larger for the rest. What goes
        // wrong meanwhile shows at the next read.
        if out.remaining() > 0 {
            let _ = Pin::new(&mut this.io).poll_read(cx, out);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Greeted<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn the_version_is_known_however_the_bytes_come_and_none_of_them_is_lost() {
        let table: [(&[u8], Version); 5] = [
            (b"POST /v1/messages HTTP/1.1\r\n\r\n", Version::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes", Version::Http2),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx", Version::Http1),
            (b"PRI", Version::Http1),
            (b"", Version::Http1),
        ];
        for (said, expected) in table {
            for cut in 0..=said.len() {
                let (mut client, server) = tokio::io::duplex(64);
                let say = async {
                    client.write_all(&said[..cut]).await.unwrap();
                    tokio::task::yield_now().await;
                    client.write_all(&said[cut..]).await.unwrap();
                    drop(client);
                };
                let hear = async {
                    let (version, mut io) = Greeted::by(server).await.unwrap();
                    let mut heard = Vec::new();
                    io.read_to_end(&mut heard).await.unwrap();
                    (version, heard)
                };
                let ((), (version, heard)) = tokio::join!(say, hear);
                assert_eq!((version, &heard[..]), (expected, said), "cut at {cut}");
            }
        }
    }
}
