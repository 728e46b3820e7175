//! What single protocols came to, thrown with dice.

use super::dice::Dice;
use espstress_event::{
    DatagramSize, Datagrams, EchoGap, EventStreams, HttpFigures, LostRun, SlowSpan, StallEnd, TlsFault,
    TlsFaultSeen, TlsFigures, UploadStall, Uploads, WebSockets,
};

impl Dice {
    pub(super) fn http(&mut self) -> HttpFigures {
        let mut http = HttpFigures::default();
        for _ in 0..self.next() % 3 {
            let to_itself = self.yes();
            http.redirected(302, if self.yes() { "/login" } else { "" }, to_itself);
        }
        if self.yes() {
            let scheme = self.maybe(|_| "Digest");
            let sent = self.yes();
            http.login_asked(scheme, sent);
        }
        http.uploads = self.maybe(|d| Uploads {
            begun: d.n(),
            stalls: d.n(),
            longest_stall: d.maybe(|d| UploadStall {
                length_ms: d.n(),
                taken_bytes: d.n(),
                of_bytes: d.n(),
                end: d.of(&[StallEnd::Resumed, StallEnd::GaveUp, StallEnd::GaveUp]),
            }),
            ..Uploads::default()
        });
        http.tls = self.maybe(|d| {
            let mut tls = TlsFigures::default();
            for _ in 0..d.next() % 3 {
                tls.failed(TlsFaultSeen { fault: d.of(&TlsFault::ALL), detail: "a detail".into() });
            }
            tls
        });
        http
    }

    pub(super) fn websockets(&mut self) -> WebSockets {
        WebSockets {
            pongs: self.n(),
            pushed: self.n(),
            passed_over: self.n(),
            handshakes: self.n(),
            ..WebSockets::default()
        }
    }

    pub(super) fn spans(&mut self) -> Vec<SlowSpan> {
        self.many(|d| SlowSpan {
            length_ms: d.n(),
            others_served: d.n(),
            others_waited_ms: d.maybe(Self::n),
            others_waiting_ms: d.maybe(Self::n),
            others_served_until_ms: d.maybe(Self::n),
        })
    }

    pub(super) fn streams(&mut self) -> EventStreams {
        EventStreams {
            streams: self.n(),
            refused: self.n(),
            wrong_type: self.n(),
            wrong_type_seen: self.maybe(|d| d.of(&["", "text/html"]).to_owned()),
            ended: self.n(),
            ended_empty: self.n(),
            cut: self.n(),
            reset: self.n(),
            silent: self.n(),
            broken: self.n(),
            longest_silence_us: self.maybe(Self::n),
            events: self.n(),
            spans: self.spans(),
            ..EventStreams::default()
        }
    }

    pub(super) fn datagrams(&mut self) -> Datagrams {
        let mut row = || {
            let sent = self.n();
            // Often all of a size are lost, or all but these.
            let lost = if self.yes() { sent } else { self.n() };
            let echoed = if self.yes() { sent.saturating_sub(lost) } else { self.n() };
            DatagramSize { bytes: self.small(), packets: self.small(), sent, echoed, lost }
        };
        let sizes = vec![row(), row(), row()];
        Datagrams {
            sent: self.n(),
            echoed: self.n(),
            lost: self.n(),
            late: self.n(),
            strangers: self.n(),
            replaced: self.n(),
            unreachable: self.n(),
            silent: self.n(),
            silent_since_us: self.maybe(Self::n),
            silent_until_us: self.maybe(Self::n),
            longest_gap: self.maybe(|d| EchoGap { since_us: d.n(), to_us: d.n() }),
            longest_run: self.maybe(|d| LostRun {
                lost: d.n(),
                since_us: d.n(),
                until_us: d.n(),
                to_us: d.maybe(Self::n),
            }),
            mtu: self.maybe(Self::small),
            sizes,
            ..Datagrams::default()
        }
    }
}
