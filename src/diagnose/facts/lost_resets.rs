//! Connections that the device holds because the path lost the host's RST: nobody's fault, and no finding of their own.
//!
//! A RST is never sent again. The device keeps the connection until its keep-alive probe, or payload that it repeats,
//! meets the host's next RST: that shows the packets which ones they were. Until then, which is 10 s and more, the slot
//! is taken, and with several of them at once others wait in vain, as if the device did not accept or close.
//!
//! Thresholds: more than half of the slots that the device says it has, or three, because the packets show fewer of
//! them than there were. At most a quarter of the RSTs: a path that loses more carries no run, and a device that heeds
//! no RST is not excused. And the losses must show in other segments as well.

use super::super::{ClosePolicy, Evidence};
use super::{SECOND, exchanges, path, stuck};

/// Of an unknown number of slots.
const SEVERAL: u64 = 3;

/// Whether they took up so many slots at one time that failures to connect, and requests without an answer, are theirs.
pub(crate) fn fill_the_device(e: &Evidence<'_>) -> bool {
    let most = e.device.capacity.map_or(SEVERAL, |slots| u64::from(slots) / 2 + 1);
    e.path.is_some_and(|path| {
        let resets = path.resets;
        resets.lost_at_once >= most && resets.lost.saturating_mul(4) <= resets.sent
    }) && path::loses(e)
}

/// Whether `kept` sockets at the end of the run may be theirs: the watch is shorter than a keep-alive, so that the
/// packets do not show the last ones. A program that forgets to close keeps most of what it has served.
pub(crate) fn may_be_kept(e: &Evidence<'_>, kept: u64) -> bool {
    let by_reset = || exchanges(e).filter(|w| w.close == ClosePolicy::Rst);
    let served = by_reset().fold(0_u64, |n, w| n.saturating_add(w.succeeded));
    kept.saturating_mul(4) <= served && path::loses(e) && !outlast_keep_alive(e)
}

/// Whether nobody was served for longer, to the end, than keep-alive of usual settings lets a dead connection stand: then
/// what still holds the sockets is nothing that it ends.
pub(crate) fn outlast_keep_alive(e: &Evidence<'_>) -> bool {
    /// 10 s, 3 probes 3 s apart, and a second.
    const KEEP_ALIVE: u64 = 20 * SECOND;
    exchanges(e)
        .filter(|w| w.close == ClosePolicy::Rst)
        .flat_map(|w| stuck(e, w))
        .any(|bout| bout.is_last && e.duration_ns.saturating_sub(bout.from_ns) >= KEEP_ALIVE)
}
