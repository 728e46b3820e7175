//! The inventory of a lab: its devices by name, with where they are and what is known of them.
//!
//! A token is never in the file, which people commit and share: the file names the environment variable that holds it.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::file::{Place, ScenarioError, why};

/// Devices of one entry at most.
const MOST: u16 = 1_000;

/// The devices of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// In the order of the file.
    pub devices: Vec<InventoryDevice>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryDevice {
    /// Its name, unique in the file.
    pub name: String,
    /// The target, as on the command line.
    pub target: String,
    /// What people choose it by.
    pub tags: Vec<String>,
    /// The persona of a twin or a sim.
    pub persona: Option<String>,
    /// The link of a twin.
    pub link: Option<String>,
    /// The environment variable that holds the token of its control service.
    pub token_env: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    device: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    target: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    persona: Option<String>,
    link: Option<String>,
    token_env: Option<String>,
    /// Only so that the error can say where a token belongs.
    token: Option<toml::Value>,
    count: Option<u16>,
}

impl Inventory {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or is no inventory: with the line.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ScenarioError::Unreadable {
            what: "inventory",
            file: file.clone(),
            why: why(&error),
        })?;
        Self::parse(&file, &text)
    }

    /// Reads the text of a file of that name.
    ///
    /// # Errors
    /// When it is no inventory: with the line.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let place = |at: usize| {
            let before = text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
            Place { file: file.to_owned(), line: before + 1 }
        };
        let wrong = |at: usize, what: String| ScenarioError::Wrong { place: place(at), what };
        let read: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // The one key that is known only to be refused.
            let said = error.message().replace('\n', " ").replace("`token`, ", "").replace(", `token`", "");
            wrong(at, said)
        })?;
        let mut devices = Vec::new();
        let mut names = BTreeSet::new();
        for entry in read.device {
            let at = entry.span().start;
            for device in entry.into_inner().devices().map_err(|what| wrong(at, what))? {
                if !names.insert(device.name.clone()) {
                    return Err(wrong(at, format!("the name `{}` is given twice", device.name)));
                }
                devices.push(device);
            }
        }
        if devices.is_empty() {
            return Err(wrong(
                text.len(),
                "an inventory needs at least one [[device]] with a `target`".into(),
            ));
        }
        Ok(Self { devices })
    }

    /// Only the devices with one of these tags; all of them where no tag is given.
    #[must_use]
    pub fn tagged(mut self, tags: &[String]) -> Self {
        if !tags.is_empty() {
            self.devices.retain(|device| device.tags.iter().any(|tag| tags.contains(tag)));
        }
        self
    }

    /// Every tag of the file.
    #[must_use]
    pub fn tags(&self) -> BTreeSet<&str> {
        self.devices.iter().flat_map(|device| &device.tags).map(String::as_str).collect()
    }
}

impl Entry {
    fn devices(self) -> Result<Vec<InventoryDevice>, String> {
        if self.token.is_some() {
            return Err(
                "a token doesn't belong in the file: put it in an environment variable, and name that with \
                        `token_env`"
                    .into(),
            );
        }
        let Some(target) = self.target.filter(|target| !target.is_empty()) else {
            return Err("a device needs a `target`, as on the command line".into());
        };
        let name = self.name.unwrap_or_else(|| target.clone());
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if name.is_empty() || !name.chars().all(fits) {
            return Err(format!("the name `{name}` must have only letters, digits and . - _ :"));
        }
        let ours = target == "sim" || target == "twin" || target.starts_with("twin:");
        if self.count.is_some() && !ours {
            return Err(format!("`count` works only with sim and twin: {target} is one device"));
        }
        let count = self.count.unwrap_or(1);
        if !(1..=MOST).contains(&count) {
            return Err(format!("`count` must be from 1 to {MOST}"));
        }
        let one = |name: String| InventoryDevice {
            name,
            target: target.clone(),
            tags: self.tags.clone(),
            persona: self.persona.clone(),
            link: self.link.clone(),
            token_env: self.token_env.clone(),
        };
        if self.count.is_none() {
            return Ok(vec![one(name)]);
        }
        Ok((1..=count).map(|number| one(format!("{name}-{number}"))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Inventory::parse("lab.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn an_inventory_has_names_targets_and_tags() {
        let text = "[[device]]\nname = \"kitchen\"\ntarget = \"192.168.4.11\"\ntags = [\"s3\"]\ntoken_env = \"KITCHEN\"\n\
                    [[device]]\ntarget = \"sim\"\ncount = 2\n";
        let all = Inventory::parse("lab.toml", text).unwrap();
        let names: Vec<&str> = all.devices.iter().map(|device| device.name.as_str()).collect();
        assert_eq!(names, ["kitchen", "sim-1", "sim-2"]);
        assert_eq!(all.devices[0].token_env.as_deref(), Some("KITCHEN"));
        let tagged = all.tagged(&["s3".to_owned()]);
        assert_eq!(tagged.devices.len(), 1);
    }

    #[test]
    fn a_token_in_the_file_is_refused_and_not_repeated() {
        let said = error("[[device]]\ntarget = \"sim\"\ntoken = \"hunter2\"\n");
        assert!(said.starts_with("lab.toml:1: ") && said.contains("token_env"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        assert!(error("").contains("at least one [[device]]"));
        assert!(error("[[device]]\nname = \"a\"\n").contains("needs a `target`"));
        assert!(error("[[device]]\ntarget = \"sim\"\ncount = 0\n").contains("`count` must be"));
        assert!(error("[[device]]\ntarget = \"10.0.0.7\"\ncount = 3\n").contains("one device"));
        let unknown = error("[[device]]\ntarget = \"sim\"\ncolour = 1\n");
        assert!(unknown.contains("`token_env`") && !unknown.contains("`token`"), "{unknown}");
        assert!(
            error("[[device]]\ntarget = \"sim\"\n[[device]]\ntarget = \"sim\"\n").starts_with("lab.toml:3: ")
        );
        assert!(error("[[device]]\ntarget = \"sim\"\ncolour = 1\n").starts_with("lab.toml:3: "));
        assert!(error("[[device]]\ntarget = \"sim\"\nname = \"a b\"\n").contains("letters, digits"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_an_inventory_or_an_error(text in "\\PC{0,80}") {
            let _ = Inventory::parse("x", &text);
        }
    }
}
