//! A device that takes no more.

use espstress_event::{AnomalyId, Direction, Shown};

use super::super::flow::{Ending, Flow};
use super::{Obstacle, Ruling, Verdict};

/// What has to be lost for a window to look shut for a second: the update, and the answers to two probes (Linux probes
/// after 200 and 600 ms).
const WINDOW_ANSWERS: u32 = 3;

/// `zero_window_stall`: T advertises a window of 0 and no other for more than 1 s: its application does not
/// read. Told with its length, when the window is open again or nothing more comes.
///
/// Not this: the window of a RST or a SYN; a window that no longer matters, because T has acknowledged C's
/// FIN or the connection has ended.
pub(super) fn zero_window_stall(flow: &Flow, since: i64, until: i64) -> Verdict {
    // It has answered a probe a second later, and its window was still shut: no loss makes it say that.
    let says_so = flow.device.window == 0
        && flow.device.last_at.is_some_and(|at| at.saturating_sub(since) >= super::super::flow::SECOND);
    Verdict {
        id: AnomalyId::ZeroWindowStall,
        shows: Shown::Unprompted,
        direction: Direction::FromDevice,
        at: since,
        lasted: until.saturating_sub(since),
        answers: flow.host_last,
        after_fin: None,
        request: None,
        copies: (!says_so).then_some(WINDOW_ANSWERS),
        remark: None,
    }
}

/// `no_ack_to_data`: C sent the same payload three times again or more, and T never acknowledged it, nor
/// answered with a RST (lwIP drops what its receive mailbox has no room for, `recv_tcp`). Judged when the
/// connection has ended or nothing more will come; repeated less often by then, it cannot be told.
///
/// Not this: keep-alive and window probes.
pub(super) fn no_ack_to_data(flow: &Flow) -> Option<Ruling> {
    let repeated = flow.host.repeated?;
    let id = AnomalyId::NoAckToData;
    let (shows, remark) = match flow.ended {
        Some((_, Ending::Reset(Direction::FromDevice) | Ending::Closed)) => return None,
        None if repeated.times < 3 => return Some(Ruling::CannotTell(id, Obstacle::WatchTooShort)),
        Some(_) if repeated.times < 3 => return None,
        Some((_, Ending::Reset(Direction::FromHost))) | None => (Shown::Unprompted, None),
    };
    Some(Ruling::Fires(Verdict {
        id,
        shows,
        direction: Direction::FromHost,
        at: repeated.third_at,
        lasted: repeated.last_at.saturating_sub(repeated.third_at),
        answers: None,
        after_fin: None,
        request: None,
        copies: Some(u32::from(repeated.times).saturating_add(1)),
        remark,
    }))
}
