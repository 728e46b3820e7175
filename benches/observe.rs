//! Packets a second through parsing, flow table and rules; one core. Each layer is the difference to the one before:
//! `decode` parses only, `observe/elsewhere` also looks whether it is the device's, `observe/stream` follows connections
//! that are known, `observe/clean` takes in and settles new ones, `observe/crowded` makes room for each, `observe/sick`
//! has anomalies to tell.
//!
//! `cargo bench --bench observe`

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use espstress_observe::{DeviceEnds, Observer, ObserverConfig};
use espstress_wire::{Link, decode};

const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 91);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 200);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 1);
const MICROSECOND: i64 = 1_000;

/// A frame's direction, flags, sequence and acknowledgement offsets, payload.
type Step = (bool, u8, u32, u32, u16);

/// Connect, request, response, close by the host.
const CLEAN: [Step; 10] = [
    (true, 0x02, 0, 0, 0),
    (false, 0x12, 0, 1, 0),
    (true, 0x10, 1, 1, 0),
    (true, 0x18, 1, 1, 63),
    (false, 0x18, 1, 64, 170),
    (true, 0x10, 64, 171, 0),
    (true, 0x11, 64, 171, 0),
    (false, 0x10, 171, 65, 0),
    (false, 0x11, 171, 65, 0),
    (true, 0x10, 65, 172, 0),
];

/// The same, its response twice, ended by a RST.
const SICK: [Step; 8] = [
    (true, 0x02, 0, 0, 0),
    (false, 0x12, 0, 1, 0),
    (true, 0x10, 1, 1, 0),
    (true, 0x18, 1, 1, 63),
    (false, 0x18, 1, 64, 170),
    (false, 0x18, 1, 64, 170),
    (true, 0x10, 64, 171, 0),
    (false, 0x14, 171, 64, 0),
];

fn frame(step: Step, connection: u32, id: u16) -> Vec<u8> {
    let (from_host, flags, seq, ack, len) = step;
    let port = 10_000 + (connection % 50_000) as u16;
    let base = connection.wrapping_mul(2_654_435_761);
    let (source, destination, ports) =
        if from_host { (HOST, DEVICE, [port, 80]) } else { (DEVICE, HOST, [80, port]) };
    let mut p = vec![0_u8; 54];
    p[12] = 8;
    p[14] = 0x45;
    p[16..18].copy_from_slice(&(40 + len).to_be_bytes());
    p[18..20].copy_from_slice(&id.to_be_bytes());
    p[23] = 6;
    p[26..30].copy_from_slice(&source.octets());
    p[30..34].copy_from_slice(&destination.octets());
    p[34..36].copy_from_slice(&ports[0].to_be_bytes());
    p[36..38].copy_from_slice(&ports[1].to_be_bytes());
    p[38..42].copy_from_slice(&base.wrapping_add(seq).to_be_bytes());
    let acked = if flags & 0x10 == 0 { 0 } else { base.wrapping_add(ack) };
    p[42..46].copy_from_slice(&acked.to_be_bytes());
    p[46] = 0x50;
    p[47] = flags;
    p[48..50].copy_from_slice(&5_744_u16.to_be_bytes());
    p
}

fn traffic(steps: &[Step], connections: u32) -> Vec<Vec<u8>> {
    let mut id = 0_u16;
    // Sixteen connections go on at once.
    (0..connections / 16)
        .flat_map(|group| steps.iter().flat_map(move |&s| (0..16).map(move |c| (s, group * 16 + c))))
        .map(|(step, connection)| {
            id = id.wrapping_add(1).max(1);
            frame(step, connection, id)
        })
        .collect()
}

/// The device is what the frames are of.
fn watching(device: Ipv4Addr) -> ObserverConfig {
    let device = DeviceEnds::Known(vec![(IpAddr::V4(device), Some(80))]);
    ObserverConfig { device, ..ObserverConfig::default() }
}

fn observe(frames: &[Vec<u8>], config: &ObserverConfig) -> u64 {
    let mut observer = Observer::new(config.clone());
    let mut seen = 0;
    let mut at = 1_700_000_000_000_000_000;
    for f in frames {
        at += 10 * MICROSECOND;
        observer.frame(at, Link::Ethernet, f, f.len() + 170, &mut |_| seen += 1);
    }
    seen + observer.finish(at, &mut |_| {}).connections
}

fn benches(c: &mut Criterion) {
    let clean = traffic(&CLEAN, 20_000);
    let sick = traffic(&SICK, 20_000);
    let stream: Vec<Vec<u8>> = (0..200_000_u32)
        .map(|n| frame((n % 2 == 0, 0x18, n / 2 * 100, n.div_ceil(2) * 100, 100), 1, n as u16 | 1))
        .collect();

    let mut group = c.benchmark_group("packets");
    group.sample_size(10);
    for (name, frames) in [("clean", &clean), ("sick", &sick), ("stream", &stream)] {
        group.throughput(Throughput::Elements(frames.len() as u64));
        group.bench_function(format!("decode/{name}"), |b| {
            b.iter(|| {
                frames.iter().filter(|f| decode(Link::Ethernet, black_box(f), f.len() + 170).is_ok()).count()
            });
        });
        let config = watching(DEVICE);
        group.bench_function(format!("observe/{name}"), |b| b.iter(|| observe(black_box(frames), &config)));
    }
    group.throughput(Throughput::Elements(clean.len() as u64));
    for (name, config) in [
        ("elsewhere", watching(ELSEWHERE)),
        ("crowded", ObserverConfig { connections: 64, ..watching(DEVICE) }),
    ] {
        group.bench_function(format!("observe/{name}"), |b| b.iter(|| observe(black_box(&clean), &config)));
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
