//! What is seen from inside of the private network.

use std::time::{Duration, Instant};

use espstress::target::network::PrivateNetwork;
use espstress::target::twin::{Twin, TwinSpec};

use crate::client::{self, address};
use crate::runner::{Case, Outcome};

pub(crate) const ALL: &[Case] = &[
    ("a_twin_serves_within_a_second_of_its_start", a_twin_serves_within_a_second_of_its_start),
    ("a_robust_twin_answers_every_head_by_the_thousand", a_robust_twin_answers_every_head_by_the_thousand),
];

fn a_twin_serves_within_a_second_of_its_start(network: &PrivateNetwork) -> Outcome {
    let begin = Instant::now();
    let twin = Twin::start(TwinSpec::default(), network)?;
    client::head(address(&twin, "http")?)?;
    let taken = begin.elapsed();
    println!("served after {taken:?}, {:?}", twin.ready());
    assert!(taken < Duration::from_secs(1), "{taken:?}");
    println!("{}", client::telemetry(&twin)?);
    Ok(())
}

fn a_robust_twin_answers_every_head_by_the_thousand(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(TwinSpec::default(), network)?;
    let to = address(&twin, "http")?;
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..4).map(|_| scope.spawn(move || (0..1_250).try_for_each(|_| client::head(to)))).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("no panic"))
    })?;
    let rate = 5_000.0 / begin.elapsed().as_secs_f64();
    println!("{rate:.0} connections/s, {:?}", twin.frames()?);
    assert!(rate > 1_000.0, "{rate:.0}");
    Ok(())
}
