//! Published figures for one 3×32×32 image, or one layer.
//!
//! M. Patel and E. Nester, *A comprehensive analysis of CrypTen for Neural Network inference*, Tables 1 to 6. Measured by
//! its authors and by those of the systems, each on a machine of their own. v1: a party knows the weights; v2: the weights
//! are shared. Tables 1 and 3 have CrypTen's v1 rounded, Table 5 as it was measured.

use serde::Serialize;

/// One row of a table, or of two with the same rows; what the paper leaves out is `None`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Published {
    /// The network or layer, by the name it has here.
    pub subject: &'static str,
    pub tables: &'static str,
    pub system: &'static str,
    pub servers: u8,
    /// Pre-processing or setup, as the table has it.
    pub preprocessing_seconds: Option<f64>,
    pub preprocessing_megabytes: Option<f64>,
    pub online_seconds: f64,
    pub online_megabytes: f64,
}

/// The rows.
pub(crate) const PUBLISHED: [Published; 37] = [
    network("resnet32", "1", "Gazelle", 2, [150.0, 8192.0, 82.0, 560.0]),
    network("resnet32", "1", "Delphi", 2, [100.0, 2024.0, 4.0, 70.0]),
    network("resnet32", "1", "CrypTen", 2, [1.0, NONE, 6.0, 76.0]),
    network("resnet32", "5", "CrypTen v1", 2, [1.0, NONE, 5.9, 76.0]),
    network("resnet32", "5", "CrypTen v2", 2, [2.6, NONE, 3.2, 76.0]),
    network("resnet32", "5", "CrypTen v2", 4, [4.6, NONE, 38.9, 222.0]),
    network("minionn", "3", "Gazelle", 2, [90.0, 4096.0, 50.0, 100.0]),
    network("minionn", "3", "Falcon", 2, [7.0, 1200.0, 3.0, 265.0]),
    network("minionn", "3", "Delphi", 2, [40.0, 80.0, 0.5, 10.0]),
    network("minionn", "3", "CrypTen", 2, [0.3, NONE, 2.0, 42.0]),
    network("minionn", "5", "CrypTen v1", 2, [0.3, NONE, 2.0, 42.0]),
    network("minionn", "5", "CrypTen v2", 2, [1.2, NONE, 2.9, 42.0]),
    network("minionn", "5", "CrypTen v2", 4, [2.1, NONE, 18.6, 126.0]),
    layer("relu:1000", "2, 4", "Gazelle", [89.0, 5.43, 15.0, 1.68]),
    layer("relu:1000", "2, 4", "Falcon", [9.82, 1.95, 4.2, 0.01]),
    layer("relu:1000", "2, 4", "CrypTen", [243.0, NONE, 147.0, 0.232]),
    layer("relu:10000", "2, 4", "Gazelle", [551.0, 54.3, 137.0, 16.8]),
    layer("relu:10000", "2, 4", "Falcon", [96.2, 19.2, 43.2, 0.11]),
    layer("relu:10000", "2, 4", "CrypTen", [230.0, NONE, 160.0, 2.32]),
    layer("maxpool:1000", "2, 4", "Gazelle", [164.0, 15.6, 58.0, 8.39]),
    layer("maxpool:1000", "2, 4", "Falcon", [12.1, 1.94, 5.6, 0.01]),
    layer("maxpool:1000", "2, 4", "CrypTen", [200.0, NONE, 600.0, 0.76]),
    layer("maxpool:10000", "2, 4", "Gazelle", [1413.0, 156.0, 513.0, 83.9]),
    layer("maxpool:10000", "2, 4", "Falcon", [100.0, 20.0, 45.5, 0.12]),
    layer("maxpool:10000", "2, 4", "CrypTen", [240.0, NONE, 610.0, 7.4]),
    layer("convolution:16x32x32", "6", "Gazelle", [NONE, NONE, 1236.0, 10.5]),
    layer("convolution:16x32x32", "6", "Delphi", [1236.0, 10.5, 16.0, 0.07]),
    layer("convolution:16x32x32", "6", "CrypTen", [238.0, NONE, 20.0, 0.03]),
    layer("convolution:16x32x32", "6", "Delphi (GPU)", [1236.0, 10.5, 0.34, 0.07]),
    layer("convolution:32x16x16", "6", "Gazelle", [NONE, NONE, 1262.0, 5.24]),
    layer("convolution:32x16x16", "6", "Delphi", [1262.0, 5.24, 16.0, 0.02]),
    layer("convolution:32x16x16", "6", "CrypTen", [240.0, NONE, 65.0, 0.1]),
    layer("convolution:32x16x16", "6", "Delphi (GPU)", [1262.0, 5.24, 0.24, 0.02]),
    layer("convolution:64x8x8", "6", "Gazelle", [NONE, NONE, 2662.0, 5.24]),
    layer("convolution:64x8x8", "6", "Delphi", [2662.0, 5.24, 15.6, 0.04]),
    layer("convolution:64x8x8", "6", "CrypTen", [245.0, NONE, 75.0, 0.3]),
    layer("convolution:64x8x8", "6", "Delphi (GPU)", [2662.0, 5.24, 0.24, 0.04]),
];

/// Not in the paper.
const NONE: f64 = f64::NAN;

/// Seconds and megabytes of pre-processing, then online.
const fn network(
    subject: &'static str,
    tables: &'static str,
    system: &'static str,
    servers: u8,
    [preprocessing_seconds, preprocessing_megabytes, online_seconds, online_megabytes]: [f64; 4],
) -> Published {
    Published {
        subject,
        tables,
        system,
        servers,
        preprocessing_seconds: known(preprocessing_seconds),
        preprocessing_megabytes: known(preprocessing_megabytes),
        online_seconds,
        online_megabytes,
    }
}

/// Milliseconds and megabytes of setup, then online.
const fn layer(
    subject: &'static str,
    tables: &'static str,
    system: &'static str,
    [setup, setup_megabytes, online, online_megabytes]: [f64; 4],
) -> Published {
    network(subject, tables, system, 2, [setup / 1e3, setup_megabytes, online / 1e3, online_megabytes])
}

const fn known(figure: f64) -> Option<f64> {
    if figure.is_nan() { None } else { Some(figure) }
}
