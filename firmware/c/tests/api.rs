//! The C interface answers what C gets wrong, and never crashes on it.
#![expect(unsafe_code, reason = "calls what is meant for C")]

use std::ffi::CStr;
use std::mem::zeroed;
use std::ptr;

use espstress_device_c::connection::*;
use espstress_device_c::device::*;
use espstress_device_c::storage::{ConnectionStorage, Device};
use espstress_device_c::types::*;

fn device_of(config: &DeviceConfig) -> (Box<Device>, Status) {
    // SAFETY: all zero is what static memory in C starts with, and valid for its words.
    let mut device: Box<Device> = Box::new(unsafe { zeroed() });
    // SAFETY: a place of ours, and a configuration that lives through the call.
    let status = unsafe { espstress_device_init(&raw mut *device, config, 0) };
    (device, status)
}

fn ordinary() -> DeviceConfig {
    // SAFETY: null pointers and zeros are the ordinary configuration.
    unsafe { zeroed() }
}

fn connection() -> Box<ConnectionStorage> {
    // SAFETY: as static memory in C.
    Box::new(unsafe { zeroed() })
}

#[test]
fn null_pointers_are_answered() {
    let null = ptr::null_mut();
    let mut out = [0; 8];
    // SAFETY: null is allowed everywhere.
    unsafe {
        assert_eq!(espstress_device_init(null, ptr::null(), 0), Status::Nothing);
        assert_eq!(espstress_device_restart(null, 3, 0), Status::Nothing);
        assert_eq!(espstress_device_set_persona(null, ptr::null()), Status::Nothing);
        assert_eq!(espstress_device_capacity(null), 0);
        assert!(!espstress_device_has(null, 0));
        assert!(!espstress_device_is_hung(null));
        assert!(!espstress_device_admit(null, 0, 5).accept);
        assert_eq!(espstress_device_keep_alive(null).count, 0);
        assert_eq!(espstress_device_dial_keep_alive(null).count, 0);
        assert_eq!(espstress_device_dial_limit_ms(null), 0);
        espstress_device_count_error(null, 0, 0);
        assert_eq!(espstress_device_poll_wish(null, 0).kind, DeviceWishKind::Nothing);
        assert_eq!(espstress_device_next_wish_at(null), ESPSTRESS_NEVER);
        assert!(!espstress_device_dial(null, 0, ptr::null_mut()));
        assert_eq!(espstress_device_next_dial_at(null), ESPSTRESS_NEVER);
        espstress_device_dial_failed(null, 0, 0);
        let answered = espstress_device_answer_datagram(
            null,
            b"telemetry".as_ptr(),
            9,
            ptr::null(),
            0,
            out.as_mut_ptr(),
            out.len(),
        );
        assert_eq!(answered, 0);
        assert_eq!(espstress_connection_open(ptr::null_mut(), null, 0, 0), Status::Nothing);
        assert_eq!(espstress_connection_next(ptr::null_mut(), null, 0).kind, WishKind::Hold);
        espstress_connection_received(ptr::null_mut(), 1);
        espstress_connection_sent(ptr::null_mut(), 1);
        espstress_connection_peer_closed(ptr::null_mut());
        espstress_connection_failed(ptr::null_mut(), 0);
        espstress_connection_provide(ptr::null_mut(), null, ptr::null(), 0);
        assert_eq!(espstress_connection_deadline(ptr::null_mut()), ESPSTRESS_NEVER);
    }
}

#[test]
fn zeroed_places_hold_nothing() {
    // SAFETY: as static memory in C.
    let mut device: Box<Device> = Box::new(unsafe { zeroed() });
    let mut place = connection();
    // SAFETY: places of ours.
    unsafe {
        assert_eq!(espstress_connection_open(&raw mut *place, &raw mut *device, 0, 0), Status::Nothing);
        assert_eq!(espstress_connection_next(&raw mut *place, &raw mut *device, 0).kind, WishKind::Hold);
        assert_eq!(espstress_device_capacity(&raw mut *device), 0);
        assert_eq!(espstress_device_persona(&raw mut *device, ptr::null_mut(), 0), 0);
    }
}

#[test]
fn the_persona_that_stays_is_written_with_its_parameters_where_it_fits() {
    // SAFETY: as static memory in C.
    let mut device: Box<Device> = Box::new(unsafe { zeroed() });
    let mut out = [1; ESPSTRESS_PERSONA_MAX];
    let long = c"rebooting:from=18446744073s,every=18446744073s,reason=watchdog";
    // SAFETY: places of ours.
    unsafe {
        let device = &raw mut *device;
        assert_eq!(espstress_device_init(device, ptr::null(), 0), Status::Ok);
        for persona in [c"robust", c"deaf:after=2048", c"rebooting:every=4s,reason=brownout", long] {
            assert_eq!(espstress_device_set_persona(device, persona.as_ptr()), Status::Ok);
            let len = espstress_device_persona(device, out.as_mut_ptr(), out.len());
            let written = core::ffi::CStr::from_ptr(out.as_ptr());
            assert_eq!(written.count_bytes(), len);
            assert_eq!(espstress_device_set_persona(device, written.as_ptr()), Status::Ok, "{written:?}");
            assert_eq!(espstress_device_persona(device, out.as_mut_ptr(), len), 0, "no room for the NUL");
        }
    }
}

