//! Least squares: the Fourier series of a few waves that is nearest to a function on a part of the period.
//!
//! On a part of the period alone the waves are nearly dependent, and the fit converges as fast as the function is smooth,
//! whether it is periodic or not: Huybrechs, "On the Fourier extension of nonperiodic functions" (SIAM J. Numer. Anal. 47,
//! 2010). The columns are made orthogonal one after the other, twice each, and a column of which nothing is left is dropped.

use alloc::vec;
use alloc::vec::Vec;
use core::f64::consts::{PI, TAU};

use super::circle::turned;

/// The points of a fit: more than twice the coefficients of the longest series.
const NODES: usize = 160;
/// The steps of the grid on which a fit is measured.
const STEPS: usize = 4096;
/// A column of which this part is left is rounding alone.
const DEPENDENT: f64 = 1e-10;

/// A function on an interval, which is a part of a period.
pub(super) struct Target<'a> {
    pub(super) function: &'a dyn Fn(f64) -> f64,
    /// The ends of the interval.
    pub(super) interval: [f64; 2],
    /// The length of a period.
    pub(super) period: f64,
    /// A bound of the third derivative's magnitude.
    pub(super) third: f64,
    /// Whether that bound and the errors are relative to the function's magnitude.
    pub(super) relative: bool,
}

/// A series: constant + Σ_k a_k·cos(kθ) + b_k·sin(kθ), θ being the angle from the interval's begin.
#[derive(Debug)]
pub(super) struct Fit {
    pub(super) constant: f64,
    /// (a_k, b_k) from k = 1 on.
    pub(super) waves: Vec<[f64; 2]>,
}

/// A measured fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// A bound of the error, absolute or relative.
    pub(super) error: f64,
    /// A bound of the series' magnitude.
    pub(super) largest: f64,
}

impl Target<'_> {
    fn angle(&self, x: f64) -> f64 {
        TAU * (x - self.interval[0]) / self.period
    }

    /// Chebyshev's nodes: where a fit is near, it is so between them, too.
    fn nodes(&self) -> Vec<f64> {
        let [low, high] = self.interval;
        let node = |i: usize| libm::cos(PI * (i as f64 + 0.5) / NODES as f64);
        (0..NODES).map(|i| low + (high - low) * (1.0 - node(i)) / 2.0).collect()
    }

    fn weight(&self, value: f64) -> f64 {
        if self.relative { 1.0 / libm::fabs(value) } else { 1.0 }
    }

    /// The shortest series with at most `most` waves whose error is at most `limit`.
    pub(super) fn shortest(&self, limit: f64, most: usize) -> Option<(Fit, Measured)> {
        let mut basis = Basis::new(self);
        while basis.waves() < most {
            basis.push_wave();
            if basis.largest_residual() <= limit {
                let fit = basis.solve();
                let measured = self.measure(&fit);
                if measured.error <= limit {
                    return Some((fit, measured));
                }
            }
        }
        None
    }

    /// The best series with a number of waves.
    pub(super) fn with(&self, waves: usize) -> Fit {
        let mut basis = Basis::new(self);
        (0..waves).for_each(|_| basis.push_wave());
        basis.solve()
    }

    /// Between points of the grid an error r with |r'''| ≤ t is at most the larger of both plus d²/8·max|r''|, and r'' is within
    /// 2·d·t of the nearest second difference.
    fn measure(&self, fit: &Fit) -> Measured {
        let [low, high] = self.interval;
        let (step, velocity) = ((high - low) / STEPS as f64, TAU / self.period);
        let points: Vec<Point> = (0..=STEPS).map(|i| self.point(fit, low + step * i as f64)).collect();
        let most = |of: fn(&Point) -> f64| points.iter().map(of).fold(0.0, f64::max);
        let least = points.iter().map(|point| libm::fabs(point.value)).fold(f64::INFINITY, f64::min);
        let largest = most(|point| libm::fabs(point.series)) + step / 2.0 * fit.derivative(1, velocity);
        let fourth = most(|point| libm::fabs(point.fourth)) + step * fit.derivative(5, velocity);
        let of_series = most(|point| libm::fabs(point.third)) + step * fourth;
        let of_function = self.third * if self.relative { most(|point| libm::fabs(point.value)) } else { 1.0 };
        let bend = |p: &[Point]| libm::fabs(p[0].error() - 2.0 * p[1].error() + p[2].error());
        let bends = points.windows(3).map(bend).fold(0.0, f64::max);
        let between = bends / 8.0 + (of_function + of_series) * step * step * step / 4.0;
        let error = if self.relative {
            // From one point to the next the function's magnitude changes by less than a hundredth.
            1.01 * (most(|point| libm::fabs(point.error() / point.value)) + between / least)
        } else {
            most(|point| libm::fabs(point.error())) + between
        };
        Measured { error, largest }
    }

    fn point(&self, fit: &Fit, x: f64) -> Point {
        let [series, third, fourth] = fit.at(self.angle(x), TAU / self.period);
        Point { value: (self.function)(x), series, third, fourth }
    }
}

/// A point of the grid.
struct Point {
    value: f64,
    series: f64,
    /// The series' third derivative.
    third: f64,
    /// Its fourth one.
    fourth: f64,
}

