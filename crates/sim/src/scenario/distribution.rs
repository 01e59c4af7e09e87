//! Distributions of durations, amounts and popularity, drawn the same on every machine.
//!
//! Logarithms and exponentials come from `libm`, written in Rust: the C library's differ in the last bit from one
//! version to the next, and with them every digest after the first draw.
#![allow(
    clippy::float_arithmetic,
    reason = "distributions are of real numbers; balances never pass through here"
)]

use rand::Rng;
use rand::rngs::ChaCha12Rng;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::units::{Major, Span};

/// A quantity that a distribution may be of.
pub trait Quantity: Sized {
    /// Reads it as a scenario writes it, in base units: seconds, or major units of money.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn read(text: &str) -> Result<f64, String>;
}

impl Quantity for Span {
    fn read(text: &str) -> Result<f64, String> {
        Ok(text.parse::<Self>()?.0.as_secs_f64())
    }
}

impl Quantity for Major {
    fn read(text: &str) -> Result<f64, String> {
        let value: f64 = text.trim().parse().map_err(|_| format!("`{text}` is no amount"))?;
        (value.is_finite() && value >= 0.0).then_some(value).ok_or_else(|| format!("`{text}` is no amount"))
    }
}

/// The form of a distribution, in base units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Always the same.
    Constant(f64),
    /// With this mean.
    Exponential(f64),
    /// Between the two.
    Uniform(f64, f64),
    /// Median, and standard deviation of the logarithm.
    LogNormal(f64, f64),
}

/// A distribution of `Q`, perhaps cut off below and above.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distribution<Q> {
    /// Its form.
    pub shape: Shape,
    /// What is drawn below becomes this.
    pub min: f64,
    /// What is drawn above becomes this.
    pub max: f64,
    of: std::marker::PhantomData<Q>,
}

/// Uniform in `[0, 1)`, 53 bits.
pub(crate) fn uniform(rng: &mut ChaCha12Rng) -> f64 {
    let bits = rng.next_u64() >> 11;
    bits as f64 / 9_007_199_254_740_992.0
}

/// Exponential with mean 1.
pub(crate) fn exponential(rng: &mut ChaCha12Rng) -> f64 {
    -libm::log(1.0 - uniform(rng))
}

/// Standard normal, by Box and Muller.
fn normal(rng: &mut ChaCha12Rng) -> f64 {
    let radius = libm::sqrt(2.0 * exponential(rng));
    radius * libm::cos(core::f64::consts::TAU * uniform(rng))
}

impl<Q> Distribution<Q> {
    fn new(shape: Shape) -> Self {
        Self { shape, min: 0.0, max: f64::INFINITY, of: std::marker::PhantomData }
    }

    /// Always `value`, in base units.
    #[must_use]
    pub fn constant(value: f64) -> Self {
        Self::new(Shape::Constant(value))
    }

    /// Draws one, in base units, at least zero.
    pub fn draw(&self, rng: &mut ChaCha12Rng) -> f64 {
        let drawn = match self.shape {
            Shape::Constant(value) => value,
            Shape::Exponential(mean) => mean * exponential(rng),
            Shape::Uniform(low, high) => low + (high - low) * uniform(rng),
            Shape::LogNormal(median, sigma) => median * libm::exp(sigma * normal(rng)),
        };
        drawn.max(self.min).min(self.max).max(0.0)
    }

    /// Its mean, before it is cut off.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self.shape {
            Shape::Constant(mean) | Shape::Exponential(mean) => mean,
            Shape::Uniform(low, high) => (low + high) / 2.0,
            Shape::LogNormal(median, sigma) => median * libm::exp(sigma * sigma / 2.0),
        }
    }

    /// Whether it is always zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        matches!(self.shape, Shape::Constant(value) if value <= 0.0)
    }
}

impl<Q: Quantity> Distribution<Q> {
    /// Reads `exp(1h)`, `uniform(1s, 2s)`, `lognormal(40ms, 0.5)` with optional bounds after it, or a plain value.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((name, rest)) = text.split_once('(') else { return Ok(Self::constant(Q::read(text)?)) };
        let inside =
            rest.trim().strip_suffix(')').ok_or_else(|| format!("`{text}` lacks its closing bracket"))?;
        let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
        let (shape, used) = Self::shape(name.trim(), &parts)?;
        let mut made = Self::new(shape);
        match parts.get(used..) {
            None | Some([]) => {}
            Some([min]) => made.min = Q::read(min)?,
            Some([min, max]) => (made.min, made.max) = (Q::read(min)?, Q::read(max)?),
            Some(_) => return Err(format!("`{text}` has too many numbers")),
        }
        made.checked(text)
    }

    fn shape(name: &str, parts: &[&str]) -> Result<(Shape, usize), String> {
        match (name, parts) {
            ("exp", [mean, ..]) => Ok((Shape::Exponential(Q::read(mean)?), 1)),
            ("constant", [value, ..]) => Ok((Shape::Constant(Q::read(value)?), 1)),
            ("uniform", [low, high, ..]) => Ok((Shape::Uniform(Q::read(low)?, Q::read(high)?), 2)),
            ("lognormal", [median, sigma, ..]) => {
                let sigma = sigma.parse().map_err(|_| format!("`{sigma}` is no number"))?;
                Ok((Shape::LogNormal(Q::read(median)?, sigma), 2))
            }
            _ => Err(format!(
                "`{name}` with {} number(s) is no distribution: exp(MEAN), uniform(LOW, HIGH), lognormal(MEDIAN, SIGMA), \
                 constant(VALUE), each perhaps with MIN and MAX after it",
                parts.len()
            )),
        }
    }

    fn checked(self, text: &str) -> Result<Self, String> {
        let orderly = match self.shape {
            Shape::Uniform(low, high) => low <= high,
            Shape::LogNormal(_, sigma) => sigma.is_finite() && sigma >= 0.0,
            Shape::Constant(_) | Shape::Exponential(_) => true,
        };
        if orderly && self.min <= self.max {
            return Ok(self);
        }
        Err(format!("`{text}` has its bounds the wrong way round, or a negative sigma"))
    }
}

