//! Finds lwIP's source in its registry package and compiles it for the host.
//!
//! The package is a dependency that no target ever builds (its own build script compiles another
//! version of lwIP), so Cargo locks, checks and downloads it, and `cargo metadata` knows its folder.
//! A few files need an edit where an option is a variable here; they are compiled from edited copies in
//! the output folder, and the build fails if the text to be replaced is not there exactly once.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The package, which `Cargo.toml` pins to the version these lists and edits were made for.
const PACKAGE: &str = "lwip";

/// What the C compiler checks at run time, as `address,undefined`: see `scripts/acceptance sanitizers`.
const SANITIZE: &str = "ESPSTRESS_SANITIZE";

/// Compiled from the package as they are. `core/memp.c` is replaced by `c/memp.c`; `core/init.c` is
/// compiled apart.
const SOURCES: &[&str] = &[
    "core/def.c",
    "core/inet_chksum.c",
    "core/ip.c",
    "core/mem.c",
    "core/netif.c",
    "core/pbuf.c",
    "core/stats.c",
    "core/sys.c",
    "core/udp.c",
    "core/raw.c",
    "core/dns.c",
    "core/altcp.c",
    "core/altcp_alloc.c",
    "core/altcp_tcp.c",
    "core/ipv4/acd.c",
    "core/ipv4/autoip.c",
    "core/ipv4/dhcp.c",
    "core/ipv4/etharp.c",
    "core/ipv4/icmp.c",
    "core/ipv4/igmp.c",
    "core/ipv4/ip4.c",
    "core/ipv4/ip4_addr.c",
    "core/ipv4/ip4_frag.c",
    "api/api_lib.c",
    "api/err.c",
    "api/if_api.c",
    "api/netbuf.c",
    "api/netdb.c",
    "api/netifapi.c",
    "api/tcpip.c",
    "netif/ethernet.c",
    "apps/mdns/mdns.c",
    "apps/mdns/mdns_domain.c",
    "apps/mdns/mdns_out.c",
];

/// Our own part.
const OWN: &[&str] = &["announce.c", "calls.c", "datagrams.c", "memp.c", "shim.c", "stack.c", "sys_arch.c"];

/// One replacement in a copy of a source file.
struct Edit {
    file: &'static str,
    old: &'static str,
    new: &'static str,
}

const EDITS: &[Edit] = &[
    // A constant table; its first row is never read (the TCP timer is started on demand).
    Edit {
        file: "core/timeouts.c",
        old: "{TCP_TMR_INTERVAL, HANDLER(tcp_tmr)}",
        new: "{0, HANDLER(tcp_tmr)}",
    },
    // The preprocessor would silently take a variable for zero.
    Edit {
        file: "core/tcp.c",
        old: "#if TCP_MSS > 536\n#define INITIAL_MSS 536\n#else\n#define INITIAL_MSS TCP_MSS\n#endif",
        new: "#define INITIAL_MSS LWIP_MIN(TCP_MSS, 536)",
    },
    // The table keeps its greatest size, the search for a free place ends at the option's.
    Edit {
        file: "api/sockets.c",
        old: "for (i = 0; i < NUM_SOCKETS; ++i) {",
        new: "for (i = 0; i < (int)esl_opt_max_sockets; ++i) {",
    },
    // Who serves a foreign program has to hear of its sockets without sleeping in lwIP's poll.
    Edit {
        file: "api/sockets.c",
        old: "  if (sock->select_waiting && check_waiters) {\n    /* Save which events are active */",
        new: "  if (evt != NETCONN_EVT_RCVMINUS && evt != NETCONN_EVT_SENDMINUS) {\n    \
              extern void esl_socket_event(int fd);\n    esl_socket_event(s);\n  }\n  \
              if (sock->select_waiting && check_waiters) {\n    /* Save which events are active */",
    },
    // Connections that never got a socket (the accept mailbox was full, or their listener was closed)
    // are deleted without having been marked: that is no reason to stop a device.
    Edit {
        file: "api/api_msg.c",
        old: "LWIP_ASSERT(\"netconn marked closed\", conn->flags & NETCONN_FLAG_MBOXINVALID);",
        new: "conn->flags |= NETCONN_FLAG_MBOXINVALID;",
    },
    // A socket that was shut down for writing may outlive its control block in TIME_WAIT, whose memory goes to a newcomer
    // when blocks run out: it has to hear of that too, or its close frees what others have by then.
    Edit {
        file: "core/tcp.c",
        old: "    tcp_pcb_remove(&tcp_tw_pcbs, pcb);\n    tcp_free(pcb);\n",
        new: "    errf = pcb->errf;\n    errf_arg = pcb->callback_arg;\n    \
              tcp_pcb_remove(&tcp_tw_pcbs, pcb);\n    tcp_free(pcb);\n    \
              TCP_EVENT_ERR(TIME_WAIT, errf, errf_arg, ERR_CLSD);\n",
    },
    Edit {
        file: "core/tcp.c",
        old: "      pcb = pcb->next;\n      tcp_free(pcb2);\n    } else {\n      prev = pcb;\n      pcb = pcb->next;\n    }\n  }\n}",
        new: "      pcb = pcb->next;\n      {\n        tcp_err_fn errf = pcb2->errf;\n        \
              void *errf_arg = pcb2->callback_arg;\n        tcp_free(pcb2);\n        \
              TCP_EVENT_ERR(TIME_WAIT, errf, errf_arg, ERR_CLSD);\n      }\n    } else {\n      \
              prev = pcb;\n      pcb = pcb->next;\n    }\n  }\n}",
    },
    // A socket that was shut down for writing, and then for reading by its peer's FIN, is still to be closed: it has to
    // hear that its control block is gone, or it frees it again. ESP-IDF's lwIP has been corrected as well
    // (espressif/esp-idf issue 2931).
    Edit {
        file: "core/tcp_in.c",
        old: "if (!(pcb->flags & TF_RXCLOSED)) {\n      /* Connection closed although",
        new: "{\n      /* Connection closed although",
    },
    // Without the option no scale is offered, and one that is offered is left alone, as in a build without it.
    Edit {
        file: "core/tcp_in.c",
        old: "if ((flags & TCP_SYN) && !(pcb->flags & TF_WND_SCALE)) {",
        new: "if (esl_opt_wnd_scale && (flags & TCP_SYN) && !(pcb->flags & TF_WND_SCALE)) {",
    },
    Edit {
        file: "core/tcp_out.c",
        old: "if ((pcb->state != SYN_RCVD) || (pcb->flags & TF_WND_SCALE)) {",
        new: "if (esl_opt_wnd_scale && ((pcb->state != SYN_RCVD) || (pcb->flags & TF_WND_SCALE))) {",
    },
    Edit {
        file: "include/lwip/priv/tcp_priv.h",
        old: "#define TCP_FIN_WAIT_TIMEOUT 20000",
        new: "#define TCP_FIN_WAIT_TIMEOUT esl_opt_tcp_fin_wait_timeout",
    },
];

