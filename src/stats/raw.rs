//! The raw protocol's transactions, counted the way the MicroPython pair's client counts them.

/// Times of one kind, nanoseconds: what a script keeps that prints least, mean and greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// All together.
    pub sum_ns: u128,
    /// The least; `None` of none.
    pub min_ns: Option<u64>,
    /// The greatest; `None` of none.
    pub max_ns: Option<u64>,
}

impl Times {
    /// Adds one.
    pub(crate) fn add(&mut self, ns: u64) {
        self.count += 1;
        self.sum_ns += u128::from(ns);
        self.min_ns = Some(self.min_ns.map_or(ns, |least| least.min(ns)));
        self.max_ns = Some(self.max_ns.map_or(ns, |most| most.max(ns)));
    }
}

/// What that client would have counted. It looks at no answer: whatever comes before the device's FIN is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawTally {
    /// Calls of `connect()`.
    pub attempts: u64,
    /// Those that failed, for whatever reason.
    pub connect_errors: u64,
    /// Connections whose request could not be written.
    pub write_errors: u64,
    /// Connections on which reading failed before the FIN.
    pub read_errors: u64,
    /// `connect()` calls that went well, those included whose connection failed later.
    pub connects: Times,
    /// From the call of `connect()` to the end of the answer.
    pub transactions: Times,
    /// Bytes of those answers, its two lines of heap figures included.
    pub bytes: u64,
}

impl RawTally {
    /// `connect()` took so long, nanoseconds, and went well.
    pub fn connected(&mut self, ns: u64) {
        self.attempts += 1;
        self.connects.add(ns);
    }

    /// `connect()` failed.
    pub const fn connect_failed(&mut self) {
        self.attempts += 1;
        self.connect_errors += 1;
    }

    /// The answer's end, of `bytes` bytes, came `ns` nanoseconds after the call of `connect()`.
    pub fn answered(&mut self, ns: u64, bytes: u64) {
        self.transactions.add(ns);
        self.bytes += bytes;
    }
}