/// The other way of writing one: `{ distribution = "lognormal", median = "23.50", sigma = 1.1 }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    distribution: String,
    value: Option<String>,
    mean: Option<String>,
    low: Option<String>,
    high: Option<String>,
    median: Option<String>,
    sigma: Option<f64>,
    min: Option<String>,
    max: Option<String>,
}

impl Table {
    fn read<Q: Quantity>(&self) -> Result<Distribution<Q>, String> {
        let need = |name: &str, value: &Option<String>| {
            let text = value.as_deref().ok_or_else(|| format!("`{}` needs `{name}`", self.distribution))?;
            Q::read(text)
        };
        let shape = match self.distribution.as_str() {
            "constant" => Shape::Constant(need("value", &self.value)?),
            "exp" => Shape::Exponential(need("mean", &self.mean)?),
            "uniform" => Shape::Uniform(need("low", &self.low)?, need("high", &self.high)?),
            "lognormal" => {
                let sigma = self.sigma.ok_or("`lognormal` needs `sigma`")?;
                Shape::LogNormal(need("median", &self.median)?, sigma)
            }
            other => return Err(format!("`{other}` is no distribution: constant, exp, uniform, lognormal")),
        };
        let mut made = Distribution::new(shape);
        if let Some(min) = &self.min {
            made.min = Q::read(min)?;
        }
        if let Some(max) = &self.max {
            made.max = Q::read(max)?;
        }
        made.checked(&self.distribution)
    }
}

impl<'de, Q: Quantity> Deserialize<'de> for Distribution<Q> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Self::parse(&text).map_err(D::Error::custom),
            toml::Value::Table(table) => {
                let table: Table = table.try_into().map_err(D::Error::custom)?;
                table.read().map_err(D::Error::custom)
            }
            other => Err(D::Error::custom(format!("`{other}` is a number without a unit: write it as text"))),
        }
    }
}

/// How payments spread over merchants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Popularity {
    /// Each as likely as any other.
    Uniform,
    /// The n-th has the weight n⁻ˢ.
    Zipf(f64),
}

impl<'de> Deserialize<'de> for Popularity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let zipf = text.strip_prefix("zipf(").and_then(|rest| rest.strip_suffix(')'));
        match (text.as_str(), zipf.and_then(|number| number.trim().parse::<f64>().ok())) {
            ("uniform", _) => Ok(Self::Uniform),
            (_, Some(exponent)) if exponent.is_finite() && exponent >= 0.0 => Ok(Self::Zipf(exponent)),
            _ => Err(D::Error::custom(format!("`{text}` is no popularity: uniform or zipf(1.1)"))),
        }
    }
}

/// Cumulated weights to draw an index from.
#[derive(Clone, Debug)]
pub struct Weights(Vec<f64>);

impl Weights {
    /// The weights of `count` things.
    #[must_use]
    pub fn new(popularity: Popularity, count: usize) -> Self {
        let weight = |index: usize| match popularity {
            Popularity::Uniform => 1.0,
            Popularity::Zipf(exponent) => libm::pow((index as f64) + 1.0, -exponent),
        };
        Self::of((0..count).map(weight))
    }

    /// These weights.
    #[must_use]
    pub fn of(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let cumulate = |weight: f64| {
            sum += weight;
            sum
        };
        Self(weights.into_iter().map(cumulate).collect())
    }

    /// Draws an index; zero when there is nothing to draw from.
    pub fn draw(&self, rng: &mut ChaCha12Rng) -> usize {
        let at = uniform(rng) * self.0.last().copied().unwrap_or(0.0);
        self.0.partition_point(|sum| *sum <= at).min(self.0.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to parse fails the test")]

    use rand::SeedableRng;

    use super::*;

    fn mean(text: &str) -> f64 {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let drawn = Distribution::<Span>::parse(text).unwrap();
        (0..20_000).map(|_| drawn.draw(&mut rng)).sum::<f64>() / 20_000.0
    }

    #[test]
    fn draws_have_the_mean_of_their_distribution() {
        assert!((mean("exp(1h)") - 3600.0).abs() < 90.0);
        assert!((mean("uniform(1s, 3s)") - 2.0).abs() < 0.02);
        assert!((mean("lognormal(40ms, 0.5)") - 0.040 * libm::exp(0.125)).abs() < 0.001);
        assert!((mean("7ms") - 0.007).abs() < 1e-12);
        assert!(mean("exp(1h, 2h, 2h)") - 7200.0 < 1e-9);
    }

    #[test]
    fn nonsense_is_refused_with_the_forms_there_are() {
        for text in ["gauss(1s)", "exp(5)", "exp(1s", "uniform(2s, 1s)", "lognormal(1s, -1)", "lognormal(1s)"]
        {
            assert!(Distribution::<Span>::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_most_popular_is_drawn_as_often_as_its_weight_says() {
        let mut rng = ChaCha12Rng::seed_from_u64(2);
        let weights = Weights::new(Popularity::Zipf(1.0), 3);
        let mut counts = [0_u32; 3];
        for _ in 0..11_000 {
            *counts.get_mut(weights.draw(&mut rng)).unwrap() += 1;
        }
        assert!(
            counts.iter().zip([6000, 3000, 2000]).all(|(have, want)| have.abs_diff(want) < 200),
            "{counts:?}"
        );
    }
}
