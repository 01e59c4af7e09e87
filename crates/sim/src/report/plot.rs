//! Charts as SVG whose colours the page decides, so that they are right on light and on dark.
#![allow(clippy::float_arithmetic, reason = "coordinates")]

use plotters::prelude::*;

/// Stands for the text's colour in what the drawing library writes.
const INK: RGBColor = RGBColor(1, 1, 1);
/// Stands for the colour of thin lines.
const THIN: RGBColor = RGBColor(1, 1, 2);
/// Stand for the colours of series, in order.
const SERIES: [RGBColor; 4] = [RGBColor(1, 2, 1), RGBColor(1, 2, 2), RGBColor(1, 2, 3), RGBColor(1, 2, 4)];
/// The colour of times in which something was wrong: the second one of the series.
const SHADE: RGBColor = RGBColor(1, 2, 2);
/// What each of them becomes.
const MEANING: [(&str, &str); 6] = [
    ("#010101", "currentColor"),
    ("#010102", "var(--line)"),
    ("#010201", "var(--c1)"),
    ("#010202", "var(--c2)"),
    ("#010203", "var(--c3)"),
    ("#010204", "var(--c4)"),
];

/// One line of a chart.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// What it shows.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
    /// Ends of the interval of each point; empty for none.
    pub intervals: Vec<(f64, f64)>,
}

/// A chart: at most four lines over one axis.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// What the horizontal axis is.
    pub x: String,
    /// What the vertical axis is.
    pub y: String,
    /// Its lines.
    pub lines: Vec<Line>,
    /// Whether the points stand alone: the horizontal axis is in no order.
    pub apart: bool,
    /// Names of the whole numbers of the horizontal axis, where it has names.
    pub names: Vec<String>,
    /// Times in which something was wrong.
    pub shaded: Vec<(f64, f64)>,
    /// Bars of a histogram: from, to, height.
    pub bars: Vec<(f64, f64, f64)>,
    /// What stands beside each point of the first line.
    pub labels: Vec<String>,
}

impl Chart {
    /// Whether there is anything to see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bars.is_empty() && self.lines.iter().all(|line| line.points.is_empty())
    }

    /// Draws it; empty when it cannot be drawn.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut text = String::new();
        if self.draw(&mut text).is_err() {
            return String::new();
        }
        for (stands, means) in MEANING {
            text = text.replace(stands, means);
        }
        text.replacen("<svg width=\"520\" height=\"280\"", "<svg role=\"img\"", 1)
    }

    fn bounds(&self) -> ((f64, f64), (f64, f64)) {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let ends =
            || self.lines.iter().flat_map(|line| &line.intervals).flat_map(|(low, high)| [*low, *high]);
        let fold = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let sides = self.bars.iter().flat_map(|bar| [bar.0, bar.1]);
        let (left, right) = fold(&mut points().map(|point| point.0).chain(sides));
        let tops = self.bars.iter().map(|bar| bar.2);
        let (low, high) = fold(&mut points().map(|point| point.1).chain(ends()).chain(tops));
        let right = if right > left || !self.names.is_empty() { right } else { left + 1.0 };
        let widen = if !self.names.is_empty() {
            0.5
        } else if self.labels.is_empty() {
            0.0
        } else {
            (right - left) * 0.12
        };
        // An axis that leaves out zero makes small differences look large; one below zero is only of rounding.
        let low = low.min(0.0);
        let high = if high > low { high } else { low + 1.0 };
        ((left - widen, right + widen), (low, high + (high - low) * 0.06))
    }

    fn draw(&self, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        if self.is_empty() {
            return Ok(());
        }
        let ((left, right), (low, high)) = self.bounds();
        let area = SVGBackend::with_string(text, (520, 280)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .margin_right(16)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(left..right, low..high)?;
        let named = |value: &f64| self.name_at(*value);
        let font = ("sans-serif", 14).into_font().color(&INK);
        let ticks =
            if self.names.is_empty() { 6 } else { self.names.len().saturating_mul(2).saturating_add(1) };
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(THIN)
            .axis_style(THIN)
            .label_style(font.clone())
            .axis_desc_style(font)
            .x_labels(ticks)
            .y_labels(5)
            .x_label_formatter(&named)
            .y_label_formatter(&|value| short(*value))
            .x_desc(self.x.as_str())
            .y_desc(self.y.as_str())
            .draw()?;
        let shaded = self.shaded.iter().map(|(from, until)| {
            Rectangle::new([(from.max(left), low), (until.min(right), high)], SHADE.mix(0.18).filled())
        });
        chart.draw_series(shaded)?;
        let bars = self.bars.iter().filter(|bar| bar.2 > 0.0);
        chart.draw_series(bars.map(|(from, to, height)| {
            Rectangle::new([(*from, 0.0), (*to, *height)], SERIES[0].mix(0.75).filled())
        }))?;
        for (line, colour) in self.lines.iter().zip(SERIES) {
            if !self.apart {
                chart.draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?;
            }
            if !self.names.is_empty() || !self.labels.is_empty() {
                chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 4, colour.filled())))?;
            }
            let bars = line.points.iter().zip(&line.intervals).map(|((x, _), (from, until))| {
                PathElement::new(vec![(*x, *from), (*x, *until)], colour.stroke_width(2))
            });
            chart.draw_series(bars)?;
        }
        let labelled = self.lines.first().into_iter().flat_map(|line| &line.points).zip(&self.labels);
        let style = ("sans-serif", 13).into_font().color(&INK);
        #[allow(clippy::arithmetic_side_effects, reason = "it puts one element onto another")]
        let texts = labelled.map(|(point, label)| {
            EmptyElement::at(*point) + Text::new(label.clone(), (8, -14), style.clone())
        });
        chart.draw_series(texts)?;
        drop(chart);
        area.present()?;
        Ok(())
    }

    /// The label of a place on the horizontal axis.
    fn name_at(&self, value: f64) -> String {
        if self.names.is_empty() {
            return short(value);
        }
        let named =
            self.names.iter().zip(0_u32..).find(|(_, index)| (value - f64::from(*index)).abs() < 1e-6);
        named.map(|(name, _)| name.clone()).unwrap_or_default()
    }
}

/// A number as short as it may be.
#[must_use]
pub fn short(value: f64) -> String {
    let size = value.abs();
    let (scaled, unit) = match size {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if !(1e-9..100.0).contains(&size) => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in
            [(0.0, "0"), (1.5, "1.5"), (1234.0, "1234"), (12_345.0, "12.3k"), (0.025, "0.025"), (2e6, "2M")]
        {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn a_chart_leaves_its_colours_to_the_page() {
        let line = Line {
            name: "a".into(),
            points: vec![(0.0, 1.0), (1.0, 3.0)],
            intervals: vec![(0.5, 1.5), (2.0, 4.0)],
        };
        let svg = Chart {
            lines: vec![line],
            names: vec!["x".into(), "y".into()],
            shaded: vec![(0.0, 0.5)],
            ..Chart::default()
        }
        .svg();
        assert!(svg.starts_with("<svg role"), "{svg}");
        assert!(svg.contains("var(--c1)") && svg.contains("currentColor") && !svg.contains("#0102"));
        assert_eq!(Chart::default().svg(), "");
    }
}
