//! How does latency grow with load? As a picture: an SVG file that needs nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 180.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 48.0;
const COLOURS: [&str; 6] = [
    "#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#444444",
];

/// Points of some lines; several of one load are shown by their median.
#[derive(Debug, Default)]
pub struct Plot {
    lines: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Plot {
    /// Adds a point: so many milliseconds at so many a second.
    pub fn add(&mut self, name: &str, word: &str, a_second: f64, millis: f64) {
        let line = self.lines.entry(format!("{name}, {word}")).or_default();
        line.push((a_second, millis));
    }

    /// The picture: load on a linear axis, milliseconds on a logarithmic one.
    pub fn svg(&self) -> String {
        let points = || self.lines.values().flatten();
        let most = points().map(|it| it.0).fold(1.0, f64::max) * 1.03;
        let low = points()
            .map(|it| it.1)
            .fold(f64::INFINITY, f64::min)
            .max(0.1);
        let high = points().map(|it| it.1).fold(1.0, f64::max);
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        let x = |load: f64| LEFT + load / most * (WIDTH - LEFT - RIGHT);
        let y = |millis: f64| {
            let part = (millis.max(0.01).log10() - low) / (high - low).max(1.0);
            HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"16\">From the due moment of the POST to the target, \
             milliseconds</text>\n"
        );
        let right = WIDTH - RIGHT;
        let powers = std::iter::successors(Some(low), |power| Some(power + 1.0));
        for power in powers.take_while(|power| *power <= high) {
            let label = 10_f64.powf(power);
            let at = y(label);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 6.0,
                at + 4.0
            );
        }
        let bottom = HEIGHT - BOTTOM;
        for step in 0..=5 {
            let load = most * f64::from(step) / 5.0;
            let at = x(load);
            let _ = writeln!(
                svg,
                "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#eee\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{load:.0}/s</text>",
                bottom + 18.0
            );
        }
        for (place, (name, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let line: Vec<_> = medians(points)
                .iter()
                .map(|(load, millis)| format!("{:.1},{:.1}", x(*load), y(*millis)))
                .collect();
            let at = TOP + 20.0 * place as f64 + 10.0;
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
                 <text x=\"{:.1}\" y=\"{at:.1}\" fill=\"{colour}\">{name}</text>",
                line.join(" "),
                right + 8.0
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// The middle one of the points of each neighbourhood of loads: one step's load differs from run to
/// run by some percent.
fn medians(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut groups: Vec<Vec<(f64, f64)>> = Vec::new();
    for point in sorted {
        match groups.last_mut() {
            Some(group) if point.0 <= group[0].0 * 1.08 => group.push(point),
            _ => groups.push(vec![point]),
        }
    }
    let middle = |mut group: Vec<(f64, f64)>| {
        group.sort_by(|a, b| a.1.total_cmp(&b.1));
        group[group.len() / 2]
    };
    groups.into_iter().map(middle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_through_the_median_of_each_load() {
        let points = [(100.0, 9.0), (102.0, 1.0), (101.0, 2.0), (200.0, 5.0)];
        assert_eq!(medians(&points), [(101.0, 2.0), (200.0, 5.0)]);
    }

    #[test]
    fn a_picture_names_each_line() {
        let mut plot = Plot::default();
        for (load, millis) in [(100.0, 2.0), (1_000.0, 40.0)] {
            plot.add("RabbitMQ", "p99", load, millis);
        }
        let svg = plot.svg();
        assert!(svg.contains("RabbitMQ, p99"), "{svg}");
        assert!(
            svg.contains("<polyline points=\"") && !svg.contains("NaN"),
            "{svg}"
        );
    }
}