fn main() {
    for path in ["build.rs", "Cargo.toml", "c"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-env-changed={SANITIZE}");
    let lwip = source_folder();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    let edited = write_edited_copies(&lwip, &out);

    let mut stack = compiler(&lwip, &out);
    for source in SOURCES {
        stack.file(existing(lwip.join(source)));
    }
    for source in OWN {
        stack.file(Path::new("c").join(source));
    }
    for source in edited {
        stack.file(source);
    }
    // The archive made first is linked first, and takes what init.c defines from the second.
    stack.compile("esl_lwip");
    compiler(&lwip, &out)
        .define("ESL_CONSTANT_OPTIONS", None)
        .file(existing(lwip.join("core/init.c")))
        .compile("esl_lwip_init");
}

fn compiler(lwip: &Path, out: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    build
        // First, so that the edited header is found instead of the package's.
        .include(out.join("edited/include"))
        .include("c")
        .include(lwip.join("include"))
        .flag_if_supported("-std=gnu11")
        .flag_if_supported("-fno-strict-aliasing")
        .warnings(true)
        .extra_warnings(false)
        // A variable option that meets an #if would be zero there: let that never go unseen.
        .flag_if_supported("-Werror=undef")
        // Even an unoptimised build of the Rust side measures a stack at work.
        .opt_level(2);
    // The runtime comes from Rust's side (`-Zsanitizer=address`), which has the undefined-behaviour sanitizer's as well.
    if let Ok(sanitizers) = env::var(SANITIZE) {
        build
            .flag(format!("-fsanitize={sanitizers}"))
            .flag("-fno-sanitize-recover=all")
            .flag("-fno-omit-frame-pointer");
    }
    build
}

/// The `src` folder of the package in Cargo's registry.
fn source_folder() -> PathBuf {
    let manifest = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("Cargo sets CARGO_MANIFEST_DIR"))
        .join("Cargo.toml");
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .unwrap_or_else(|e| panic!("cargo metadata --locked could not tell where the package {PACKAGE} is (run `cargo fetch --locked` once with network access): {e}"));
    let package = metadata
        .packages
        .iter()
        .find(|p| p.name.as_str() == PACKAGE)
        .unwrap_or_else(|| panic!("the package {PACKAGE} is not among the locked dependencies"));
    let folder =
        package.manifest_path.parent().expect("a manifest has a folder").join("src").into_std_path_buf();
    assert!(folder.join("core/tcp.c").is_file(), "{} holds no lwIP source", folder.display());
    folder
}

fn existing(path: PathBuf) -> PathBuf {
    assert!(path.is_file(), "{} is missing from the lwIP package", path.display());
    path
}

/// Writes the edited copies and returns those that are to be compiled.
fn write_edited_copies(lwip: &Path, out: &Path) -> Vec<PathBuf> {
    let mut texts = BTreeMap::new();
    for edit in EDITS {
        let text = texts.entry(edit.file).or_insert_with(|| {
            let original = existing(lwip.join(edit.file));
            // The package has some files with carriage returns.
            fs::read_to_string(&original)
                .unwrap_or_else(|e| panic!("{}: {e}", original.display()))
                .replace("\r\n", "\n")
        });
        assert_eq!(text.matches(edit.old).count(), 1, "{}: expected exactly once: {}", edit.file, edit.old);
        *text = text.replace(edit.old, edit.new);
    }
    let mut sources = Vec::new();
    for (file, text) in texts {
        let copy = out.join("edited").join(file);
        fs::create_dir_all(copy.parent().expect("a file has a folder"))
            .and_then(|()| fs::write(&copy, text))
            .unwrap_or_else(|e| panic!("{}: {e}", copy.display()));
        if file.ends_with(".c") {
            sources.push(copy);
        }
    }
    sources
}
