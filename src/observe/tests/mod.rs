//! Tests of the observer through whole frames.
