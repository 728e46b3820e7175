//! Topics, filters, and which filter takes which topic.

use crate::mqtt::malformed::Malformed;

/// Checks a topic that a message is published to.
///
/// # Errors
/// It is empty, or has a wildcard.
pub fn check_topic(topic: &str) -> Result<(), Malformed> {
    match topic {
        "" => Err(Malformed::EmptyTopic),
        _ if topic.contains(['+', '#']) => Err(Malformed::WildcardTopic),
        _ => Ok(()),
    }
}

/// Checks a filter.
///
/// # Errors
/// It is empty, or has a wildcard that is not a whole level, or `#` elsewhere than at its end.
pub fn check_filter(filter: &str) -> Result<(), Malformed> {
    if filter.is_empty() {
        return Err(Malformed::EmptyFilter);
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let bad = match level {
            "+" => false,
            "#" => levels.peek().is_some(),
            _ => level.contains(['+', '#']),
        };
        if bad {
            return Err(Malformed::BadFilter);
        }
    }
    Ok(())
}

/// Whether the filter takes messages of the topic (4.7 of the standard).
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    // MQTT-4.7.2-1: topics that start with `$` are the broker's own.
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic = topic.split('/');
    let mut filter = filter.split('/');
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_take_the_topics_that_the_standards_examples_say() {
        for (filter, topic, takes) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("#", "anything/at/all", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/broker", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/broker", true),
            ("ACCOUNTS", "Accounts", false),
        ] {
            assert_eq!(matches(filter, topic), takes, "{filter} {topic}");
        }
    }

    #[test]
    fn a_wildcard_is_a_whole_level_and_the_hash_the_last_one() {
        for good in ["#", "+", "a/#", "+/b/+", "/", "a//b", "$SYS/#"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for bad in ["a#", "#/a", "a+/b", "a/+b", "a/b#"] {
            assert_eq!(check_filter(bad), Err(Malformed::BadFilter), "{bad}");
        }
        assert_eq!(check_filter(""), Err(Malformed::EmptyFilter));
        assert_eq!(check_topic("a/+"), Err(Malformed::WildcardTopic));
        assert_eq!(check_topic(""), Err(Malformed::EmptyTopic));
    }
}
