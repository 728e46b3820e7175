//! The lwIP options that take effect here at run time, with ESP-IDF's names, units and ranges.

use std::fmt;

/// Whether `MAX_ACTIVE_TCP` and `MAX_LISTENING_TCP` limit anything.
///
/// Elements come from the heap in ESP-IDF, and lwIP itself knows no limits then; ESP-IDF's lwIP checks
/// them since 5.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PcbLimits {
    /// As in newer versions: at the limit lwIP recycles the oldest `TIME_WAIT` connection.
    Enforced,
    /// As in older versions: connections pile up until the heap is full.
    NotEnforced,
}

/// Whether the program may use a socket option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketOption {
    /// Setting it works.
    Allowed,
    /// Setting it fails with [`SocketError::NoProtocolOption`](crate::SocketError::NoProtocolOption),
    /// as in a build without it.
    Refused,
}

/// The options in force: everything in a project's sdkconfig that changes what this stack does.
///
/// Field names are those of the Kconfig options without `CONFIG_LWIP_`. The ranges are checked by
/// [`Options::check`]; lwIP's own compile-time checks cannot see run-time values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Sockets of all kinds, listeners included. 1 to 253.
    pub max_sockets: u32,
    /// TCP control blocks of connections in any state. 1 to 1024.
    pub max_active_tcp: u32,
    /// TCP control blocks of listeners. 1 to 1024.
    pub max_listening_tcp: u32,
    /// Whether the two above are enforced.
    pub pcb_limits: PcbLimits,
    /// Retransmissions of a data segment before the connection is given up. 1 to 12.
    pub tcp_maxrtx: u32,
    /// The same for a SYN. 1 to 12.
    pub tcp_synmaxrtx: u32,
    /// Maximum segment size announced and used, in bytes. 536 to 1460.
    pub tcp_mss: u32,
    /// Interval of the fast TCP timer in milliseconds; the slow one, which all TCP time-outs are
    /// counted in, is twice that. 1 to 60,000.
    pub tcp_tmr_interval: u32,
    /// Maximum segment lifetime in milliseconds; `TIME_WAIT` lasts twice that. 1 to 1,000,000,000.
    pub tcp_msl: u32,
    /// How long a connection may stay in `FIN_WAIT_2`, in milliseconds. 1 to 1,000,000,000.
    pub tcp_fin_wait_timeout: u32,
    /// Send buffer of a connection in bytes. 2,440 to 65,535, with window scaling to 1,024,000, and at least two
    /// segments.
    pub tcp_snd_buf: u32,
    /// Receive window of a connection in bytes. 2,440 to 65,535, with window scaling to 65,535 shifted left by
    /// `tcp_rcv_scale` and at most 1,024,000, and at least one segment.
    pub tcp_wnd: u32,
    /// Whether windows are scaled where the peer offers it (RFC 7323).
    pub wnd_scale: bool,
    /// How far the windows announced are shifted, with window scaling. 0 to 14.
    pub tcp_rcv_scale: u32,
    /// Segments that wait to be received on a connection. 1 to 1024.
    pub tcp_recvmbox_size: u32,
    /// Connections that wait to be accepted on a listener. 1 to 255.
    pub tcp_acceptmbox_size: u32,
    /// Datagrams that wait to be received on a UDP socket. 1 to 1024.
    pub udp_recvmbox_size: u32,
    /// Messages that wait for the tcpip thread: received frames and calls of the program. 4 to 1024.
    pub tcpip_recvmbox_size: u32,
    /// Initial retransmission time-out in milliseconds. 1 to 1,000,000, and at most 32,767 intervals of the slow TCP timer.
    pub tcp_rto_time: u32,
    /// Whether the program may set `SO_LINGER`.
    pub so_linger: SocketOption,
    /// Whether the program may set `SO_REUSEADDR`.
    pub so_reuse: SocketOption,
}

/// One numeric option: its name in Kconfig, its range and its place.
pub(crate) struct Number {
    pub(crate) key: &'static str,
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) get: fn(&Options) -> u32,
    pub(crate) set: fn(&mut Options, u32),
}

