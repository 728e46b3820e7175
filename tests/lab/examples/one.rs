use espstress_lab::{load::*, world::*};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let link = args[1].parse().unwrap();
    let persona = args[2].parse().unwrap();
    let (from, to): (u64, u64) = (args[3].parse().unwrap(), args[4].parse().unwrap());
    let rw = args.get(5).is_some_and(|a| a == "rw");
    for seed in from..to {
        let t = std::time::Instant::now();
        let setup = Setup {
            seed,
            personas: vec![Switch { at_ns: 0, persona }],
            link: LinkClone(&link).0.clone(),
            load: Load {
                kind: if rw { Kind::Framed { size: 256 } } else { Kind::Head { close: Close::Fin, request_delay: 0 } },
                lanes: 4,
                interval_ns: Some(100_000_000),
                duration_ns: 30_000_000_000,
            },
        };
        let run = run(&setup);
        let w = &run.workloads[0].stats;
        println!("seed {seed}: {:?} {}/{} in {:.1} s virtual, {:?}", t.elapsed(), w.succeeded, w.attempts, run.duration_ns as f64 / 1e9,
            w.failures.iter().filter(|f| f.1 > 0).collect::<Vec<_>>());
        for f in &run.findings { println!("   {:?} {:?} {} {:?}", f.severity, f.id, f.statement, f.evidence); }
        if let espstress::engine::Packets::Seen(seen) = &run.packets {
            println!("   packets {}, endings {:?}, outages {}", seen.packets, w.endings, run.outages);
            for a in &seen.anomalies { println!("     {:?} {:?} {} on {} {:?}", a.id, a.class, a.count, a.connections, a.direction); }
        }
        println!("   icmp {:?}", run.probes.icmp.measured().map(|s| (s.sent, s.answered)));
        println!("   tcp {:?}", run.probes.tcp.measured().map(|s| (s.sent, s.answered)));
        println!("   tele {:?} last {:?}", run.probes.telemetry.measured().map(|s| (s.sent, s.answered)), run.probes.device.last.as_ref().map(|l| (l.at_ns, l.telemetry.heap_free_bytes, l.telemetry.sockets_used)));
    }
}
struct LinkClone<'a>(&'a espstress_twin::link::LinkSpec);
