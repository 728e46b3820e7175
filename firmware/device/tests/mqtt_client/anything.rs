//! Arbitrary bytes from the broker, under every persona: nothing panics, nothing spins, what the client sends is MQTT, and
//! it works with a broker that serves afterwards.

use espstress_device::mqtt::{Kind, Qos, Settings, Writer};
use espstress_device::persona::Kind as Persona;
use proptest::prelude::*;

use crate::S;
use crate::broker::World;

/// Noise, or something that starts out as a packet.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let headed = (
        prop::sample::select(Kind::ALL.to_vec()),
        0u8..16,
        prop::collection::vec(any::<u8>(), 0..400),
        0usize..400,
    )
        .prop_map(|(kind, flags, body, more)| {
            let mut bytes = vec![0; 500];
            let mut writer = Writer::new(&mut bytes);
            let right = kind.flags().unwrap_or(flags);
            let len = writer.first(kind, right).length(body.len() + more).raw(&body).finish();
            bytes.truncate(len.expect("it fits"));
            bytes
        });
    prop_oneof![headed, prop::collection::vec(any::<u8>(), 0..2_000)]
}

fn personas() -> impl Strategy<Value = Persona> {
    let of_mqtt = Persona::ALL.into_iter().filter(|kind| kind.is_of_mqtt());
    prop::sample::select(of_mqtt.chain([Persona::Robust]).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_broker_says_the_client_goes_on(
        persona in personas(),
        said in prop::collection::vec((noise(), 0u32..40_000), 1..6),
        qos in prop::sample::select(vec![Qos::AtMostOnce, Qos::AtLeastOnce]),
        clean in any::<bool>(),
    ) {
        let mut world = World::new(persona.name(), Settings { qos, clean, ..Settings::default() });
        for (bytes, pause) in said {
            if world.is_connected() {
                world.say(&bytes);
            }
            world.pass(S * pause / 1_000);
        }
        // In the middle of a packet, the client waits for the rest of it until its keep alive is over.
        if world.is_connected() {
            world.hang_up();
        }
        if persona != Persona::MqttNoRetry {
            world.session = false;
            world.take();
            world.pass(200 * S);
            prop_assert!(world.is_connected(), "{:?}", persona);
        }
    }
}