macro_rules! numbers {
    ($($key:literal $field:ident $min:literal $max:literal)*) => {
        &[$(Number { key: $key, min: $min, max: $max, get: |o| o.$field, set: |o, v| o.$field = v }),*]
    };
}

/// All numeric options.
pub(crate) const NUMBERS: &[Number] = numbers! {
    "MAX_SOCKETS" max_sockets 1 253
    "MAX_ACTIVE_TCP" max_active_tcp 1 1024
    "MAX_LISTENING_TCP" max_listening_tcp 1 1024
    "TCP_MAXRTX" tcp_maxrtx 1 12
    "TCP_SYNMAXRTX" tcp_synmaxrtx 1 12
    "TCP_MSS" tcp_mss 536 1460
    "TCP_TMR_INTERVAL" tcp_tmr_interval 1 60000
    "TCP_MSL" tcp_msl 1 1000000000
    "TCP_FIN_WAIT_TIMEOUT" tcp_fin_wait_timeout 1 1000000000
    "TCP_SND_BUF_DEFAULT" tcp_snd_buf 2440 1024000
    "TCP_WND_DEFAULT" tcp_wnd 2440 1024000
    "TCP_RCV_SCALE" tcp_rcv_scale 0 14
    "TCP_RECVMBOX_SIZE" tcp_recvmbox_size 1 1024
    "TCP_ACCEPTMBOX_SIZE" tcp_acceptmbox_size 1 255
    "UDP_RECVMBOX_SIZE" udp_recvmbox_size 1 1024
    "TCPIP_RECVMBOX_SIZE" tcpip_recvmbox_size 4 1024
    "TCP_RTO_TIME" tcp_rto_time 1 1000000
};

/// The largest window without scaling, bytes.
const UNSCALED: u32 = 65_535;

/// An option outside of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CONFIG_LWIP_{option} is {value}; allowed: {allowed}")]
pub struct OptionError {
    /// The option's name without `CONFIG_LWIP_`.
    pub option: &'static str,
    /// Its value.
    pub value: u32,
    /// What it may be.
    pub allowed: String,
}

impl Options {
    /// The defaults of current ESP-IDF versions (5.5, 6.0).
    pub const fn current() -> Self {
        Self {
            max_sockets: 10,
            max_active_tcp: 16,
            max_listening_tcp: 16,
            pcb_limits: PcbLimits::Enforced,
            tcp_maxrtx: 12,
            tcp_synmaxrtx: 12,
            tcp_mss: 1440,
            tcp_tmr_interval: 250,
            tcp_msl: 60_000,
            tcp_fin_wait_timeout: 20_000,
            tcp_snd_buf: 5_760,
            tcp_wnd: 5_760,
            wnd_scale: false,
            tcp_rcv_scale: 0,
            tcp_recvmbox_size: 6,
            tcp_acceptmbox_size: 6,
            udp_recvmbox_size: 6,
            tcpip_recvmbox_size: 32,
            tcp_rto_time: 1_500,
            so_linger: SocketOption::Refused,
            so_reuse: SocketOption::Allowed,
        }
    }

    /// The defaults of ESP-IDF 5.0, which a file of that version or of an older one is read against.
    pub(crate) const fn idf_5_0() -> Self {
        let mut options = Self::current();
        options.pcb_limits = PcbLimits::NotEnforced;
        options.tcp_snd_buf = 5_744;
        options.tcp_wnd = 5_744;
        options
    }

