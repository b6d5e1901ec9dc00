//! One page of HTML with all that was measured, in the look of a run's, which needs nothing else.

use std::fs;
use std::path::Path;

use comfy_table::Table;

use super::chart::Chart;
use super::report::{OF_PUBLISHED, Part, machine};
use crate::html::{document, escape, section, table};

/// Charts have a white background of their own and grey lines; the page has the reader's colours.
const STYLE: &str = "<style>\n\
    figure svg rect[fill=\"#FFFFFF\"] { fill: none }\n\
    figure svg polyline[stroke=\"#DDDDDD\"] { stroke: var(--line) }\n\
    main { max-width: 76rem }\n\
    .notes { color: var(--quiet); max-width: 60rem }\n</style>\n";

/// Writes index.html.
pub(super) fn write(folder: &Path, runs: u32, parts: &[Part], charts: &[Chart]) -> Result<(), String> {
    let path = folder.join("index.html");
    let figures = charts.iter().map(figure).collect::<Result<Vec<_>, _>>()?;
    let mut sections: Vec<String> = parts.iter().map(of_part).collect();
    if !figures.is_empty() {
        sections.push(section("Charts", &figures));
    }
    let about = format!(
        "{STYLE}<p class=\"verdict\">Medians of {runs} runs on {}.</p><p class=\"notes\">{}</p>\n",
        escape(&machine()),
        escape(OF_PUBLISHED)
    );
    let page = document("Private inference, measured", &(about + &sections.concat()));
    fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}

fn of_part(part: &Part) -> String {
    let notes = format!("<p class=\"notes\">{}</p>", escape(part.notes));
    section(&part.title, &[of_table(&part.table), notes])
}

fn of_table(shown: &Table) -> String {
    let header: Vec<_> =
        shown.header().into_iter().flat_map(|row| row.cell_iter().map(|cell| cell.content())).collect();
    let cells = |row: &comfy_table::Row| row.cell_iter().map(|cell| cell.content()).collect::<Vec<_>>();
    let rows: Vec<_> = shown.row_iter().map(cells).collect();
    // Text is at the left, as in the terminal; numbers are at the right.
    let is_text =
        |at: &usize| rows.iter().any(|row| row.get(*at).is_some_and(|cell| cell.contains(char::is_alphabetic)));
    let left = (0..header.len()).take_while(is_text).count();
    table(&header.iter().map(String::as_str).collect::<Vec<_>>(), left, &rows)
}

fn figure(chart: &Chart) -> Result<String, String> {
    let drawn = fs::read_to_string(&chart.path).map_err(|error| format!("{}: {error}", chart.path.display()))?;
    Ok(format!("<figure><figcaption>{}</figcaption>\n{drawn}</figure>", escape(&chart.title)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::table;

    #[test]
    fn the_page_has_every_part_and_needs_nothing_else() {
        let folder = std::env::temp_dir().join(format!("bench-page-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("chart.svg");
        fs::write(&path, "<svg><text>drawn</text></svg>").unwrap();
        let mut measured = table(&["network", "ms"], 1);
        measured.add_row(["a < b", "3.5"]);
        let part = Part::new("Of networks", measured, "Notes of it.");
        write(&folder, 5, &[part], &[Chart { title: "By size".to_owned(), path }]).unwrap();
        let page = fs::read_to_string(folder.join("index.html")).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        for part in
            ["Of networks", "<td>a &lt; b</td>", "<td class=\"number\">3.5</td>", "Notes of it.", "By size", "drawn"]
        {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("src=") && !page.contains("href="));
    }
}
