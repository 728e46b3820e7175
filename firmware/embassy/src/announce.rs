//! What a device says of itself by multicast DNS: what it runs, its habit, what it holds.

use core::future::pending;

use embassy_futures::select::select;
use embassy_net::Stack;
use embassy_time::{Duration, Timer};
use espstress_device::announcement::txt;
use espstress_device::text::Text;

use crate::device::{Board, Device};
use crate::digits::decimal;
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
        let mut digits = [0; 10];
        let capacity = decimal(self.with(|program, _| program.config().capacity()).into(), &mut digits);
        loop {
            let persona = self.with(|program, _| program.persona().name());
            let txt = txt(&stack_name, persona, capacity, chip);
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
