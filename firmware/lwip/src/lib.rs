//! espstress-lwip
