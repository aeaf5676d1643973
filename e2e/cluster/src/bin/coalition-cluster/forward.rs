//! A door into the world for people: connections to a port of the loopback address go on to the API server inside. Must not
//! understand what passes.

use anyhow::{Context, Result};
use coalition_cluster::World;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// How long the API server may take to accept: it is on this machine.
const CONNECT: Duration = Duration::from_secs(5);

/// Listens on a free port of the loopback address and carries every connection to `to`, seen from inside the world whose
/// first process is `world`. Returns the port. The threads end with the program.
pub fn start(world: i32, to: SocketAddr) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on the loopback address")?;
    let port = listener.local_addr().context("the port has no address")?.port();
    thread::spawn(move || {
        // A connection that fails before it is taken is its maker's to notice.
        for outside in listener.incoming().filter_map(Result::ok) {
            thread::spawn(move || {
                if let Err(error) = carry(outside, world, to) {
                    eprintln!("warning: a connection from outside failed: {error:#}");
                }
            });
        }
    });
    Ok(port)
}

fn carry(outside: TcpStream, world: i32, to: SocketAddr) -> Result<()> {
    // This thread serves one connection, so it may stay in there; the accepted socket keeps its own network.
    World::enter_by(world)?;
    let inside = TcpStream::connect_timeout(&to, CONNECT).with_context(|| format!("{to} does not answer"))?;
    let back = (inside.try_clone().context("no second handle")?, outside.try_clone().context("no second handle")?);
    let up = thread::spawn(move || pass(outside, inside));
    pass(back.0, back.1);
    // It ends when both sides have: it has nothing to tell.
    let _ = up.join();
    Ok(())
}

/// Copies until one side ends, then tells the other; a broken connection is an end like any other.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
