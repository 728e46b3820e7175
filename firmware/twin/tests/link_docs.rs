//! The page about links shows the numbers of the code.

use espstress_twin::link::NAMED;

#[test]
fn the_page_shows_the_named_links_of_the_code() {
    let page = include_str!("../../../docs/links.md");
    let rows: Vec<(String, String, String)> = page
        .lines()
        .skip_while(|line| !line.starts_with("| link |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells =
                line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
            let mut cell = || cells.next().unwrap_or_default();
            (cell(), cell(), cell())
        })
        .collect();
    let code: Vec<_> = NAMED
        .iter()
        .map(|link| {
            let settings = if link.settings.is_empty() { "-" } else { link.settings };
            (link.name.to_owned(), settings.to_owned(), link.summary.to_owned())
        })
        .collect();
    assert_eq!(rows, code);
}
