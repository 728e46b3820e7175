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
    #[error("no service {0}")]
    Service(String),
    #[error("lwIP: {0}")]
    Stack(#[from] espstress_lwip::StartError),
    #[cfg(not(feature = "smoltcp"))]
    #[error("this build doesn't include smoltcp")]
    NotBuilt,
    #[cfg(feature = "smoltcp")]
    #[error("cannot allocate a heap of {0} bytes")]
    Heap(usize),
    #[error("cannot start the {0} service: {1} (heap or sockets too small)")]
    Bind(Service, espstress_lwip::SocketError),
    #[error("cannot exchange frames with the link: {0}")]
    Wire(io::Error),
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[error(transparent)]
    Program(#[from] espstress_program::StartError),
    #[error("{0}")]
    NeverServed(String),
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}
