//! Whether two runs had the same device, as far as what was asked for tells.

use std::collections::BTreeSet;

use super::{Target, TargetKind};

impl Target {
    /// In what `now` is another device than this one; `None` where nothing that is known of both differs.
    pub(crate) fn differs(&self, now: &Self) -> Option<String> {
        let none = || "none".to_owned();
        let named = |name: &Option<String>| name.clone().unwrap_or_else(none);
        let program = |of: &Self| of.program.as_ref().map(|program| program.command.join(" "));
        let asked = [
            ("fault profile (--persona)", self.persona.clone(), now.persona.clone()),
            ("link (--link)", self.link.clone(), now.link.clone()),
            ("program (--program)", program(self), program(now)),
            ("stack", self.stack.clone(), now.stack.clone()),
        ];
        // A real device says what it is, or not: what only one of the two runs heard is no difference.
        let heard = self.kind == TargetKind::Device;
        for (what, was, is) in asked {
            if was != is && !(heard && (was.is_none() || is.is_none())) {
                return Some(format!("its device had another {what}: {}, not {}", named(&was), named(&is)));
            }
        }
        let keys: BTreeSet<&String> = self.options.keys().chain(now.options.keys()).collect();
        keys.into_iter().find_map(|key| {
            let (was, is) = (self.options.get(key), now.options.get(key));
            let differs = was != is && !(heard && (was.is_none() || is.is_none()));
            let told = |value: Option<&String>| value.cloned().unwrap_or_else(none);
            let flag = if key == "heap_bytes" { " (--heap)" } else { "" };
            differs.then(|| format!("its device had another {key}{flag}: {}, not {}", told(was), told(is)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Program;

    fn twin(change: impl Fn(&mut Target)) -> Target {
        let mut target = Target::new("192.168.4.91:80", TargetKind::Twin);
        target.persona = Some("robust".into());
        target.link = Some("clean".into());
        target.options.insert("heap_bytes".into(), "113840".into());
        target.options.insert("CONFIG_LWIP_MAX_SOCKETS".into(), "16".into());
        change(&mut target);
        target
    }

    #[test]
    fn a_twin_with_another_profile_link_heap_program_or_option_is_another_device_and_the_difference_is_named()
    {
        let was = twin(|_| {});
        assert_eq!(was.differs(&twin(|t| t.address = "192.168.4.91:4711".into())), None);
        type Change = fn(&mut Target);
        let changes: [(&str, Change); 5] = [
            ("--persona): robust, not leaky", |t| t.persona = Some("leaky".into())),
            ("--link): clean, not lossy", |t| t.link = Some("lossy".into())),
            ("(--heap): 113840, not 60000", |t| drop(t.options.insert("heap_bytes".into(), "60000".into()))),
            ("CONFIG_LWIP_MAX_SOCKETS: 16, not 10", |t| {
                t.options.insert("CONFIG_LWIP_MAX_SOCKETS".into(), "10".into());
            }),
            ("--program): none, not ./server", |t| t.program = Some(Program::new(vec!["./server".into()]))),
        ];
        for (said, change) in changes {
            let why = was.differs(&twin(change)).unwrap_or_default();
            assert!(why.contains(said), "{said}: {why}");
        }
    }

    #[test]
    fn a_device_that_was_silent_about_itself_at_one_start_is_the_same_one() {
        let silent = Target::new("192.168.4.1:80", TargetKind::Device);
        let mut said = silent.clone();
        said.stack = Some("lwIP 2.2".into());
        assert_eq!(silent.differs(&said), None);
    }
}
