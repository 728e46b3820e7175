//! Where a console is read from.

use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use serial2_tokio::SerialPort;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::rfc2217::{HELLO, Telnet};

/// Where a console is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A serial port.
    Serial(PathBuf),
    /// A TCP port with the bare bytes.
    Tcp(String),
    /// A serial port behind Telnet (RFC 2217).
    Rfc2217(String),
    /// A file that grows.
    File(PathBuf),
    /// A command's standard output.
    Command(String),
    /// What the process that is the device writes.
    Process,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = |rest: &str| {
            let address = rest.trim_start_matches("//").to_owned();
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            port.map(|_| address.clone())
                .ok_or_else(|| format!("{text}: give HOST:PORT, as tcp:192.168.4.2:2217"))
        };
        Ok(match text.split_once(':') {
            Some(("tcp", rest)) => Self::Tcp(network(rest)?),
            Some(("rfc2217", rest)) => Self::Rfc2217(network(rest)?),
            Some(("file", path)) if !path.is_empty() => Self::File(path.into()),
            Some(("cmd", command)) if !command.trim().is_empty() => Self::Command(command.to_owned()),
            Some(("file" | "cmd", _)) => return Err(format!("{text}: a name is missing after the colon")),
            _ if text.is_empty() => return Err("give a serial port, as /dev/ttyUSB0".to_owned()),
            _ => Self::Serial(text.into()),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Rfc2217(address) => write!(f, "rfc2217:{address}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Command(command) => write!(f, "cmd:{command}"),
            Self::Process => write!(f, "the device's own process"),
        }
    }
}

/// Why a console cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("--console {source_name}: {reason}{hint}")]
pub struct SourceError {
    source_name: String,
    reason: String,
    hint: &'static str,
}

impl SourceError {
    fn new(source: &Source, error: &io::Error) -> Self {
        let hint = match (source, error.kind()) {
            (Source::Serial(_), io::ErrorKind::PermissionDenied) => {
                "; add yourself to the port's group (dialout or uucp), or use sudo"
            }
            (Source::Serial(_), io::ErrorKind::NotFound) => "; ls /dev/ttyUSB* /dev/ttyACM* lists the ports",
            (Source::Serial(_), _) if error.raw_os_error() == Some(16) => {
                "; another program has the port open"
            }
            _ => "",
        };
        Self { source_name: source.to_string(), reason: error.to_string(), hint }
    }
}

/// How to open a port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) baud: u32,
}

/// A console that is open, with the runtime that reads it: opened before a private network is entered, since only the
/// host's own network has its TCP ports.
#[derive(Debug)]
pub struct Opened {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) source: Source,
    pub(crate) port: Port,
    pub(crate) reader: Reader,
}

/// How long to wait for a TCP port.
const CONNECT: Duration = Duration::from_secs(5);

impl Source {
    /// Opens it; a serial port at `baud` without resetting the board, or with it where `reset`.
    ///
    /// # Errors
    /// [`SourceError`] with what the system said.
    pub fn open(self, baud: u32, reset: bool) -> Result<Opened, SourceError> {
        let failed = |error: io::Error| SourceError::new(&self, &error);
        // One thread, and nothing that would need a second one.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let port = Port { baud };
        let reader = {
            let _in = runtime.enter();
            Reader::open(&self, port, true).map_err(failed)?
        };
        if reset && let Reader::Serial(port) = &reader {
            reset_board(port).map_err(failed)?;
        }
        Ok(Opened { runtime, source: self, port, reader })
    }
}

impl Opened {
    /// What a process writes to the other end of `pipe`.
    ///
    /// # Errors
    /// When the system refuses a descriptor.
    #[cfg(unix)]
    pub fn of_pipe(pipe: std::os::fd::OwnedFd) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let reader = {
            let _in = runtime.enter();
            Reader::Pipe { end: tokio::net::unix::pipe::Receiver::from_owned_fd(pipe)?, command: None }
        };
        Ok(Self { runtime, source: Source::Process, port: Port { baud: 0 }, reader })
    }
}

