//! espstress-twin
