//! The kernel's part of the selection: a classic BPF program that keeps the device's TCP packets, cut to
//! the snap length, and nothing else.
//!
//! It looks at a packet from the link header on, or from the IP header on where the link has none; steps
//! over up to two VLAN tags; reads IPv4 with options and IPv6. An IPv6 packet with an extension header is
//! kept by its addresses alone, since BPF has no loop to find its ports with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// More addresses would not fit a program of reasonable length.
pub const MAX_ADDRESSES: usize = 32;
/// More ports would not, either.
pub const MAX_PORTS: usize = 64;

/// The device's TCP ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Every one.
    Any,
    /// These, at most [`MAX_PORTS`].
    Only(Vec<u16>),
}

/// Whether ICMP "unreachable" about packets to the device is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpErrors {
    /// Not kept.
    Ignore,
    /// Kept, whoever sent it.
    Keep,
}

/// How a packet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkHeader {
    /// With 14 bytes of Ethernet.
    Ethernet,
    /// With IP.
    None,
}

/// What happens to the copy that the kernel shows of a packet on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingCopy {
    /// Kept: the only one there is.
    Keep,
    /// Rejected: on `lo` the same packet comes in again.
    Reject,
}

/// One instruction of classic BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub(crate) code: u16,
    /// Instructions to skip when the comparison holds.
    pub(crate) jt: u8,
    /// Instructions to skip when it does not.
    pub(crate) jf: u8,
    /// Operand.
    pub(crate) k: u32,
}

/// What to select.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// Device's addresses.
    pub(crate) devices: &'a [IpAddr],
    /// Device's ports.
    pub(crate) ports: &'a Ports,
    /// A port of this machine's that the device dials, from ports of its own that nobody knows before.
    pub(crate) dialled: Option<u16>,
    /// ICMP errors.
    pub(crate) icmp: IcmpErrors,
    /// How packets begin.
    pub(crate) link: LinkHeader,
    /// What to do with the outgoing copy.
    pub(crate) outgoing: OutgoingCopy,
    /// Bytes to keep of each.
    pub(crate) snap_length: u32,
}

/// A selection that cannot be made into a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No address, or too many.
    #[error("a capture filter takes 1 to {MAX_ADDRESSES} addresses, not {0}")]
    Addresses(usize),
    /// No port, or too many.
    #[error("a capture filter takes 1 to {MAX_PORTS} ports, not {0}")]
    Ports(usize),
}

// Opcodes of classic BPF (linux/bpf_common.h). A is the accumulator, X the index register.
const LD_W_ABS: u16 = 0x20;
const LD_H_ABS: u16 = 0x28;
const LD_B_ABS: u16 = 0x30;
const LD_W_IND: u16 = 0x40;
const LD_H_IND: u16 = 0x48;
const LD_B_IND: u16 = 0x50;
const LDX_IMM: u16 = 0x01;
const LDX_MEM: u16 = 0x61;
const STX: u16 = 0x03;
const ADD_X: u16 = 0x0c;
const AND_K: u16 = 0x54;
const LSH_K: u16 = 0x64;
const RSH_K: u16 = 0x74;
const TAX: u16 = 0x07;
const JA: u16 = 0x05;
const JEQ_K: u16 = 0x15;
const JSET_K: u16 = 0x45;
const RET_K: u16 = 0x06;

/// `SKF_AD_OFF + SKF_AD_PKTTYPE`: loads the packet's direction (linux/filter.h).
const PACKET_TYPE: u32 = (-0x1000_i32 + 4) as u32;
/// Value of it for a packet on its way out (linux/if_packet.h).
const PACKET_OUTGOING: u32 = 4;

const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const VLAN: [u32; 3] = [0x8100, 0x88a8, 0x9100];
const TCP: u32 = 6;
const ICMP: u32 = 1;
const ICMPV6: u32 = 58;
/// Hop-by-hop, routing, fragment, destination options.
const IPV6_EXTENSIONS: [u32; 4] = [0, 43, 44, 60];
const IPV6_HEADER: u32 = 40;
/// Offsets of the two ports in a TCP header add up to this (RFC 9293, 3.1).
const OTHER_PORT: u32 = 2;

/// The program that keeps everything, the first bytes of each packet.
#[must_use]
pub fn everything(snap_length: u32) -> [Instruction; 1] {
    [Instruction { code: RET_K, jt: 0, jf: 0, k: snap_length }]
}

