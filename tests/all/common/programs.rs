//! Web servers that others wrote, each on an address of its own and in a folder of its own.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::scripted::own_address;
use super::skipped;

/// A server that is ended with the test, however the test ends.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server and waits until it takes connections; `None`, and said, where there is no such program.
fn serve(program: &str, configure: impl FnOnce(&mut Command, &Path, SocketAddr)) -> Option<Server> {
    let (folder, address) = (tempfile::tempdir().unwrap(), own_address());
    std::fs::write(folder.path().join("index.html"), "<p>hello</p>\n").unwrap();
    let mut command = Command::new(program);
    // Where Debian has its servers, which an ordinary user's PATH may not name.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    command.env("PATH", path).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    configure(&mut command, folder.path(), address);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            skipped("strangers", &format!("no {program}: {error}"));
            return None;
        }
    };
    let mut server = Server { child, address, _folder: folder };
    // It listens in the end, or it ends; what it wrote says why.
    let give_up = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        let ended = server.child.try_wait().unwrap();
        if ended.is_some() || Instant::now() > give_up {
            let _ = server.child.kill();
            let mut said = String::new();
            let _ = server.child.stderr.take().unwrap().read_to_string(&mut said);
            if said.contains("applet not found") || said.contains("unrecognized arguments: --protocol") {
                skipped("strangers", &format!("{program} here is without it: {said}"));
                return None;
            }
            panic!("{program} does not listen: {ended:?} {said}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // What it writes from now on is nobody's business, and must not stop it.
    let mut rest = server.child.stderr.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut rest, &mut std::io::sink()));
    Some(server)
}

/// nginx, with these words in its `http` block.
pub fn nginx(more: &str) -> Option<Server> {
    nginx_with("", more)
}

/// nginx, with these words after its address, and these in its `http` block.
pub fn nginx_with(listen: &str, more: &str) -> Option<Server> {
    serve("nginx", |command, folder, address| {
        let text = format!(
            "daemon off; master_process off; worker_processes 1; pid pid; error_log stderr;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c;\n\
             uwsgi_temp_path d; scgi_temp_path e; {more}\n\
             server {{ listen {address} {listen}; location / {{ root {}; }} }} }}\n",
            folder.display()
        );
        std::fs::write(folder.join("nginx.conf"), text).unwrap();
        command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "stderr"]);
    })
}

pub fn lighttpd() -> Option<Server> {
    serve("lighttpd", |command, folder, address| {
        let text = format!(
            "server.bind = \"{}\"\nserver.port = {}\nserver.document-root = \"{}\"\n\
             index-file.names = ( \"index.html\" )\n",
            address.ip(),
            address.port(),
            folder.display()
        );
        std::fs::write(folder.join("lighttpd.conf"), text).unwrap();
        command.args(["-D", "-f", "lighttpd.conf"]);
    })
}

pub fn busybox_httpd() -> Option<Server> {
    serve("busybox", |command, folder, address| {
        command.args(["httpd", "-f", "-p", &address.to_string(), "-h"]).arg(folder);
    })
}

pub fn civetweb() -> Option<Server> {
    serve("civetweb", |command, folder, address| {
        command.args(["-listening_ports", &address.to_string(), "-document_root"]).arg(folder);
    })
}

/// Python's http.server, which speaks HTTP/1.0 unless told otherwise.
pub fn http_server(protocol: &str) -> Option<Server> {
    serve("python3", |command, _, address| {
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        command.args(["-m", "http.server", &port, "--bind", &ip]);
        if protocol != "HTTP/1.0" {
            command.args(["--protocol", protocol]);
        }
    })
}

pub fn node() -> Option<Server> {
    node_script("require('http').createServer((request, response) => response.end('hello\\n'))")
}

/// What this expression of node's makes, listening.
pub fn node_script(server: &str) -> Option<Server> {
    serve("node", |command, _, address| {
        let script = format!("{server}.listen({}, '{}')", address.port(), address.ip());
        command.args(["-e", &script]);
    })
}

/// A script of Python's, with its address, its port and these words as arguments.
pub fn python(script: &str, more: &[&str]) -> Option<Server> {
    serve("python3", |command, folder, address| {
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let file = folder.join("script.py");
        std::fs::write(&file, script).unwrap();
        command.arg(file).args([&ip, &port]).args(more);
    })
}
