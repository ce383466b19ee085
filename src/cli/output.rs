//! Writing answers.

use std::io::{self, Write};

use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;

use super::failure::Failure;

/// For whom to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// For machines: JSON, one object a line.
    Json,
}

/// The flag of every command that shows something.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct OutputArgs {
    /// For people, or JSON for machines (one object a line; times are RFC 3339)
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(super) output: Format,
}

/// Writes one JSON object and a newline.
pub(super) fn json(out: &mut dyn Write, value: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(value)
        .map_err(|error| Failure::Local(format!("cannot write JSON: {error}")))?;
    writeln!(out, "{line}")?;
    Ok(())
}

/// Writes rows in aligned columns, without lines that get in the way of copying.
pub(super) fn table(
    out: &mut dyn Write,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING).add_rows(rows);
    if !header.is_empty() {
        table.set_header(header.iter().copied());
    }
    for line in table.lines() {
        writeln!(
            out,
            "{}",
            line.trim_end().strip_prefix(' ').unwrap_or(&line)
        )?;
    }
    Ok(())
}
