//! Tables in a Markdown file that a program rewrites and a person reads.

use std::fs;
use std::path::Path;

use crate::command::Outcome;

/// A table as Markdown: one header row, then the rows, columns padded so that the source reads well too.
pub(crate) fn markdown(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = header.len();
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let widest = rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
            widest.max(header.get(column).map_or(0, |title| title.chars().count()))
        })
        .collect();
    let line = |cells: Vec<String>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}", width = *width)).collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let mut table = line(header.iter().map(ToString::to_string).collect());
    table += &line(widths.iter().map(|width| "-".repeat(*width)).collect());
    for row in rows {
        table += &line((0..columns).map(|column| cell(row, column)).collect());
    }
    table
}

/// Puts `body` between the marks of `name` in the file; a file or a section that isn't there yet is begun.
pub(crate) fn rewrite(file: &Path, name: &str, body: &str) -> Outcome {
    let text = if file.exists() { fs::read_to_string(file)? } else { String::from("# Benchmarks\n") };
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    Ok(fs::write(file, replaced(&text, name, body))?)
}

fn replaced(text: &str, name: &str, body: &str) -> String {
    let (open, close) = (format!("<!-- bench:{name} -->\n"), format!("<!-- /bench:{name} -->\n"));
    let section = format!("{open}{body}{close}");
    match (text.find(&open), text.find(&close)) {
        (Some(from), Some(to)) if from < to => {
            let (before, after) = (text.get(..from), text.get(to + close.len()..));
            format!("{}{section}{}", before.unwrap_or_default(), after.unwrap_or_default())
        }
        _ => format!("{}\n\n{section}", text.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_begun_and_then_replaced() {
        let first = replaced("# Benchmarks\n\nWords.\n", "inits", "one\n");
        assert_eq!(first, "# Benchmarks\n\nWords.\n\n<!-- bench:inits -->\none\n<!-- /bench:inits -->\n");
        let more = first + "\nMore words.\n";
        let second = replaced(&more, "inits", "two\n");
        let expected = "# Benchmarks\n\nWords.\n\n<!-- bench:inits -->\ntwo\n<!-- /bench:inits -->\n\nMore words.\n";
        assert_eq!(second, expected);
    }

    #[test]
    fn columns_line_up() {
        let table = markdown(&["a", "wide"], &[vec!["long one".into(), "1".into()], vec!["b".into()]]);
        assert_eq!(table, "| a        | wide |\n| -------- | ---- |\n| long one | 1    |\n| b        |      |\n");
    }
}