#[test]
fn setups_that_make_no_sense_are_refused_by_reason() {
    let long = [b'x'; 200].map(|byte| byte.cast_signed());
    let long = [&long[..], &[0]].concat();
    let long = long.as_ptr().cast();
    let cases = [
        (DeviceConfig { persona: c"nobody".as_ptr(), ..ordinary() }, Status::Persona),
        (DeviceConfig { persona: c"deaf:after=x".as_ptr(), ..ordinary() }, Status::Persona),
        (DeviceConfig { persona: c"\xFF".as_ptr(), ..ordinary() }, Status::Text),
        (DeviceConfig { name: long, ..ordinary() }, Status::Text),
        (DeviceConfig { token: long, ..ordinary() }, Status::Text),
        (DeviceConfig { dial_host: long, ..ordinary() }, Status::Text),
        (DeviceConfig { services: 0x80, ..ordinary() }, Status::Number),
        (DeviceConfig { dial_protocol: 2, ..ordinary() }, Status::Number),
        (DeviceConfig { dial_protocol: 1, mqtt_qos: 2, ..ordinary() }, Status::Number),
        (DeviceConfig { dial_protocol: 1, mqtt_qos: 1, ..ordinary() }, Status::Ok),
        (DeviceConfig { persona: c"deaf:after=2KiB".as_ptr(), reset_reason: 99, ..ordinary() }, Status::Ok),
    ];
    for (at, (config, expected)) in cases.iter().enumerate() {
        assert_eq!(device_of(config).1, *expected, "case {at}");
    }
}

#[test]
fn an_unknown_service_is_no_connection() {
    let (mut device, _) = device_of(&ordinary());
    let mut place = connection();
    for service in [4, 5, 255] {
        // SAFETY: places of ours.
        let status = unsafe { espstress_connection_open(&raw mut *place, &raw mut *device, service, 0) };
        assert_eq!(status, Status::Number, "{service}");
    }
}

#[test]
fn more_bytes_than_there_was_space_for_count_as_all_of_it() {
    let (mut device, _) = device_of(&ordinary());
    let mut place = connection();
    let (device, place) = (&raw mut *device, &raw mut *place);
    // SAFETY: places of ours, one call after the other.
    unsafe {
        assert_eq!(espstress_connection_open(place, device, 0, 0), Status::Ok);
        assert_eq!(espstress_connection_next(place, device, 0).kind, WishKind::Read);
        espstress_connection_received(place, usize::MAX);
        let wish = espstress_connection_next(place, device, 0);
        assert_eq!(wish.kind, WishKind::Write, "an answer to nonsense");
        espstress_connection_sent(place, usize::MAX);
        espstress_connection_next(place, device, 0);
    }
}

#[test]
fn a_request_is_answered_through_the_wishes() {
    let (mut device, _) = device_of(&ordinary());
    let mut place = connection();
    let (device, place) = (&raw mut *device, &raw mut *place);
    let request = b"GET /telemetry HTTP/1.1\r\nHost: c\r\n\r\n";
    let heap = HeapC {
        free_bytes: 1_000,
        min_free_bytes: ESPSTRESS_UNKNOWN,
        largest_free_block_bytes: 500,
        total_bytes: 2_000,
    };
    let option = OptionC { name: c"TCP_MSL".as_ptr(), value: c"60000".as_ptr() };
    let readings = ReadingsC {
        heap: &raw const heap,
        stack_name: c"lwIP".as_ptr(),
        options: &raw const option,
        options_len: 1,
        // SAFETY: null pointers and zeros are readings of nothing.
        ..unsafe { zeroed() }
    };
    // SAFETY: places of ours; the space of a wish has its stated length.
    let answer = unsafe {
        espstress_connection_open(place, device, ServiceId::Http as u8, 0);
        let wish = espstress_connection_next(place, device, 0);
        assert!(wish.len >= request.len());
        ptr::copy_nonoverlapping(request.as_ptr(), wish.space, request.len());
        espstress_connection_received(place, request.len());
        assert_eq!(espstress_connection_next(place, device, 0).kind, WishKind::Readings);
        espstress_connection_provide(place, device, &raw const readings, 0);
        let wish = espstress_connection_next(place, device, 0);
        assert_eq!(wish.kind, WishKind::Write);
        String::from_utf8_lossy(std::slice::from_raw_parts(wish.bytes, wish.len)).into_owned()
    };
    for part in [
        r#""heap":{"free_bytes":1000,"min_free_bytes":null,"largest_free_block_bytes":500,"total_bytes":2000}"#,
        r#""stack":{"name":"lwIP","version":""}"#,
        r#""options":{"TCP_MSL":"60000"}"#,
        r#""wifi":null"#,
    ] {
        assert!(answer.contains(part), "no {part} in {answer}");
    }
}

#[test]
fn names_and_ports_are_those_of_the_device_program() {
    for service in espstress_device::Service::ALL {
        let number = service as u8;
        assert_eq!(espstress_service_port(number), service.port());
        // SAFETY: a text that lives for ever.
        let name = unsafe { CStr::from_ptr(espstress_service_name(number)) };
        assert_eq!(name.to_str(), Ok(service.name()));
    }
    assert_eq!(espstress_service_port(5), 0);
}
