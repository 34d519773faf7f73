//! Documents as CSV (RFC 4180): a header of XML's element names, a row a resource (twilio.md §1).
//!
//! Called by `answer`. A field within a field has both names with a dot between
//! (`SubresourceUris.Transcriptions`), one of a row its place too (`Media.0.Port`). A list without
//! items has no header: nothing tells its columns. Its paging is in other faces alone.

use jiff::tz::TimeZone;

use crate::document::{Document, Field, Listing, Value};
use crate::face::Face;

/// A column's name and the value in it.
type Cell = (String, String);

/// One resource.
pub(crate) fn document(document: &Document, face: Face, zone: &TimeZone) -> String {
    table(&[cells(document, face, zone)])
}

/// A list.
pub(crate) fn listing(listing: &Listing, face: Face, zone: &TimeZone) -> String {
    let items = listing.items.iter();
    let rows: Vec<Vec<Cell>> = items.map(|item| cells(item, face, zone)).collect();
    table(&rows)
}

/// The columns of all rows in the order of their coming, and under them the rows.
fn table(rows: &[Vec<Cell>]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flatten() {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let mut csv = String::new();
    if columns.is_empty() {
        return csv;
    }
    line(&mut csv, columns.iter().copied());
    for row in rows {
        let value = |column: &&str| {
            let cell = row.iter().find(|(name, _)| name == column);
            cell.map_or("", |(_, value)| value.as_str())
        };
        line(&mut csv, columns.iter().map(value));
    }
    csv
}

fn line<'a>(csv: &mut String, values: impl Iterator<Item = &'a str>) {
    for (place, value) in values.enumerate() {
        if place > 0 {
            csv.push(',');
        }
        if value.contains([',', '"', '\r', '\n']) {
            csv.push('"');
            csv.push_str(&value.replace('"', "\"\""));
            csv.push('"');
        } else {
            csv.push_str(value);
        }
    }
    csv.push_str("\r\n");
}

fn cells(document: &Document, face: Face, zone: &TimeZone) -> Vec<Cell> {
    let mut cells = Vec::new();
    flatten(&mut cells, "", &document.fields, face, zone);
    cells
}

fn flatten(cells: &mut Vec<Cell>, before: &str, fields: &[Field], face: Face, zone: &TimeZone) {
    for field in fields.iter().filter(|field| face.shows(field.kind)) {
        let name = format!("{before}{}", field.name);
        match &field.value {
            Value::Group(inner) => flatten(cells, &format!("{name}."), inner, face, zone),
            Value::Rows { rows, .. } => {
                for (place, row) in rows.iter().enumerate() {
                    flatten(cells, &format!("{name}.{place}."), row, face, zone);
                }
            }
            scalar @ (Value::Null
            | Value::Text(_)
            | Value::Number(_)
            | Value::Flag(_)
            | Value::Date(_)
            | Value::Uri(_)
            | Value::Json(_)
            | Value::Names(_)) => cells.push((name, scalar.scalar(zone))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_cell_is_quoted_and_columns_are_those_of_all_rows() {
        let cell = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let rows = [
            vec![cell("A", "1,2"), cell("B", "say \"x\"")],
            vec![cell("C", "two\r\nlines"), cell("A", "plain")],
        ];
        let expected = "A,B,C\r\n\"1,2\",\"say \"\"x\"\"\",\r\nplain,,\"two\r\nlines\"\r\n";
        assert_eq!(table(&rows), expected);
        assert_eq!(table(&[]), "");
    }
}