impl Point {
    fn error(&self) -> f64 {
        self.series - self.value
    }
}

impl Fit {
    /// Σ_k √(a_k² + b_k²).
    pub(super) fn amplitude(&self) -> f64 {
        self.waves.iter().map(|&[a, b]| libm::hypot(a, b)).sum()
    }

    /// A bound of the magnitude of a derivative, with an angular velocity.
    fn derivative(&self, order: u32, velocity: f64) -> f64 {
        let of =
            |(k, &[a, b]): (usize, &[f64; 2])| libm::hypot(a, b) * libm::pow((k + 1) as f64 * velocity, order.into());
        self.waves.iter().enumerate().map(of).sum()
    }

    /// The series at an angle, and its third and fourth derivative there, with an angular velocity.
    fn at(&self, angle: f64, velocity: f64) -> [f64; 3] {
        let mut sums = [self.constant, 0.0, 0.0];
        for (k, ([c, s], &[a, b])) in Wave::new(angle).zip(&self.waves).enumerate() {
            let speed = (k + 1) as f64 * velocity;
            sums[0] += a * c + b * s;
            let cube = speed * speed * speed;
            sums[1] += cube * (a * s - b * c);
            sums[2] += cube * speed * (a * c + b * s);
        }
        sums
    }
}

/// cos(kθ) and sin(kθ) from k = 1 on.
struct Wave {
    first: [f64; 2],
    next: [f64; 2],
}

impl Wave {
    fn new(angle: f64) -> Self {
        let first = [libm::cos(angle), libm::sin(angle)];
        Self { first, next: first }
    }
}

impl Iterator for Wave {
    type Item = [f64; 2];

    fn next(&mut self) -> Option<[f64; 2]> {
        let point = self.next;
        self.next = turned(point, self.first);
        Some(point)
    }
}

/// An orthonormal basis of the waves so far, at weighted nodes.
struct Basis {
    weights: Vec<f64>,
    waves: Vec<Wave>,
    columns: Vec<Column>,
    /// Of the function, without its part in the basis.
    residual: Vec<f64>,
}

/// A column q_j with r_ij and the function's part in it: the wave is Σ_i r_ij·q_i.
struct Column {
    unit: Vec<f64>,
    of_wave: Vec<f64>,
    of_function: f64,
}

impl Basis {
    fn new(target: &Target<'_>) -> Self {
        let nodes = target.nodes();
        let values: Vec<f64> = nodes.iter().map(|&x| (target.function)(x)).collect();
        let weights: Vec<f64> = values.iter().map(|&value| target.weight(value)).collect();
        let residual = values.iter().zip(&weights).map(|(value, weight)| value * weight).collect();
        let waves = nodes.iter().map(|&x| Wave::new(target.angle(x))).collect();
        let mut basis = Self { weights, waves, columns: Vec::new(), residual };
        basis.push(vec![1.0; NODES]);
        basis
    }

    fn waves(&self) -> usize {
        self.columns.len() / 2
    }

    fn push_wave(&mut self) {
        let wave: Vec<[f64; 2]> = self.waves.iter_mut().filter_map(Iterator::next).collect();
        self.push(wave.iter().map(|[c, _]| *c).collect());
        self.push(wave.iter().map(|[_, s]| *s).collect());
    }

    fn push(&mut self, mut unit: Vec<f64>) {
        unit.iter_mut().zip(&self.weights).for_each(|(x, weight)| *x *= weight);
        let whole = norm(&unit);
        let mut of_wave = vec![0.0; self.columns.len()];
        for _ in 0..2 {
            for (column, part) in self.columns.iter().zip(&mut of_wave) {
                let common = dot(&column.unit, &unit);
                *part += common;
                subtract(&mut unit, &column.unit, common);
            }
        }
        let left = norm(&unit);
        let is_new = left > DEPENDENT * whole;
        unit.iter_mut().for_each(|x| *x = if is_new { *x / left } else { 0.0 });
        of_wave.push(if is_new { left } else { 0.0 });
        let of_function = dot(&unit, &self.residual);
        subtract(&mut self.residual, &unit, of_function);
        self.columns.push(Column { unit, of_wave, of_function });
    }

    fn largest_residual(&self) -> f64 {
        self.residual.iter().map(|x| libm::fabs(*x)).fold(0.0, f64::max)
    }

    /// The coefficients of the waves, from the last one on.
    fn solve(&self) -> Fit {
        let mut coefficients = vec![0.0; self.columns.len()];
        for j in (0..coefficients.len()).rev() {
            let later: f64 = (j + 1..coefficients.len()).map(|i| self.columns[i].of_wave[j] * coefficients[i]).sum();
            let own = self.columns[j].of_wave[j];
            if own > 0.0 {
                coefficients[j] = (self.columns[j].of_function - later) / own;
            }
        }
        let waves = coefficients[1..].as_chunks::<2>().0.to_vec();
        Fit { constant: coefficients[0], waves }
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn norm(x: &[f64]) -> f64 {
    libm::sqrt(dot(x, x))
}

fn subtract(x: &mut [f64], y: &[f64], times: f64) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x -= times * y);
}