    /// Checks every range.
    ///
    /// # Errors
    /// The first option that is outside of its range or does not go with another one.
    pub fn check(&self) -> Result<(), OptionError> {
        for number in NUMBERS {
            let value = (number.get)(self);
            if !(number.min..=number.max).contains(&value) {
                return Err(OptionError {
                    option: number.key,
                    value,
                    allowed: format!("{} to {}", number.min, number.max),
                });
            }
        }
        let refused = |option, value, allowed: String| Err(OptionError { option, value, allowed });
        if self.tcp_snd_buf < 2 * self.tcp_mss {
            let allowed = format!("twice TCP_MSS, {}, to {}", 2 * self.tcp_mss, self.largest_buffer());
            return refused("TCP_SND_BUF_DEFAULT", self.tcp_snd_buf, allowed);
        }
        if self.tcp_snd_buf > self.largest_buffer() {
            let allowed = format!("2440 to {UNSCALED}, or more with CONFIG_LWIP_WND_SCALE=y");
            return refused("TCP_SND_BUF_DEFAULT", self.tcp_snd_buf, allowed);
        }
        // lwIP's init.c does not compile otherwise.
        let largest = if self.wnd_scale { UNSCALED << self.tcp_rcv_scale } else { UNSCALED };
        if self.tcp_wnd > largest {
            let more = if self.wnd_scale {
                "a greater CONFIG_LWIP_TCP_RCV_SCALE"
            } else {
                "CONFIG_LWIP_WND_SCALE=y"
            };
            return refused(
                "TCP_WND_DEFAULT",
                self.tcp_wnd,
                format!("2440 to {largest}, or more with {more}"),
            );
        }
        // lwIP counts it in slow ticks, 16 bits with a sign.
        if self.tcp_rto_time / (2 * self.tcp_tmr_interval) > i16::MAX.unsigned_abs().into() {
            let allowed = "at most 65,534 times CONFIG_LWIP_TCP_TMR_INTERVAL".to_owned();
            return refused("TCP_RTO_TIME", self.tcp_rto_time, allowed);
        }
        Ok(())
    }

    const fn largest_buffer(&self) -> u32 {
        if self.wnd_scale { 1_024_000 } else { UNSCALED }
    }

    /// All options as name and value, in the words of an sdkconfig (`y` and `n` for switches), for
    /// reports; the last one is [`ENFORCED_KEY`](crate::sdkconfig::ENFORCED_KEY).
    pub fn in_force(&self) -> Vec<(String, String)> {
        let switch = |on: bool| if on { "y" } else { "n" }.to_owned();
        let mut all: Vec<_> =
            NUMBERS.iter().map(|n| (format!("CONFIG_LWIP_{}", n.key), (n.get)(self).to_string())).collect();
        all.push(("CONFIG_LWIP_WND_SCALE".to_owned(), switch(self.wnd_scale)));
        all.push(("CONFIG_LWIP_SO_LINGER".to_owned(), switch(self.so_linger == SocketOption::Allowed)));
        all.push(("CONFIG_LWIP_SO_REUSE".to_owned(), switch(self.so_reuse == SocketOption::Allowed)));
        all.push((crate::sdkconfig::ENFORCED_KEY.to_owned(), switch(self.pcb_limits == PcbLimits::Enforced)));
        all
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::current()
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.in_force() {
            writeln!(f, "{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_refuses_what_is_just_outside_its_range() {
        for number in NUMBERS {
            for value in number.min.checked_sub(1).into_iter().chain([number.max + 1]) {
                let mut options = Options::current();
                (number.set)(&mut options, value);
                let error = options.check().expect_err(number.key);
                assert_eq!((error.option, error.value), (number.key, value));
            }
        }
    }

    #[test]
    fn windows_above_65535_need_scaling_that_is_enough_for_them() {
        let of = |tcp_wnd, wnd_scale, tcp_rcv_scale| {
            Options { tcp_wnd, wnd_scale, tcp_rcv_scale, ..Options::current() }.check().map_err(|e| e.option)
        };
        assert_eq!(of(65_535, false, 0), Ok(()));
        assert_eq!(of(65_536, false, 0), Err("TCP_WND_DEFAULT"));
        assert_eq!(of(524_280, true, 3), Ok(()));
        assert_eq!(of(524_281, true, 3), Err("TCP_WND_DEFAULT"));
        let snd_buf = |wnd_scale| Options { tcp_snd_buf: 200_000, wnd_scale, ..Options::current() }.check();
        assert!(snd_buf(true).is_ok() && snd_buf(false).is_err());
    }

    #[test]
    fn a_send_buffer_holds_two_segments() {
        let mut options = Options::current();
        options.tcp_snd_buf = 2 * options.tcp_mss - 1;
        assert_eq!(options.check().map_err(|e| e.option), Err("TCP_SND_BUF_DEFAULT"));
    }
}
