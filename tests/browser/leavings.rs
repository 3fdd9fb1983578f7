//! No browser is left behind: each is six processes or more.

use std::fs;

use crate::support::{browser::Browser, until};

/// Processes of a group (proc(5), `stat`: the third after the name in brackets).
fn in_group(group: u32) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let is_in = |stat: &String| {
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let mut fields = rest.split(' ');
        let is_dead = fields.next() == Some("Z");
        !is_dead && fields.nth(1) == Some(&group.to_string())
    };
    stats.filter(is_in).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_browser() {
    let browser = Browser::start().await;
    let group = browser.group();
    browser.page().await;
    assert!(in_group(group) > 3, "{}", in_group(group));
    drop(browser);
    until("all of it is gone", async || in_group(group) == 0).await;
}
