//! Which devices a run has: those of the command line, of an inventory, or those that announce themselves.

use std::path::Path;

use super::discovered;
use crate::command::Failed;
use espstress_cli::SeveralArgs;
use espstress_scenario::{Inventory, InventoryDevice};
use espstress_targets::Spec;

/// The word in place of an inventory's file.
const DISCOVER: &str = "discover";

/// Twins in one private network at most.
#[cfg(target_os = "linux")]
const MOST_TWINS: usize = espstress_targets::network::MAX_TWINS as usize;
#[cfg(not(target_os = "linux"))]
const MOST_TWINS: usize = usize::MAX;

/// The devices of a run; `None` where there is one at most, no inventory, and nothing to share out.
pub(in crate::command) fn members(
    typed: Vec<String>,
    several: &SeveralArgs,
) -> Result<Option<Vec<InventoryDevice>>, Failed> {
    let discovers = several.targets.as_deref() == Some(Path::new(DISCOVER));
    if !discovers && !several.services.is_empty() {
        return Err(Failed::usage("--service works only with --targets discover"));
    }
    if several.targets.is_none() && typed.len() < 2 && !several.shares() {
        return Ok(None);
    }
    let mut members: Vec<InventoryDevice> = Vec::new();
    for target in typed {
        let same = members.iter().filter(|member| member.target == target).count();
        let name = if same == 0 { target.clone() } else { format!("{target}-{}", same + 1) };
        members.push(device(name, target, Vec::new()));
    }
    match &several.targets {
        // Those that are found are no twins: the part with the twins needs none of them.
        Some(_) if discovers && several.twins_to.is_none() => {
            members.extend(discovered::devices(&several.services, &several.tags)?);
        }
        Some(path) if !discovers => members.extend(inventory(path, &several.tags)?),
        _ => {}
    }
    for (i, member) in members.iter().enumerate() {
        if members[..i].iter().any(|other| other.name == member.name) {
            return Err(Failed::usage(format!("two devices have the name `{}`", member.name)));
        }
    }
    members.iter().try_for_each(refuse_single)?;
    let twins = members.iter().filter(|member| matches!(member.target.parse(), Ok(Spec::Twin(_)))).count();
    if twins > MOST_TWINS {
        let why = format!("{twins} twins at once: a private network has places for {MOST_TWINS}");
        return Err(Failed::usage(why));
    }
    Ok(Some(members))
}

/// A device of which only that is known.
pub(super) const fn device(name: String, target: String, tags: Vec<String>) -> InventoryDevice {
    InventoryDevice { name, target, tags, persona: None, link: None, token_env: None }
}

fn inventory(path: &Path, tags: &[String]) -> Result<Vec<InventoryDevice>, Failed> {
    let all = Inventory::load(path).map_err(Failed::usage)?;
    tagged(all, tags, &path.display().to_string())
}

/// Those with one of these tags, of an inventory of that name.
pub(super) fn tagged(all: Inventory, tags: &[String], name: &str) -> Result<Vec<InventoryDevice>, Failed> {
    let known = all.tags().into_iter().collect::<Vec<_>>().join(", ");
    let chosen = all.tagged(tags).devices;
    if chosen.is_empty() {
        let known = if known.is_empty() { "no tags".to_owned() } else { format!("the tags {known}") };
        let tags = tags.join(", ");
        return Err(Failed::usage(format!("--tag {tags}: no device has it; {name} has {known}")));
    }
    Ok(chosen)
}

/// What can't be one of several.
fn refuse_single(member: &InventoryDevice) -> Result<(), Failed> {
    let spec: Spec =
        member.target.parse().map_err(|error| Failed::usage(format!("{}: {error}", member.name)))?;
    match spec {
        Spec::Twin(_) | Spec::Address { .. } | Spec::Sim => Ok(()),
        Spec::Tap(_) | Spec::Emulator(_) | Spec::DialsIn => Err(Failed::usage(format!(
            "{}: {} works only as the single target of a run",
            member.name, member.target
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(targets: &[&str], several: &SeveralArgs) -> Result<Option<Vec<String>>, String> {
        let typed = targets.iter().map(|target| (*target).to_owned()).collect();
        let members = members(typed, several).map_err(|failed| failed.error.to_string())?;
        Ok(members.map(|members| members.into_iter().map(|member| member.name).collect()))
    }

    #[test]
    fn one_target_is_no_fleet_and_the_same_one_twice_has_two_names() {
        let usual = SeveralArgs::default();
        assert_eq!(chosen(&["sim"], &usual), Ok(None));
        assert_eq!(chosen(&[], &usual), Ok(None));
        assert_eq!(chosen(&["sim", "sim"], &usual), Ok(Some(vec!["sim".to_owned(), "sim-2".to_owned()])));
        let shared = SeveralArgs { total_connections: Some(4), ..usual };
        assert_eq!(chosen(&["sim"], &shared), Ok(Some(vec!["sim".to_owned()])), "its share is all of it");
    }

    #[test]
    fn what_works_only_alone_is_refused() {
        let usual = SeveralArgs::default();
        assert!(chosen(&["sim", "tap:qemu x"], &usual).unwrap_err().contains("single target"));
        assert!(chosen(&["sim", "ftp://x"], &usual).unwrap_err().contains("ftp"));
    }

    #[test]
    fn services_are_looked_for_only_where_devices_are() {
        let looking = SeveralArgs { services: vec!["http".into()], ..SeveralArgs::default() };
        assert!(chosen(&["sim", "sim"], &looking).unwrap_err().contains("--targets discover"));
    }

    #[test]
    fn more_twins_than_a_network_has_places_for_are_refused_before_the_first_one_starts() {
        let twins = |n: usize| chosen(&vec!["twin"; n], &SeveralArgs::default());
        assert_eq!(twins(64).unwrap().unwrap().len(), 64);
        assert!(twins(65).unwrap_err().contains("places for 64"));
    }
}
