//! Programs of the earlier implementation: what `docs/compatibility.md` says of its names is so.

use crate::language::run;

const PAGE: &str = include_str!("../../docs/compatibility.md");

/// The rows of the table under a heading: the name without its marks, and the second column.
fn rows(heading: &str) -> Vec<(&'static str, &'static str)> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "));
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 5, "{heading}: {rows:?}");
    rows
}

#[test]
fn each_name_that_the_page_has_for_a_function_is_one() {
    let program: String =
        rows("Functions that are there for those programs").iter().map(|(name, _)| format!("print(type({name}))\n")).collect();
    let printed = run(&program, &[]).unwrap();
    assert!(printed.lines().all(|line| line == "fn"), "{printed}");
}

#[test]
fn each_name_that_is_not_there_is_answered_as_the_page_says() {
    // `append` is a method of some values, so that whether it is known shows when it is called.
    let (methods, functions): (Vec<_>, Vec<_>) = rows("Names that are not there").into_iter().partition(|(name, _)| *name == "append");
    for (rows, unknown) in [(methods, "no method"), (functions, "unknown function")] {
        let program: String = rows.iter().map(|(name, _)| format!("{name}([1, 2])\n")).collect();
        let errors = run(&program, &[]).unwrap_err();
        for (name, answer) in rows {
            let found = errors.split_once(&format!("{unknown} `{name}`"));
            let (_, after) = found.unwrap_or_else(|| panic!("{name} is known: {errors}"));
            let shown = after.split("error: ").next().unwrap();
            assert!(shown.contains(&format!("hint: {answer}")), "{name}: {shown}");
        }
    }
}

#[test]
fn the_count_of_the_page_is_that_of_its_table() {
    let rows = rows("What was run");
    let runs = rows.iter().filter(|(_, seen)| seen.starts_with("runs")).count();
    let refused = rows.iter().filter(|(_, seen)| seen.starts_with("refused")).count();
    assert_eq!(runs + refused, rows.len());
    let said =
        format!("Of these {} programs {runs} run, one of them otherwise than its author expects, and {refused} are refused", rows.len());
    assert!(PAGE.contains(&said), "{said}");
}
