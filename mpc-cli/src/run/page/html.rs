//! The frame of a page, and its tables.

/// The look: one column of text, tables that scroll, and the colours of the reader's choice.
const STYLE: &str = include_str!("style.css");

/// A page with a title, which is escaped here, and a body, which is not.
pub fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n\
         </body>\n</html>\n"
    )
}

/// A part of the page.
pub fn section(title: &str, parts: &[String]) -> String {
    format!("<section>\n<h2>{}</h2>\n{}\n</section>\n", escape(title), parts.join("\n"))
}

/// A table whose cells are escaped; all but the first `left` columns are numbers.
pub fn table(header: &[&str], left: usize, rows: &[Vec<String>]) -> String {
    let class = |at: usize| if at < left { "" } else { " class=\"number\"" };
    let row = |tag: &str, cells: &[String]| {
        let cell = |(at, cell): (usize, &String)| format!("<{tag}{}>{}</{tag}>", class(at), escape(cell));
        format!("<tr>{}</tr>\n", cells.iter().enumerate().map(cell).collect::<String>())
    };
    let header: Vec<_> = header.iter().map(|&title| title.to_owned()).collect();
    let head = match header.iter().all(String::is_empty) {
        true => String::new(),
        false => format!("<thead>\n{}</thead>\n", row("th", &header)),
    };
    let body: String = rows.iter().map(|cells| row("td", cells)).collect();
    format!("<div class=\"wide\"><table>\n{head}<tbody>\n{body}</tbody>\n</table></div>")
}

/// A text as HTML shows it.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}