/// Resets a board through its auto-programming circuit: RTS holds EN low, DTR leaves the boot pin high.
fn reset_board(port: &SerialPort) -> io::Result<()> {
    port.set_dtr(false)?;
    port.set_rts(true)?;
    std::thread::sleep(Duration::from_millis(100));
    port.set_rts(false)
}

/// An open source.
#[derive(Debug)]
pub(crate) enum Reader {
    Serial(SerialPort),
    Tcp(TcpStream),
    Telnet(TcpStream, Telnet, Vec<u8>),
    File(Follow),
    #[cfg(unix)]
    Pipe {
        end: tokio::net::unix::pipe::Receiver,
        /// Ends when dropped.
        command: Option<Running>,
    },
}

/// A command that runs; its whole process group ends with it.
#[derive(Debug)]
pub(crate) struct Running(Child);

#[cfg(unix)]
impl Running {
    /// How it exited; `None` where it has closed its output and goes on.
    async fn status(&mut self) -> Option<std::process::ExitStatus> {
        /// A command ends soon after its output does.
        const SOON: Duration = Duration::from_secs(1);
        const LOOK: Duration = Duration::from_millis(10);
        for _ in 0..SOON.as_millis() / LOOK.as_millis() {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Some(status);
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    }
}

#[cfg(unix)]
fn in_words(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(127), _) => "the shell did not find the command (exit status 127)".to_owned(),
        (Some(code), _) => format!("the command exited with status {code}"),
        (None, Some(signal)) => format!("the command was ended by signal {signal}"),
        (None, None) => "the command exited".to_owned(),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // One that has ended is not there any more.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::TERM);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads what a source has.
pub(crate) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now; look again.
    Nothing,
    /// It is over.
    Ended,
}

