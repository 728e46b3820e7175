//! espstress-device