/// Builds the program.
///
/// # Errors
///
/// Where there is nothing to select, or more than fits.
pub fn program(selection: &Selection<'_>) -> Result<Vec<Instruction>, FilterError> {
    let addresses = selection.devices.len();
    if addresses == 0 || addresses > MAX_ADDRESSES {
        return Err(FilterError::Addresses(addresses));
    }
    if let Ports::Only(ports) = selection.ports
        && (ports.is_empty() || ports.len() > MAX_PORTS)
    {
        return Err(FilterError::Ports(ports.len()));
    }
    let v4: Vec<u32> = selection.devices.iter().filter_map(|a| v4_of(*a)).map(u32::from).collect();
    let v6: Vec<Ipv6Addr> = selection.devices.iter().filter_map(|a| v6_of(*a)).collect();

    let mut asm = Assembler::default();
    let accept = asm.label();
    let reject = asm.label();
    let ipv4 = asm.label();
    let ipv6 = asm.label();
    if selection.outgoing == OutgoingCopy::Reject {
        asm.emit(LD_W_ABS, PACKET_TYPE);
        asm.jump_if(JEQ_K, PACKET_OUTGOING, reject);
    }
    find_network_header(&mut asm, selection.link, ipv4, ipv6, reject);
    asm.here(ipv4);
    ipv4_part(&mut asm, &v4, selection, accept, reject);
    asm.here(ipv6);
    ipv6_part(&mut asm, &v6, selection, accept, reject);
    asm.here(accept);
    asm.emit(RET_K, selection.snap_length);
    asm.here(reject);
    asm.emit(RET_K, 0);
    Ok(asm.finish())
}

fn v4_of(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(a) => Some(a),
        IpAddr::V6(a) => a.to_ipv4_mapped(),
    }
}

fn v6_of(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(a) if a.to_ipv4_mapped().is_none() => Some(a),
        _ => None,
    }
}

/// Leaves the offset of the IP header in X and in memory word 0.
fn find_network_header(asm: &mut Assembler, link: LinkHeader, ipv4: Label, ipv6: Label, reject: Label) {
    match link {
        LinkHeader::Ethernet => {
            let tagged = asm.label();
            let twice = asm.label();
            let known = asm.label();
            asm.emit(LDX_IMM, 14);
            asm.emit(LD_H_ABS, 12);
            for tag in VLAN {
                asm.jump_if(JEQ_K, tag, tagged);
            }
            asm.jump(known);
            asm.here(tagged);
            asm.emit(LDX_IMM, 18);
            asm.emit(LD_H_ABS, 16);
            for tag in VLAN {
                asm.jump_if(JEQ_K, tag, twice);
            }
            asm.jump(known);
            asm.here(twice);
            asm.emit(LDX_IMM, 22);
            asm.emit(LD_H_ABS, 20);
            asm.here(known);
            asm.emit(STX, 0);
            asm.jump_if(JEQ_K, IPV4, ipv4);
            asm.jump_if(JEQ_K, IPV6, ipv6);
        }
        LinkHeader::None => {
            asm.emit(LDX_IMM, 0);
            asm.emit(STX, 0);
            asm.emit(LD_B_ABS, 0);
            asm.emit(RSH_K, 4);
            asm.jump_if(JEQ_K, 4, ipv4);
            asm.jump_if(JEQ_K, 6, ipv6);
        }
    }
    asm.jump(reject);
}

fn ipv4_part(
    asm: &mut Assembler,
    addresses: &[u32],
    selection: &Selection<'_>,
    accept: Label,
    reject: Label,
) {
    if addresses.is_empty() {
        asm.jump(reject);
        return;
    }
    let tcp = asm.label();
    asm.emit(LD_B_IND, 9);
    asm.jump_if(JEQ_K, TCP, tcp);
    if selection.icmp == IcmpErrors::Keep {
        asm.jump_unless(JEQ_K, ICMP, reject);
        transport_of_ipv4(asm);
        asm.emit(LD_B_IND, 0);
        asm.jump_unless(JEQ_K, 3, reject); // destination unreachable (RFC 792)
        asm.emit(LD_W_IND, 8 + 16); // destination of the quoted packet
        for address in addresses {
            asm.jump_if(JEQ_K, *address, accept);
        }
    }
    asm.jump(reject);

    asm.here(tcp);
    asm.emit(LD_H_IND, 6);
    asm.jump_if(JSET_K, 0x1fff, reject); // a later fragment has no ports; TCP forbids fragments anyway
    for (address_at, port_at) in [(12, 0), (16, 2)] {
        let matched = asm.label();
        let next = asm.label();
        asm.emit(LD_W_IND, address_at);
        for address in addresses {
            asm.jump_if(JEQ_K, *address, matched);
        }
        asm.jump(next);
        asm.here(matched);
        match selection.ports {
            Ports::Any => asm.jump(accept),
            Ports::Only(ports) => {
                transport_of_ipv4(asm);
                asm.emit(LD_H_IND, port_at);
                for port in ports {
                    asm.jump_if(JEQ_K, u32::from(*port), accept);
                }
                if let Some(dialled) = selection.dialled {
                    asm.emit(LD_H_IND, OTHER_PORT - port_at);
                    asm.jump_if(JEQ_K, u32::from(dialled), accept);
                }
                asm.emit(LDX_MEM, 0);
            }
        }
        asm.here(next);
    }
    asm.jump(reject);
}

