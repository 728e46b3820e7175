//! Why a twin cannot run.

use std::io;

use espstress_device::Service;
use espstress_device::text::TooLong;
use thiserror::Error;

use crate::link::LinkError;
use crate::setup::SETUP_VARIABLE;

#[derive(Debug, Error)]
pub(crate) enum ChildError {
    #[error("{SETUP_VARIABLE} holds no setup: this argument is for the program itself ({0})")]
    Setup(String),
    #[error(transparent)]
    Options(#[from] espstress_lwip::sdkconfig::SdkconfigError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("persona: {0}")]
    Persona(String),
    #[error("{0} is {1}")]
    Text(&'static str, TooLong),
    #[error("no service is named {0}")]
    Service(String),
    #[error("lwIP: {0}")]
    Stack(#[from] espstress_lwip::StartError),
    #[cfg(not(feature = "smoltcp"))]
    #[error("smoltcp is not part of this build")]
    NotBuilt,
    #[cfg(feature = "smoltcp")]
    #[error("no heap of {0} bytes can be had")]
    Heap(usize),
    #[error("the {0} service finds no place on the device: {1} (heap or sockets too small)")]
    Bind(Service, espstress_lwip::SocketError),
    #[error("the frames' carrier is gone: {0}")]
    Wire(io::Error),
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[error(transparent)]
    Program(#[from] espstress_program::StartError),
    #[error("{0}")]
    NeverServed(String),
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}
