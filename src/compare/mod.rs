//! Reports side by side.
