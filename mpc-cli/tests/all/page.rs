//! The page in the browser: its module against vectors of this side, its requests, and the page itself in a real browser.

mod authority;
mod browser;
mod https;
mod machines;
mod pages;
pub(crate) mod requests;
mod site;
mod vectors;
