//! The page in the browser: its module against vectors of this side, its requests, and the page itself in a real browser.

mod browser;
mod pages;
mod requests;
mod site;
mod vectors;