/// X becomes the offset behind the IPv4 header that it points to.
fn transport_of_ipv4(asm: &mut Assembler) {
    asm.emit(LD_B_IND, 0);
    asm.emit(AND_K, 0xf);
    asm.emit(LSH_K, 2);
    asm.emit(ADD_X, 0);
    asm.emit(TAX, 0);
}

fn ipv6_part(
    asm: &mut Assembler,
    addresses: &[Ipv6Addr],
    selection: &Selection<'_>,
    accept: Label,
    reject: Label,
) {
    if addresses.is_empty() {
        asm.jump(reject);
        return;
    }
    let tcp = asm.label();
    let extended = asm.label();
    asm.emit(LD_B_IND, 6);
    asm.jump_if(JEQ_K, TCP, tcp);
    for header in IPV6_EXTENSIONS {
        asm.jump_if(JEQ_K, header, extended);
    }
    if selection.icmp == IcmpErrors::Keep {
        asm.jump_unless(JEQ_K, ICMPV6, reject);
        asm.emit(LD_B_IND, IPV6_HEADER);
        asm.jump_unless(JEQ_K, 1, reject); // destination unreachable (RFC 4443)
        jump_if_ipv6(asm, addresses, IPV6_HEADER + 8 + 24, accept);
    }
    asm.jump(reject);

    asm.here(extended);
    jump_if_ipv6(asm, addresses, 8, accept);
    jump_if_ipv6(asm, addresses, 24, accept);
    asm.jump(reject);

    asm.here(tcp);
    for (address_at, port_at) in [(8, 0), (24, 2)] {
        let matched = asm.label();
        let next = asm.label();
        jump_if_ipv6(asm, addresses, address_at, matched);
        asm.jump(next);
        asm.here(matched);
        match selection.ports {
            Ports::Any => asm.jump(accept),
            Ports::Only(ports) => {
                asm.emit(LD_H_IND, IPV6_HEADER + port_at);
                for port in ports {
                    asm.jump_if(JEQ_K, u32::from(*port), accept);
                }
                if let Some(dialled) = selection.dialled {
                    asm.emit(LD_H_IND, IPV6_HEADER + OTHER_PORT - port_at);
                    asm.jump_if(JEQ_K, u32::from(dialled), accept);
                }
            }
        }
        asm.here(next);
    }
    asm.jump(reject);
}

/// Goes to `target` when the address at X + `at` is one of `addresses`.
fn jump_if_ipv6(asm: &mut Assembler, addresses: &[Ipv6Addr], at: u32, target: Label) {
    for address in addresses {
        let next = asm.label();
        for (i, word) in (0_u32..).zip(address.octets().as_chunks::<4>().0) {
            asm.emit(LD_W_IND, at + 4 * i);
            asm.jump_unless(JEQ_K, u32::from_be_bytes(*word), next);
        }
        asm.jump(target);
        asm.here(next);
    }
}

#[derive(Clone, Copy)]
struct Label(usize);

/// Collects instructions; jumps go forward to labels. A conditional jump reaches 255 instructions, so each
/// is written as one over an unconditional jump, which reaches everywhere.
#[derive(Default)]
struct Assembler {
    code: Vec<Instruction>,
    places: Vec<usize>,
    open: Vec<(usize, Label)>,
}

impl Assembler {
    fn label(&mut self) -> Label {
        self.places.push(usize::MAX);
        Label(self.places.len() - 1)
    }

    fn here(&mut self, label: Label) {
        self.places[label.0] = self.code.len();
    }

    fn emit(&mut self, code: u16, k: u32) {
        self.code.push(Instruction { code, jt: 0, jf: 0, k });
    }

    fn jump(&mut self, to: Label) {
        self.open.push((self.code.len(), to));
        self.emit(JA, 0);
    }

    fn jump_if(&mut self, code: u16, k: u32, to: Label) {
        self.code.push(Instruction { code, jt: 0, jf: 1, k });
        self.jump(to);
    }

    fn jump_unless(&mut self, code: u16, k: u32, to: Label) {
        self.code.push(Instruction { code, jt: 1, jf: 0, k });
        self.jump(to);
    }

    fn finish(mut self) -> Vec<Instruction> {
        for (at, label) in &self.open {
            let distance = self.places[label.0].checked_sub(at + 1).expect("labels are placed, and ahead");
            self.code[*at].k = u32::try_from(distance).expect("programs are short");
        }
        self.code
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
