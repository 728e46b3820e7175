//! What a device says of itself by multicast DNS: what it runs, its habit, what it holds.

use core::future::pending;

use embassy_futures::select::select;
use embassy_net::Stack;
use embassy_time::{Duration, Timer};
use espstress_device::text::Text;

use crate::device::{Board, Device};
use crate::mdns;

/// How often the announcement is compared with the persona in force.
const PERSONA_LOOK: Duration = Duration::from_secs(1);

impl<B: Board, const N: usize> Device<B, N> {
    /// Announces the device under this name, and anew when its persona is another one. Never ends.
    ///
    /// `chip` is what it runs on.
    pub async fn announce(&self, stack: Stack<'_>, name: &str, chip: &str) {
        // A name that is too long for its place is no name of a stack.
        let stack_name: Text<16> =
            self.with_readings(|readings| Text::try_from(readings.stack.name)).unwrap_or_default();
        let mut digits = [0; 5];
        let capacity = decimal(self.with(|program, _| program.config().capacity()), &mut digits);
        loop {
            let persona = self.with(|program, _| program.persona().name());
            let txt = [
                ("stack", &*stack_name),
                ("persona", persona),
                ("capacity", capacity),
                ("firmware", env!("CARGO_PKG_VERSION")),
                ("chip", chip),
                ("http", "80"),
                ("telemetry", "7008"),
                ("raw", "8080"),
                ("line", "8123"),
            ];
            let announced = async {
                mdns::announce(stack, name, &txt).await;
                // No socket for it: the device does without.
                pending::<()>().await;
            };
            let changed = async {
                while self.with(|program, _| program.persona().name()) == persona {
                    Timer::after(PERSONA_LOOK).await;
                }
            };
            select(announced, changed).await;
        }
    }
}

/// The number in digits, of which sixteen bits have five.
fn decimal(mut number: u16, space: &mut [u8; 5]) -> &str {
    let mut first = space.len();
    for digit in space.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first -= 1;
        if number == 0 {
            break;
        }
    }
    core::str::from_utf8(&space[first..]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn numbers_are_told_in_digits() {
        for number in [0, 5, 10, 99, 100, 12_345, u16::MAX] {
            assert_eq!(decimal(number, &mut [0; 5]), number.to_string());
        }
    }
}
