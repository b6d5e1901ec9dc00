//! The page that comes with the program: its files, with the integrity hashes that tie them together.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use mpc_service::web::{Description, Page, Place};
use serde::Serialize;
use sha2::{Digest, Sha384};

use crate::output::json;

const INDEX: &str = include_str!("../web/index.html");
const STYLE: &str = include_str!("../web/style.css");
const MODULE: &str = include_str!("../web/mpc.js");
const PROGRAM: &str = include_str!("../web/page.js");

/// How a picture becomes the input of a network.
#[derive(Clone, Debug, Serialize)]
pub struct Picture {
    /// Its channels: 1 or 3.
    pub channels: usize,
    /// Its height in pixels.
    pub height: usize,
    /// Its width in pixels.
    pub width: usize,
    /// Whether it is drawn, as ink on paper; else it is a photograph.
    pub drawn: bool,
    /// Of photographs: what is subtracted from pixels between 0 and 1, for each channel.
    pub mean: Vec<f32>,
    /// The divisors of channels then.
    pub deviation: Vec<f32>,
}

/// The words of a page, and the servers that it works with.
#[derive(Debug, Serialize)]
pub struct Content {
    /// Its heading.
    pub title: String,
    /// The model and the servers.
    pub model: Description,
    /// How a picture becomes the input.
    pub picture: Picture,
    /// The names of the classes; without names they are numbers.
    pub labels: Vec<String>,
}

/// The files of a page, by their paths.
pub struct Files {
    /// Each begins with `/`.
    pub files: BTreeMap<String, Page>,
    /// The rights that browsers give the page: its own files, and requests to the servers.
    pub policy: String,
}

impl Files {
    /// The files of a page.
    pub fn new(content: &Content) -> Self {
        let policy = policy(content.model.servers());
        let content = json(content);
        let parts = [
            ("STYLE", "/style.css", "text/css; charset=utf-8", STYLE.to_owned()),
            ("MODULE", "/mpc.js", "text/javascript; charset=utf-8", MODULE.to_owned()),
            ("PROGRAM", "/page.js", "text/javascript; charset=utf-8", PROGRAM.to_owned()),
            ("CONTENT", "/page.json", "application/json", content),
        ];
        let mut index = INDEX.replace("{{POLICY}}", &policy);
        let mut files = BTreeMap::new();
        for (name, path, content_type, content) in parts {
            index = index.replace(&format!("{{{{{name}}}}}"), &integrity(content.as_bytes()));
            files.insert(path.to_owned(), Page { content_type, content: content.into() });
        }
        let index = Page { content_type: "text/html; charset=utf-8", content: index.into() };
        files.insert("/index.html".to_owned(), index);
        Self { files, policy }
    }

    /// The hash of the page itself, which holds those of all its other files.
    pub fn integrity(&self) -> String {
        self.files.get("/index.html").map(|page| integrity(&page.content)).unwrap_or_default()
    }
}

/// A hash as browsers read it.
fn integrity(bytes: &[u8]) -> String {
    format!("sha384-{}", Base64::encode_string(&Sha384::digest(bytes)))
}

/// An address without its path: with a path, browsers would allow that path alone, and nothing below it.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url.get(host..).and_then(|rest| rest.find('/')).map_or(url, |end| &url[..host + end])
}

/// The rights that a browser gives the page.
fn policy(servers: &[Place]) -> String {
    let urls: Vec<_> = servers.iter().flat_map(|server| &server.urls).map(|url| origin(url)).collect();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self' {}; \
         base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        urls.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn a_policy_names_places_without_their_paths() {
        for (url, expected) in [
            ("https://a.example", "https://a.example"),
            ("https://a.example:7900/north/pages", "https://a.example:7900"),
            ("https://*.a.example:7900", "https://*.a.example:7900"),
            ("http://[::1]:80/", "http://[::1]:80"),
        ] {
            assert_eq!(origin(url), expected);
        }
    }
}
