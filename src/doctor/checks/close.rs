//! How the device ends connections.

use super::super::names;
use super::{Look, check, closed_idle};
use espstress_diagnose::words::things;
use espstress_diagnose::{Accounted, Check, Mark};
use espstress_engine::WorkloadOutcome;
use espstress_event::{AnomalyClass, AnomalyId, Ending};

impl Look<'_> {
    pub(super) fn clean_close(&self) -> Check {
        const NAME: &str = "clean close";
        let phases: Vec<_> =
            [names::REQUESTS, names::LATE, names::CROWD].iter().filter_map(|name| self.tried(name)).collect();
        let served: u64 = phases.iter().map(|w| w.stats.succeeded).sum();
        let ended = |ending| phases.iter().map(|w| w.stats.endings.get(ending)).sum::<u64>();
        if served == 0 {
            return check(NAME, Mark::Unknown, "no connection was served");
        }
        let sending = ended(Ending::StillSending);
        // A refusal by a status is an answer, and its connection ends as well.
        let answered = Ending::ALL.into_iter().map(ended).sum::<u64>();
        let connections = if answered > served {
            format!("{} answered", things(answered, "connection"))
        } else {
            format!("{} served", things(served, "connection"))
        };
        let sockets = format!(
            "{connections}: {} ended by FIN, {} by RST, {} not ended{}",
            ended(Ending::Fin) + ended(Ending::CloseIgnored),
            ended(Ending::Reset),
            ended(Ending::NotEnded),
            if sending > 0 {
                format!(", {sending} on which the device went on sending")
            } else {
                String::new()
            }
        );
        let Some(seen) = self.packets() else {
            let mark =
                if ended(Ending::Reset) + ended(Ending::NotEnded) > 0 { Mark::Bad } else { Mark::Unknown };
            return check(NAME, mark, format!("{sockets}; {}", self.no_packets()));
        };
        // What had to go for a newcomer was closed before an answer, and the request that was on its way met a RST.
        let made_room = |w: &WorkloadOutcome, id| {
            let unserved = [AnomalyId::ClosedUnserved, AnomalyId::RstAfterFin, AnomalyId::RstAfterHandshake]
                .contains(&id);
            unserved && self.made_room(w).0
        };
        let excused = |w: &WorkloadOutcome, id| {
            let mut rows = self.measured.account.iter().filter(|row| row.workload == w.name);
            rows.any(|row| {
                let excused = row.accounted == Accounted::Excused || closed_idle(row);
                excused && row.anomalies.contains_key(&id)
            })
        };
        let ours = |workload: Option<&str>, id| {
            phases.iter().any(|w| Some(w.name.as_str()) == workload && !made_room(w, id) && !excused(w, id))
        };
        let mut bad: Vec<(AnomalyId, u64)> = Vec::new();
        for row in &seen.anomalies {
            if row.class == AnomalyClass::Device
                && of_a_close(row.id)
                && ours(row.workload.as_deref(), row.id)
            {
                match bad.iter_mut().find(|(id, _)| *id == row.id) {
                    Some((_, n)) => *n += row.connections,
                    None => bad.push((row.id, row.connections)),
                }
            }
        }
        if !bad.is_empty() {
            let list: Vec<_> =
                bad.iter().map(|(id, n)| format!("{} on {}", id.name(), things(*n, "connection"))).collect();
            let text = format!("{}; {}", list.join(", "), things(served, "connection") + " served");
            return check(NAME, Mark::Bad, text);
        }
        if seen.dropped > 0 || seen.failure.is_some() {
            return check(NAME, Mark::Unknown, format!("{sockets}; not all packets were captured"));
        }
        // Of a connection that the device kept, or that it was still sending on, nobody has seen a close.
        let open = ended(Ending::NotEnded) + sending;
        let closed = ended(Ending::Fin) + ended(Ending::CloseIgnored) + ended(Ending::Reset);
        check(NAME, if open > closed { Mark::Unknown } else { Mark::Good }, sockets)
    }
}

/// Anomalies of how connections end.
const fn of_a_close(id: AnomalyId) -> bool {
    matches!(
        id,
        AnomalyId::AbortiveClose
            | AnomalyId::RstAfterFin
            | AnomalyId::LateRst
            | AnomalyId::RstAfterHandshake
            | AnomalyId::ClosedUnserved
            | AnomalyId::RstStorm
            | AnomalyId::FinRetransmission
            | AnomalyId::FinDuel
            | AnomalyId::DataAfterFin
            | AnomalyId::HalfClosedLinger
    )
}
