//! Every cell of the machine's table, against an expectation that was written from the design.
//!
//! `shapes` builds every record that can stand there and every event that can come, and names the
//! row and the column of each; `expected.txt` says what must follow; `invariants` holds for all cells
//! alike. A pair without an expectation, and an expectation that no pair meets, are failures.

mod expected;
mod invariants;
mod shapes;

use std::collections::{BTreeMap, HashSet};

use semel_core::machine::step;

use expected::Table;
use shapes::{Cell, cells};

#[test]
fn every_cell_of_the_table_is_as_the_design_says() {
    let table = Table::parse(include_str!("expected.txt"));
    let mut met = HashSet::new();
    let (mut walked, mut faults) = (0_u64, BTreeMap::new());
    cells(|cell: &Cell| {
        walked += 1;
        let decided = step(cell.record.as_ref(), &cell.event, cell.now, &cell.policy);
        let (row, column) = (cell.row(), cell.column());
        let fault = match table.expects(row, column) {
            None => Some("no expectation".to_owned()),
            Some((line, expected)) => {
                met.insert((line, row, column));
                expected.fault(cell, &decided).or_else(|| invariants::fault(cell, &decided))
            }
        };
        if let Some(fault) = fault {
            // One example of each is enough.
            let example = || format!("{row} | {column}: {fault}\n  {cell:?}\n  {decided:?}");
            faults.entry((row, column)).or_insert_with(example);
        }
    });
    println!("table: {walked} combinations walked, {} cells met", met.len());
    assert!(faults.is_empty(), "{}", faults.into_values().collect::<Vec<_>>().join("\n"));
    let unmet = table.unmet(&met);
    assert!(unmet.is_empty(), "expected and never met: {unmet:?}");
}