impl Reader {
    /// Opens a source; `first` is the first time, when what is in a file already is from before the run.
    pub(crate) fn open(source: &Source, port: Port, first: bool) -> io::Result<Self> {
        match source {
            Source::Serial(path) => serial(path, port.baud).map(Self::Serial),
            Source::Tcp(address) => tcp(address).map(Self::Tcp),
            Source::Rfc2217(address) => {
                let stream = tcp(address)?;
                // A new connection's buffer takes six bytes.
                let _ = stream.try_write(&HELLO);
                Ok(Self::Telnet(stream, Telnet::default(), Vec::new()))
            }
            Source::File(path) => Follow::open(path, first).map(Self::File),
            #[cfg(unix)]
            Source::Command(command) => {
                use std::os::unix::process::CommandExt as _;
                let mut child = Command::new("sh")
                    .args(["-c", command])
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .process_group(0)
                    .spawn()?;
                let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
                let receiver = tokio::net::unix::pipe::Receiver::from_owned_fd(stdout.into())?;
                Ok(Self::Pipe { end: receiver, command: Some(Running(child)) })
            }
            #[cfg(not(unix))]
            Source::Command(_) => Err(io::ErrorKind::Unsupported.into()),
            Source::Process => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whether the first line may be the rest of one.
    pub(crate) const fn begins_within_a_line(&self) -> bool {
        match self {
            Self::Serial(_) | Self::Tcp(_) | Self::Telnet(..) => true,
            Self::File(file) => file.torn,
            #[cfg(unix)]
            Self::Pipe { .. } => false,
        }
    }

    /// Whether it can come back after its end.
    pub(crate) const fn may_return(&self) -> bool {
        #[cfg(unix)]
        if matches!(self, Self::Pipe { .. }) {
            return false;
        }
        true
    }

    /// How it ended, once it has.
    pub(crate) async fn end(&mut self) -> String {
        #[cfg(unix)]
        if let Self::Pipe { command: Some(command), .. } = self
            && let Some(status) = command.status().await
        {
            return format!("ended: {}", in_words(status));
        }
        "ended".to_owned()
    }

    /// Waits for bytes and takes them into `data`.
    pub(crate) async fn read(&mut self, buffer: &mut [u8], data: &mut Vec<u8>) -> io::Result<Read> {
        data.clear();
        let n = match self {
            Self::Serial(port) => port.read(buffer).await?,
            Self::Tcp(stream) => stream.read(buffer).await?,
            Self::Telnet(stream, telnet, answer) => {
                let n = stream.read(buffer).await?;
                answer.clear();
                telnet.take(&buffer[..n], data, answer);
                // An answer that finds no room is one that nobody waits for.
                let _ = stream.try_write(answer);
                return Ok(if n == 0 { Read::Ended } else { Read::Bytes(n) });
            }
            Self::File(file) => {
                let n = file.read(buffer)?;
                data.extend_from_slice(&buffer[..n]);
                return Ok(if n == 0 { Read::Nothing } else { Read::Bytes(n) });
            }
            #[cfg(unix)]
            Self::Pipe { end, .. } => end.read(buffer).await?,
        };
        data.extend_from_slice(&buffer[..n]);
        Ok(if n == 0 { Read::Ended } else { Read::Bytes(n) })
    }
}

/// Opens a port as it is: no control line is touched, and none falls when it is closed.
fn serial(path: &std::path::Path, baud: u32) -> io::Result<SerialPort> {
    let configure = |mut settings: serial2_tokio::Settings| {
        settings.set_raw();
        settings.set_baud_rate(baud)?;
        #[cfg(unix)]
        {
            settings.as_termios_mut().c_cflag &= !HUPCL;
        }
        Ok(settings)
    };
    let port = SerialPort::open(path, configure)?;
    // What was printed before is not of this run.
    port.discard_input_buffer()?;
    Ok(port)
}

/// "Hang up on last close" of termios(3): without it the control lines stay, and the board is not reset.
#[cfg(all(unix, not(target_os = "macos")))]
const HUPCL: u32 = 0o2000;
#[cfg(target_os = "macos")]
const HUPCL: u64 = 0x4000;

fn tcp(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in address.to_socket_addrs()? {
        match std::net::TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_nonblocking(true)?;
                return TcpStream::from_std(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A file that another program writes: what is in it at first is from before the run.
#[derive(Debug)]
pub(crate) struct Follow {
    path: PathBuf,
    file: std::fs::File,
    at: u64,
    torn: bool,
}

impl Follow {
    fn open(path: &std::path::Path, first: bool) -> io::Result<Self> {
        use std::io::{Read as _, Seek as _};
        let mut file = std::fs::File::open(path)?;
        let (mut at, mut torn) = (0, false);
        if first {
            at = file.seek(io::SeekFrom::End(0))?;
            if at > 0 {
                let mut last = [0];
                file.seek(io::SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                torn = last != *b"\n";
            }
        }
        Ok(Self { path: path.to_owned(), file, at, torn })
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::io::{Read as _, Seek as _};
        let n = self.file.read(buffer)?;
        self.at += n as u64;
        if n > 0 {
            return Ok(n);
        }
        // It may have been emptied, or another file may have its name now.
        let here = self.file.metadata()?;
        if here.len() < self.at {
            self.file.seek(io::SeekFrom::Start(0))?;
            self.at = 0;
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let named = std::fs::metadata(&self.path)?;
            if (named.dev(), named.ino()) != (here.dev(), here.ino()) {
                *self = Self::open(&self.path, false)?;
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_source_is_read_and_shown_as_it_was_typed() {
        for text in [
            "/dev/ttyUSB0",
            "COM3",
            "tcp:192.168.4.2:2217",
            "rfc2217:host:4000",
            "file:run.log",
            "cmd:idf.py monitor",
        ] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        assert_eq!("rfc2217://host:4000".parse::<Source>().unwrap(), Source::Rfc2217("host:4000".into()));
        for text in ["", "tcp:host", "file:", "cmd: "] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_that_is_not_there_is_refused_with_where_to_look() {
        let error = Source::Serial("/dev/ttyNONE0".into()).open(115_200, false).unwrap_err().to_string();
        assert!(error.contains("/dev/ttyNONE0") && error.contains("ttyUSB"), "{error}");
    }
}
