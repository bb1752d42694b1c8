//! A plain copying relay: the floor that a proxy of this kind can reach. And two loads that are no client's own:
//! reading a result as fast as it comes, and holding sessions open.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use tokio::net::{TcpListener, TcpStream};

mod client;

const USAGE: &str = "\
relay copy LISTEN_PORT TO_PORT            copies between clients and a server, all on 127.0.0.1
relay read PORT DATABASE USER SQL         reads a result and prints seconds, rows and bytes
relay hold PORT DATABASE USER SESSIONS    opens sessions, prints `ready`, and holds them until it is killed
A password is taken from PGPASSWORD.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["copy", listen, to] => match (listen.parse(), to.parse()) {
            (Ok(listen), Ok(to)) => relay(listen, to).await,
            (Err(error), _) | (_, Err(error)) => Err(io::Error::other(error)),
        },
        ["read", port, database, user, sql] => client::read(port, database, user, sql).await,
        ["hold", port, database, user, sessions] => client::hold(port, database, user, sessions).await,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn relay(listen: u16, to: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen)).await?;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(async move {
            // Either side may hang up at any time: that ends this connection and is nobody's fault.
            let _ = copy(client, to).await;
        });
    }
}

async fn copy(mut client: TcpStream, to: u16) -> io::Result<()> {
    let mut server = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, to))).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, 64 * 1024, 64 * 1024).await?;
    Ok(())
}
