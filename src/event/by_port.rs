//! One value for each of some of a host's ports.
//!
//! A run takes its source ports in turn, tens of thousands of them: pages of an array need half of the memory that a hash map
//! of that size has, and are found with one access.

/// Ports of one page.
const PAGE: usize = 256;

type Page<T> = Option<Box<[Option<T>]>>;

/// The values by port.
pub(super) struct ByPort<T>(Vec<Page<T>>);

impl<T> Default for ByPort<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ByPort<T> {
    pub(super) fn get(&self, port: u16) -> Option<&T> {
        self.0.get(page_of(port))?.as_ref()?.get(usize::from(port) % PAGE)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, port: u16) -> Option<&mut T> {
        self.0.get_mut(page_of(port))?.as_mut()?.get_mut(usize::from(port) % PAGE)?.as_mut()
    }

    /// Puts a value there; what was there before.
    pub(super) fn insert(&mut self, port: u16, value: T) -> Option<T> {
        let page = page_of(port);
        if self.0.len() <= page {
            self.0.resize_with(page + 1, || None);
        }
        let page = self.0.get_mut(page)?.get_or_insert_with(|| (0..PAGE).map(|_| None).collect());
        page.get_mut(usize::from(port) % PAGE)?.replace(value)
    }

    pub(super) fn remove(&mut self, port: u16) {
        if let Some(Some(page)) = self.0.get_mut(page_of(port))
            && let Some(place) = page.get_mut(usize::from(port) % PAGE)
        {
            *place = None;
        }
    }
}

const fn page_of(port: u16) -> usize {
    port as usize / PAGE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn it_holds_what_a_map_of_ports_holds(steps in vec((any::<u16>(), any::<u8>()), 0..200)) {
            let (mut by_port, mut map) = (ByPort::default(), HashMap::new());
            for (port, value) in steps {
                let port = if value % 2 == 0 { port % 300 } else { port };
                match value % 5 {
                    0 => {
                        by_port.remove(port);
                        map.remove(&port);
                    }
                    1 => prop_assert_eq!(by_port.get_mut(port), map.get_mut(&port)),
                    _ => prop_assert_eq!(by_port.insert(port, value), map.insert(port, value)),
                }
            }
            for port in (0..600).chain(map.keys().flat_map(|port| port.saturating_sub(1)..=port.saturating_add(1))) {
                prop_assert_eq!(by_port.get(port), map.get(&port));
            }
        }
    }
}
