//! The device program on smoltcp, behind a TAP device of this network namespace.
//!
//! ```text
//! tap INTERFACE ADDRESS [PERSONA] [TOKEN]
//! unshare --net --map-root-user sh -c '
//!     ip tuntap add dev tap0 mode tap && ip addr add 192.168.4.1/24 dev tap0 && ip link set dev tap0 up
//!     target/debug/examples/tap tap0 192.168.4.91 robust &
//!     sleep 0.2; ping -c 1 192.168.4.91'
//! ```

use std::process::ExitCode;

use espstress_device::text::Token;
use espstress_device::{Config, Persona};
use espstress_embassy::tap::TapDevice;

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("tap: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let [interface, address, rest @ ..] = arguments else {
        return Err("usage: tap INTERFACE ADDRESS [PERSONA] [TOKEN]".into());
    };
    let address = address.parse().map_err(|error| format!("{address}: {error}"))?;
    let persona = rest.first().map_or(Ok(Persona::ROBUST), |persona| persona.parse());
    let persona = persona.map_err(|error| error.to_string())?;
    let token =
        Token::new(rest.get(1).map_or("", String::as_str)).map_err(|error| format!("token: {error}"))?;
    let device = TapDevice::open(interface, address, 24).map_err(|error| {
        format!("{interface}: {error}; this takes CAP_NET_ADMIN in the network namespace")
    })?;
    device.run(Config { persona, token, ..Config::default() })
}
