//! espstress
