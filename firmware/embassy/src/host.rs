//! The carrier on the host: what a board runs, without the board, on any driver of frames.
//!
//! Pool, buffers and tasks are the board's; heap, radio and restart are whatever the [`Board`] behind it makes of them.

use std::boxed::Box;
use std::future::Future;
use std::net::Ipv4Addr;
use std::vec::Vec;

use async_executor::LocalExecutor;
use embassy_net::driver::Driver;
use embassy_net::{Ipv4Cidr, StackResources, StaticConfigV4};
use espstress_device::telemetry::Stack;

use crate::device::{Board, Device};
use crate::slot::Buffers;
use crate::turns::Turns;
use crate::{OTHER_SOCKETS, SMOLTCP_VERSION};

/// Sockets of the pool, as on the boards.
pub const POOL: usize = 12;

/// Receive and send buffer of a socket in bytes, as on the boards.
const RX: usize = 5_760;
const TX: usize = 2_920;

/// The stack, as telemetry names it.
pub const STACK: Stack<'static> = Stack { name: "smoltcp", version: SMOLTCP_VERSION };

/// Where a device is in its network.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its address.
    pub address: Ipv4Addr,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// The way out, if any.
    pub gateway: Option<Ipv4Addr>,
    /// Its name in multicast DNS.
    pub name: &'a str,
    /// Seed of the stack's random numbers.
    pub seed: u64,
}

/// Runs one life of the device on this thread: until `beside` ends, whose first turn comes once everything listens.
/// Every socket is gone afterwards, without goodbye.
pub async fn live<B: Board, T>(
    device: &Device<B, POOL>,
    driver: impl Driver,
    place: Place<'_>,
    beside: impl Future<Output = T>,
) -> T {
    let mut resources = Box::new(StackResources::<{ POOL + OTHER_SOCKETS }>::new());
    let mut pool: Vec<_> = (0..POOL).map(|_| Buffers::<RX, TX>::EMPTY).collect();
    let mut dial = Buffers::<RX, TX>::EMPTY;
    let network = embassy_net::Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(place.address, place.prefix),
        gateway: place.gateway,
        dns_servers: Default::default(),
    });
    device.note_link(&driver.capabilities());
    let (stack, mut runner) = embassy_net::new(Turns::new(driver), network, &mut resources, place.seed);
    let tasks = LocalExecutor::new();
    for (slot, buffers) in pool.iter_mut().enumerate() {
        tasks.spawn(device.serve(slot, stack, buffers)).detach();
    }
    tasks.spawn(device.answer_telemetry(stack)).detach();
    tasks.spawn(device.obey()).detach();
    tasks.spawn(device.dial(stack, &mut dial)).detach();
    tasks.spawn(device.announce(stack, place.name, "host")).detach();
    // After those that listen, so that they do before the first frame is looked at.
    tasks.spawn(async move { runner.run().await }).detach();
    let beside = tasks.spawn(beside);
    tasks.run(beside).await
}
