//! The section of the guide about two hosts, as files and commands: what it says is what is tested.

/// The guide.
const GUIDE: &str = include_str!("../../../../docs/guide.md");

/// The text of the section.
fn section() -> &'static str {
    let after = GUIDE.split_once("\n## Two hosts\n").expect("the guide has the section").1;
    after.split_once("\n## ").map_or(after, |(section, _)| section)
}

fn blocks(kind: &str) -> Vec<&'static str> {
    let fences = section().split(&format!("```{kind}\n")).skip(1).collect::<Vec<_>>();
    fences.into_iter().map(|rest| rest.split_once("```").expect("a closed block").0).collect()
}

/// The file that begins with this comment.
pub(crate) fn file(comment: &str) -> &'static str {
    let found = blocks("toml").into_iter().find(|block| block.starts_with(&format!("# {comment}\n")));
    found.unwrap_or_else(|| panic!("the guide shows no `{comment}`"))
}

/// The commands of each block, with the host that they are typed at.
pub(crate) fn commands() -> Vec<Vec<(&'static str, Vec<&'static str>)>> {
    let command = |line: &'static str| {
        let (host, command) = line.split_once("$ site ").unwrap_or_else(|| panic!("no command: {line}"));
        (host, command.split_whitespace().collect())
    };
    blocks("console").into_iter().map(|block| block.lines().map(command).collect()).collect()
}
