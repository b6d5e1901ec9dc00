//! Published figures of ResNet-32 on one 3×32×32 image.
//!
//! M. Patel and E. Nester, *A comprehensive analysis of CrypTen for Neural Network inference*: Table 1, and Table 5 for
//! the security settings v1 (a party knows the weights) and v2 (the weights are shared) and four servers. Measured by its
//! authors and by those of the systems, each on a machine of their own.

use serde::Serialize;

/// One row of a table; what the paper leaves out is `None`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Published {
    pub system: &'static str,
    pub table: u8,
    pub servers: u8,
    pub preprocessing_seconds: f64,
    pub preprocessing_megabytes: Option<f64>,
    pub online_seconds: f64,
    pub online_megabytes: f64,
}

/// The rows.
pub(crate) const PUBLISHED: [Published; 6] = [
    row("Gazelle", 1, 2, (150.0, Some(8192.0)), (82.0, 560.0)),
    row("Delphi", 1, 2, (100.0, Some(2024.0)), (4.0, 70.0)),
    row("CrypTen", 1, 2, (1.0, None), (6.0, 76.0)),
    row("CrypTen v1", 5, 2, (1.0, None), (5.9, 76.0)),
    row("CrypTen v2", 5, 2, (2.6, None), (3.2, 76.0)),
    row("CrypTen v2", 5, 4, (4.6, None), (38.9, 222.0)),
];

const fn row(
    system: &'static str,
    table: u8,
    servers: u8,
    (preprocessing_seconds, preprocessing_megabytes): (f64, Option<f64>),
    (online_seconds, online_megabytes): (f64, f64),
) -> Published {
    Published {
        system,
        table,
        servers,
        preprocessing_seconds,
        preprocessing_megabytes,
        online_seconds,
        online_megabytes,
    }
}
