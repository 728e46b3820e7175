//! What is seen from outside of the private network.

use crate::runner::Outcome;

pub(crate) const ALL: &[(&str, fn() -> Outcome)] = &[];
