//! What only some protocols tell, in words for any form of the report.

use super::human::{count, percent, positive, things, time_us};
use espstress_diagnose::share_at_most;
use espstress_event::{
    ByProtocol, Datagrams, EventStreams, SilentClients, SlowClients, SlowSpan, Standstills, WebSockets,
};

/// A label and what it says.
pub(super) fn lines(by: &ByProtocol) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(udp) = &by.udp {
        lines.push(("datagrams", datagrams(udp)));
        lines.extend(sizes(udp).map(|text| ("sizes", text)));
    }
    if let Some(ws) = &by.websocket {
        lines.push(("websocket", websocket(ws)));
    }
    if let Some(sse) = &by.sse {
        lines.push(("streams", streams(sse)));
        lines.extend(silences(sse).map(|text| ("silence", text)));
    }
    if let Some(slow) = &by.slow {
        lines.push(("slow", slow_clients(slow)));
    }
    let late = positive(by.out_of_order, "answer");
    lines.extend(late.map(|text| ("order", format!("{text} came behind those to later messages"))));
    lines.extend(by.standstills.as_ref().map(|still| ("waits", standstills(still))));
    let again = positive(by.repeated, "answer");
    lines.extend(again.map(|text| ("repeated", format!("{text} came again, though each had come before"))));
    lines.extend(by.silent_before.as_ref().and_then(silent_clients).map(|text| ("silent", text)));
    lines
}

fn slow_clients(slow: &SlowClients) -> String {
    let mut list = vec![format!("{} served", things(slow.served, "slow client"))];
    let told: Vec<String> =
        slow.given_up_by_status.iter().map(|(status, n)| format!("{status}: {}", count(*n))).collect();
    let told = if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) };
    list.extend(
        (slow.given_up > 0).then(|| format!("{} given up by the device{told}", count(slow.given_up))),
    );
    let ms = |ms: u64| time_us(ms as f64 * 1_000.0);
    list.extend(
        slow.spans.iter().map(|span| span.length_ms).max().map(|most| format!("slow for up to {}", ms(most))),
    );
    let waited = slow.spans.iter().filter_map(|span| span.others_waited_ms).max();
    list.extend(waited.map(|most| format!("no other client served for up to {} meanwhile", ms(most))));
    list.join(", ")
}

/// Times in which requests waited and none was answered.
fn standstills(still: &Standstills) -> String {
    format!(
        "{} of a second or more without an answer while requests waited, the longest {} at {}",
        things(still.times, "time"),
        time_us(still.longest_us() as f64),
        time_us(still.longest_since_us as f64)
    )
}

/// What others met while clients said nothing before their first request; `None` where no others asked.
fn silent_clients(silent: &SilentClients) -> Option<String> {
    let asked = |span: &&SlowSpan| span.others_waited_ms.is_some();
    let beside: Vec<&SlowSpan> = silent.spans.iter().filter(asked).collect();
    let length = beside.iter().map(|span| span.length_ms).max()?;
    let waiting = beside.iter().filter_map(|span| span.others_waiting_ms).max().unwrap_or(0);
    let ms = |ms: u64| time_us(ms as f64 * 1_000.0);
    Some(format!(
        "{} of up to {} before a request while others asked, who at the end had waited for up to {}",
        things(beside.len() as u64, "silence"),
        ms(length),
        ms(waiting)
    ))
}

fn websocket(ws: &WebSockets) -> String {
    let mut list = vec![things(ws.handshakes, "handshake")];
    list.extend((ws.refused > 0).then(|| format!("{} refused", count(ws.refused))));
    list.extend(
        (ws.pings > 0).then(|| format!("{} of {} answered", count(ws.pongs), things(ws.pings, "ping"))),
    );
    list.extend(positive(ws.pings_from_device, "ping").map(|text| format!("{text} from the device")));
    list.extend(positive(ws.pushed, "other message").map(|text| format!("{text} received")));
    let closes = ws.closes.iter().map(|(name, n)| format!("{name} {}", count(*n)));
    let closes: Vec<String> = closes.collect();
    list.extend((!closes.is_empty()).then(|| format!("closed by the device: {}", closes.join(", "))));
    let broken: Vec<String> = ws.violations.iter().map(|(what, n)| format!("{what} {}", count(*n))).collect();
    list.extend((!broken.is_empty()).then(|| format!("not allowed by RFC 6455: {}", broken.join(", "))));
    list.extend(
        (ws.close_unanswered > 0).then(|| format!("{} close frames unanswered", count(ws.close_unanswered))),
    );
    list.join(", ")
}

fn streams(sse: &EventStreams) -> String {
    let mut list = vec![things(sse.streams, "stream"), things(sse.events, "event")];
    let more = [
        (sse.refused, "refused"),
        (sse.wrong_type, "of another type"),
        (sse.ended, "ended in order"),
        (sse.ended_empty, "ended before any event"),
        (sse.cut, "cut off"),
        (sse.reset, "reset"),
        (sse.silent, "silent for too long"),
        (sse.broken, "broken"),
        (sse.unfinished, "with a half-sent event"),
    ];
    list.extend(more.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(n))));
    list.extend(positive(sse.comments, "comment"));
    list.extend(sse.retry_ms.map(|ms| format!("the device asks to reconnect after {ms} ms")));
    list.join(", ")
}

fn silences(sse: &EventStreams) -> Option<String> {
    let (gap, silence) = (sse.longest_gap_us?, sse.longest_silence_us?);
    Some(format!(
        "{} at most without an event, {} without a byte",
        time_us(gap as f64),
        time_us(silence as f64)
    ))
}

fn datagrams(udp: &Datagrams) -> String {
    let mut list = vec![format!("{} of {} came back", count(udp.echoed), things(udp.sent, "datagram"))];
    if let Some(loss) = udp.loss() {
        let bound = percent(share_at_most(udp.lost, udp.at_stake()));
        list.push(format!(
            "{} lost ({}, at most {bound} with 99.9 % confidence)",
            count(udp.lost),
            percent(loss)
        ));
    }
    let more = [
        (udp.late, "of them came back too late"),
        (udp.duplicates, "came back twice"),
        (udp.reordered, "out of order"),
        (udp.corrupt, "changed"),
        (udp.unreachable, "answered by ICMP port unreachable"),
        (udp.dropped_here, "dropped by this machine"),
    ];
    list.extend(more.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(n))));
    list.extend(positive(udp.strangers, "other datagram").map(|text| format!("{text} received")));
    list.extend(udp.group.map(|group| format!("sent to the group {group}")));
    let members = udp.other_members.iter().map(|(member, n)| format!("{member} sent back {}", count(*n)));
    list.extend(members);
    list.extend(positive(udp.beyond_members, "echo").map(|text| format!("{text} from further members")));
    list.join(", ")
}

fn sizes(udp: &Datagrams) -> Option<String> {
    let one = |row: &espstress_event::DatagramSize| {
        let packets = if row.packets > 1 { format!(" in {} packets", row.packets) } else { String::new() };
        format!("{} B{packets}: {} of {}", row.bytes, count(row.echoed), count(row.sent))
    };
    (udp.sizes.len() > 1).then(|| udp.sizes.iter().map(one).collect::<Vec<_>>().join("; "))
}
